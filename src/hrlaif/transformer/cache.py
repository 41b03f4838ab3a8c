"""What has attention kept of the tokens so far? A cache that grows in place, and its masks.

Masks are made from token positions, so padding may stand anywhere and sliding windows (Gemma 3,
Mistral) stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from hrlaif.transformer import flex, packed

NOWHERE = 2**30  # the position of a padding key: after every query, so that none attends to it
_ROOM = 64


@final
class KeyValues:
    """The attention cache of some rows: grows in place, rows can be selected, steps taken back."""

    def __init__(self, body: Any):
        self.body = body
        self.cache = _slots(body)
        self.positions: Tensor | None = None  # [B, K] of each key, NOWHERE for padding

    def extend(
        self,
        tokens: Tensor,
        positions: Tensor,
        valid: Tensor,
        seen: Callable[[Any, Tensor, Tensor], Any] | None = None,
    ) -> Tensor:
        """Hidden states [B, Q, H] after the final norm of tokens [B, Q] behind what is cached.

        `seen` makes the masks, as `masks` below does.
        """
        keys = torch.where(valid, positions, NOWHERE)
        self.positions = keys if self.positions is None else torch.cat([self.positions, keys], 1)
        # Padding sees key 0: no row is without a key.
        queries = torch.where(valid, positions, 0)
        out = self.body(
            input_ids=tokens,
            attention_mask=(seen or masks)(self.body.config, queries, self.positions),
            position_ids=queries,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

    @property
    def length(self) -> int:
        """Cached columns."""
        return 0 if self.positions is None else self.positions.shape[1]

    def before(self, positions: Tensor) -> Tensor:
        """Positions [B, P + Q] of the one cached row and of keys [B, Q] behind it."""
        assert self.positions is not None
        return torch.cat([self.positions.expand(len(positions), -1), positions], 1)

    def beginning(self, length: int | Tensor) -> KeyValues:
        """The same memory, of which only the first `length` tokens of each row are there."""
        assert self.positions is not None
        other = KeyValues(self.body)
        other.cache = self.cache
        other.positions = torch.where(self.positions < length, self.positions, NOWHERE)
        return other

    def crop(self, length: int) -> None:
        """Forgets all columns from `length` on."""
        assert self.positions is not None
        self.positions = self.positions[:, :length]
        for layer in self.cache.layers:
            layer.used = length

    def select(self, rows: Tensor) -> KeyValues:
        """A copy of these rows, in this order; a row may be taken several times."""
        assert self.positions is not None
        other = KeyValues(self.body)
        other.positions = self.positions[rows]
        for mine, copy in zip(self.cache.layers, other.cache.layers, strict=True):
            copy.take([(mine, rows, None)], self.positions.shape[1])
        return other

    def picked(self, rows: Tensor, columns: Tensor, positions: Tensor) -> KeyValues:
        """A copy that holds, in row b, `columns[b]` of row `rows[b]`, at `positions[b]`."""
        other = KeyValues(self.body)
        other.positions = positions
        for mine, copy in zip(self.cache.layers, other.cache.layers, strict=True):
            copy.take([(mine, rows, columns)], columns.shape[1])
        return other

    def behind(
        self, layers: Sequence[Any], positions: Tensor, which: Tensor, rows: Tensor
    ) -> KeyValues:
        """A copy of these rows, each behind one of other keys and values [T, H, P, D] a layer.

        `positions` [T, P] are those of the keys, `which` [B] says which.
        """
        assert self.positions is not None
        other = KeyValues(self.body)
        other.positions = torch.cat([positions[which], self.positions[rows]], 1)
        for mine, copy, (keys, values) in zip(
            self.cache.layers, other.cache.layers, layers, strict=True
        ):
            copy.update(
                torch.cat([keys[which], taken(mine.keys, rows, None, mine.used)], 2),
                torch.cat([values[which], taken(mine.values, rows, None, mine.used)], 2),
            )
        return other

    @classmethod
    def join(cls, parts: Sequence[tuple[KeyValues, Tensor]], *, emptied: bool = False) -> KeyValues:
        """One cache of the selected rows of several, in this order, padded before to the longest.

        Then what a row sees is one run of columns up to the last, and of short rows less is read
        (see branches.py). Parts that are `emptied` go layer by layer: never is more than one
        layer there twice.
        """
        other = cls(parts[0][0].body)
        found = [compact(part, rows, at_the_end=True) for part, rows in parts]
        length = max(positions.shape[1] for positions, _ in found)
        other.positions = torch.cat(
            [
                nn.functional.pad(positions, (length - positions.shape[1], 0), value=NOWHERE)
                for positions, _ in found
            ]
        )
        for index, copy in enumerate(other.cache.layers):
            taken = [
                (part.cache.layers[index], rows, columns)
                for (part, rows), (_, columns) in zip(parts, found, strict=True)
            ]
            copy.take(taken, length)
            for layer, _, _ in taken if emptied else ():
                layer.keys = layer.values = copy.keys.new_empty(0)
        return other


def compact(
    part: KeyValues, rows: Tensor, *, at_the_end: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Positions [B, K] of the rows' keys, padding last; their columns where not the first K.

    `at_the_end`: padding first; their columns where not the last K.
    """
    assert part.positions is not None
    positions = part.positions[rows]
    count = int((positions != NOWHERE).sum(1).max())
    known = slice(positions.shape[1] - count, None) if at_the_end else slice(count)
    keys = positions.masked_fill(positions == NOWHERE, -1) if at_the_end else positions
    columns = keys.argsort(dim=1, stable=True)[:, known]
    ordered = positions.gather(1, columns)
    return ordered, None if torch.equal(ordered, positions[:, known]) else columns


def _slots(body: Any) -> Any:
    from transformers.cache_utils import Cache

    count = body.config.get_text_config(decoder=True).num_hidden_layers
    layer = _slot_class()
    return Cache(layers=[layer() for _ in range(count)])


_SLOTS: list[Any] = []


def _slot_class() -> Any:
    """A cache layer that writes into room kept ahead, where transformers' copies at each token."""
    if _SLOTS:
        return _SLOTS[0]
    from transformers.cache_utils import DynamicLayer

    class Slots(DynamicLayer):  # type: ignore[misc]
        used = 0
        keys: Tensor
        values: Tensor

        def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            end = self.used + keys.shape[-2]
            if not self.is_initialized:
                self._make(keys, values, keys.shape[0], end)
            elif end > self.keys.shape[-2]:
                self.keys = nn.functional.pad(self.keys, (0, 0, 0, _grown(end, self.keys)))
                self.values = nn.functional.pad(self.values, (0, 0, 0, _grown(end, self.values)))
            self.keys[:, :, self.used : end] = keys
            self.values[:, :, self.used : end] = values
            self.used = end
            return self.keys[:, :, :end], self.values[:, :, :end]

        def _make(self, keys: Tensor, values: Tensor, rows: int, length: int) -> None:
            self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
            room = length + _ROOM
            self.keys = keys.new_zeros(rows, keys.shape[1], room, keys.shape[3])
            self.values = values.new_zeros(rows, values.shape[1], room, values.shape[3])

        def take(self, parts: Sequence[tuple[Any, Tensor, Tensor | None]], length: int) -> None:
            first = parts[0][0]
            self._make(first.keys, first.values, sum(len(rows) for _, rows, _ in parts), length)
            begin = 0
            for other, rows, columns in parts:
                end = begin + len(rows)
                n = min(other.used, length) if columns is None else columns.shape[1]
                for mine, known in ((self.keys, other.keys), (self.values, other.values)):
                    if columns is None:
                        known = known[:, :, other.used - n :]
                    mine[begin:end, :, length - n : length] = taken(known, rows, columns, n)
                begin = end
            self.used = length

        def get_seq_length(self) -> int:
            return self.used

    _SLOTS.append(Slots)
    return Slots


def taken(x: Tensor, rows: Tensor, columns: Tensor | None, count: int) -> Tensor:
    """[B, H, count, D] of x [.., H, K, D]: the first columns, or those named for each row."""
    if columns is None:
        return x[:, :, :count].index_select(0, rows)
    return x[rows[:, None], :, columns].transpose(1, 2)


def _grown(end: int, buffer: Tensor) -> int:
    return end - buffer.shape[-2] + max(_ROOM, end // 4)


def masks(config: Any, queries: Tensor, keys: Tensor, visible: Tensor | None = None) -> Any:
    """Who sees whom, [B, 1, Q, K], from positions [B, Q] and [B, K]; one for each kind of layer.

    `visible` [B, Q, Q] restricts the last Q keys, which are the queries' own.
    """
    config = config.get_text_config(decoder=True)
    distance = queries[:, None, :, None] - keys[:, None, None, :]
    full = distance >= 0
    if visible is not None:
        full[..., keys.shape[1] - queries.shape[1] :] &= visible[:, None]
    window = getattr(config, "sliding_window", None)
    near = full if window is None else full & (distance < window)
    if config._attn_implementation == "eager":
        full, near = (_additive(mask) for mask in (full, near))
    elif config._attn_implementation == flex.NAME:
        full, near = _once(flex.block_mask, full, near)
    elif config._attn_implementation == packed.NAME:
        full, near = _once(lambda mask: packed.fold(mask, config), full, near)
    kinds = set(getattr(config, "layer_types", None) or ())
    if len(kinds) > 1:
        return {"full_attention": full, "sliding_attention": near}
    return full if kinds == {"full_attention"} else near


def _once(change: Callable[[Tensor], Any], full: Tensor, near: Tensor) -> tuple[Any, Any]:
    of_full = change(full)
    return of_full, of_full if near is full else change(near)


def _additive(mask: Tensor) -> Tensor:
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -1e30)
