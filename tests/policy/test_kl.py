"""Does the KL pull the policy back, from the reward as from the loss? Numbers by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from hrlaif.errors import UsageError
from hrlaif.policy.algorithm import Rollouts
from hrlaif.policy.kl import Kl
from hrlaif.policy.rloo import Rloo


def rollouts() -> Rollouts:
    return Rollouts(
        rows=torch.tensor([0, 0, 1]),
        groups=torch.tensor([0, 0]),
        rewards=torch.tensor([2.0, -1.0]),
        old=torch.tensor([-1.0, -2.0, -3.0]),
        reference=torch.tensor([-1.5, -1.0, -3.0]),
    )


def test_in_the_reward_a_token_likelier_than_before_pays_for_it() -> None:
    # k1 is 0.5, -1, 0.
    assert Kl(beta=0.1).in_reward(rollouts()).tolist() == pytest.approx([-0.05, 0.1, 0.0])
    squared = Kl(beta=0.1, estimator="k2").in_reward(rollouts()).tolist()
    assert squared == pytest.approx([-0.0125, -0.05, 0.0])
    found = Kl(beta=0.1, place="loss", estimator="k2").in_reward(rollouts())
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_in_the_loss_descent_makes_a_token_likelier_than_before_less_likely() -> None:
    new = rollouts().old.clone().requires_grad_(True)
    weights = torch.tensor([0.5, 0.5, 1.0])
    loss = Kl(beta=0.1, place="loss", estimator="k2").in_loss(new, rollouts(), weights)
    assert loss.item() == pytest.approx(0.1 * (0.5 * 0.125 + 0.5 * 0.5))
    loss.backward()  # type: ignore[no-untyped-call]
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([0.1 * 0.5 * 0.5, 0.1 * 0.5 * -1.0, 0.0])
    assert Kl(beta=0.1).in_loss(new, rollouts(), weights).item() == 0


def test_k1_in_the_loss_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="no gradient on average: take k2, or k3"):
        Kl.parse({"place": "loss"})


def test_a_weight_of_0_which_never_adapts_is_refused_with_a_target() -> None:
    says = "target changes beta by shares of itself: begin above 0"
    with pytest.raises(UsageError, match=says):
        Kl.parse({"beta": 0, "target": 6})
    assert Kl.parse({"beta": 0}).beta == 0


def test_the_adaptive_weight_follows_the_kl_at_most_two_percent_a_step() -> None:
    kl = Kl(beta=0.1, target=2.0)
    assert kl.adapted(3.0).beta == pytest.approx(0.1 * 1.02)
    assert kl.adapted(2.1).beta == pytest.approx(0.1 * 1.005)
    assert kl.adapted(0.0).beta == pytest.approx(0.1 * 0.98)
    assert kl.adapted(2.0) == kl
    assert Kl(beta=0.1).adapted(50.0).beta == 0.1


@pytest.mark.parametrize(
    "kl", [{}, {"place": "loss", "estimator": "k2"}, {"place": "loss", "estimator": "k3"}]
)
def test_both_places_have_the_gradient_of_the_objective_on_one_token(kl: dict[str, Any]) -> None:
    """Enumerates both of two samples: RLOO's expected gradient is that of E r - beta KL."""
    torch.manual_seed(1)
    logits = torch.randn(3, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(3, dtype=torch.float64).log_softmax(0)
    reward = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    rloo, new = Rloo(kl=Kl.parse({"beta": 0.3, **kl})), logits.log_softmax(0)
    expected: Tensor = torch.zeros((), dtype=torch.float64)
    for a, b in itertools.product(range(3), range(3)):
        drawn = torch.tensor([a, b])
        batch = Rollouts(
            rows=torch.tensor([0, 1]),
            groups=torch.tensor([0, 0]),
            rewards=reward[drawn],
            old=new[drawn].detach(),
            reference=reference[drawn],
        )
        chance = new[drawn].sum().exp().detach()
        expected = expected + chance * rloo.loss(new[drawn], batch, rloo.credit(batch))
    objective = (new.exp() * (reward - 0.3 * (new - reference))).sum()
    wanted = torch.autograd.grad(-objective, logits, retain_graph=True)
    got = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(got[0], wanted[0], atol=1e-7, rtol=1e-5)
