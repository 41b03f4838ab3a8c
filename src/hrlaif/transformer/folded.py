"""How does a CPU attend quickly where queries share keys? Heads of one group stand in one row.

With grouped queries, SDPA copies the keys and values for every head, and its backward pass reads
them for every head. Folded, the queries of the heads that share keys follow one another: G heads of
N queries are one head of G N queries under a mask of G N rows. The sums are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NAME = "hrlaif_folded"
_CHANGES = ("softcap", "s_aux", "position_bias")  # arguments that change what attention says
_IDLE = 1.1  # processors may wait for a tenth of the time


def group(config: Any) -> int:
    """How many heads of queries share one head of keys."""
    heads = int(config.num_attention_heads)
    return heads // int(getattr(config, "num_key_value_heads", None) or heads)


def register() -> None:
    """Makes `attend` known to transformers under `NAME`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def times(config: Any, rows: int) -> int:
    """How many heads stand in one row: as many as leave all processors something to do.

    A kernel gives each (row, head) to one processor.
    """
    heads, most = int(config.num_attention_heads), group(config)
    threads = torch.get_num_threads()

    def waste(fold: int) -> float:
        units = rows * heads // fold
        return -(-units // threads) * threads / units

    folds = [fold for fold in range(most, 0, -1) if most % fold == 0]
    return next((f for f in folds if waste(f) <= _IDLE), min(folds, key=waste))


def fold(mask: Tensor, config: Any) -> Tensor:
    """A mask [B, 1, Q, K] for so many heads in one row: [B, 1, times Q, K]."""
    return mask.repeat(1, 1, times(config, len(mask)), 1)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface, under a folded mask: [B, Q, H, D] from [B, H, Q, D].

    Raises ValueError for what it would leave out, so that the trial refuses it for that model.
    """
    if unknown := [name for name in _CHANGES if more.get(name) is not None]:
        raise ValueError(f"folded heads know nothing of {', '.join(unknown)}")
    rows, heads, queries, width = query.shape
    count = attention_mask.shape[-2] // queries
    copies = heads // count // key.shape[1]
    if copies > 1:
        key, value = (x.repeat_interleave(copies, 1) for x in (key, value))
    folded = query.reshape(rows, heads // count, count * queries, width)
    mask = _additive(attention_mask, query.dtype)
    out = nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=mask, scale=scaling
    )
    return out.view(rows, heads, queries, width).transpose(1, 2).contiguous(), None


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a key is seen, else -inf: made once for all layers, where SDPA makes it in each."""
    made = getattr(mask, "additive", None)
    if made is None or made.dtype != dtype:
        made = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -torch.inf)
        mask.additive = made  # type: ignore[attr-defined]
    return made
