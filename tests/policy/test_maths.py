"""Are the formulas right? Every number here was computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from hrlaif.policy import maths

ROWS = torch.tensor([0, 0, 0, 1, 1])  # two responses, of three tokens and of two


def test_the_last_token_of_each_response_is_its_end_token() -> None:
    assert maths.last_tokens(ROWS).tolist() == [2, 4]
    assert maths.last_tokens(torch.tensor([0])).tolist() == [0]


@pytest.mark.parametrize("rows", [[0, 0, 2], [1, 1], [0, 1, 0]])
def test_a_response_without_tokens_or_out_of_order_is_refused(rows: list[int]) -> None:
    with pytest.raises(ValueError, match="token for every response"):
        maths.last_tokens(torch.tensor(rows))


def test_the_reward_stands_on_the_last_valid_token_and_nowhere_else() -> None:
    placed = maths.terminal(torch.tensor([2.0, -1.0]), ROWS)
    assert placed.tolist() == [0.0, 0.0, 2.0, 0.0, -1.0]


def test_a_terminal_reward_is_the_return_of_every_token_of_its_response() -> None:
    placed = maths.terminal(torch.tensor([2.0, -1.0]), ROWS)
    assert maths.returns_to_go(placed, ROWS).tolist() == [2.0, 2.0, 2.0, -1.0, -1.0]


def test_returns_sum_from_a_token_to_the_end_of_its_own_response() -> None:
    returns = maths.returns_to_go(torch.tensor([1.0, 2.0, 4.0, 10.0, -3.0]), ROWS)
    assert returns.tolist() == [7.0, 6.0, 4.0, 7.0, -3.0]


def test_the_advantage_is_return_minus_value_and_passes_no_gradient() -> None:
    values = torch.tensor([0.5, 1.0, 3.0], requires_grad=True)
    returns = torch.tensor([2.0, 2.0, 2.0], requires_grad=True)
    advantages = maths.advantage(returns, values)
    assert advantages.tolist() == [1.5, 1.0, -1.0]
    assert not advantages.requires_grad


def test_the_policy_loss_is_minus_the_weighted_sum_of_advantage_times_logprob() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 2.0], requires_grad=True)
    weights = torch.tensor([0.5, 0.5, 1.0])
    loss = maths.policy_gradient_loss(logprobs, advantages, weights)
    assert loss.item() == pytest.approx(-(-0.5 + 1.0 - 1.0))  # 0.5
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-0.5, 0.5, -2.0]  # descent raises what had an advantage
    assert advantages.grad is None


def test_the_value_loss_is_the_weighted_squared_error_and_moves_only_the_value() -> None:
    values = torch.tensor([0.0, 3.0], requires_grad=True)
    returns = torch.tensor([2.0, 2.0], requires_grad=True)
    loss = maths.value_loss(values, returns, torch.tensor([0.5, 0.25]))
    assert loss.item() == pytest.approx(0.5 * 4 + 0.25 * 1)
    loss.backward()
    assert values.grad is not None
    assert values.grad.tolist() == [-2.0, 0.5]
    assert returns.grad is None


def test_the_kl_estimators_on_two_tokens() -> None:
    # pi = 1/2 where ref = 1/4, and pi = 1/4 where ref = 1/2.
    policy = torch.tensor([0.5, 0.25]).log()
    reference = torch.tensor([0.25, 0.5]).log()
    two = math.log(2)
    assert maths.k1(policy, reference).tolist() == pytest.approx([two, -two])
    assert maths.k2(policy, reference).tolist() == pytest.approx([two**2 / 2, two**2 / 2])
    assert maths.k3(policy, reference).tolist() == pytest.approx([0.5 - 1 + two, 2 - 1 - two])


def test_k1_and_k3_average_to_the_kl_under_the_policy_and_not_under_the_reference() -> None:
    policy = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    exact = 0.7 * math.log(3.5) + 0.2 * math.log(2 / 3) + 0.1 * math.log(0.2)
    for estimator in (maths.k1, maths.k3):
        mean = (policy * estimator(policy.log(), reference.log())).sum()
        assert mean.item() == pytest.approx(exact)


def test_k3_of_a_vanished_policy_token_is_large_but_finite() -> None:
    large = maths.k3(torch.tensor([-200.0]), torch.tensor([0.0])).item()
    assert large == pytest.approx(math.exp(20) - 1 - 200, rel=1e-5)


def test_the_sequence_kl_sums_over_the_tokens_of_each_response() -> None:
    kl = maths.per_sequence(torch.tensor([0.1, 0.2, 0.3, -1.0, 0.5]), ROWS, 2)
    assert kl.tolist() == pytest.approx([0.6, -0.5])


def test_weights_by_sequence_average_over_responses_and_by_token_over_tokens() -> None:
    ones = torch.ones(5)
    assert (maths.weights_by_sequence(ROWS, 2) * ones).sum().item() == pytest.approx(2.5)
    assert (maths.weights_by_token(ROWS) * ones).sum().item() == pytest.approx(1.0)


def test_whitening_counts_only_what_the_mask_keeps() -> None:
    values = torch.tensor([1.0, 3.0, 100.0])
    mask = torch.tensor([True, True, False])
    assert maths.whiten(values, mask).tolist() == pytest.approx([-1.0, 1.0, 0.0])
    doubled = maths.whiten(values * 2, mask, shift_mean=False)
    assert doubled.tolist() == pytest.approx([3.0, 5.0, 0.0])
    assert maths.whiten(values[:2] * 2).tolist() == pytest.approx([-1.0, 1.0])


def test_the_masked_mean_ignores_what_is_masked_out() -> None:
    mean = maths.masked_mean(torch.tensor([1.0, 2.0, 99.0]), torch.tensor([True, True, False]))
    assert mean.item() == 1.5


def test_explained_variance_is_one_when_perfect_zero_when_constant_and_none_without_spread() -> (
    None
):
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert maths.explained_variance(returns.clone(), returns) == pytest.approx(1.0)
    assert maths.explained_variance(torch.zeros(3), returns) == pytest.approx(0.0)
    half = torch.tensor([1.5, 2.0, 2.5])  # Var(Z - V) = 1/6, Var(Z) = 2/3
    assert maths.explained_variance(half, returns) == pytest.approx(0.75)
    assert maths.explained_variance(returns, torch.ones(3)) is None
