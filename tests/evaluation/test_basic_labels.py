"""Are hybrid and basic labels compared on the same rows, and never a check with itself?"""

from __future__ import annotations

import json

import pytest

from hrlaif import Pairwise, Scripted, Verified, measuring, work
from hrlaif.config import Config, load
from hrlaif.evaluation.basic_labels import Basic, basic_labels
from hrlaif.materials import unverified
from hrlaif.records import Candidate, Comparison, Message, Prompt, Response
from hrlaif.rows import write_rows


def pairs(gold, count=40):
    made = []
    for n in range(count):
        turn = Message(role="user", content=f"What is {n} and {n}?")
        prompt = Prompt(id=f"p{n}", messages=(turn,), category="math", reference_answer=str(2 * n))
        a, b = Candidate(text=f"It is {2 * n}."), Candidate(text=f"It must be {2 * n + 1}.")
        made.append(Comparison(id=f"c{n}", prompt=prompt, a=a, b=b, gold_preference=gold))
    return made


def measured(gold, tmp_path, most=30):
    judge = Scripted(accuracy=0.7)
    labels = Verified().label(pairs(gold), judge)
    return basic_labels(labels, Basic(Pairwise(), judge, most), tmp_path)


def test_with_a_known_answer_both_are_measured(tmp_path):
    found = measured(1.0, tmp_path).by_category["math"]
    assert (found.hybrid.value, found.hybrid.n) == (1.0, 30)
    assert found.basic.value == pytest.approx(0.7, abs=0.2)
    assert (found.basic.n, found.silent) == (30, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_label_of_the_check_is_not_measured_against_the_check(tmp_path):
    found = measured(None, tmp_path).overall
    assert (found.hybrid.value, found.hybrid.n) == (None, 0)
    assert found.basic == found.hybrid
    assert found.basic_against_check.n == 30
    assert 0.2 < found.basic_against_check.value < 1.0


def test_both_are_of_the_rows_on_which_both_said_something(tmp_path):
    half = [*pairs(1.0)[:20], *pairs(None)[20:]]
    labels = Verified().label(half, Scripted())
    judge = Scripted(accuracy=0.7, failure=0.3)
    found = basic_labels(labels, Basic(Pairwise(), judge, 40), tmp_path).overall
    assert found.silent > 0
    assert 0 < found.basic.n == found.hybrid.n < 20
    assert found.basic.n + found.basic_against_check.n == 40 - found.silent


def test_basic_labels_of_a_run_are_of_the_judge_that_labelled_and_not_of_the_evaluations(
    tmp_path, monkeypatch
):
    (tmp_path / "config.yaml").write_text(
        json.dumps(
            {
                "judge": "scripted:accuracy=0.5",
                "prompts": {"source": "prompts.jsonl"},
                "labeling": {"labeler": {"kind": "hybrid", "otherwise": {"task": "helpful"}}},
                "evaluation": {"judge": "scripted:accuracy=1.0", "basic_labels": 200},
            }
        )
    )
    config = load(tmp_path / "config.yaml")
    labels = config.labeling.labeler.label(pairs(1.0, 200), config.judge)
    asked = Prompt(id="t", messages=(Message(role="user", content="?"),), split="test")
    write_rows(tmp_path / "prompts.jsonl", [asked.row()])
    sides = [[Response(prompt=asked, text=text)] for text in ("one", "two")]
    monkeypatch.setattr(measuring, "both_policies", lambda *_: sides)
    monkeypatch.setattr(measuring, "known", lambda *_: {"preferences": labels})
    work.evaluate(config, tmp_path)
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    found = metrics["basic_labels"]["overall"]
    assert found["hybrid"]["value"] == 1.0
    assert found["basic"]["n"] == 200
    assert found["basic"]["value"] == pytest.approx(0.5, abs=0.12)


def test_labels_without_verification_are_what_the_labeling_asks_otherwise():
    def named(labeler):
        values = {"labeling": {"labeler": labeler}, "evaluation": {"labeler": {"shots": 1}}}
        config = Config.model_validate({"prompts": {"source": "p.jsonl"}, **values})
        return unverified(config).model_dump(exclude_defaults=True)

    assert named({"kind": "verified", "otherwise": {"task": "helpful"}}) == {"task": "helpful"}
    inner = {"kind": "verified", "otherwise": {"shots": 2}}
    assert named({"kind": "hybrid", "otherwise": inner}) == {"shots": 2}
    assert named({"preamble": "detailed"}) == {"preamble": "detailed"}
    assert named({"kind": "hybrid", "otherwise": {"kind": "human"}}) == {"shots": 1}


def test_no_more_are_asked_than_there_are(tmp_path):
    assert measured(1.0, tmp_path, most=500).overall.basic.n == 40
