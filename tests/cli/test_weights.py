"""Is a command that was interrupted continued with other weights of a local model?"""

import json
import shutil
from pathlib import Path

import pytest

from hrlaif.cli.jobs import Job, guard
from hrlaif.errors import HrlaifError, StaleRunError
from hrlaif.labeling import Pairwise
from hrlaif.reward import Ensemble, Learned
from hrlaif.settings import Compute

ROWS = [
    {"id": f"p{n}", "prompt": f"How much is {n}?", "response": f"It is {n}.", "category": "x"}
    for n in range(3)
]


@pytest.fixture
def commands(write, tmp_path):
    """By its name each command on a model in `weights/`, and what it leaves when it is stopped."""
    pairs = [{**row, "responses": [row["response"], "No idea."]} for row in ROWS]
    for row in pairs:
        del row["response"]
    a, b = write("a.jsonl", ROWS), write("b.jsonl", [{**r, "response": "No."} for r in ROWS])
    model, out = tmp_path / "weights", tmp_path / "out"
    judge = ("--judge", f"local:{model}")
    return {
        "label": (("label", write("p.jsonl", pairs), "-o", f"{out}.jsonl", *judge), "out.jsonl"),
        "score": (("score", a, "-o", f"{out}.jsonl", "--reward-model", model), "out.jsonl"),
        "compare": (("compare", a, b, "-o", out, *judge), "out/comparisons.jsonl"),
    }


@pytest.mark.parametrize("name", ["label", "score", "compare"])
def test_a_folder_whose_weights_changed_is_refused_by_name_with_the_same_output(
    name, commands, hrlaif, tiny_model, tmp_path, monkeypatch
):
    def stopped(*_):
        raise HrlaifError("stopped")

    monkeypatch.setattr(Pairwise, "label", stopped)
    monkeypatch.setattr(Learned, "score", stopped)
    weights = Path(shutil.copytree(tiny_model, tmp_path / "weights")) / "model.safetensors"
    command, out = commands[name]
    assert "stopped" in hrlaif.here(*command, code=1).stderr
    (tmp_path / f"{out}.partial").write_text('{"id": "p0"}\n')  # as if it had come so far
    assert "stopped" in hrlaif.here(*command, code=1).stderr
    (tmp_path / f"{out}.partial").write_text('{"id": "p0"}\n')
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refused = hrlaif.here(*command, code=1).stderr
    assert f"{name} was begun with another {tmp_path / 'weights'}: delete" in refused


def test_a_score_by_an_ensemble_is_not_continued_with_other_members_in_its_folder(write, tmp_path):
    for name in ("rm", "rm/member_2"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "model.safetensors"):
            (tmp_path / name / file).write_text("one")
    source, model = write("a.jsonl", ROWS), str(tmp_path / "rm")

    def goes_on():
        asked = {"reward": Ensemble(path=model)}
        job = Job(tmp_path / "out.jsonl", "score", asked, str(source), Compute())
        guard(job.note, job.receipt, job.partial, "delete it, or")
        return job

    job = goes_on()
    job.partial.write_text('{"id": "p0"}\n')
    goes_on()
    shutil.copytree(tmp_path / "rm" / "member_2", tmp_path / "rm" / "member_3")
    with pytest.raises(StaleRunError, match=r"score was begun with another .*rm/member_\*"):
        goes_on()
    note = json.loads(job.note.read_text())
    job.note.write_text(json.dumps({**note, "inputs": {}}))
    with pytest.raises(StaleRunError, match="score was begun with another"):
        goes_on()
