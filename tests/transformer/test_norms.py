"""A model's RMSNorms in blocks of rows: the same forward pass, the same gradient."""

import copy

import pytest
import torch

from hrlaif.transformer import norms


def _norms(model):
    return [m for m in model.modules() if type(m).__name__.endswith("RMSNorm")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["gemma3", "llama", "qwen2", "qwen3", "mistral"])
def test_every_norm_says_the_same_to_the_bit_and_has_the_same_gradient(
    family, dtype, tiny, monkeypatch
):
    monkeypatch.setattr(norms, "_BLOCK", 96)  # several blocks, the last one not full
    model = tiny(family).to(dtype).requires_grad_(False)
    for norm in _norms(model):
        norm.weight.add_(torch.rand_like(norm.weight) / 3)
    quick = copy.deepcopy(model)
    norms.quicken(quick)
    pairs = list(zip(_norms(model), _norms(quick), strict=True))
    assert pairs
    for plain, own in pairs:
        assert "forward" in own.__dict__
        assert "forward" not in plain.__dict__
        x = torch.randn(3, 5, len(plain.weight), dtype=dtype, requires_grad=True)
        grad = torch.randn_like(x)
        assert torch.equal(own(x), plain(x))
        wanted = torch.autograd.grad(plain(x), x, grad)[0]
        found = torch.autograd.grad(own(x), x, grad)[0]
        off = float((found - wanted).float().norm() / wanted.float().norm())
        assert off < (1e-6 if dtype == torch.float32 else 4e-3)


def test_the_gradient_by_hand():
    # x = (3, 4), eps = 0, g = (1, 2): r^2 = 2 / 25; dy = (1, 0) gives r (1, 0) - r^3 3/2 (3, 4).
    x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    norm = norms._Norm(torch.tensor([1.0, 2.0]), 0.0, True)
    y = norms._RmsNorm.apply(x, norm)
    r = (2 / 25) ** 0.5
    assert torch.allclose(y, torch.tensor([[3 * r, 8 * r]]))
    (dx,) = torch.autograd.grad(y, x, torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(dx, torch.tensor([[r - r**3 * 4.5, -(r**3) * 6]]))


def test_a_norm_in_training_and_aformula_of_another_formula_keep_their_own(tiny):
    model = tiny("llama")
    norms.quicken(model)
    norm = _norms(model)[0]
    x = torch.randn(2, len(norm.weight))
    norm(x).sum().backward()
    assert norm.weight.grad is not None

    class OddRMSNorm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.ones(4)), 1e-6

        def forward(self, x):
            return x / x.abs().mean() * self.weight

    odd = OddRMSNorm()
    norms.quicken(odd)
    assert "forward" not in odd.__dict__


def test_a_copy_of_a_model_computes_with_its_own_weights(tiny):
    model = tiny("llama").requires_grad_(False)
    norms.quicken(model)
    other = copy.deepcopy(model)
    for norm in _norms(other):
        norm.weight.mul_(2)
    x = torch.randn(2, len(_norms(model)[0].weight))
    assert torch.allclose(_norms(other)[0](x), 2 * _norms(model)[0](x))
