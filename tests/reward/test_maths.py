import math

import pytest
import torch

from hrlaif.reward.maths import entropy, is_right, pair_loss, soft_bradley_terry


def test_soft_bradley_terry_by_hand():
    # sigma(ln 3) = 3/4: -(0.8 ln 0.75 + 0.2 ln 0.25) and, with the label turned, 0.2 and 0.8.
    difference = torch.tensor([math.log(3), math.log(3), 0.0])
    loss = soft_bradley_terry(difference, torch.tensor([0.8, 0.2, 1.0]))
    assert loss.tolist() == pytest.approx([0.507404, 1.166572, math.log(2)], abs=1e-6)


def test_a_certain_label_gives_the_hard_bradley_terry_loss():
    difference = torch.tensor([1.5])
    hard = -torch.nn.functional.logsigmoid(difference)
    assert torch.equal(soft_bradley_terry(difference, torch.tensor([1.0])), hard)


def test_the_gradient_is_sigma_d_minus_p():
    difference = torch.tensor([math.log(3)], requires_grad=True)
    soft_bradley_terry(difference, torch.tensor([0.6])).sum().backward()
    assert difference.grad.tolist() == pytest.approx([0.75 - 0.6])


def test_swapping_the_pair_and_its_label_changes_nothing():
    d, p = torch.tensor([0.7, -2.0]), torch.tensor([0.9, 0.3])
    torch.testing.assert_close(soft_bradley_terry(d, p), soft_bradley_terry(-d, 1 - p))


def test_the_loss_is_float32_for_bfloat16_rewards():
    loss = soft_bradley_terry(torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([0.7]))
    assert loss.dtype == torch.float32


def test_large_differences_do_not_overflow():
    loss = soft_bradley_terry(torch.tensor([-1000.0]), torch.tensor([1.0]))
    assert loss.tolist() == [1000.0]
    assert pair_loss(-1000.0, 1.0) == 1000.0


def test_plain_numbers_and_tensors_agree():
    assert pair_loss(math.log(3), 0.8) == pytest.approx(0.507404, abs=1e-6)


def test_the_floor_is_the_labels_entropy_and_is_reached_at_its_log_odds():
    assert entropy(0.8) == pytest.approx(0.500402, abs=1e-6)
    assert pair_loss(math.log(4), 0.8) == pytest.approx(entropy(0.8))
    assert entropy(1.0) == entropy(0.0) == 0


def test_equal_rewards_are_never_right_and_ties_are_left_out():
    assert is_right(0.0, 0.9) is False
    assert is_right(0.0, 0.1) is False
    assert is_right(1.0, 0.5) is None
    assert is_right(1.0, 0.6, threshold=0.15) is None
    assert is_right(1.0, 0.6) is True
    assert is_right(-1.0, 0.1) is True
    assert is_right(1.0, 0.1) is False
