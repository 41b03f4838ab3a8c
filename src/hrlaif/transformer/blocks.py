"""How does a CPU read a frozen model's weights in few steps? In the blocks its products work in.

oneDNN lays a plain 16-bit weight out anew in each product, which takes a third of the time when few
rows are decoded. Here that is done once, in place of the plain weight. The sums are the same. In
float32, where torch would multiply by MKL, processors without AVX-512 gain as much.
"""

from __future__ import annotations

from functools import cache
from typing import final

import torch
from torch import Tensor, nn

from hrlaif.transformer import beside
from hrlaif.transformer.memory import unmap


@final
class BlockedLinear(nn.Module):
    """A frozen linear layer in bfloat16 or float32: x [.., in] -> x W^T + b [.., out]."""

    bias: Tensor | None

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.blocks = _reordered(linear.weight)  # opaque: no buffer, it is neither moved nor saved
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """The product; no gradients flow."""
        return _product(x, self.blocks, self.bias)


def to_blocks(body: nn.Module) -> None:
    """Replaces every linear layer of a decoder in place, one at a time, where the C library can."""
    for parent in body.modules():
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and works(child.weight.dtype):
                blocked = BlockedLinear(child)
                beside.carry(child, blocked, child.weight.dtype)
                setattr(parent, name, blocked)
                unmap(child.weight)


@cache
def works(dtype: torch.dtype) -> bool:
    """Tried once: not every build of torch, nor every processor, multiplies so."""
    with torch.no_grad():
        linear = nn.Linear(32, 48).to(dtype)
        x = torch.ones(3, 32, dtype=dtype)
        try:
            found = BlockedLinear(linear)(x)
        except (AttributeError, RuntimeError):  # the second when there is no such kernel
            return False
        return torch.allclose(found, linear(x), atol=0.02)


def _reordered(weight: Tensor) -> Tensor:
    blocks: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return blocks


def _product(x: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, blocks, bias, "none", [], "")
    return found
