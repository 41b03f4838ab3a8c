"""How does a GPU skip what a tree's mask hides? FlexAttention, a block of 128 x 128 at a time.

A tree of N tokens has about N^2 / 2 pairs that a causal kernel computes, of which only those on one
path are seen: the samples of a prompt do not see each other. The mask is the one that SDPA gets, so
both ways say the same. On a CPU it has no backward pass, so there it answers and does not train.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

NAME = "flex_attention"


def block_mask(mask: Tensor) -> Any:
    """The blocks of a mask [B, 1, Q, K] in which anything is seen, for the kernel to visit."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask[row, 0, query, key]

    rows, _, queries, keys = mask.shape
    return create_block_mask(seen, rows, None, queries, keys, device=str(mask.device))
