"""Is the checkpoint chosen by the judge's verdicts, and only by those that it gave?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from hrlaif.errors import DataError, ModelError
from hrlaif.policy.choice import choose
from hrlaif.protocols import LanguageModel
from hrlaif.records import Abstention, Comparison, Message, Preference, Prompt, Response


class Judge:
    name = "scripted:by-hand"
    chunk = 1


JUDGE = cast(LanguageModel, Judge())


class ByHand:
    """Prefers b with the probability written in its text; `?` is no verdict."""

    def __init__(self) -> None:
        self.seen: list[Comparison] = []

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        self.seen += comparisons
        return [
            Abstention(comparison=c, labeler="by hand", reason="silent")
            if c.b.text == "?"
            else Preference(comparison=c, prob_a=1 - float(c.b.text), labeler="by hand")
            for c in comparisons
        ]


def responses(*texts: str) -> list[Response]:
    prompts = [
        Prompt(id=f"p{n}", messages=(Message(role="user", content=f"question {n}"),))
        for n in range(len(texts))
    ]
    return [Response(prompt=p, text=t) for p, t in zip(prompts, texts, strict=True)]


BASELINE = responses("sft", "sft", "sft")


def test_the_checkpoint_with_the_highest_mean_win_probability_is_chosen() -> None:
    candidates = {10: responses("0.5", "0.6", "0.7"), 20: responses("0.9", "0.8", "0.4")}
    choice = choose(candidates, BASELINE, ByHand(), JUDGE)
    assert choice.chosen == 20
    assert [r.win_rate.value for r in choice.candidates] == pytest.approx([0.6, 0.7])
    assert choice.judge == "scripted:by-hand"


def test_all_comparisons_are_asked_at_once_with_the_sft_policy_as_a() -> None:
    labeler = ByHand()
    choose(
        {10: responses("0.5", "0.5", "0.5"), 20: responses("1", "1", "1")}, BASELINE, labeler, JUDGE
    )
    assert len(labeler.seen) == 6
    assert {c.a.text for c in labeler.seen} == {"sft"}
    assert len({c.id for c in labeler.seen}) == 6


def test_equal_texts_are_ties_that_the_judge_is_not_asked_about() -> None:
    labeler = ByHand()
    choice = choose({5: responses("sft", " sft\n", "0.8")}, BASELINE, labeler, JUDGE)
    assert len(labeler.seen) == 1
    assert choice.candidates[0].identical == 2
    assert choice.candidates[0].win_rate.value == pytest.approx((0.5 + 0.5 + 0.8) / 3)


def test_an_abstention_is_counted_and_is_in_no_mean() -> None:
    choice = choose({5: responses("?", "0.8", "0.6")}, BASELINE, ByHand(), JUDGE)
    assert choice.candidates[0].abstained == 1
    assert choice.candidates[0].win_rate.value == pytest.approx(0.7)
    assert choice.candidates[0].win_rate.n == 2


def test_the_share_of_abstentions_is_of_what_the_judge_was_asked() -> None:
    candidates = {5: responses("?", "0.8", "sft"), 10: responses("?", "?", "sft")}
    assert choose(candidates, BASELINE, ByHand(), JUDGE).abstained_share == 3 / 4
    same = {5: responses("sft", "sft", "sft")}
    assert choose(same, BASELINE, ByHand(), JUDGE).abstained_share == 0


def test_of_equal_checkpoints_the_earliest_is_chosen() -> None:
    same = responses("0.6", "0.6", "0.6")
    assert choose({30: same, 10: same, 20: same}, BASELINE, ByHand(), JUDGE).chosen == 10


def test_a_judge_that_says_nothing_stops_the_run() -> None:
    with pytest.raises(ModelError, match="no verdict"):
        choose({5: responses("?", "?", "?")}, BASELINE, ByHand(), JUDGE)


def test_equal_texts_are_no_verdict_of_a_judge_that_says_nothing() -> None:
    with pytest.raises(ModelError, match="no verdict"):
        choose(
            {5: responses("sft", "sft", "?"), 10: responses("sft", "?", "?")},
            BASELINE,
            ByHand(),
            JUDGE,
        )
    some = {5: responses("sft", "sft", "?"), 10: responses("sft", "0.1", "0.1")}
    assert choose(some, BASELINE, ByHand(), JUDGE).chosen == 10
    same = {5: responses("sft", "sft", "sft"), 10: responses("sft", "sft", "sft")}
    assert choose(same, BASELINE, ByHand(), JUDGE).chosen == 5


def test_a_silent_judge_on_one_checkpoint_does_not_win_it() -> None:
    candidates = {5: responses("?", "?", "?"), 10: responses("0.1", "0.1", "0.1")}
    assert choose(candidates, BASELINE, ByHand(), JUDGE).chosen == 10


def test_other_prompts_than_the_baseline_are_refused() -> None:
    with pytest.raises(DataError, match="other prompts"):
        choose({5: responses("0.5", "0.5")}, BASELINE, ByHand(), JUDGE)
