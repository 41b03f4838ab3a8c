"""Which tokens have several sequences in common? They are computed once, and cached.

Everything here is without gradients. Attention masks are made from token positions, so padding may
stand anywhere and sliding windows (Gemma 3, Mistral) stay right.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.transformer.body import accepts, device_of, evaluating

Row = list[int] | tuple[int, ...]
_NOWHERE = 2**30  # the position of a padding key: after every query, so that none attends to it
_ROOM = 64
_WORTH = 16  # tokens; a shorter common prefix costs more than it saves
_CAN_SHARE: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def shared_length(rows: Sequence[Row], limit: int | None = None) -> int:
    """How many leading tokens all rows have in common, at most `limit`."""
    first, last = (
        min(map(tuple, rows)),
        max(map(tuple, rows)),
    )  # lexicographic extremes differ no later than any other two
    count = min(len(first), len(last))
    count = count if limit is None else max(0, min(count, limit))
    return next((i for i in range(count) if first[i] != last[i]), count)


@final
class KeyValues:
    """The attention cache of some rows: grows in place, rows can be selected, steps taken back."""

    def __init__(self, body: Any):
        self.body = body
        self.cache = _slots(body)
        self.positions: Tensor | None = None  # [B, K] of each key, _NOWHERE for padding

    def extend(self, tokens: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
        """Hidden states [B, Q, H] after the final norm of tokens [B, Q] behind what is cached."""
        keys = torch.where(valid, positions, _NOWHERE)
        self.positions = keys if self.positions is None else torch.cat([self.positions, keys], 1)
        queries = torch.where(valid, positions, 0)  # padding sees key 0: no row is without a key
        out = self.body(
            input_ids=tokens,
            attention_mask=_masks(self.body.config, queries, self.positions),
            position_ids=queries,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

    def rewind(self, count: int) -> None:
        """Forgets the last `count` cached columns."""
        assert self.positions is not None
        self.positions = self.positions[:, : self.positions.shape[1] - count]
        for layer in self.cache.layers:
            layer.used -= count

    def select(self, rows: Tensor) -> KeyValues:
        """A copy of these rows, in this order; a row may be taken several times."""
        assert self.positions is not None
        other = KeyValues(self.body)
        other.positions = self.positions[rows]
        for mine, copy in zip(self.cache.layers, other.cache.layers, strict=True):
            copy.take([(mine, rows)], self.positions.shape[1])
        return other

    @classmethod
    def join(cls, parts: Sequence[tuple[KeyValues, Tensor]]) -> KeyValues:
        """One cache of the selected rows of several, padded to the longest."""
        length = max(_length(part) for part, _ in parts)
        other = cls(parts[0][0].body)
        other.positions = torch.cat([_padded(part, length)[rows] for part, rows in parts])
        for index, copy in enumerate(other.cache.layers):
            copy.take([(part.cache.layers[index], rows) for part, rows in parts], length)
        return other


def _length(part: KeyValues) -> int:
    return 0 if part.positions is None else part.positions.shape[1]


def _padded(part: KeyValues, length: int) -> Tensor:
    assert part.positions is not None
    return nn.functional.pad(part.positions, (0, length - _length(part)), value=_NOWHERE)


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

        def take(self, parts: Sequence[tuple[Any, Tensor]], length: int) -> None:
            first = parts[0][0]
            self._make(first.keys, first.values, sum(len(rows) for _, rows in parts), length)
            begin = 0
            for other, rows in parts:
                end, n = begin + len(rows), other.used
                self.keys[begin:end, :, :n] = other.keys[:, :, :n].index_select(0, rows)
                self.values[begin:end, :, :n] = other.values[:, :, :n].index_select(0, rows)
                begin = end
            self.used = length

        def get_seq_length(self) -> int:
            return self.used

    _SLOTS.append(Slots)
    return Slots


def _grown(end: int, buffer: Tensor) -> int:
    return end - buffer.shape[-2] + max(_ROOM, end // 4)


def _masks(config: Any, queries: Tensor, keys: Tensor) -> Any:
    """Who sees whom, [B, 1, Q, K], by position; one mask for each kind of layer."""
    config = config.get_text_config(decoder=True)
    distance = queries[:, None, :, None] - keys[:, None, None, :]
    full = distance >= 0
    window = getattr(config, "sliding_window", None)
    near = full if window is None else full & (distance < window)
    if config._attn_implementation == "eager":
        full, near = (_additive(mask) for mask in (full, near))
    kinds = set(getattr(config, "layer_types", None) or ())
    if len(kinds) > 1:
        return {"full_attention": full, "sliding_attention": near}
    return full if kinds == {"full_attention"} else near


def _additive(mask: Tensor) -> Tensor:
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -1e30)


def can_share(body: Any) -> bool:
    """Whether this family's cache and masks work here: tried once on six tokens, a no is logged."""
    if body not in _CAN_SHARE:
        try:
            reason = _difference(body)
        except Exception as error:  # any family may fail in its own way; the plain path still works
            reason = f"{type(error).__name__}: {error}"
        if reason:
            logger.warning(
                "%s computes common prefixes again for each row (%s)", type(body).__name__, reason
            )
        _CAN_SHARE[body] = not reason
    return _CAN_SHARE[body]


def _difference(body: Any) -> str:
    config = body.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if kinds - {"full_attention", "sliding_attention"}:
        return f"layers of kind {sorted(kinds)}"
    if not accepts(body, "position_ids"):
        return "it takes no position ids"
    with evaluating(body):
        tokens = torch.arange(1, 7, device=device_of(body)) % config.vocab_size
        plain = body(input_ids=tokens[None], use_cache=False).last_hidden_state[0, 3:]
        rows = [tokens.tolist(), tokens[:5].tolist()]
        hidden = continue_from_prefix(body, rows, begin_prefix(body, tokens[:3].tolist()))[0]
    off = float((hidden[0] - plain).norm() / plain.norm().clamp_min(1e-9))
    # Rounding in few bits alone may move these states by 0.1; a wrong mask moves them by about 1.
    return "" if off < 0.3 else f"its cached states differ by {off:.2f}"


def common_prefix(body: Any, rows: Sequence[Row], limit: int) -> KeyValues | None:
    """The cache of what all rows begin with, at most `limit` tokens; None where it does not pay."""
    count = shared_length(rows, limit) if len(rows) > 1 else 0
    if count < _WORTH or not can_share(body):
        return None
    return begin_prefix(body, list(rows[0][:count]))


def begin_prefix(body: Any, tokens: list[int]) -> KeyValues:
    """The cache of one sequence of tokens."""
    cached = KeyValues(body)
    row = torch.tensor([tokens], device=device_of(body))
    positions = torch.arange(len(tokens), device=row.device)[None]
    with evaluating(body):
        cached.extend(row, positions, torch.ones_like(row, dtype=torch.bool))
    return cached


def continue_from_prefix(
    body: Any, rows: Sequence[Row], prefix: KeyValues | None
) -> tuple[Tensor, KeyValues]:
    """Hidden states [B, T - P, H] of what follows the P prefix tokens of each row, and the cache.

    Row b has its states at [b, : len(rows[b]) - P]; what follows is padding.
    """
    done = _length(prefix) if prefix is not None else 0
    width = max(len(row) for row in rows) - done
    device = device_of(body)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row) - done] = torch.tensor(row[done:])
    lengths = torch.tensor([len(row) - done for row in rows])
    valid = (torch.arange(width)[None] < lengths[:, None]).to(device)
    positions = (torch.arange(width) + done).expand(len(rows), width).to(device)
    with evaluating(body):
        if prefix is None:
            cached = KeyValues(body)
        else:
            cached = prefix.select(torch.zeros(len(rows), dtype=torch.long, device=device))
        hidden = cached.extend(tokens.to(device), positions, valid)
    return hidden, cached
