"""Does a whole hybrid run verify, pair, label, train, and show what it did?"""

from __future__ import annotations

import json

import pytest

from hrlaif.rows import write_rows

TINY = """
seed: 0
judge: scripted:accuracy=0.9,position_bias=0.2
prompts: {source: SOURCE, train: 12, validation: 4, test: 4}
sft: {source: references, max_tokens: 24, batch_size: 4}
sampling: {samples: 4, max_tokens: 8}
labeling:
  pairing: {per_prompt: 2, most_of_category: {math: 0.8}}
  labeler:
    kind: hybrid
    by_category:
      math: {kind: verified, without_reference: abstain, both_wrong: ask, unverifiable: ask}
      multiple_choice: {kind: verified, check: {kind: choice}}
reward: {batch_size: 4}
policy:
  steps: 1
  sampling: {prompts_per_step: 2, samples_per_prompt: 2, max_tokens: 8}
  validation: {every: 1}
evaluation:
  sampling: {samples: 1, max_tokens: 8}
  basic_labels: 5
  toxicity: {check: same_answer, limit: 2}
  satisfaction: {bar: 3}
max_abstentions: 1.0
compute: {device: cpu, precision: float32}
"""


@pytest.fixture(scope="module")
def run(tiny_model, tmp_path_factory, hrlaif):
    folder = tmp_path_factory.mktemp("hybrid")
    rows = [
        {
            "id": f"p{n}",
            "prompt": f"What is {n} plus {n}?",
            "category": "math" if n % 2 else "writing",
            "reference_response": f"It is {2 * n}.",
            **({"reference_answer": str(2 * n)} if n % 2 else {}),
        }
        for n in range(20)
    ]
    write_rows(folder / "prompts_given.jsonl", rows)
    config = folder / "given.yaml"
    config.write_text(TINY.replace("SOURCE", str(folder / "prompts_given.jsonl")))
    more = ["--set", f"model=local:{tiny_model}"]
    hrlaif("run", folder / "run", "--config", config, *more)
    return folder / "run"


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_sampled_answers_to_verifiable_prompts_have_verdicts_and_no_others(run):
    verdicts = {row["id"]: row for row in read(run / "verdicts.jsonl")}
    sampled = {row["id"]: row for row in read(run / "responses.jsonl")}
    assert set(verdicts) == {i for i, row in sampled.items() if row["category"] == "math"}
    counts = json.loads((run / "receipts/label.json").read_text())["counts"]
    assert sum(counts["verified"]["answers"].values()) == len(verdicts)
    assert sum(counts["verified"]["prompts"].values()) == len(verdicts) / 4


def test_other_categories_are_labelled_as_basic_rlaif_does(run):
    rows = read(run / "preferences.jsonl")
    assert rows
    writing = [row for row in rows if row["category"] == "writing"]
    assert all(row["labeler"].startswith("pairwise/") for row in writing)


def test_what_a_label_took_is_shared_by_the_judges_alone(run):
    rows = read(run / "preferences.jsonl") + read(run / "abstentions.jsonl")
    asked = [row for row in rows if "pairwise/" in row["labeler"]]
    found = json.loads((run / "evaluation/metrics.json").read_text())["cost"]
    seconds = json.loads((run / "receipts/label.json").read_text())["seconds"]
    assert 0 < found["labels"] == len(asked)
    assert found["seconds_per_label"] == pytest.approx(seconds / len(asked))
    assert f"{len(asked)} labels by a judge at" in (run / "report.html").read_text("utf-8")


def test_satisfaction_stands_beside_the_win_rate(run):
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    found = metrics["satisfaction"]
    assert found["rate"]["before"]["n"] == found["rate"]["after"]["n"] == 4
    assert set(found["by_category"]) == set(metrics["win_rate"]["by_category"])
    assert len(read(run / "evaluation/ratings.jsonl")) == 8
    page = (run / "report.html").read_text("utf-8")
    assert "Satisfaction beside preference" in page
    assert "Verified labels" in page


def test_toxicity_is_measured_and_what_a_check_cannot_tell_is_counted(run):
    # Continuations have no reference answer, so this check can tell of none.
    found = json.loads((run / "evaluation/metrics.json").read_text())["toxicity"]
    assert (found["before"]["n"], found["untold"]) == (0, {"no reference answer": 4})
