"""Rows that begin alike are written side by side: what do their new tokens see of the beginning?

Its keys stand once, and the queries of all its rows attend to them in one product; what each row
has of its own is attended to as ever, and the two are weighed by their sums of exponents (Hydragen,
arXiv 2402.05099, section 3). Every row could hold a copy: that takes the memory, and the time to
read it, of a copy a row at every token.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.transformer import attention, packed
from hrlaif.transformer.body import device_of, evaluating
from hrlaif.transformer.cache import NOWHERE, KeyValues, masks
from hrlaif.transformer.prefix import begin_prefix

NAME = "hrlaif_branches"
_BAND, _PAYS = 16, 0.9  # rows; of what is read at once, less is worth more calls
_WORKS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


class Trunks(NamedTuple):
    """Beginnings, each of several rows; never changed."""

    layers: list[tuple[Tensor, Tensor]]
    """Keys and values [T, H, P, D] of each layer."""
    positions: Tensor
    """[T, P] of each key, after every query for padding."""

    @classmethod
    def of(cls, cached: KeyValues, length: int) -> Trunks:
        """The first columns of a cache, in the same memory."""
        assert cached.positions is not None
        layers = [(x.keys[:, :, :length], x.values[:, :, :length]) for x in cached.cache.layers]
        return cls(layers, cached.positions[:, :length])

    def is_same(self, other: Trunks) -> bool:
        """Whether both are the same memory."""
        mine, theirs = self.layers[0][0], other.layers[0][0]
        return mine.data_ptr() == theirs.data_ptr() and mine.shape == theirs.shape

    def only(self, used: Sequence[int]) -> Trunks:
        """A copy of these."""
        rows = torch.tensor(used, device=self.positions.device)
        return Trunks([(k[rows], v[rows]) for k, v in self.layers], self.positions[rows])

    def joined(self, more: Sequence[Trunks]) -> Trunks:
        """These and others, padded to the longest."""
        every = [self, *more]
        length = max(one.positions.shape[1] for one in every)

        def wide(x: Tensor) -> Tensor:
            return nn.functional.pad(x, (0, 0, 0, length - x.shape[2]))

        layers = [
            (torch.cat([wide(k) for k, _ in layer]), torch.cat([wide(v) for _, v in layer]))
            for layer in zip(*(one.layers for one in every), strict=True)
        ]
        positions = [
            nn.functional.pad(x, (0, length - x.shape[1]), value=NOWHERE)
            for x in (one.positions for one in every)
        ]
        return Trunks(layers, torch.cat(positions))


@final
class Branches:
    """The attention cache of some rows: their own keys, behind those of their trunk if any."""

    def __init__(self, own: KeyValues, trunks: Trunks | None = None, of: Sequence[int] = ()):
        self.own, self.trunks = own, trunks
        self.of = list(of)
        """The trunk of each row."""

    def extend(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Hidden states [B, H] after one token more for each row, at positions [B]."""
        row, place = tokens[:, None], positions[:, None]
        every = torch.ones_like(row, dtype=torch.bool)
        if self.trunks is None and not works(self.own.body):
            return self.own.extend(row, place, every)[:, -1]
        fan = None if self.trunks is None else _Fan.of(self.of, row.device)
        seen = partial(_masks, trunks=self.trunks, fan=fan)
        with attention.standing_on(self.own.body, NAME):
            return self.own.extend(row, place, every, seen)[:, -1]

    @classmethod
    def join(
        cls, parts: Sequence[tuple[Branches, Sequence[int]]], *, emptied: bool = False
    ) -> Branches:
        """The selected rows of several, in this order; `emptied` as in `KeyValues.join`."""
        device = device_of(parts[0][0].own.body)
        index = [torch.tensor(rows, dtype=torch.long, device=device) for _, rows in parts]
        taken = [(part.own, i) for (part, _), i in zip(parts, index, strict=True)]
        own = KeyValues.join(taken, emptied=emptied)
        trunks: list[Trunks] = []
        of: list[int] = []
        for part, rows in parts:
            if part.trunks is None:
                return cls(own)  # nobody has one
            begin = 0
            for known in trunks:
                if known.is_same(part.trunks):
                    break
                begin += len(known.positions)
            else:
                trunks.append(part.trunks)
            of += [begin + part.of[row] for row in rows]
        every = trunks[0].joined(trunks[1:]) if len(trunks) > 1 else trunks[0]
        used = sorted(set(of))
        if len(used) < len(every.positions):
            every, of = every.only(used), [used.index(trunk) for trunk in of]
        return cls(own, every, of)

    def whole(self, rows: Sequence[int]) -> KeyValues:
        """A copy of these rows, each behind a copy of its trunk."""
        device = device_of(self.own.body)
        index = torch.tensor(rows, dtype=torch.long, device=device)
        if self.trunks is None:
            return self.own.select(index)
        of = torch.tensor([self.of[row] for row in rows], device=device)
        return self.own.behind(self.trunks.layers, self.trunks.positions, of, index)


def works(body: Any) -> bool:
    """Whether this family can: tried once on a few tokens, and a no is logged.

    For a CPU: on a GPU rows stand in a table (see table.py).
    """
    if attention.kernel(body) != packed.NAME:
        return False
    if body not in _WORKS:
        packed.register(NAME, attend)
        try:
            off = _difference(body)
            reason = "" if off < 0.3 else f"its states differ by {off:.2f}"  # as in prefix.py
        except Exception as error:  # any family may fail in its own way
            reason = f"{type(error).__name__}: {error}"
        if reason:
            logger.warning(
                "%s writes from copies of what is shared (%s)", type(body).__name__, reason
            )
        _WORKS[body] = not reason
    return _WORKS[body]


def _difference(body: Any) -> float:
    """Of a token more for two rows on one trunk, from the same with copies."""
    count = int(body.config.get_text_config(decoder=True).vocab_size)
    known, new = [n % count for n in range(1, 7)], [7 % count, 8 % count]
    tokens, positions = (torch.tensor(x, device=device_of(body)) for x in (new, [len(known)] * 2))
    with evaluating(body):
        cached = begin_prefix(body, known)
        twice = torch.zeros_like(tokens)
        last = torch.full_like(tokens[:, None], len(known) - 1)
        own = cached.picked(twice, last, last)
        trunks = Trunks.of(cached, len(known) - 1)
        got = Branches(own, trunks, [0, 0]).extend(tokens, positions)
        every = torch.ones_like(last, dtype=torch.bool)
        want = cached.select(twice).extend(tokens[:, None], positions[:, None], every)[:, -1]
    return float((got - want).norm() / want.norm().clamp_min(1e-9))


class _Fan(NamedTuple):
    """Rows by their trunk."""

    rows: Tensor
    """[T, R]: the rows of each trunk, filled up with row 0."""
    back: Tensor
    """[B]: where each row stands in T x R."""

    @classmethod
    def of(cls, trunk_of: Sequence[int], device: torch.device) -> _Fan:
        count = max(trunk_of) + 1
        rows: list[list[int]] = [[] for _ in range(count)]
        for row, trunk in enumerate(trunk_of):
            rows[trunk].append(row)
        width = max(map(len, rows))
        at = {row: t * width + r for t, mine in enumerate(rows) for r, row in enumerate(mine)}
        filled = [[*mine, *[0] * (width - len(mine))] for mine in rows]
        back = [at[row] for row in range(len(trunk_of))]
        return cls(torch.tensor(filled, device=device), torch.tensor(back, device=device))


class _Seen:
    """What the rows of each trunk see of it, in one kind of layer."""

    def __init__(self, visible: Tensor, trunks: Trunks, fan: _Fan):
        self.trunks, self.fan = trunks, fan
        self._visible = None if bool(visible.all()) else visible  # [T, 1, R, P]
        self._made: tuple[Tensor, Tensor] | None = None

    def of_heads(self, fold: int, dtype: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
        """For so many heads in one row: what is added [T, 1, R fold, P]; who sees nothing."""
        if self._visible is None:
            return None, None
        if self._made is None:
            visible = self._visible.repeat_interleave(fold, 2)
            self._made = packed.additive(visible, dtype), ~visible.any(-1)
        return self._made


def _masks(
    config: Any, queries: Tensor, keys: Tensor, *, trunks: Trunks | None, fan: _Fan | None
) -> Any:
    """As `masks` of their own keys, each with its bands and with what is seen of the trunks."""
    own = masks(config, queries, keys)
    kinds = own if isinstance(own, dict) else {"": own}
    for mask in kinds.values():
        mask.bands, mask.seen = _bands(mask), None
    if trunks is not None and fan is not None:
        behind = masks(config, queries[:, 0][fan.rows], trunks.positions)
        for kind, mask in kinds.items():
            mask.seen = _Seen(behind[kind] if kind else behind, trunks, fan)
    return own


def _bands(mask: Tensor) -> list[tuple[slice, int]]:
    """Rows that are attended together, and the first column that any of them sees.

    Rows are written the longest first and padded before: neighbours see about as much.
    """
    count, width = len(mask), mask.shape[-1]
    first = mask[:, 0, 0].int().argmax(-1)
    bands = [
        (slice(begin, begin + _BAND), int(first[begin : begin + _BAND].min()))
        for begin in range(0, count, _BAND)
    ]
    read = sum(len(first[rows]) * (width - begin) for rows, begin in bands)
    least = min(begin for _, begin in bands)
    return bands if read < _PAYS * count * (width - least) else [(slice(None), least)]


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
    """transformers' attention interface for one token a row: [B, 1, H, D] from [B, H, 1, D].

    Heads that share keys are queries of one head, as in packed.py.
    """
    packed.check(more)
    seen: _Seen | None = attention_mask.seen  # type: ignore[attr-defined]
    rows, heads, _, size = query.shape
    kept = key.shape[1]
    fold = heads // kept
    asked, mask = (
        query.reshape(rows, kept, fold, size),
        packed.additive(attention_mask, query.dtype),
    )
    bands = [
        _flash(asked[r], key[r, :, c:], value[r, :, c:], mask[r, :, :, c:], scaling)
        for r, c in attention_mask.bands  # type: ignore[attr-defined]
    ]
    own, own_sum = (torch.cat(parts) for parts in zip(*bands, strict=True))
    if seen is None:
        return own.reshape(rows, 1, heads, size), None
    keys, values = seen.trunks.layers[module.layer_idx]  # type: ignore[index]
    trunks, wide = seen.fan.rows.shape
    asked = query[:, :, 0][seen.fan.rows].reshape(trunks, wide, kept, fold, size).transpose(1, 2)
    added, blind = seen.of_heads(fold, query.dtype)
    found, found_sum = _flash(
        asked.reshape(trunks, kept, wide * fold, size), keys, values, added, scaling
    )
    if blind is not None:
        found_sum = found_sum.masked_fill(blind, -torch.inf)
    found = found.reshape(trunks, kept, wide, fold, size).transpose(1, 2).reshape(-1, heads, size)
    found_sum = found_sum.reshape(trunks, kept, wide, fold).transpose(1, 2).reshape(-1, heads)
    share = torch.sigmoid(found_sum[seen.fan.back] - own_sum.reshape(rows, heads))[..., None]
    out = own.reshape(rows, heads, size).float().lerp(found[seen.fan.back].float(), share)
    return out.to(query.dtype)[:, None], None


def _flash(
    query: Tensor, keys: Tensor, values: Tensor, added: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Attention [B, H, Q, D], and the logarithm of the sum of exponents [B, H, Q] in it."""
    # By the operator's own name: scaled_dot_product_attention does not give the sums.
    out, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, 0.0, False, attn_mask=added, scale=scale
    )
    return out, total
