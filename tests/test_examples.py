import importlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hrlaif.records import Candidate, Choice, Comparison, Message, Prompt

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_quickstart_in_python_ends_with_a_win_rate(tiny_model, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "quickstart.py", tiny_model, tmp_path / "run"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "18 labels, 0 abstentions" in done.stdout
    assert "The policy's win rate is" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_quickstart_goes_on_with_settings_that_were_changed(tmp_path):
    venv, run = tmp_path / "venv", tmp_path / "run"
    (venv / "bin").mkdir(parents=True)
    hrlaif = venv / "bin" / "hrlaif"
    hrlaif.write_text(
        f"#!/bin/sh\n[ $1 = init ] || exit 0\nexec {sys.executable} -m hrlaif $*\n", "utf-8"
    )
    hrlaif.chmod(0o755)
    for made in (venv / "bin" / "python", venv / ".installed"):
        made.touch()
    command = ["make", "quickstart", f"VENV={venv}", f"RUN={run}"]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=EXAMPLES.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        with (run / "config.yaml").open("a", encoding="utf-8") as config:
            config.write("# changed\n")
    assert (run / "config.yaml").read_text("utf-8").endswith("# changed\n# changed\n")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("version", "told"), [("(3, 10)", "needs Python 3.11 or newer"), ("(3, 12)", "no ensurepip")]
)
def test_an_environment_that_could_not_be_made_is_not_taken_for_one(version, told, tmp_path):
    python, venv = tmp_path / "python", tmp_path / "venv"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "import sys\n'
        f'sys.version_info = {version}\n$2"\n'
        'mkdir -p "$3/bin"; touch "$3/bin/python"; echo no ensurepip >&2; exit 1\n'
    )
    python.chmod(0o755)
    command = ["make", "install", f"VENV={venv}", f"PYTHON={python}"]
    for _ in range(2):
        done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True)
        assert done.returncode != 0
        assert told in done.stderr
        assert not (venv / "bin" / "python").exists()


def test_a_labeler_of_one_s_own_is_named_as_module_and_class(hrlaif, tmp_path):
    out = tmp_path / "labels.jsonl"
    hrlaif(
        *("label", EXAMPLES / "pairs.jsonl", "-o", out, "--judge", "scripted:"),
        *("--labeler", "own_labeler:ShorterOfEqual"),
        environment={"PYTHONPATH": str(EXAMPLES)},
    )
    assert len(out.read_text("utf-8").splitlines()) == 10


def test_a_labeler_of_one_s_own_turns_with_the_pair_and_names_itself(monkeypatch):
    class Mild:
        """Finds what begins with "One" a little better."""

        name, chunk = "mild", 8

        def choose(self, chats, choices, *, seed=0):
            first = [0.55 if chat.about.first.startswith("One") else 0.45 for chat in chats]
            return [Choice(probabilities=(p, 1 - p), mass=1, source="logprobs") for p in first]

    monkeypatch.syspath_prepend(str(EXAMPLES))
    labeler = importlib.import_module("own_labeler").ShorterOfEqual()
    prompt = Prompt(id="p", messages=(Message(role="user", content="Which?"),))
    for other, prob_a in (("Two.", 0.55), ("Two or more.", 0.6), ("2.", 0.4)):
        a, b = Candidate(text="One."), Candidate(text=other)
        pair = Comparison(id="c", prompt=prompt, a=a, b=b)
        one, swapped = labeler.label([pair, pair.swapped()], Mild())
        assert one.prob_a == pytest.approx(prob_a)
        assert swapped.prob_a == pytest.approx(1 - prob_a)
        assert one.labeler == "shorter/pairwise/mild/general-base-0shot"


def test_a_check_of_one_s_own_leaves_open_what_it_cannot_read(hrlaif, tmp_path):
    out = tmp_path / "verdicts.jsonl"
    hrlaif(
        *("check", EXAMPLES / "years.jsonl", "-o", out, "--check", "own_check:Year"),
        environment={"PYTHONPATH": str(EXAMPLES)},
    )
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["passed"] for row in rows] == [True, False, None, True, True]


def test_the_pairs_are_fair():
    rows = [json.loads(line) for line in (EXAMPLES / "pairs.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 10
    assert Counter(row["language"] for row in rows) == {"en": 8, "zh": 2}
    assert len({row["category"] for row in rows}) >= 6
    first = [row["human_preference"] for row in rows]
    assert sum(first) == 5
    longer = [len(row["responses"][0]) > len(row["responses"][1]) for row in rows]
    assert sum(x == bool(y) for x, y in zip(longer, first, strict=True)) == 5


def test_an_algorithm_of_one_s_own_is_named_as_module_and_class(finished, hrlaif, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    own = "policy.algorithm={kind: 'own_algorithm:AgainstTheBatch', beta: 0.1}"
    hrlaif(
        *("run", run, "--redo", "policy", "--until", "policy", *finished.set, "--set", own),
        environment={"PYTHONPATH": str(EXAMPLES)},
    )
    receipt = json.loads((run / "receipts" / "policy.json").read_text("utf-8"))
    kind = receipt["settings"]["policy"]["algorithm"]["kind"]
    assert kind == "own_algorithm:AgainstTheBatch"
    assert receipt["finished"]
