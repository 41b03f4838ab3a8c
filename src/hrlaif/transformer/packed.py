"""How does a CPU compute trees without padding? End to end in one row; only attention takes rows.

The trees of a batch differ in length, and what pads them would go through every product and norm.
So they stand one after another, and are spread into rows [B, W] inside the attention alone. There,
the heads that share keys stand in one row too: G heads of N queries are one head of G N queries
under a mask of G N rows, where SDPA would copy the keys for every head. The sums are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.transformer.batches import rounded

NAME = "hrlaif_packed"
_CHANGES = ("softcap", "s_aux", "position_bias")  # arguments that change what attention says
_IDLE = 1.1  # processors may wait for a tenth of the time


class Spans(NamedTuple):
    """Where the trees stand in the one row."""

    lengths: Sequence[int]
    """Columns of each tree."""
    width: int
    """Columns of the rows in which they attend."""

    def pack(self, rows: Tensor) -> Tensor:
        """[1, N, ...] from rows [B, W, ...]: the trees, and zeros up to the grid."""
        parts = [row[:n] for row, n in zip(rows, self.lengths, strict=True)]
        total = sum(self.lengths)
        parts.append(rows.new_zeros(rounded(total) - total, *rows.shape[2:]))
        return torch.cat(parts)[None]

    def begins(self) -> list[int]:
        """The column of the one row in which each tree begins."""
        return [0, *accumulate(self.lengths)][:-1]


_SPANS: ContextVar[Spans] = ContextVar("trees in the row that is computed")


@contextmanager
def standing(spans: Spans) -> Iterator[None]:
    """Inside, `attend` knows the trees by these spans."""
    token = _SPANS.set(spans)
    try:
        yield
    finally:
        _SPANS.reset(token)


def register(name: str = NAME, kernel: Any = None) -> None:
    """Makes a kernel, `attend` when empty, known to transformers under this name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(name, kernel or attend)
    AttentionMaskInterface.register(name, sdpa_mask)


def times(config: Any, rows: int) -> int:
    """How many heads stand in one row: as many as leave all processors something to do.

    A kernel gives each (row, head) to one processor.
    """
    heads = int(config.num_attention_heads)
    most = heads // int(getattr(config, "num_key_value_heads", None) or heads)
    threads = torch.get_num_threads()

    def waste(fold: int) -> float:
        units = rows * heads // fold
        return -(-units // threads) * threads / units

    folds = [fold for fold in range(most, 0, -1) if most % fold == 0]
    return next((f for f in folds if waste(f) <= _IDLE), min(folds, key=waste))


def fold(mask: Tensor, config: Any) -> Tensor:
    """A mask [B, 1, W, K] for so many heads in one row: [B, 1, times W, K]."""
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
    """transformers' attention interface, for packed trees: [1, N, H, D] from [1, H, N, D].

    Keys and values may have those of a prefix before them. `attention_mask` is folded, and of rows.
    Raises ValueError for what it would leave out, so that the trial refuses it for that model.
    """
    check(more)
    spans = _SPANS.get()
    _, heads, tokens, size = query.shape
    count = attention_mask.shape[-2] // spans.width
    copies = heads // count // key.shape[1]
    rows = _spread(query, spans).reshape(-1, heads // count, count * spans.width, size)
    keys, values = (_behind_prefix(x, x.shape[2] - tokens, spans) for x in (key, value))
    if copies > 1:
        keys, values = (x.repeat_interleave(copies, 1) for x in (keys, values))
    mask = additive(attention_mask, query.dtype)
    out = nn.functional.scaled_dot_product_attention(
        rows, keys, values, attn_mask=mask, scale=scaling
    )
    return _pack(out.view(-1, heads, spans.width, size), spans), None


def _behind_prefix(x: Tensor, prefix: int, spans: Spans) -> Tensor:
    """[B, H, P + W, D] from [1, H, P + N, D]."""
    rows = _spread(x[:, :, prefix:], spans)
    if not prefix:
        return rows
    return torch.cat([x[:, :, :prefix].expand(len(rows), -1, -1, -1), rows], 2)


def _spread(x: Tensor, spans: Spans) -> Tensor:
    """[B, H, W, D] from [1, H, N, D]."""
    rows: Tensor = _Spread.apply(x.transpose(1, 2), spans)  # type: ignore[no-untyped-call]
    return rows.transpose(1, 2)


def _pack(rows: Tensor, spans: Spans) -> Tensor:
    """[1, N, H, D] from [B, H, W, D]."""
    return _Pack.apply(rows.transpose(1, 2), spans)  # type: ignore[no-untyped-call, no-any-return]


class _Spread(torch.autograd.Function):
    """Autograd would fill a whole row with zeros for each slice, and add them up."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, spans: Spans) -> Tensor:
        ctx.spans = spans
        return _to_rows(packed, spans)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.spans.pack(grads[0]), None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, spans: Spans) -> Tensor:
        ctx.spans = spans
        return spans.pack(rows)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _to_rows(grads[0], ctx.spans), None


def _to_rows(packed: Tensor, spans: Spans) -> Tensor:
    """[B, W, H, D] from [1, N, H, D], in memory as attention reads it: head by head."""
    _, _, heads, size = packed.shape
    rows = packed.new_empty(len(spans.lengths), heads, spans.width, size).transpose(1, 2)
    for row, begin, length in zip(rows, spans.begins(), spans.lengths, strict=True):
        row[:length] = packed[0, begin : begin + length]
        row[length:] = 0
    return rows


def check(more: Mapping[str, Any]) -> None:
    """Raises ValueError for an argument that changes what attention says, and is not known here."""
    if unknown := [name for name in _CHANGES if more.get(name) is not None]:
        raise ValueError(f"this attention knows nothing of {', '.join(unknown)}")


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a key is seen, else -inf: made once for all layers, where SDPA makes it in each."""
    made = getattr(mask, "additive", None)
    if made is None or made.dtype != dtype:
        made = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -torch.inf)
        mask.additive = made  # type: ignore[attr-defined]
    return made
