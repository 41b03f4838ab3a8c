"""Does the vocabulary head keep what a label is made of?"""

import torch

from hrlaif.transformer.body import Squash
from hrlaif.transformer.head import distribution, float32_linear


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
