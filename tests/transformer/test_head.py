"""Does the vocabulary head keep what a label is made of?"""

import math

import pytest
import torch

from hrlaif.transformer.body import Squash
from hrlaif.transformer.head import Read, distribution, divergence, float32_linear, score_rows


def test_logits_of_a_bfloat16_head_are_told_apart_below_its_own_steps():
    # Near 20, neighbours in bfloat16 are 0.125 apart: 20 and 20.03125 would be the same logit.
    head = torch.nn.Linear(2, 3, bias=False)
    head.weight.data = torch.tensor([[20.0, 0.0], [20.0, 1.0], [0.0, 0.0]])
    head = head.to(torch.bfloat16)
    hidden = torch.tensor([[1.0, 0.03125]], dtype=torch.bfloat16)
    found = distribution(head, hidden, Squash())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, 1] - found[0, 0], torch.tensor(0.03125), rtol=0, atol=1e-5)


def test_chunks_of_a_wide_head_and_its_bias_give_the_logits_of_one_product():
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 23).to(torch.bfloat16)
    hidden = torch.randn(4, 8)
    logits = (hidden @ head.weight.float().t() + head.bias.float()).detach()
    torch.testing.assert_close(float32_linear(head, hidden, rows=5), logits)


def table(head, hidden, targets, scale):
    """Log-probabilities and entropies from all logits."""
    logprobs = (hidden @ head.weight.t() * scale).log_softmax(-1)
    taken = logprobs.gather(-1, targets[:, None])[:, 0]
    return taken, -(logprobs.exp() * logprobs).sum(-1)


def case(rows=37, width=24, words=1201):
    torch.manual_seed(1)
    head = torch.nn.Linear(width, words, bias=False).requires_grad_(False)
    return head, torch.randn(rows, width) * 3, torch.randint(words, (rows,))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_frozen_head_as_attention_has_the_values_and_gradients_of_the_table(temperature):
    head, hidden, targets = case()
    squash, weights = Squash(scale=0.5), torch.linspace(-1, 1, len(targets))
    own, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found = score_rows(head, own, targets, squash, temperature=temperature)
    expected = table(head, plain, targets, 0.5 / temperature)
    assert type(found.logprobs.grad_fn).__name__ == "_AttendedScoresBackward"
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):  # of both outputs, then of one alone
        (ours * weights).sum().backward(retain_graph=True)
        (theirs * weights).sum().backward(retain_graph=True)
        torch.testing.assert_close(own.grad, plain.grad, atol=1e-5, rtol=1e-4)


def test_in_bfloat16_its_log_probabilities_are_exact_where_rounded_logits_are_not():
    head, hidden, targets = case(width=64)
    head.weight.data.mul_(20)
    head, hidden = head.bfloat16(), hidden.bfloat16()
    found = score_rows(head, hidden, targets, Squash())
    logits = hidden.double() @ head.weight.double().t()
    exact = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0].float()
    rounded = head(hidden).float().log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert (found.logprobs - exact).abs().max() < 1e-3
    assert (rounded - exact).abs().max() > 1e-2


def test_a_token_that_is_nearly_certain_has_a_log_probability_of_nearly_zero_and_never_above():
    head, hidden, _ = case()
    targets = (hidden @ head.weight.t()).argmax(-1)
    found = score_rows(head, hidden * 1000, targets, Squash())
    assert found.logprobs.max() <= 1e-3
    torch.testing.assert_close(found.entropies, torch.zeros(len(targets)), atol=5e-2, rtol=0)


def test_the_divergence_of_two_models_by_hand():
    # From states (0, 0): p = (.6, .4) and q = (.4, .6), so KL = .2 log 1.5.
    heads = []
    for first in (0.6, 0.4):
        head = torch.nn.Linear(2, 2)
        head.weight.data.zero_()
        head.bias.data = torch.tensor([first, 1 - first]).log()
        heads.append(Read(head, torch.zeros(3, 2), Squash()))
    expected = torch.full((3,), 0.2 * math.log(1.5))
    torch.testing.assert_close(divergence(*heads), expected)
    assert divergence(heads[0], heads[0]).tolist() == [0.0] * 3
