"""Do 8-bit linear layers compute what float32 ones do, row by row?"""

import torch
from torch import nn

from hrlaif.transformer.int8 import Int8Linear, quantize_rows, to_int8, two_digits


def test_a_row_is_scaled_by_its_own_largest_value():
    values, scale = quantize_rows(torch.tensor([[1.27, -0.5, 0.0], [0.0, 0.0, 0.0]]))
    assert values.tolist() == [[127, -50, 0], [0, 0, 0]]
    torch.testing.assert_close(scale[0, 0], torch.tensor(0.01))


def test_the_second_digit_carries_what_the_first_rounds_away():
    digits, scale = two_digits(torch.tensor([[127.0, 0.5, -3.25]]))
    assert digits.tolist() == [[127, 0, -3], [0, 127, -64]]
    assert scale.item() == 1.0


def test_exactly_representable_numbers_are_multiplied_exactly():
    linear = nn.Linear(2, 1)
    linear.weight.data = torch.tensor([[127.0, -3.0]])
    linear.bias.data = torch.tensor([0.5])
    assert Int8Linear(linear)(torch.tensor([[127.0, 2.0]])).tolist() == [[127 * 127 - 6 + 0.5]]


def test_the_result_is_within_one_percent_of_float32():
    torch.manual_seed(0)
    linear, x = nn.Linear(256, 300), torch.randn(7, 5, 256)
    exact, found = linear(x).detach(), Int8Linear(linear)(x)
    assert found.shape == exact.shape
    assert found.dtype == torch.float32
    assert float((found - exact).norm() / exact.norm()) < 0.01


def test_a_row_is_bit_for_bit_the_same_alone_and_in_any_batch():
    torch.manual_seed(0)
    layer, x = Int8Linear(nn.Linear(64, 96)), torch.randn(33, 64)
    whole = layer(x)
    for row in (0, 7, 32):
        assert torch.equal(layer(x[row : row + 1])[0], whole[row])


def test_the_embedding_keeps_its_table_and_a_tied_head_gets_its_own_copy():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 8, dtype=torch.bfloat16)
            self.norm = nn.LayerNorm(8, dtype=torch.bfloat16)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight

    model = Tied()
    table = model.embed.weight.detach().clone()
    to_int8(model)
    assert torch.equal(model.embed.weight, table)
    assert model.embed(torch.tensor([1])).dtype == torch.float32
    assert model.norm.weight.dtype == torch.float32
    assert isinstance(model.head, Int8Linear)
    assert not any(p.requires_grad for p in model.parameters())
