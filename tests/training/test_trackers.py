"""Do a step's numbers reach the tracker that was named, and is a missing library told?"""

import importlib.util
import os
import subprocess
import sys

import pytest

from hrlaif.errors import UsageError
from hrlaif.settings import Compute, using
from hrlaif.training.trackers import Run, begun, careful, tracking

ROW = {"step": 3, "loss": 0.5, "kl": 0.25, "reward_mean": None, "rewards": {"p": 1.0}}

FAKES = {
    "wandb": """
class Run:
    def log(self, numbers, step): print("log", step, sorted(numbers.items()))
    def finish(self): print("end")
def init(**settings):
    print("init", settings["project"], settings["name"], settings["id"], settings["resume"])
    return Run()
""",
    "mlflow": """
def set_experiment(name): print("experiment", name)
def start_run(run_name): print("init", run_name)
def log_metrics(numbers, step): print("log", step, sorted(numbers.items()))
def end_run(): print("end")
""",
    "trackio": """
def init(**settings): print("init", settings["project"], settings["name"], settings["resume"])
def log(numbers, step): print("log", step, sorted(numbers.items()))
def finish(): print("end")
""",
}


def test_without_a_tracker_nothing_is_imported_and_nothing_sent(tmp_path):
    with tracking(tmp_path) as log:
        log(1, ROW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(FAKES))
def test_numbers_are_sent_under_their_step_and_the_run_is_ended(name, tmp_path):
    """In a process of its own, with a library of that name that prints what it is told."""
    (tmp_path / f"{name}.py").write_text(FAKES[name])
    code = (
        "from pathlib import Path\n"
        "from hrlaif.settings import Compute, using\n"
        "from hrlaif.training.trackers import tracking\n"
        f"folder = Path({str(tmp_path)!r}) / 'mine' / 'policy'\n"
        f"with using(Compute(tracker={name!r})), tracking(folder) as log:\n"
        f"    log(3, {ROW!r})\n"
    )
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("init") and "mine-policy" in line for line in lines)
    assert lines[-2:] == ["log 3 [('kl', 0.25), ('loss', 0.5)]", "end"]


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio", "tensorboard"])
def test_a_library_that_is_not_installed_is_told_with_the_next_move(name, tmp_path):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed here")
    with using(Compute(tracker=name)), pytest.raises(UsageError) as told, tracking(tmp_path):
        pass
    assert f"{name} is not installed" in str(told.value)
    assert f"pip install {name}" in str(told.value)


@pytest.mark.parametrize("fault", ["begin", "send"])
def test_a_tracker_that_cannot_begin_is_told_and_one_that_fails_later_is_left(fault, tmp_path):
    class Library:
        """A tracker whose server is away, or goes away."""

        sent = 0

        def set_experiment(self, name):
            if fault == "begin":
                raise ConnectionError("no server")

        def start_run(self, run_name):
            assert run_name == "mine-policy"

        def log_metrics(self, numbers, step):
            self.sent += 1
            raise ConnectionError("gone")

    library = Library()
    library.end_run = lambda: None
    run = Run("mine-policy", "policy-1", tmp_path)
    if fault == "begin":
        with pytest.raises(UsageError, match="mlflow cannot begin"):
            begun("mlflow", library, run)
    else:
        send, _ = begun("mlflow", library, run)
        log = careful("mlflow", send)
        log(1, ROW)
        log(2, ROW)
        assert library.sent == 1
