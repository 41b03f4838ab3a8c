"""Are composed rewards the sums that one does by hand, and is a missing part never made up?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hrlaif.errors import DataError, ModelError, UsageError
from hrlaif.llm.scripted import Scripted
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Message, Prompt, Response, Score
from hrlaif.reward import (
    Checked,
    Ensemble,
    Learned,
    Length,
    Part,
    Scaled,
    Weighted,
    any_reward,
)
from hrlaif.reward.learned import unload
from hrlaif.reward.maths import pessimistic
from hrlaif.reward.parts import fitted, models, moved, of_samples, of_the_run, parts
from hrlaif.reward.train import RewardTraining, train
from hrlaif.settings import Settings, plain

TURNS = (Message(role="user", content="What is 6 times 7?"),)
SUM = Prompt(id="q", messages=TURNS, reference_answer="42")


def response(text: str, **more: object) -> Response:
    return Response(prompt=SUM, text=text, **{"tokens": len(text.split()), **more})


class Words(Settings):
    """Counts words; no score for an empty text."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        return [
            Score(id=r.key, value=float(len(r.text.split())) or None, scorer="words", reason="none")
            for r in responses
        ]


def values(reward: Reward, *texts: str) -> list[float | None]:
    return [s.value for s in reward.score([response(t) for t in texts], None)]


def test_a_right_answer_a_wrong_one_and_one_that_no_check_can_read():
    found = Checked(right=2.0).score([response(t) for t in ("It is 42.", "41", "many")], None)
    assert [s.value for s in found] == [2.0, -1.0, None]
    assert found[2].reason == "no number in the response"
    assert found[0].scorer == "checked/answer"
    assert (
        Checked().score([Response(prompt=Prompt(id="p", messages=TURNS), text="4")], None)[0].value
        is None
    )  # without a reference nothing is wrong


def test_a_response_that_was_cut_before_its_answer_is_neither_right_nor_wrong():
    texts = ("<think>6 times 7 is 42. Wait", "It is 4", "The answer is 42. As 6")
    found = Checked().score([response(t, finish_reason="length") for t in texts], None)
    assert [s.value for s in found] == [None, None, 1.0]
    assert found[0].reason == found[1].reason == "cut before its answer"


def test_length_costs_nothing_up_to_what_is_free_and_never_more_than_the_most():
    reward = Length(free=10, per=5, most=2.0, unit="characters")
    # (15 - 10) / 5 = 1 and (13 - 10) / 5 = 0.6; (100 - 10) / 5 = 18 is cut to 2.
    assert values(reward, "x" * 10, "x" * 15, "x" * 13, "x" * 100) == [0, -1, -0.6, -2]
    assert values(reward, "") == [0]
    unknown = Length().score([Response(prompt=SUM, text="a b")], None)[0]
    assert unknown.value is None
    assert unknown.reason.startswith("its number of tokens is not known: count characters")
    missing = Length(unit="characters").score([response("", finish_reason="error")], None)[0]
    assert (missing.value, missing.reason) == (None, "the response is missing")


def test_a_weighted_sum_by_hand_with_each_part_beside_it():
    reward = any_reward(
        {
            "kind": "weighted",
            "parts": [
                {"reward": {"kind": "checked"}, "weight": 2.0},
                {"reward": {"kind": "length", "free": 2, "per": 2}, "weight": 0.5},
            ],
        }
    )
    found = reward.score([response("it is 42"), response("41")], None)
    # 2 x 1 + 0.5 x -(3 - 2) / 2 = 1.75, and 2 x -1 + 0 = -2.
    assert [s.value for s in found] == [1.75, -2.0]
    assert found[0].distribution == {"1 checked": 1.0, "2 length": -0.5}
    assert found[0].scorer == "checked+length"


def test_a_part_without_a_score_leaves_the_whole_without_one():
    reward = Weighted.parse({"parts": [{"reward": "length"}, {"reward": "checked"}]})
    found = reward.score([response("no idea")], None)[0]
    assert found.value is None
    assert found.reason == "part 2 checked has no score: no number in the response"
    assert found.distribution is None


def test_a_scaled_reward_has_mean_0_and_deviation_1_on_the_samples():
    samples = [response(t) for t in ("a", "a b c", "")]
    reward = Scaled(reward=Words()).fitted(samples, None)
    assert (reward.mean, reward.deviation) == (2.0, 1.0)  # of 1 and 3; the empty one has no score
    assert values(reward, "a", "a b c", "a b c d e", "") == [-1, 1, 3, None]
    assert reward.fitted([], None) is reward
    few = Scaled(reward=Words(), samples=2).fitted([response("a " * n) for n in range(1, 10)], None)
    assert (few.mean, few.deviation) == (3.0, 2.0)  # 1 and 5: evenly spread
    rising = [response("a " * n) for n in range(1, 11)]
    # Every tenth of seven sevenths: not the first seven of the file.
    seven = Scaled(reward=Words(), samples=7).fitted(rising, None)
    assert seven.mean == pytest.approx((1 + 2 + 3 + 5 + 6 + 8 + 9) / 7)


def test_a_given_mean_or_deviation_stays_and_the_samples_give_the_other():
    samples = [response(t) for t in ("a", "a b c")]  # mean 2, deviation 1
    one = Scaled(reward=Words(), mean=10.0).fitted(samples, None)
    assert (one.mean, one.deviation) == (10.0, 1.0)
    other = Scaled(reward=Words(), deviation=4.0).fitted(samples, None)
    assert (other.mean, other.deviation) == (2.0, 4.0)


def test_a_reward_that_does_not_vary_cannot_be_scaled_and_one_without_scale_does_not_score():
    with pytest.raises(DataError, match="it is the same for all"):
        Scaled(reward=Words()).fitted([response("a"), response("b")], None)
    with pytest.raises(UsageError, match="a run measures them before RL"):
        Scaled(reward=Words()).score([response("a")], None)


def test_the_mean_less_k_deviations_by_hand():
    assert pessimistic([1.0, 3.0], 0.0) == (2.0, 1.0)
    assert pessimistic([1.0, 3.0], 1.5) == (0.5, 1.0)
    assert pessimistic([2.0, 2.0, 2.0], 9.0) == (2.0, 0.0)


def test_an_ensemble_asks_the_members_that_lie_in_the_first_ones_folder(base, pairs, tmp_path):
    how, first = RewardTraining(batch_size=8), tmp_path / "rm"
    for seed, folder in enumerate((first, first / "member_2")):
        train(how, pairs(8), base(), folder, seed=seed)
    texts = [response("yes!!!!"), response("well ...")]
    one, two = (
        [s.value for s in Learned(path=str(p), normalise=False).score(texts)]
        for p in (first, first / "member_2")
    )
    assert one != two
    reward = Ensemble(path=str(first), normalise=False, pessimism=2.0)
    for n, score in enumerate(reward.score(texts, None)):
        mean, deviation = (one[n] + two[n]) / 2, abs(one[n] - two[n]) / 2
        assert score.value == pytest.approx(mean - 2 * deviation)
        assert score.distribution == pytest.approx(
            {"member_1": one[n], "member_2": two[n], "deviation": deviation}
        )
    with pytest.raises(ModelError, match="an ensemble is of several"):
        Ensemble(path=str(first / "member_2")).paths()
    unload()


def test_a_run_knows_what_its_reward_needs():
    mixed = any_reward(
        {
            "kind": "weighted",
            "parts": [{"reward": "learned"}, {"reward": {"kind": "scaled", "reward": "direct"}}],
        }
    )
    assert (of_the_run(mixed), of_samples(mixed)) == (True, 512)
    direct = any_reward("direct")
    assert (of_the_run(direct), of_samples(direct)) == (False, 0)
    elsewhere = moved(mixed, "reward_model", "/run/reward_model")
    assert not of_the_run(elsewhere)
    assert models(elsewhere) == ["/run/reward_model"]
    assert moved(elsewhere, "/run/reward_model", "reward_model") == mixed
    assert len(parts(mixed)) == 6  # the sum, its two parts, and three rewards
    whole = fitted(mixed, [response(t) for t in "abcdefgh"], Scripted())
    assert not of_samples(whole)
    assert any_reward(plain(whole)) == whole


def test_a_reward_of_ones_own_may_be_a_part_of_another():
    reward = Weighted(parts=(Part(reward=Words(), weight=3.0), Part(reward=Checked())))
    assert values(reward, "42 or so", "42", "") == [10.0, 4.0, None]
