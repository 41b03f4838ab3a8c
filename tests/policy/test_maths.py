"""Are the formulas right? Every number here was computed by hand."""

from __future__ import annotations

import math
from typing import Any

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


def test_whitened_values_have_mean_0_and_the_populations_variance_1() -> None:
    assert maths.whiten(torch.tensor([2.0, 6.0])).tolist() == pytest.approx([-1.0, 1.0])


def test_explained_variance_is_one_when_perfect_zero_when_constant_and_none_without_spread() -> (
    None
):
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert maths.explained_variance(returns.clone(), returns) == pytest.approx(1.0)
    assert maths.explained_variance(torch.zeros(3), returns) == pytest.approx(0.0)
    half = torch.tensor([1.5, 2.0, 2.5])  # Var(Z - V) = 1/6, Var(Z) = 2/3
    assert maths.explained_variance(half, returns) == pytest.approx(0.75)
    assert maths.explained_variance(returns, torch.ones(3)) is None


def test_generalised_advantages_by_hand() -> None:
    rewards = torch.tensor([0.0, 0.0, 2.0, 0.0, -1.0])
    values = torch.tensor([0.5, 1.0, 0.0, 0.2, 0.4])
    # Errors with gamma 1: 0.5, -1, 2 and 0.2, -1.4; nothing crosses from one response to the next.
    found = maths.gae(rewards, values, ROWS, 1.0, 0.5)
    assert found.tolist() == pytest.approx([0.5, 0.0, 2.0, -0.5, -1.4])
    # Errors with gamma 1/2: 0, -1, 2 and 0, -1.4.
    found = maths.gae(rewards, values, ROWS, 0.5, 1.0)
    assert found.tolist() == pytest.approx([0.0, 0.0, 2.0, -0.7, -1.4])
    assert maths.gae(rewards, values, ROWS, 0.5, 0.0).tolist() == pytest.approx([0, -1, 2, 0, -1.4])


def test_with_gamma_and_lambda_one_gae_is_the_return_minus_the_value() -> None:
    rewards, values = torch.randn(5), torch.randn(5)
    wanted = maths.returns_to_go(rewards, ROWS) - values
    torch.testing.assert_close(maths.gae(rewards, values, ROWS, 1.0, 1.0), wanted)


RATIOS = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1]).log()
SIGNS = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0])


def test_the_clip_takes_the_worse_of_ratio_and_clipped_ratio_and_stops_the_gradient() -> None:
    ratios = RATIOS.clone().requires_grad_(True)
    loss = maths.clipped_loss(ratios, SIGNS, torch.full((5,), 0.2), low=0.2, high=0.2)
    # min(1.5, 1.2) + min(0.5, 0.8) + min(-1.5, -1.2) + min(-0.5, -0.8) + 2.2 = 1.6
    assert loss.item() == pytest.approx(-0.32)
    loss.backward()
    assert ratios.grad is not None
    assert ratios.grad.tolist() == pytest.approx([0.0, -0.1, 0.3, 0.0, -0.44])


def test_the_upper_limit_of_the_ratio_may_differ_from_the_lower() -> None:
    loss = maths.clipped_loss(RATIOS[:1], SIGNS[:1], torch.ones(1), low=0.2, high=0.28)
    assert loss.item() == pytest.approx(-1.28)
    assert maths.is_clipped(RATIOS, SIGNS, low=0.2, high=0.2).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert not maths.is_clipped(RATIOS, SIGNS, low=0.2, high=0.6)[0]


def test_without_a_move_the_clipped_loss_has_the_policy_gradient() -> None:
    ratios = torch.zeros(5, requires_grad=True)
    maths.clipped_loss(ratios, SIGNS, torch.full((5,), 0.2), low=0.2, high=0.2).backward()
    assert ratios.grad is not None
    assert ratios.grad.tolist() == pytest.approx((-0.2 * SIGNS).tolist())


def test_the_clipped_value_loss_takes_the_larger_error() -> None:
    values = torch.tensor([1.0, 0.1, -1.0], requires_grad=True)
    goal, old = torch.full((3,), 2.0), torch.zeros(3)
    weights = torch.tensor([0.5, 1.0, 1.0])
    loss = maths.clipped_value_loss(values, old, goal, weights, clip=0.2)
    assert loss.item() == pytest.approx(0.5 * 1.8**2 + 1.9**2 + 3.0**2)
    loss.backward()
    assert values.grad is not None
    # The first has moved further than 0.2 towards its goal: enough. The last moved away.
    assert values.grad.tolist() == pytest.approx([0.0, -3.8, -6.0])


REWARDS = torch.tensor([1.0, 2.0, 6.0, 5.0, 3.0, 3.0])
GROUPS = torch.tensor([4, 4, 4, 5, 7, 7])  # three responses, one alone, a tie


def test_leave_one_out_compares_with_the_mean_of_the_others() -> None:
    found = maths.leave_one_out(REWARDS, GROUPS)
    assert found.tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5, 0, 0, 0])


def test_group_relative_advantages_in_three_scales() -> None:
    centred = [-2.0, -1.0, 3.0, 0.0, 0.0, 0.0]
    assert maths.group_relative(REWARDS, GROUPS, scale="none").tolist() == pytest.approx(centred)
    found = maths.group_relative(REWARDS, GROUPS)
    own = math.sqrt((4 + 1 + 9) / 2) + 1e-4
    assert found.tolist() == pytest.approx([value / own for value in centred])
    found = maths.group_relative(REWARDS, GROUPS, scale="batch")
    # Mean 10/3; squares 49/9, 16/9, 64/9, 25/9, 1/9, 1/9 add up to 52/3.
    every = math.sqrt(52 / 3 / 5) + 1e-4
    assert found.tolist() == pytest.approx([value / every for value in centred])


def test_the_share_of_tied_prompts_leaves_out_those_with_one_response() -> None:
    assert maths.tied_share(REWARDS, GROUPS) == 0.5
    assert maths.tied_share(REWARDS[3:4], GROUPS[3:4]) is None


def test_neighbours_are_pairs_within_a_prompt_and_an_odd_one_is_left_over() -> None:
    first, second = maths.neighbours(GROUPS)
    assert first.tolist() == [0, 4]
    assert second.tolist() == [1, 5]
    assert maths.neighbours(torch.tensor([2]))[0].tolist() == []
    assert maths.neighbours(torch.tensor([0, 0, 0, 0]))[0].tolist() == [0, 2]


def test_the_dpo_loss_is_the_cross_entropy_with_a_soft_label() -> None:
    three = torch.tensor([math.log(3.0)])  # sigma = 3/4
    assert maths.dpo_loss(three, torch.tensor([1.0])).item() == pytest.approx(-math.log(0.75))
    soft = -(0.7 * math.log(0.75) + 0.3 * math.log(0.25))
    assert maths.dpo_loss(three, torch.tensor([0.7])).item() == pytest.approx(soft)
    swapped = maths.dpo_loss(-three, torch.tensor([0.3])).item()
    assert swapped == pytest.approx(soft)  # the other one first, the label with it
    margin = torch.zeros(1, requires_grad=True)
    maths.dpo_loss(margin, torch.tensor([0.7])).sum().backward()
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(0.5 - 0.7)  # sigma(m) - p: descent prefers a


def test_the_dpo_loss_is_least_where_the_policy_s_odds_are_the_label_s() -> None:
    margins = torch.linspace(-3, 3, 601)
    least = margins[maths.dpo_loss(margins, torch.full((601,), 0.8)).argmin()].item()
    assert least == pytest.approx(math.log(4), abs=0.01)


def test_the_kl_terms_of_the_loss_by_hand() -> None:
    new, old = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()  # rho = 2
    two = math.log(2)
    assert maths.kl_surrogate("k2", new, old, old).item() == pytest.approx(2 * two**2 / 2)
    assert maths.kl_surrogate("k3", new, old, old).item() == pytest.approx(2 * (0.5 - 1 + two))


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_the_kl_terms_of_the_loss_have_the_gradient_of_the_kl_also_off_policy(
    estimator: Any,
) -> None:
    logits = torch.tensor([0.3, -1.0, 0.4], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    old = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)  # the policy that sampled
    new = logits.log_softmax(0)
    exact = torch.autograd.grad((new.exp() * (new - reference)).sum(), logits, retain_graph=True)
    terms = maths.kl_surrogate(estimator, new, old.log(), reference)
    got = torch.autograd.grad((old * terms).sum(), logits)
    torch.testing.assert_close(got[0], exact[0])


def test_weights_within_a_sequence_count_each_response_alike() -> None:
    found = maths.weights_within_sequence(ROWS, 2)
    assert found.tolist() == pytest.approx([1 / 6] * 3 + [1 / 4] * 2)
