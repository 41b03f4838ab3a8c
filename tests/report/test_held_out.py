"""The reward model's held-out accuracy on the page, beside that of its own evaluation."""

import json

import pytest

from hrlaif.pages.charts import Charts
from hrlaif.report.load import Run
from hrlaif.report.sections import preference_model
from hrlaif.reward.evaluate import summary


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_the_page_counts_what_the_evaluation_counts(threshold, tmp_path):
    labels = (0.05, 0.4, 0.45, 0.5, 0.55, 0.6, 0.9)
    asked = {"category": None, "labeler": "l"}
    rows = [
        {**asked, "id": f"{n}", "prompt_id": f"{n % 5}", "prob_a": label, "difference": reward}
        | {"human": 1 - label, "gold": float(label > 0.5)}
        for n, (label, reward) in enumerate((p, d) for p in labels for d in (-1.5, 0.0, 0.5, 1.0))
    ]
    found = summary(rows, threshold=threshold)
    folder = tmp_path / "reward_model"
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps({"heldout": found}), "utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "heldout_predictions.jsonl").write_text(lines, "utf-8")
    shown = dict(preference_model(Run(tmp_path), Charts())["accuracy"])
    kinds = {"AI labels": "accuracy", "people": "human_accuracy", "known answers": "gold_accuracy"}
    assert list(shown) == list(kinds)
    for name, kind in kinds.items():
        assert (shown[name].value, shown[name].n) == (
            pytest.approx(found[kind]["value"]),
            found[kind]["n"],
        )
