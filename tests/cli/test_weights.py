"""Is a command that was interrupted continued with other weights of a local model?"""

import shutil
from pathlib import Path

import pytest

from hrlaif.errors import HrlaifError
from hrlaif.labeling import Pairwise
from hrlaif.reward import Learned

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
