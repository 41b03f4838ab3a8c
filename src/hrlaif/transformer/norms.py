"""What does a norm cost on a CPU? One pass through memory, not six and ten more in the backward.

A model's RMSNorm is a chain of elementwise operations in float32, each of which reads and writes
the whole batch: a fifth of a training step's time for a small model. Here a block of rows goes
through the whole chain while it is in the processor's cache. Same operations in the same order: the
forward pass is the same to the bit.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_BLOCK = 2**17  # float32 values, half a MiB


class _Norm(NamedTuple):
    gain: Tensor  # [H]
    eps: float
    gain_first: bool
    """Whether the gain multiplies in float32 (Gemma), or what was already rounded (Llama)."""


def quicken(model: nn.Module) -> None:
    """Lets a model's RMSNorms compute this way, in place; one that says anything else is left.

    A norm whose own weight is being trained keeps its forward.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and (norm := formula_of(module)) is not None:
            module.forward = partial(_forward, module, module.forward, norm)


def _forward(module: Any, otherwise: Any, norm: _Norm, x: Tensor) -> Tensor:
    trained = torch.is_grad_enabled() and module.weight.requires_grad
    if trained or x.device.type != "cpu" or x.dtype != module.weight.dtype:
        return otherwise(x)  # type: ignore[no-any-return]
    gain = 1.0 + module.weight.float() if norm.gain_first else module.weight
    rows = x.reshape(-1, x.shape[-1])
    found = _RmsNorm.apply(rows, norm._replace(gain=gain.detach()))  # type: ignore[no-untyped-call]
    return found.view(x.shape)  # type: ignore[no-any-return]


@torch.no_grad()
def formula_of(module: Any) -> _Norm | None:
    """Which of the two formulas a module computes: tried on a few numbers, to the bit."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "eps", None) or getattr(module, "variance_epsilon", None)
    if not isinstance(weight, Tensor) or weight.dim() != 1 or not isinstance(eps, float):
        return None
    if weight.device.type != "cpu":
        return None
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(4, len(weight), generator=stream).sub_(0.4).to(weight.dtype)
    wanted = module(x)
    for norm in (_Norm(1.0 + weight.float(), eps, True), _Norm(weight, eps, False)):
        if torch.equal(_RmsNorm.apply(x, norm), wanted):  # type: ignore[no-untyped-call]
            return norm
    return None


class _RmsNorm(torch.autograd.Function):
    """y = x r g with r = 1 / sqrt(mean(x^2) + eps), for x [N, H].

    dx = r (dy g - x r^2 mean(dy g x)); the gain g is not trained.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: _Norm) -> Tensor:
        out = torch.empty_like(x)
        scale = x.new_empty(len(x), 1, dtype=torch.float32)
        rows = max(1, _BLOCK // x.shape[1])
        room = x.new_empty(2, min(rows, len(x)), x.shape[1], dtype=torch.float32)
        for begin in range(0, len(x), rows):
            part = slice(begin, begin + rows)
            source, r = x[part], scale[part]
            values, squares = room[:, : len(source)]
            values.copy_(source)
            torch.mul(values, values, out=squares)
            torch.mean(squares, -1, keepdim=True, out=r)
            r.add_(norm.eps).rsqrt_()
            values.mul_(r)
            if norm.gain_first:
                out[part] = values.mul_(norm.gain)
            else:
                out[part].copy_(values).mul_(norm.gain)
        ctx.save_for_backward(x, scale, norm.gain)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, scale, gain = ctx.saved_tensors
        gain = gain.float()
        out = torch.empty_like(x)
        dots = torch.empty_like(scale)
        rows = max(1, _BLOCK // x.shape[1])
        room = x.new_empty(3, min(rows, len(x)), x.shape[1], dtype=torch.float32)
        for begin in range(0, len(x), rows):
            part = slice(begin, begin + rows)
            source, r, dot = x[part], scale[part], dots[part]
            grad, values, products = room[:, : len(source)]
            grad.copy_(grads[0][part]).mul_(gain)
            values.copy_(source)
            torch.mul(grad, values, out=products)
            torch.sum(products, -1, keepdim=True, out=dot)
            dot.mul_(r).mul_(r).div_(-x.shape[1])
            out[part] = grad.addcmul_(values, dot).mul_(r)
        return out, None
