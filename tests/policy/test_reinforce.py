"""Is REINFORCE the gradient of the paper's objective? Numbers by hand, then an exact gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from hrlaif.policy.algorithm import Algorithm, Credit, Rollouts
from hrlaif.policy.reinforce import Reinforce


def rollouts(values: Tensor | None) -> Rollouts:
    return Rollouts(
        rows=torch.tensor([0, 0, 1]),
        groups=torch.tensor([0, 0]),
        rewards=torch.tensor([2.0, -1.0]),
        old=torch.tensor([-1.0, -2.0, -3.0]),
        reference=torch.tensor([-1.5, -1.0, -3.0]),
        values=values,
    )


def test_reinforce_is_an_algorithm_that_wants_values_and_steps_once() -> None:
    assert isinstance(Reinforce(), Algorithm)
    assert Reinforce().uses_values
    assert Reinforce().epochs == 1


def test_returns_are_the_weighted_reward_minus_the_kl_still_to_come() -> None:
    credit = Reinforce(beta=0.1).credit(rollouts(torch.tensor([0.5, 1.0, 0.0])))
    assert credit.returns is not None
    # k1 is 0.5, -1, 0; (1 - 0.1) * 2 = 1.8 and -0.9.
    assert credit.returns.tolist() == pytest.approx([1.8 - 0.05 + 0.1, 1.8 + 0.1, -0.9])
    assert credit.advantages.tolist() == pytest.approx([1.35, 0.9, -0.9])
    assert credit.weights.tolist() == pytest.approx([0.5, 0.5, 0.5])


def test_the_token_average_weighs_every_token_alike() -> None:
    credit = Reinforce(average="token").credit(rollouts(torch.zeros(3)))
    assert credit.weights.tolist() == pytest.approx([1 / 3] * 3)


def test_whitened_advantages_have_mean_zero_and_variance_one() -> None:
    credit = Reinforce(whiten=True).credit(rollouts(torch.zeros(3)))
    assert credit.advantages.mean().item() == pytest.approx(0, abs=1e-6)
    assert credit.advantages.var(unbiased=False).item() == pytest.approx(1, abs=1e-5)


def test_without_values_reinforce_refuses() -> None:
    with pytest.raises(ValueError, match="needs value estimates"):
        Reinforce().credit(rollouts(None))


def test_the_losses_of_micro_batches_add_up_to_the_loss_of_the_batch() -> None:
    credit = Reinforce().credit(rollouts(torch.tensor([0.5, 1.0, 0.0])))
    new = torch.tensor([-1.0, -2.0, -3.0])
    asked = rollouts(torch.zeros(3))
    whole = Reinforce().loss(new, asked, credit)
    parts = [torch.tensor([0, 1]), torch.tensor([2])]
    added = sum(Reinforce().loss(new[p], asked.at(p), credit.at(p)).item() for p in parts)
    assert added == pytest.approx(whole.item())


def test_the_expected_gradient_is_that_of_the_objective_exactly() -> None:
    """Enumerates a two-token policy over three words: expected L_PG gradient = - grad J."""
    torch.manual_seed(0)
    first = torch.randn(3, dtype=torch.float64, requires_grad=True)
    second = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(4, 3, dtype=torch.float64).log_softmax(-1)
    reward = torch.randn(3, 3, dtype=torch.float64)
    beta = 0.3

    def logprobs(a: int, b: int) -> Tensor:
        return torch.stack([first.log_softmax(-1)[a], second.log_softmax(-1)[a, b]])

    objective = torch.zeros((), dtype=torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    for a, b in itertools.product(range(3), range(3)):
        new, base = logprobs(a, b), torch.stack([reference[3, a], reference[a, b]])
        probability = new.sum().exp()
        kl = (new - base).sum()
        objective = objective + probability * ((1 - beta) * reward[a, b] - beta * kl)
        batch = Rollouts(
            rows=torch.tensor([0, 0]),
            groups=torch.tensor([0]),
            rewards=reward[a, b][None],
            old=new.detach(),
            reference=base,
            values=torch.tensor([0.7, -0.2 * a], dtype=torch.float64),  # any baseline of the state
        )
        algorithm = Reinforce(beta=beta)
        credit: Credit = algorithm.credit(batch)
        expected = expected + probability.detach() * algorithm.loss(new, batch, credit)
    wanted = torch.autograd.grad(-objective, [first, second], retain_graph=True)
    got = torch.autograd.grad(expected, [first, second])
    for one, other in zip(wanted, got, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-6)
