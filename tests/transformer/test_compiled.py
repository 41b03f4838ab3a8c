"""Chains of elementwise operations, compiled: the same values and the same gradients."""

import copy
import logging

import pytest
import torch
import transformers
from transformers.models.bitnet.modeling_bitnet import BitNetMLP
from transformers.models.cohere import modeling_cohere
from transformers.models.falcon_h1.modeling_falcon_h1 import FalconH1MLP
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nTextMLP
from transformers.models.glm import modeling_glm
from transformers.models.llama import modeling_llama

from hrlaif.settings import Compute, using
from hrlaif.transformer import compiled, forward
from hrlaif.transformer.forward import Sequence

ROWS = [Sequence([1, *range(10, 40), *range(k, k + 12)], 31) for k in (50, 60, 70)]


@pytest.fixture
def small(monkeypatch):
    """Small batches count as large, and nothing has been tried."""
    monkeypatch.setattr(compiled, "_LARGE", 1)
    monkeypatch.setattr(compiled, "_USABLE", {})
    monkeypatch.setattr(compiled, "_TOLD", set())


def _logprobs_and_gradients(model):
    model.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(True)
    found = forward.token_logprobs(model, ROWS)
    return found, torch.autograd.grad(found.sum(), model.get_input_embeddings().weight)[0]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.skipif(not compiled.has_compiler(), reason="needs a C++ compiler")
@pytest.mark.parametrize("family", ["gemma3", "qwen3"])
def test_compiled_chains_say_what_the_plain_ones_say(family, tiny, small, caplog):
    model = tiny(family)
    wanted, pushed = _logprobs_and_gradients(copy.deepcopy(model))
    compiled.quicken(model)
    found, moved = _logprobs_and_gradients(model)
    assert "is not compiled" not in caplog.text
    assert {name.split()[0] for name in compiled._USABLE} == {"rms_norm", "gate", "rotate"}
    assert all(compiled._USABLE.values())
    assert torch.allclose(found, wanted, atol=1e-5)
    assert float((moved - pushed).norm() / pushed.norm()) < 1e-5


@pytest.mark.parametrize("kind", ["gelu_tanh", "silu"])
def test_the_gate_is_the_activation_times_the_other_side(kind):
    x, up = torch.linspace(-6, 6, 101), torch.linspace(1, 2, 101)
    plain = {"gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh")}
    wanted = plain.get(kind, torch.nn.functional.silu)(x) * up
    assert torch.allclose(compiled.gate(x, up, kind=kind), wanted, atol=1e-6)


def test_rotation_by_hand():
    q, k = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0]]]])
    cos, sin = torch.tensor([[[0.6, 0.6]]]), torch.tensor([[[0.8, 0.8]]])
    q, k = compiled.rotate(q, k, cos, sin)
    assert torch.allclose(q, torch.tensor([0.6 - 1.6, 1.2 + 0.8]))
    assert torch.allclose(k, torch.tensor([1.8 - 3.2, 2.4 + 2.4]))


def _broken(*args, **options):
    raise RuntimeError("no header")


def _wrong(*args, **options):
    return tuple(1.5 * x for x in args[:2]) if len(args) == 4 else 1.5 * args[0] * args[1]


@pytest.mark.parametrize("instead", [_broken, _wrong])
def test_what_does_not_compile_or_differs_goes_on_as_before_and_says_why(
    instead, tiny, small, caplog, monkeypatch
):
    monkeypatch.setattr(compiled, "_compiled", lambda formula: instead)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    model = tiny("llama")
    wanted, _ = _logprobs_and_gradients(copy.deepcopy(model))
    compiled.quicken(model)
    with caplog.at_level(logging.WARNING):
        found, _ = _logprobs_and_gradients(model)
    assert torch.equal(found, wanted)
    assert len(caplog.records) == 3  # once each
    reason = "RuntimeError: no header" if instead is _broken else "what was compiled differs by"
    assert all(f"is not compiled ({reason}" in record.message for record in caplog.records)


def test_small_batches_and_compile_off_compile_nothing(tiny, small, monkeypatch):
    monkeypatch.setattr(compiled, "_compiled", _broken)
    model = tiny("llama")
    compiled.quicken(model)
    with using(Compute(compile="off")):
        _logprobs_and_gradients(model)
    monkeypatch.setattr(compiled, "_LARGE", 2**18)
    _logprobs_and_gradients(model)


def _gemma3n(layer):
    config = transformers.Gemma3nTextConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        layer_types=["full_attention"] * 2,
        activation_sparsity_pattern=[0.95, 0.0],
    )
    return Gemma3nTextMLP(config, layer)


def _falcon_h1(multipliers):
    sizes = {"hidden_size": 32, "intermediate_size": 64}
    return FalconH1MLP(transformers.FalconH1Config(**sizes, mlp_multipliers=multipliers))


UNLIKE = {
    "gate multiplied": lambda: _falcon_h1([0.9, 1.0]),
    "sum multiplied": lambda: _falcon_h1([1.0, 0.3]),
    "gates left out": lambda: _gemma3n(0),
    "normed inside": lambda: BitNetMLP(
        transformers.BitNetConfig(hidden_size=32, intermediate_size=64, hidden_act="silu")
    ),
}
ALIKE = {"multiplied by 1": lambda: _falcon_h1([1.0, 1.0]), "no gate left out": lambda: _gemma3n(1)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [*UNLIKE, *ALIKE])
def test_an_mlp_that_does_more_than_gate_keeps_its_own_forward_and_says_so(
    name, dtype, small, caplog, monkeypatch
):
    monkeypatch.setattr(compiled, "_compiled", lambda formula: formula)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    torch.manual_seed(0)
    module = (UNLIKE | ALIKE)[name]().to(dtype)
    x = torch.randn(40, 32, dtype=dtype, requires_grad=True)
    wanted = module(x).detach()
    with caplog.at_level(logging.WARNING):
        compiled.quicken(torch.nn.ModuleList([module, copy.deepcopy(module)]))
    off = float((module(x).detach() - wanted).norm() / wanted.norm())
    assert off < (1e-5 if dtype == torch.float32 else 0.02)
    assert ("forward" in module.__dict__) == (name in ALIKE)
    told = [record.message.split()[0] for record in caplog.records]
    assert told == [type(module).__name__] * (name in UNLIKE)  # once


def test_the_rotation_of_each_family_is_compared_with_its_own(small, caplog, monkeypatch):
    monkeypatch.setattr(compiled, "_compiled", lambda formula: formula)
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    q, k = (torch.randn(2, 2, 5, 8, requires_grad=True) for _ in range(2))
    angles = torch.rand(2, 5, 4)
    for module in (modeling_llama, modeling_cohere, modeling_glm):
        repeat = {modeling_cohere: lambda x: x.repeat_interleave(2, -1)}
        angle = repeat.get(module, lambda x: torch.cat((x, x), -1))(angles)
        plain = module.apply_rotary_pos_emb
        plain = getattr(plain, "args", (plain,))[0]  # where another test has quickened it
        names = {"apply_rotary_pos_emb": plain}
        compiled._quicken_rotary(names)
        found = names["apply_rotary_pos_emb"](q, k, angle.cos(), angle.sin())
        for own, other in zip(found, plain(q, k, angle.cos(), angle.sin()), strict=True):
            assert torch.allclose(own, other, atol=1e-5)
    assert list(compiled._USABLE.values()) == [True, False, False]
    assert len(caplog.records) == 2
