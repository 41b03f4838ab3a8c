"""Is the fused adapter PEFT's adapter, value for value and gradient for gradient?"""

import copy

import peft
import pytest
import torch
from torch import nn

from hrlaif.training import lora as adapters
from hrlaif.training.lora import Lora
from hrlaif.transformer import beside
from hrlaif.transformer.beside import Thin


def pair(dtype=torch.float32, *, dropout=0.0, bias=True):
    """A small net whose adapters are no longer zero: as PEFT runs it, and as we do."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(24, 40, bias=bias), nn.GELU(), nn.Linear(40, 8)).to(dtype)
    adapters.attach(net, Lora(rank=4, alpha=12, dropout=dropout))
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.5)
    theirs = copy.deepcopy(net)
    for layer in theirs.modules():
        layer.__dict__.pop("forward", None)
    assert sum("forward" in layer.__dict__ for layer in net.modules()) == 2
    return theirs, net


def run(net, x):
    x = x.clone().requires_grad_()
    out = net(x)
    (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    grads = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
    return out.detach(), x.grad, grads


@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_peft_s_in_float32(bias):
    theirs, ours = pair(bias=bias)
    x = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(1))
    (out, dx, grads), (own, own_dx, own_grads) = run(theirs, x), run(ours, x)
    torch.testing.assert_close(own, out, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(own_dx, dx, atol=1e-6, rtol=1e-5)
    assert own_grads.keys() == grads.keys()
    for name, gradient in grads.items():
        torch.testing.assert_close(own_grads[name], gradient, atol=1e-5, rtol=1e-5)


def test_in_bfloat16_it_is_nearly_as_near_to_float32():
    exact, _ = pair()
    theirs, ours = pair(torch.bfloat16)
    x = torch.randn(3, 7, 24, generator=torch.Generator().manual_seed(1))
    truth, their, own = run(exact, x)[0], run(theirs, x.bfloat16())[0], run(ours, x.bfloat16())[0]
    assert own.dtype == torch.bfloat16
    # x A^T is rounded to 16 bits; these adapters are far larger than trained ones.
    assert (own.float() - truth).norm() < 2 * (their.float() - truth).norm()
    assert (own.float() - truth).norm() < 0.01 * truth.norm()
    assert {p.grad.dtype for p in ours.parameters() if p.requires_grad} == {torch.float32}


def test_by_hand():
    # y = x W + 2 (x A) B = 3 * 5 + 2 * (3 * 0.5) * 7 = 36
    net = nn.Sequential(nn.Linear(1, 1, bias=False))
    adapters.attach(net, Lora(rank=1, alpha=2))
    layer = net[0]
    for parameter, value in zip(
        (layer.base_layer.weight, layer.lora_A.default.weight, layer.lora_B.default.weight),
        (5.0, 0.5, 7.0),
        strict=True,
    ):
        nn.init.constant_(parameter, value)
    out = net(torch.tensor([[3.0]]))
    out.sum().backward()
    assert out.item() == 36.0
    assert layer.lora_A.default.weight.grad.item() == 2 * 7 * 3
    assert layer.lora_B.default.weight.grad.item() == 2 * 3 * 0.5


def test_dropout_is_left_to_peft_while_training():
    theirs, ours = pair(dropout=0.5)
    x = torch.ones(4, 24)
    torch.manual_seed(3)
    expected = theirs.train()(x)
    torch.manual_seed(3)
    torch.testing.assert_close(ours.train()(x), expected)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-6, rtol=1e-6)


def test_without_and_with_a_second_set_the_right_weights_answer():
    _, net = pair()
    x = torch.ones(1, 24)
    plain = nn.Sequential(net[0].base_layer, net[1], net[2].base_layer)(x)
    with adapters.without(net):
        torch.testing.assert_close(net(x), plain)
    adapters.attach(net, Lora(rank=4, alpha=12), name="second")
    with adapters.active(net, "second"):
        torch.testing.assert_close(net(x), plain)  # its B is still zero
    assert not torch.allclose(net(x), plain)
    assert isinstance(net[0], peft.tuners.lora.Linear)


@pytest.mark.parametrize("rank", [32, 48])
def test_beside_an_earlier_adapter_new_ones_change_no_bit_at_the_start(rank):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(640, 640, bias=False)).bfloat16()
    before = Thin(torch.randn(rank, 640) * 0.05, torch.randn(640, rank) * 0.05)
    beside.put(net[0], before)
    x = torch.randn(400, 640).bfloat16()
    plain = net(x)
    adapters.attach(net, Lora())
    with adapters.without(net):
        off = net(x)
    assert torch.equal(net(x), off)
    torch.testing.assert_close(off, plain)
    with torch.no_grad():
        net[0].lora_B.default.weight.fill_(0.1)
    with adapters.without(net):
        assert torch.equal(net(x), off)  # what was learnt is left out
    assert not torch.allclose(net(x), off)


def test_what_is_off_learns_nothing():
    net = nn.Sequential(nn.Linear(24, 40)).bfloat16()
    beside.put(net[0], Thin(torch.randn(8, 24), torch.randn(40, 8)))
    adapters.attach(net, Lora(rank=4))
    x = torch.randn(5, 24).bfloat16().requires_grad_()
    with adapters.without(net):
        net(x).sum().backward()
    layer = net[0]
    assert not any(p.grad is not None and p.grad.any() for p in layer.parameters())
    thin = beside.of(layer.get_base_layer())
    whole = layer.get_base_layer().weight.float() + thin.up.float() @ thin.down.float()
    torch.testing.assert_close(x.grad.float(), whole.sum(0).expand(5, -1), atol=0.3, rtol=0.05)
