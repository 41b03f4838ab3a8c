"""What does an adapter cost? Two thin matrix products: y = x W^T + (alpha / rank) (x A^T) B^T.

PEFT's layer copies the wide input and output to float32 and passes over them several times, which
on a CPU takes longer than the products. Here the sum is part of the product, in the dtype of W, the
adapters and their gradients stay float32, and the backward keeps nothing but x and x A^T. What an
earlier training left beside W (U and D) is frozen, and part of the same sum; in 16 bits that sum
rounds by its width, so with the adapters off it is as wide, with a B of zeros.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.transformer.beside import Thin, apart, joined


def fuse(layer: Any) -> None:
    """Lets one of PEFT's linear LoRA layers compute this way, in place.

    A layer that does more than the formula (dropout, DoRA, several adapters at once, transposed
    weights) keeps its own forward.
    """
    if isinstance(layer.get_base_layer(), nn.Linear) and "fused" not in layer.__dict__:
        layer.forward = partial(_forward, layer, layer.forward)
        layer.fused = True


def _forward(layer: Any, otherwise: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    base, names, off = layer.get_base_layer(), layer.active_adapters, layer.disable_adapters
    beside = apart(base)
    if layer.merged or (off and beside is None):
        return otherwise(x, *args, **kwargs)  # type: ignore[no-any-return]
    known = len(names) == 1 and names[0] in layer.lora_A
    if args or kwargs or not known or not _is_plain(layer, names[0]):
        return otherwise(x, *args, **kwargs)  # type: ignore[no-any-return]
    name = names[0]
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    frozen = _Frozen(base.weight, base.bias, layer.scaling[name], beside)
    b = torch.zeros_like(b) if off else b
    return _LoraLinear.apply(x, frozen, a, b)  # type: ignore[no-untyped-call, no-any-return]


def _is_plain(layer: Any, name: str) -> bool:
    idle = isinstance(layer.lora_dropout[name], nn.Identity) or not layer.training
    frozen = not layer.get_base_layer().weight.requires_grad
    return idle and frozen and not layer.lora_variant and not layer.lora_bias.get(name)


class _Frozen(NamedTuple):
    """What is not trained: the base layer, alpha / rank, and what stands beside the weight."""

    weight: Tensor
    bias: Tensor | None
    scale: float
    beside: Thin | None


class _LoraLinear(torch.autograd.Function):
    """Rows x [N, in] on frozen W [out, in], A [r, in], B [out, r], s = alpha / rank.

    dx = dy W + s (dy B) A + (dy U) D,  dA = s (dy B)^T x,  dB = s dy^T (x A^T).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, frozen: _Frozen, a: Tensor, b: Tensor) -> Tensor:
        weight, bias, scale, beside = frozen
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        out = nn.functional.linear(rows, weight, bias)
        if beside is None:
            inner = rows @ a.to(weight.dtype).t()
            out.addmm_(inner, b.to(weight.dtype).t(), alpha=scale)
        else:
            # One sum, as in the folder that is saved: there it is the same to the bit.
            both = joined(beside, Thin(a, b * scale))
            inner = rows @ both.down.t()
            out.addmm_(inner, both.up.t())
            inner = inner[:, -len(a) :]
        ctx.save_for_backward(rows, weight, a, b, inner)
        ctx.scale, ctx.dtype, ctx.beside = scale, x.dtype, beside
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        rows, weight, a, b, inner = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        through = (grad @ b.to(weight.dtype)).mul_(ctx.scale)  # [N, r]
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(through, a.to(weight.dtype))
            if ctx.beside is not None:
                grad_x.addmm_(grad @ ctx.beside.up, ctx.beside.down)
            grad_x = grad_x.to(ctx.dtype).view(*grads[0].shape[:-1], -1)
        grad_a = (through.t() @ rows).float()
        grad_b = (inner.t() @ grad).t().float().mul_(ctx.scale)  # a tall product is slower
        return grad_x, None, grad_a, grad_b
