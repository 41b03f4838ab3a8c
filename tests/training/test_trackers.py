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
from types import SimpleNamespace
active, tags = [], {}
def set_experiment(name): print("experiment", name)
def search_runs(experiment_names, filter_string, max_results, output_format):
    found = [run for run, tag in tags.items() if filter_string == f"tags.hrlaif_id = '{tag}'"]
    return [SimpleNamespace(info=SimpleNamespace(run_id=run)) for run in found][:max_results]
def start_run(run_id=None, run_name=None, tags=None):
    if active:
        raise Exception("a run is already active")
    active.append(run_id or f"{run_name}!")
    if tags:
        globals()["tags"][active[-1]] = tags["hrlaif_id"]
    print("init", active[-1])
def log_metrics(numbers, step): print("log", active[-1], step, sorted(numbers.items()))
def end_run():
    active.pop()
    print("end")
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


def tracked(name, tmp_path, lines):
    """What a library of that name was told by these lines, in a process of its own."""
    (tmp_path / f"{name}.py").write_text(FAKES[name])
    code = (
        "from pathlib import Path\n"
        "from hrlaif.settings import Compute, using\n"
        "from hrlaif.training.trackers import tracking\n"
        f"folder = Path({str(tmp_path)!r}) / 'mine' / 'policy'\n"
        f"row = {ROW!r}\n"
    )
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code + lines],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", sorted(FAKES))
def test_numbers_are_sent_under_their_step_and_the_run_is_ended(name, tmp_path):
    lines = f"with using(Compute(tracker={name!r})), tracking(folder) as log:\n    log(3, row)\n"
    told = tracked(name, tmp_path, lines)
    assert any(line.startswith("init") and "mine-policy" in line for line in told)
    assert told[-2].startswith("log")
    assert told[-2].endswith("3 [('kl', 0.25), ('loss', 0.5)]")
    assert told[-1] == "end"


REFRESH = """
import torch
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.loop import Where, steps
from hrlaif.training.optimizer import Optimizer, build
model, how = torch.nn.Linear(1, 1), Optimizer()
with using(Compute(tracker="mlflow")):
    with tracking(folder) as log:
        log(1, row)
        trainee = Trainee({"model": model}, build(how, {"model": model}))
        for step in steps("reward model", [[1], [2]], trainee, Where(folder / "refresh", how)):
            step.backward(model(torch.ones(1, 1)).sum())
        log(2, row)
    with tracking(folder) as log:  # after a resume
        log(3, row)
    with tracking(folder.with_name("other")) as log:
        log(1, row)
"""


def test_a_reward_that_learns_anew_leaves_the_runs_tracker_alone_and_a_resume_goes_on(tmp_path):
    told = [line for line in tracked("mlflow", tmp_path, REFRESH) if "experiment" not in line]
    assert [line.split(" [")[0] for line in told] == [
        *("init mine-policy!", "log mine-policy! 1", "log mine-policy! 2", "end"),
        *("init mine-policy!", "log mine-policy! 3", "end"),
        *("init mine-other!", "log mine-other! 1", "end"),
    ]


def test_two_runs_of_one_name_in_different_places_are_two_in_trackio(tmp_path):
    lines = (
        "for place in (folder, folder.parent.parent / 'elsewhere' / 'mine' / 'policy'):\n"
        "    with using(Compute(tracker='trackio')), tracking(place) as log:\n        pass\n"
    )
    names = [line.split()[2] for line in tracked("trackio", tmp_path, lines) if "init" in line]
    assert len(set(names)) == 2
    assert all(name.startswith("mine-policy-") for name in names)


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

        def search_runs(self, **asked):
            return []

        def start_run(self, run_name, tags):
            assert (run_name, tags) == ("mine-policy", {"hrlaif_id": "policy-1"})

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
