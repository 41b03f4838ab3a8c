"""Is a label of two fresh responses told to DPO as it was said?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from hrlaif.llm import Scripted
from hrlaif.policy import OnlineDpo, candidates, maths
from hrlaif.policy.judged import Judged
from hrlaif.protocols import LanguageModel
from hrlaif.records import Abstention, Comparison, Preference, Prompt, Response
from hrlaif.settings import Settings

JUDGE = Scripted()


class Longer(Settings):
    """Prefers the longer text with this probability; silent where a text says `hush`."""

    sure: float = 0.8

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        return [self._one(comparison) for comparison in comparisons]

    def _one(self, pair: Comparison) -> Preference | Abstention:
        if "hush" in pair.a.text + pair.b.text:
            return Abstention(comparison=pair, labeler="longer", reason="hush")
        longer = len(pair.a.text) > len(pair.b.text)
        prob = self.sure if longer else 1 - self.sure
        return Preference(comparison=pair, prob_a=prob, labeler="longer")


def answers(prompt: Prompt, *texts: str, model: str = "policy@0") -> list[Response]:
    return [Response(prompt=prompt, text=t, sample=k, model=model) for k, t in enumerate(texts)]


@pytest.mark.parametrize("sure", [0.8, 0.55, 0.2])
def test_the_probability_that_comes_out_is_the_one_that_went_in(
    sure: float, prompts: list[Prompt], tmp_path: Path
) -> None:
    asked = answers(prompts[0], "aaa", "a", "b", "bbb") + answers(prompts[1], "cc", "c")
    found = Judged(Longer(sure=sure), tmp_path).score(asked, JUDGE)
    assert [score.id for score in found] == [r.key for r in asked]
    values = [score.value for score in found]
    odds = math.log(sure / (1 - sure)) / 2
    assert values == pytest.approx([odds, -odds, -odds, odds, odds, -odds])
    first, second = maths.neighbours(torch.tensor([0, 0, 0, 0, 1, 1]))
    rewards = torch.tensor([v or 0.0 for v in values])
    prob = (rewards[first] - rewards[second]).sigmoid()
    assert prob.tolist() == pytest.approx([sure, 1 - sure, sure])
    assert OnlineDpo(labels="judge").labels == "judge"


def test_a_certain_label_stays_a_finite_score(prompts: list[Prompt], tmp_path: Path) -> None:
    found = Judged(Longer(sure=1.0), tmp_path).score(answers(prompts[0], "aaa", "a"), JUDGE)
    assert found[0].value is not None
    assert 1 / (1 + math.exp(-2 * found[0].value)) == pytest.approx(1.0, abs=2e-6)


def test_an_abstention_leaves_both_sides_without_a_score(
    prompts: list[Prompt], tmp_path: Path
) -> None:
    asked = answers(prompts[0], "hush", "a", "bb", "b")
    found = Judged(Longer(), tmp_path).score(asked, JUDGE)
    assert [score.value is None for score in found] == [True, True, False, False]
    assert found[0].reason == found[1].reason == "hush"


def test_equal_texts_are_ties_that_the_judge_is_not_asked_about(
    prompts: list[Prompt], tmp_path: Path
) -> None:
    # A judge that is asked about them abstains, and too many abstentions stop the run.
    asked = answers(prompts[0], "hush", " hush\n", "aa", "a") + answers(prompts[1], "hush", "hush")
    found = Judged(Longer(), tmp_path).score(asked, JUDGE)
    odds = math.log(4) / 2
    assert [s.value for s in found] == pytest.approx([0.0, 0.0, odds, -odds, 0.0, 0.0])
    assert Judged(Longer(), tmp_path).score(asked[-2:], JUDGE)[0].value == 0.0  # nobody is asked


def test_a_response_alone_is_compared_with_the_sft_policy_s(
    prompts: list[Prompt], tmp_path: Path
) -> None:
    now = answers(prompts[0], "longer") + answers(prompts[1], "same") + answers(prompts[2], "a")
    reward = Judged(Longer(), tmp_path)
    assert [s.value for s in reward.score(now, JUDGE)] == [0.0] * 3  # it is the SFT policy's
    before = answers(prompts[0], "short") + answers(prompts[1], "same")
    candidates.store(tmp_path, 0, before)
    found = reward.score(now, JUDGE)
    assert found[0].value == pytest.approx(math.log(4))
    assert found[1].value == 0.0
    assert found[2].value is None
    assert found[2].reason == "no response to compare with"
