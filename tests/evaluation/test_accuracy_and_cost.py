"""Accuracy on referenced prompts, held-out reward, and the bill."""

import json

import pytest

from hrlaif.config import Config
from hrlaif.evaluation import accuracy, cost, held_out_reward
from hrlaif.measuring import known
from hrlaif.records import (
    Abstention,
    Candidate,
    Comparison,
    Message,
    Preference,
    Prompt,
    Response,
    Verdict,
)
from hrlaif.rows import write_rows
from hrlaif.run import Receipt, receipt_path


class SaysItself:
    """Passed, failed or not to be told, as the text says."""

    def check(self, responses, judge):
        table = {"right": True, "wrong": False, "unclear": None}
        return [Verdict(id=r.key, check="says", passed=table[r.text]) for r in responses]


def answers(*texts, reference="4"):
    return [
        Response(
            prompt=Prompt(
                id=str(i),
                messages=(Message(role="user", content="2+2"),),
                reference_answer=reference,
            ),
            text=text,
        )
        for i, text in enumerate(texts)
    ]


def test_what_cannot_be_verified_is_neither_right_nor_wrong():
    found = accuracy(
        answers("right", "wrong", "wrong", "unclear"),
        answers("right", "right", "unclear", "right"),
        SaysItself(),
    )
    assert found.before.value == pytest.approx(1 / 3)
    assert (found.after.value, found.after.n) == (1.0, 3)
    assert (found.unverifiable_before, found.unverifiable_after) == (1, 1)
    assert found.before_at_least.value == 0.25
    assert found.after_at_least.value == 0.75
    # Verified both times: prompts 0 and 1; one of them got better.
    assert (found.gain.value, found.gain.n) == (0.5, 2)


def test_prompts_without_a_reference_are_not_checked():
    found = accuracy(answers("right", reference=None), answers("right"), SaysItself())
    assert (found.without_reference, found.before.n, found.after.n) == (1, 0, 1)


def test_the_held_out_gain_is_paired_by_prompt():
    rows = [
        {"step": 0, "reward_mean": 0.0, "rewards": {"p": 0.0, "q": 10.0, "r": None}},
        {"step": 10, "reward_mean": 1.0, "rewards": {"p": 1.0, "q": 11.5, "r": 5.0}},
        {"step": 20, "reward_mean": 3.0, "rewards": {"p": 3.0, "q": 13.0, "r": 5.0}},
    ]
    found = held_out_reward(rows, step=10)
    assert found.gain.value == 1.25
    # Student's interval of two differences, 1 and 1.5, against that of 1 and 11.5.
    assert found.gain.high - found.gain.low < 7 < 100 < found.after.high - found.after.low
    assert (found.step_before, found.step_after, found.unscored) == (0, 10, 1)
    same = held_out_reward(rows).gain  # two equal differences say nothing of a third
    assert (same.value, same.low, same.high) == (3.0, None, None)


def test_a_label_costs_its_share_of_the_labeling_stage():
    found = cost(
        {
            "sft": {"calls": 10, "cost": 1.0, "seconds": 5.0},
            "label": {"calls": 200, "cost": 6.0, "seconds": 50.0, "prompt_tokens": 9},
        },
        labels=100,
    )
    assert found.cost == 7.0
    assert found.cost_per_label == pytest.approx(0.06)
    assert found.seconds_per_label == pytest.approx(0.5)
    assert found.human_total == pytest.approx(67.0)
    assert (found.paper_ai_label, found.paper_human_label) == (0.06, 0.67)


def test_a_call_without_a_known_price_makes_the_sum_unknown():
    found = cost({"label": {"calls": 2, "cost": 1.0, "unpriced_calls": 1}, "policy": {}}, labels=1)
    assert found.cost is None
    assert found.cost_per_label is None
    assert found.stages[1].cost == 0.0


BY_A_CHECK, ASKED_TOO, JUDGE = "verified/number", "verified/number+pairwise/m", "pairwise/m"


@pytest.mark.parametrize(
    ("told", "silent", "labels"),
    [
        ([JUDGE, JUDGE], [JUDGE], 3),
        # A hybrid run: what a check decided, or could not, has asked nobody.
        ([BY_A_CHECK] * 6 + [ASKED_TOO, JUDGE], [BY_A_CHECK, ASKED_TOO, JUDGE], 4),
        (["human/people"] * 5, ["human/people"], 0),
        ([], [], 0),
    ],
)
def test_what_labels_cost_is_shared_by_those_that_a_judge_gave(told, silent, labels, tmp_path):
    prompt = Prompt(id="p", messages=(Message(role="user", content="Q"),))
    pair = Comparison(id="c", prompt=prompt, a=Candidate(text="x"), b=Candidate(text="y"))
    labelled = (Preference(comparison=pair, prob_a=1.0, labeler=name).row() for name in told)
    write_rows(tmp_path / "preferences.jsonl", labelled)
    passed_on = (Abstention(comparison=pair, labeler=n, reason="r").row() for n in silent)
    write_rows(tmp_path / "abstentions.jsonl", passed_on)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/choice.json").write_text('{"chosen": 1}')
    write_rows(tmp_path / "policy/validation.jsonl", [{"step": 0}])
    (tmp_path / "receipts").mkdir()
    receipt = Receipt(
        stage="label", settings={}, inputs={}, finished="now", seconds=12.0,
        counts={"comparisons": len(told) + len(silent)}, cost={"calls": 8, "usd": 0.6},
    )  # fmt: skip
    receipt_path(tmp_path, "label").write_text(json.dumps(receipt.row()))
    seen = known(Config(), tmp_path)
    found = cost(seen["totals"], labels=seen["labels"])
    assert found.labels == labels
    assert found.cost == 0.6
    each = (0.6 / labels, 12 / labels, labels * 0.67) if labels else (None, None, None)
    assert (found.cost_per_label, found.seconds_per_label, found.human_total) == each
    # Where grades are the reward, labels that lie there are those of other settings.
    left = known(Config.parse({"score": "direct"}), tmp_path)
    assert (left["preferences"], left["labels"]) == ([], 0)
    assert "label" not in left["totals"]


def test_all_that_ran_before_the_evaluation_is_paid_and_nothing_of_other_settings(tmp_path):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/choice.json").write_text('{"chosen": 1}')
    write_rows(tmp_path / "policy/validation.jsonl", [{"step": 0}])
    (tmp_path / "receipts").mkdir()
    stages = ("prompts", "sft", "responses", "label", "redteam", "reward", "policy")
    for n, stage in enumerate(stages):
        receipt = Receipt(
            stage=stage, settings={}, inputs={}, finished="now", seconds=1.0,
            cost={"calls": 10**n, "usd": 0.5},
        )  # fmt: skip
        receipt_path(tmp_path, stage).write_text(json.dumps(receipt.row()))

    def paid(**values):
        found = cost(known(Config.parse(values), tmp_path)["totals"])
        return found.calls, found.cost

    assert paid(redteam={}) == (1111111, 3.5)
    assert paid(redteam={"teaches": False}) == paid() == (1101111, 3.0)
    assert paid(score="direct", redteam={}) == (1010011, 2.0)
