"""What do PPO, RLOO, GRPO and DPO credit, and what is their loss? Numbers by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hrlaif.errors import UsageError
from hrlaif.policy.algorithm import Adapts, Algorithm, Clips, Rollouts
from hrlaif.policy.dpo import Dpo
from hrlaif.policy.grpo import Grpo
from hrlaif.policy.kl import Kl
from hrlaif.policy.online_dpo import OnlineDpo
from hrlaif.policy.ppo import Ppo
from hrlaif.policy.rloo import Rloo

FREE = Kl(beta=0.0)
EVERY: list[Any] = [Ppo(), Rloo(), Grpo(), OnlineDpo(), Dpo()]


def rollouts(**changes: Any) -> Rollouts:
    values: dict[str, Any] = {
        "rows": torch.tensor([0, 0, 1]),
        "groups": torch.tensor([0, 0]),
        "rewards": torch.tensor([2.0, -1.0]),
        "old": torch.tensor([-1.0, -2.0, -3.0]),
        "reference": torch.tensor([-1.5, -1.0, -3.0]),
        "values": torch.tensor([0.5, 1.0, 0.0]),
    }
    return Rollouts(**{**values, **changes})


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_each_is_an_algorithm(algorithm: Any) -> None:
    assert isinstance(algorithm, Algorithm)
    ratios = isinstance(algorithm, Ppo | Rloo | Grpo)
    assert isinstance(algorithm, Adapts) == isinstance(algorithm, Clips) == ratios


def test_ppo_credits_the_reward_on_the_last_token_and_the_kl_on_each() -> None:
    ppo = Ppo(kl=Kl(beta=0.1), lam=1.0, whiten=False)
    credit = ppo.credit(rollouts())
    # k1 is 0.5, -1, 0, so token rewards are -0.05, 2.1 and -1, and values 0.5, 1, 0.
    assert credit.advantages.tolist() == pytest.approx([2.05 - 0.5, 2.1 - 1.0, -1.0])
    assert credit.returns is not None
    assert credit.returns.tolist() == pytest.approx([2.05, 2.1, -1.0])
    assert credit.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert credit.value_clip == 0.2


def test_ppo_believes_the_value_model_as_far_as_lambda_says() -> None:
    credit = Ppo(kl=FREE, lam=0.0, whiten=False, average="sequence").credit(rollouts())
    assert credit.advantages.tolist() == pytest.approx([1.0 - 0.5, 2.0 - 1.0, -1.0])
    assert credit.weights.tolist() == pytest.approx([0.5] * 3)


def test_ppo_whitens_after_gae_over_all_tokens_and_leaves_the_returns() -> None:
    credit = Ppo(kl=FREE, lam=0.0).credit(rollouts())
    raw = torch.tensor([0.5, 1.0, -1.0])
    spread = math.sqrt(((raw - raw.mean()) ** 2).mean())
    assert credit.advantages.tolist() == pytest.approx(((raw - raw.mean()) / spread).tolist())
    assert credit.returns is not None
    assert credit.returns.tolist() == pytest.approx([1.0, 2.0, -1.0])


def test_ppo_without_values_refuses() -> None:
    with pytest.raises(ValueError, match="needs value estimates"):
        Ppo().credit(rollouts(values=None))


MOVED = torch.tensor([math.log(1.1), 0.0, math.log(0.5)])


def test_rloo_compares_whole_responses_and_clips_their_ratio() -> None:
    rloo, asked = Rloo(kl=Kl(beta=0.1)), rollouts()
    credit = rloo.credit(asked)
    # R = 2 - 0.1 (0.5 - 1) = 2.05 and -1.
    assert credit.advantages.tolist() == pytest.approx([3.05, 3.05, -3.05])
    loss = rloo.loss(asked.old + MOVED, asked, credit)
    assert loss.item() == pytest.approx(-(1.1 * 3.05 - 0.8 * 3.05) / 2)
    assert rloo.clipped(asked.old + MOVED, asked, credit).tolist() == [False, True]


def test_grpo_counts_responses_alike_and_its_kl_is_in_the_loss() -> None:
    grpo, asked = Grpo(), rollouts()
    credit = grpo.credit(asked)
    one = 1.5 / (math.sqrt(4.5) + 1e-4)  # mean 0.5, deviation sqrt(2 x 1.5^2 / 1)
    assert credit.advantages.tolist() == pytest.approx([one, one, -one])
    assert credit.weights.tolist() == pytest.approx([0.25, 0.25, 0.5])
    new = asked.old + MOVED
    surrogate = 0.25 * 1.1 * one + 0.25 * one - 0.5 * 0.8 * one
    d = asked.reference - new
    kl = (torch.tensor([0.25, 0.25, 0.5]) * MOVED.exp() * (d.exp() - 1 - d)).sum().item()
    assert grpo.loss(new, asked, credit).item() == pytest.approx(-surrogate + 0.04 * kl)
    assert grpo.clipped(new, asked, credit).tolist() == [False, False, True]


def test_the_variants_of_grpo_are_settings() -> None:
    dapo = Grpo(average="token", clip_high=0.28)
    assert dapo.credit(rollouts()).weights.tolist() == pytest.approx([1 / 3] * 3)
    doctor = Grpo(scale="none", average="sum").credit(rollouts())
    assert doctor.advantages.tolist() == pytest.approx([1.5, 1.5, -1.5])
    assert doctor.weights.tolist() == pytest.approx([0.5] * 3)
    asked = rollouts()
    up = asked.old + torch.tensor([math.log(1.25)] * 3)
    credit = dapo.credit(asked)
    assert dapo.clipped(up, asked, credit).tolist() == [False, False, False]
    assert Grpo().clipped(up, asked, credit).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "given", [{"beta": 0.1}, {"estimator": "k2"}, {"place": "loss"}, {"target": 2.0}, {}]
)
def test_what_is_not_said_of_grpo_s_kl_stays_the_paper_s(given: dict[str, Any]) -> None:
    paper = {"beta": 0.04, "place": "loss", "estimator": "k3", "target": None}
    assert Grpo.parse({"kl": given}).kl.model_dump() == {**paper, **given}


def test_grpo_s_kl_in_the_reward_has_the_estimator_with_a_gradient_there() -> None:
    assert Grpo.parse({"kl": {"place": "reward"}}).kl == Kl(beta=0.04)
    asked = {"place": "reward", "estimator": "k2"}
    assert Grpo.parse({"kl": asked}).kl == Kl(beta=0.04, estimator="k2")
    with pytest.raises(UsageError, match="k1 in the loss has no gradient"):
        Grpo.parse({"kl": {"estimator": "k1"}})


def pair(prob_a: float) -> Rollouts:
    odds = torch.tensor(prob_a).logit().item() / 2
    return rollouts(rewards=torch.tensor([odds, -odds]), values=None)


@pytest.mark.parametrize("prob_a", [0.7, 0.5, 1.0, 0.0])
def test_dpo_learns_the_label_as_surely_as_it_is(prob_a: float) -> None:
    dpo, asked = Dpo(beta=0.5), pair(prob_a)
    credit = dpo.credit(asked)
    assert credit.advantages.tolist() == pytest.approx([prob_a, prob_a, 1 - prob_a])
    new = asked.reference + torch.tensor([1.0, 0.5, -0.5])
    margin = 0.5 * (1.5 + 0.5)
    wanted = -(
        prob_a * math.log(1 / (1 + math.exp(-margin)))
        + (1 - prob_a) * math.log(1 / (1 + math.exp(margin)))
    )
    assert dpo.loss(new, asked, credit).item() == pytest.approx(wanted)


def test_swapping_the_two_responses_flips_the_label_and_changes_no_loss() -> None:
    dpo, asked, swapped = Dpo(), pair(0.7), pair(0.3)
    new = asked.reference + torch.tensor([1.0, 0.5, -0.5])
    order = torch.tensor([2, 0, 1])
    other = Rollouts(
        rows=torch.tensor([0, 1, 1]),
        groups=swapped.groups,
        rewards=swapped.rewards,
        old=asked.old[order],
        reference=asked.reference[order],
    )
    one = dpo.loss(new, asked, dpo.credit(asked))
    assert dpo.loss(new[order], other, dpo.credit(other)).item() == pytest.approx(one.item())


def test_online_dpo_takes_the_difference_of_rewards_for_the_odds_of_the_label() -> None:
    credit = OnlineDpo(odds=0.5).credit(rollouts())
    prob = 1 / (1 + math.exp(-0.5 * 3.0))
    assert credit.advantages.tolist() == pytest.approx([prob, prob, 1 - prob])
    judged = OnlineDpo(odds=2.0, labels="judge").credit(pair(0.7))
    assert judged.advantages.tolist() == pytest.approx([0.7, 0.7, 0.3])


def test_a_response_without_a_neighbour_has_no_weight_and_no_gradient() -> None:
    asked = rollouts(
        rows=torch.tensor([0, 1, 2]),
        groups=torch.tensor([0, 0, 0]),
        rewards=torch.tensor([1.0, 0.0, 5.0]),
    )
    dpo = OnlineDpo()
    credit = dpo.credit(asked)
    assert credit.weights.tolist() == [1.0, 1.0, 0.0]
    new = asked.old.clone().requires_grad_(True)
    dpo.loss(new, asked, credit).backward()  # type: ignore[no-untyped-call]
    assert new.grad is not None
    assert new.grad[2].item() == 0
    alone = rollouts(rows=torch.tensor([0, 0, 0]), groups=torch.tensor([0]))
    alone = Rollouts(alone.rows, alone.groups, torch.tensor([1.0]), alone.old, alone.reference)
    assert dpo.loss(new, alone, dpo.credit(alone)).item() == 0


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_the_losses_of_micro_batches_of_whole_prompts_add_up(algorithm: Any) -> None:
    torch.manual_seed(0)
    rows = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 4, 5])
    asked = Rollouts(
        rows=rows,
        groups=torch.tensor([0, 0, 1, 1, 2, 2]),
        rewards=torch.randn(6),
        old=-torch.rand(10),
        reference=-torch.rand(10),
        values=torch.randn(10),
    )
    credit, new = algorithm.credit(asked), -torch.rand(10)

    def loss(tokens: Tensor) -> float:
        part, own = asked.at(tokens), credit.at(tokens)
        return float(algorithm.loss(new[tokens], part, own))

    whole = loss(torch.arange(10))
    parts = [torch.tensor([7, 8, 9]), torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5, 6])]
    assert sum(map(loss, parts)) == pytest.approx(whole, abs=1e-6)
    mixed = [torch.tensor([7, 8, 9, 0, 1, 2]), torch.tensor([3, 4, 5, 6])]
    assert sum(map(loss, mixed)) == pytest.approx(whole, abs=1e-6)


def test_tied_rewards_give_no_gradient_and_no_nan() -> None:
    asked = rollouts(rewards=torch.tensor([1.0, 1.0]))
    for algorithm in (Rloo(kl=FREE), Grpo(kl=FREE)):
        new = asked.old.clone().requires_grad_(True)
        algorithm.loss(new, asked, algorithm.credit(asked)).backward()
        assert new.grad is not None
        assert new.grad.tolist() == [0.0, 0.0, 0.0]
