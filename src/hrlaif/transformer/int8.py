"""How does a frozen model answer quickly on a CPU? Linear layers in 8-bit integers.

Weights have one scale an output channel and are rounded once. Activations have one scale a row (a
token), found on the fly, so that a row's result does not depend on what else is in the batch, and
two 8-bit digits: x / scale = first + second / 254. Sums are exact 32-bit integers.

This is the vector-wise W8A8 of LLM.int8() (arXiv 2208.07339, section 2) with a second digit instead
of outlier columns in 16 bits. With one digit, label probabilities of a 1.5B judge (12 questions)
averaged over both orders moved by up to 0.025, as much as its opinions; with two by 0.002.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from hrlaif.transformer import beside
from hrlaif.transformer.memory import unmap

_ROWS = 8192


@final
class Int8Linear(nn.Module):
    """A frozen linear layer: x [.., in] float -> x W^T + b [.., out] float32."""

    weight: Tensor  # [out, in] int8
    scale: Tensor  # [out] float32
    bias: Tensor | None

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        with torch.no_grad():
            weight, scale = _quantized(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """The product in 8-bit integers; no gradients flow."""
        digits, scale = two_digits(x.detach().reshape(-1, self.in_features).float())
        sums = torch._int_mm(digits, self.weight.t())  # both digits at once: weights are read once
        first, second = torch.chunk(sums, 2)
        out = first.float().add_(second, alpha=1 / 254)
        out.mul_(scale).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)
        return out.reshape(*x.shape[:-1], self.out_features)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values [n, in] and float32 scales [n, 1] with x ~ values * scales."""
    low, high = torch.aminmax(x, dim=-1, keepdim=True)
    scale = torch.maximum(-low, high).div_(127).clamp_min_(1e-12)
    return (x / scale).round_().to(torch.int8), scale


def two_digits(x: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values [2 n, in], first digits over second, and scales [n, 1]."""
    low, high = torch.aminmax(x, dim=-1, keepdim=True)
    scale = torch.maximum(-low, high).div_(127).clamp_min_(1e-12)
    digits = torch.empty(2 * len(x), x.shape[1], dtype=torch.int8)
    rest = x / scale
    rounded = rest.round()
    digits[: len(x)] = rounded
    # Half a step is 127 of 254ths: the second digit never leaves 8 bits.
    digits[len(x) :] = rest.sub_(rounded).mul_(254).round_()
    return digits, scale


def _quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """By row chunks: the float32 copy of a vocabulary head never exists in whole."""
    values = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(weight.shape[0])
    for begin in range(0, weight.shape[0], _ROWS):
        part = slice(begin, begin + _ROWS)
        found, scale = quantize_rows(weight[part].float())
        values[part], scales[part] = found, scale[:, 0]
    return values, scales


def is_mostly_linear(model: nn.Module) -> bool:
    """Whether most weights but the embeddings are in linear layers, which 8 bits make quicker.

    The experts of a mixture are stacked in one parameter: here they would become float32.
    """
    linear: dict[int, int] = {}
    others: dict[int, int] = {}
    for module in model.modules():
        is_linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if isinstance(module, nn.Embedding):
            continue
        for parameter in module.parameters(recurse=False):
            (linear if is_linear else others)[id(parameter)] = parameter.numel()
    return sum(linear.values()) >= sum(others.values())


def to_int8(model: nn.Module) -> None:
    """Replaces every linear layer in place, one at a time; the rest becomes float32.

    The input embedding keeps its 16-bit table and returns float32: the vocabulary head gets its own
    8-bit copy, also where the two are tied.
    """
    for parent in model.modules():
        for name, child in list(parent.named_children()):
            plain = type(child) is nn.Linear
            if not plain and type(child).__name__ != "Conv1D":
                continue
            # GPT-2's Conv1D stores linear weights transposed.
            narrow = Int8Linear(child if isinstance(child, nn.Linear) else _linear(child))
            beside.carry(child, narrow, torch.float32)
            setattr(parent, name, narrow)
            if plain and isinstance(child.weight, Tensor):
                unmap(child.weight)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_as_float32)
            continue
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.detach().float(), requires_grad=False))
    model.requires_grad_(False)


def _linear(child: nn.Module) -> nn.Linear:
    weight, bias = child.weight, child.bias
    assert isinstance(weight, Tensor)
    linear = nn.Linear(weight.shape[0], weight.shape[1], bias=False, device="meta")
    linear.weight = nn.Parameter(weight.detach().t(), requires_grad=False)
    if isinstance(bias, Tensor):
        linear.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return linear


def _as_float32(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.float()
