"""Weights in blocks: the same products, for frozen models alone, and only where it works."""

import pytest
import torch
from torch import nn

from hrlaif.settings import Compute, using
from hrlaif.transformer import blocks
from hrlaif.transformer.blocks import BlockedLinear, to_blocks
from hrlaif.transformer.load import load_causal

FLOATS = [
    pytest.param(
        dtype,
        marks=pytest.mark.skipif(not blocks.works(dtype), reason="this processor has no such"),
    )
    for dtype in (torch.bfloat16, torch.float32)
]
TOLERANCE = {torch.bfloat16: 2**-7, torch.float32: 2**-18}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(7, 48), (2, 3, 48), (1, 1, 48), (130, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_that_of_the_plain_layer(bias, shape, dtype):
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 80, bias=bias).to(dtype), torch.randn(shape).to(dtype)
    with torch.no_grad():
        found, wanted = BlockedLinear(linear)(x), linear(x)
    assert found.shape == wanted.shape
    assert found.dtype == dtype
    assert torch.allclose(found, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_slice_of_a_row_is_multiplied_as_its_copy(dtype):
    linear, x = nn.Linear(16, 8).to(dtype), torch.randn(4, 5, 32).to(dtype)
    with torch.no_grad():
        blocked = BlockedLinear(linear)
        assert torch.equal(blocked(x[:, ::2, :16]), blocked(x[:, ::2, :16].clone()))


def layers(model):
    return {type(module) for module in model.modules()} & {nn.Linear, BlockedLinear}


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_frozen_model_has_them_and_its_head_stays_plain(tiny_model, dtype):
    with using(Compute(device="cpu", precision=str(dtype).removeprefix("torch."))):
        frozen, trained = load_causal(tiny_model), load_causal(tiny_model, train=True)
    assert layers(frozen.model.base_model) == {BlockedLinear}
    assert type(frozen.model.lm_head) is nn.Linear
    assert layers(trained.model) == {nn.Linear}
    tokens = torch.arange(1, 9)[None]
    with torch.no_grad():
        found, wanted = (m.model(tokens).logits.float() for m in (frozen, trained))
    assert (found - wanted).norm() / wanted.norm() < 3 * TOLERANCE[dtype]


def test_where_it_does_not_work_nothing_is_replaced(monkeypatch):
    def missing(weight):
        raise AttributeError("no such operation")

    model = nn.Sequential(nn.Linear(4, 4)).bfloat16()
    monkeypatch.setattr(blocks, "_reordered", missing)
    blocks.works.cache_clear()
    to_blocks(model)
    blocks.works.cache_clear()
    assert layers(model) == {nn.Linear}
