"""What does a training step cost besides its products? On a CPU, one pass where it was ten.

Norms, gates and rotary embeddings are chains of elementwise operations, each of which reads and
writes the whole batch: a third of a training step's time for a small model. `torch.compile` makes
one loop of each chain, and one of its gradient. It needs a C++ compiler and some seconds at first
use, so it is for models in training and for large batches; the rest is computed as before.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from hrlaif.settings import compute
from hrlaif.transformer.norms import formula_of

_LARGE = 2**18  # values; below, calling what was compiled takes longer than the chain
_SAME = 0.02  # of the norm; rounding each intermediate value to 16 bits gives 0.005
_SAME_IN_32_BITS = 1e-3
_ACTIVATIONS = ("gelu_tanh", "silu")
_USABLE: dict[str, bool] = {}
_TOLD: set[str] = set()  # MLPs that were said to differ: once, not for every layer
logger = logging.getLogger(__name__)


def quicken(model: nn.Module) -> None:
    """Lets a model's norms, gates and rotary embeddings compute this way, in place.

    An MLP is one only where its own forward says what the formula says. What was compiled is
    compared with what it replaces at its first use, a rotary embedding in each family. One that
    differs, or does not compile, is not used again, and the reason is logged.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and (norm := formula_of(module)) is not None:
            formula = partial(rms_norm, eps=norm.eps, gain_first=norm.gain_first)
            module.forward = partial(_norm, module, module.forward, formula)
        elif (kind := _gate_of(module)) is not None:
            module.forward = partial(_mlp, module, module.forward, partial(gate, kind=kind))
        elif type(module).__name__.endswith("Attention"):
            _quicken_rotary(type(module).forward.__globals__)


def rms_norm(x: Tensor, weight: Tensor, *, eps: float, gain_first: bool) -> Tensor:
    """x / rms(x) times a gain: 1 + weight before rounding (Gemma), or weight after it (Llama)."""
    values = x.float()
    values = values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + eps)
    if gain_first:
        return (values * (1.0 + weight.float())).to(x.dtype)
    return weight * values.to(x.dtype)


def gate(x: Tensor, up: Tensor, *, kind: str) -> Tensor:
    """act(x) up, in float32. GELU's tanh form is x sigmoid(2 z), which is quicker than tanh."""
    values = x.float()
    if kind == "gelu_tanh":
        z = (2 / torch.pi) ** 0.5 * (values + 0.044715 * values * values * values)
        values = values * torch.sigmoid(2.0 * z)
    else:
        values = values * torch.sigmoid(values)
    return (values * up.float()).to(x.dtype)


def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary position embedding (arXiv 2104.09864) of [B, H, N, D], with angles [B, N, D]."""
    cos, sin = cos[:, None], sin[:, None]

    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, -1)
        return x * cos + torch.cat((-second, first), -1) * sin

    return turned(q), turned(k)


def _norm(module: Any, otherwise: Any, formula: Any, x: Tensor) -> Any:
    weight = module.weight
    if weight.requires_grad or x.dtype != weight.dtype or not _is_worth_it(x):
        return otherwise(x)
    found = _either(formula, lambda x, _: otherwise(x), _flat(x), weight.detach())
    return found.view(x.shape)


def _mlp(module: Any, otherwise: Any, formula: Any, x: Tensor) -> Any:
    if not _is_worth_it(x):
        return otherwise(x)
    sides = module.gate_proj(x), module.up_proj(x)
    flat = _either(formula, lambda x, up: module.act_fn(x) * up, *map(_flat, sides))
    return module.down_proj(flat.view(sides[0].shape))


def _flat(x: Tensor) -> Tensor:
    """[N, D] of [.., D]: each rank would be compiled anew."""
    return x.reshape(-1, x.shape[-1])


def _quicken_rotary(names: dict[str, Any]) -> None:
    """In a module of transformers: its layers call this function by its name there."""
    plain = names.get("apply_rotary_pos_emb")
    if plain is None or isinstance(plain, partial):
        return

    def rotary(plain: Any, *args: Any, **more: Any) -> Any:
        if more or len(args) != 4 or args[2].dim() != 3 or not _is_worth_it(args[0]):
            return plain(*args, **more)
        # Some families turn neighbours instead of halves, or a part of each head alone.
        family = f"{plain.__module__} {args[0].shape[-1]} {args[2].shape[-1]}"
        return _either(rotate, plain, *args, of=family)

    names["apply_rotary_pos_emb"] = partial(rotary, plain)


def _is_worth_it(x: Tensor) -> bool:
    # Without a gradient there is less to gain, and all would be compiled a second time.
    large = x.requires_grad and x.numel() >= _LARGE and x.device.type == "cpu"
    return large and compute().compile == "auto" and has_compiler()


@cache
def has_compiler() -> bool:
    """Whether there is a C++ compiler, as far as one can see without starting it."""
    names = (os.environ.get("CXX"), "clang++" if sys.platform == "darwin" else "g++")
    return sys.platform != "win32" and any(name and shutil.which(name) for name in names)


def _either(formula: Any, plain: Callable[..., Any], *args: Tensor, of: str = "") -> Any:
    """The compiled formula of the arguments where it is usable, else what it stands for.

    Tried once for each set of options, dtype, and `of`.
    """
    base = formula.func if isinstance(formula, partial) else formula
    options = formula.keywords if isinstance(formula, partial) else {}
    quick = partial(_compiled(base), **options)
    name = " ".join((base.__name__, str(options), of, str(args[0].dtype)))
    if name not in _USABLE:
        _USABLE[name] = _says_the_same(quick, plain, args, name)
    return quick(*args) if _USABLE[name] else plain(*args)


@cache
def _compiled(formula: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(formula, dynamic=True)


def _says_the_same(
    quick: Callable[..., Any], plain: Callable[..., Any], args: tuple[Tensor, ...], name: str
) -> bool:
    try:
        pairs = zip(_with_gradient(quick, args), _with_gradient(plain, args), strict=True)
        off = max(float(_off(a.detach().float(), b.detach().float())) for a, b in pairs)
    except Exception as error:  # a compiler may fail in many ways; the plain chain still works
        logger.warning("%s is not compiled (%s: %.300s)", name, type(error).__name__, error)
        return False
    if off > _SAME:
        logger.warning("%s is not compiled (what was compiled differs by %.2g)", name, off)
    return off <= _SAME


def _off(found: Tensor, wanted: Tensor) -> Tensor:
    off: Tensor = (found - wanted).norm() / wanted.norm().clamp_min(1e-9)
    return off


def _with_gradient(function: Callable[..., Any], args: tuple[Tensor, ...]) -> list[Tensor]:
    """What a function says, and the gradients of its sum in the arguments as large as the first."""
    with torch.enable_grad():
        own = [x.detach().requires_grad_(x.dim() == args[0].dim()) for x in args]
        found = function(*own)
        outputs = list(found) if isinstance(found, tuple) else [found]
        wanted = [x for x in own if x.requires_grad]
        total = torch.stack([output.float().sum() for output in outputs]).sum()
        return [*outputs, *torch.autograd.grad(total, wanted)]


def _gate_of(module: Any) -> str | None:
    """Which gated MLP a module is: down(act(gate(x)) up(x)) with a known activation."""
    if not all(hasattr(module, name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")):
        return None
    x = torch.linspace(-4, 4, 33)
    same = (
        torch.allclose(gate(x, torch.ones_like(x), kind=kind), module.act_fn(x), atol=1e-6)
        for kind in _ACTIVATIONS
    )
    kind = next((kind for kind, is_it in zip(_ACTIVATIONS, same, strict=True) if is_it), None)
    return kind if kind is not None and _is_gated(module, kind) else None


@torch.no_grad()
def _is_gated(module: Any, kind: str) -> bool:
    """Whether a module's own forward, on small and large values, is that of a gated MLP.

    Some families multiply, clamp or norm on the way, or leave out small gates, by the layer.
    """
    weight = getattr(module.gate_proj, "weight", None)
    if not isinstance(weight, Tensor) or weight.device.type != "cpu":
        return False
    x = torch.randn(4, weight.shape[-1], generator=torch.Generator().manual_seed(0))
    x = (x * torch.tensor([[0.1], [1.0], [10.0], [1000.0]])).to(weight.dtype)
    try:
        found = module.down_proj(gate(module.gate_proj(x), module.up_proj(x), kind=kind))
        pairs = zip(found.float(), module(x).float(), strict=True)
    except Exception:  # such as experts, which are told more than x
        return False
    off = max(float(_off(a, b)) for a, b in pairs)
    same = off <= (_SAME_IN_32_BITS if weight.dtype == torch.float32 else _SAME)
    if not same and (name := type(module).__name__) not in _TOLD:
        _TOLD.add(name)
        logger.warning("%s is not compiled (it differs from a plain gate by %.2g)", name, off)
    return same
