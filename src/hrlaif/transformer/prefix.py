"""What do all sequences begin with? It is computed once and kept; what follows grows in trees."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.transformer import asked, attention, packed
from hrlaif.transformer.batches import rounded
from hrlaif.transformer.body import accepts, device_of, evaluating
from hrlaif.transformer.cache import NOWHERE, KeyValues, masks
from hrlaif.transformer.tree import Forest, Row, plant, shared

_WORTH = 16  # tokens; a shorter common prefix costs more than it saves
_CAN_SHARE: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def shared_length(rows: Sequence[Row], limit: int | None = None) -> int:
    """How many leading tokens all rows have in common, at most `limit`."""
    # Lexicographic extremes differ no later than any other two.
    count = shared(min(rows, key=list), max(rows, key=list))
    return count if limit is None else max(0, min(count, limit))


def forest_states(
    body: Any, forest: Forest, wanted: Sequence[range], prefix: KeyValues | None = None
) -> Tensor:
    """Last hidden states [n, H] of the wanted tokens of each sequence of a forest, flat in order.

    The trees stand behind a prefix that all of them begin with. Gradients flow where they are
    enabled, except into the prefix.
    """
    with _laid(body, forest, prefix) as laid:
        index = [laid.places[i][t] for i, want in enumerate(wanted) for t in want]
        behind = None if prefix is None else laid.behind(prefix)
        return run(body, laid.tokens, laid.positions, index, mask=laid.mask, cached=behind)


class _Laid(NamedTuple):
    """A forest as the kernel for trees takes it: in rows, or end to end."""

    tokens: Tensor
    positions: Tensor
    mask: Any
    places: list[list[int]]
    """Of each sequence's tokens, in the tokens."""

    def behind(self, prefix: KeyValues) -> KeyValues:
        """A copy of the prefix for each row."""
        first = torch.zeros(len(self.tokens), dtype=torch.long, device=self.tokens.device)
        return prefix.select(first)


@contextmanager
def _laid(body: Any, forest: Forest, prefix: KeyValues | None) -> Iterator[_Laid]:
    tokens, positions, begins = forest.tokens, forest.positions, forest.begins()
    if prefix is not None:
        positions = positions + prefix.length
    keys = positions if prefix is None else prefix.before(positions)
    with attention.in_trees(body) as kernel:
        mask = masks(body.config, positions, keys, forest.visible())
        spans = packed.Spans(forest.lengths, tokens.shape[1])
        if kernel == packed.NAME:
            tokens, positions, begins = spans.pack(tokens), spans.pack(positions), spans.begins()
        trees = zip(forest.rows, forest.columns, strict=True)
        places = [[begins[tree] + column for column in columns] for tree, columns in trees]
        with packed.standing(spans):
            yield _Laid(tokens, positions, mask, places)


def run(
    body: Any,
    tokens: Tensor,
    positions: Tensor,
    index: Sequence[int],
    *,
    mask: Any = None,
    cached: KeyValues | None = None,
) -> Tensor:
    """Last hidden states [n, H] at places `index` of B x N, of tokens [B, N].

    The keys of `cached` rows stand before them, and theirs are added there.
    """
    extra: dict[str, Any] = {"use_cache": False} if accepts(body, "use_cache") else {}
    if accepts(body, "position_ids"):
        extra["position_ids"] = positions
    if mask is not None:
        extra["attention_mask"] = mask
    if cached is not None:
        extra |= {"past_key_values": cached.cache, "use_cache": True}
    places = torch.tensor(index, dtype=torch.long, device=tokens.device)
    with asked.only(body, places):
        out = body(input_ids=tokens, **extra)
    return out.last_hidden_state.flatten(0, 1).index_select(0, places)  # type: ignore[no-any-return]


def can_share(body: Any) -> bool:
    """Whether this family's cache and masks work here: tried once on a few tokens, a no is logged.

    Without it all is still computed, in plain padded batches.
    """
    if body not in _CAN_SHARE:
        reason = _reason(body)
        while reason and (name := attention.kernel(body)):
            attention.refuse(body, name, reason)
            reason = _reason(body)
        if reason:
            logger.warning(
                "%s computes shared tokens again for each row (%s)", type(body).__name__, reason
            )
        _CAN_SHARE[body] = not reason
    return _CAN_SHARE[body]


def _reason(body: Any) -> str:
    """Why trees do not work here; empty when they do."""
    try:
        return _difference(body)
    except Exception as error:  # any family may fail in its own way; the plain path still works
        return f"{type(error).__name__}: {error}"


def _difference(body: Any) -> str:
    config = body.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if kinds - {"full_attention", "sliding_attention"}:
        return f"layers of kind {sorted(kinds)}"
    if "local" in (getattr(config, "attention_layers", None) or ()):
        return "its local layers look back by columns, not by positions"  # GPT-Neo
    if not accepts(body, "position_ids"):
        return "it takes no position ids"
    with evaluating(body):
        tokens = (torch.arange(1, 10) % config.vocab_size).tolist()
        begun, ways = tokens[:3], (tokens[3:6], tokens[6:8])
        plain = [_plain_states(body, begun + way)[3:] for way in ways]
        forest = plant([begun + way for way in ways], device_of(body))
        whole = forest_states(body, forest, [range(3, 3 + len(way)) for way in ways])
        behind, all_of = plant([*ways], device_of(body)), [range(len(way)) for way in ways]
        cached = forest_states(body, behind, all_of, begin_prefix(body, begun))
        pairs = [(states, torch.cat(plain)) for states in (whole, cached)]
    off = max(float((got - want).norm() / want.norm().clamp_min(1e-9)) for got, want in pairs)
    # Rounding in few bits alone may move these states by 0.1; a wrong mask moves them by about 1.
    return "" if off < 0.3 else f"its states in a tree differ by {off:.2f}"


def _plain_states(body: Any, tokens: list[int]) -> Tensor:
    row = torch.tensor([tokens], device=device_of(body))
    return body(input_ids=row, use_cache=False).last_hidden_state[0]  # type: ignore[no-any-return]


def common_prefix(body: Any, rows: Sequence[Row], limit: int) -> KeyValues | None:
    """The cache of what all rows begin with, at most `limit` tokens; None where it does not pay."""
    count = shared_length(rows, limit) if len(rows) > 1 else 0
    if count < _WORTH or not can_share(body):
        return None
    return begin_prefix(body, list(rows[0][:count]))


@final
class KeptPrefix:
    """The beginning that the questions of a job have in common, computed once for a frozen model.

    Where new rows share only a part of it, that part is kept; where they share much more, theirs.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._cached: KeyValues | None = None

    def of(self, body: Any, rows: Sequence[Row], limit: int) -> KeyValues | None:
        """As `common_prefix`, without computing again what is kept."""
        count = shared_length(rows, limit) if len(rows) > 1 else 0
        known = min(shared(self._tokens, rows[0]), count)
        if self._cached is not None and known >= max(_WORTH, 3 * count // 4):
            self._cached.crop(known)
        else:
            self._cached = common_prefix(body, rows, limit)
            known = 0 if self._cached is None else self._cached.length
        self._tokens = list(rows[0][:known])
        return self._cached


def begin_prefix(body: Any, tokens: list[int]) -> KeyValues:
    """The cache of one sequence of tokens."""
    cached = KeyValues(body)
    row = torch.tensor([tokens], device=device_of(body))
    positions = torch.arange(len(tokens), device=row.device)[None]
    with evaluating(body):
        cached.extend(row, positions, torch.ones_like(row, dtype=torch.bool))
    return cached


def grown(body: Any, rows: Sequence[Row], prefix: KeyValues | None) -> tuple[Tensor, KeyValues]:
    """Last states [B, H] of rows, and the cache of what follows the prefix in each, padded behind.

    What several of them begin with is computed once.
    """
    done, device = prefix.length if prefix is not None else 0, device_of(body)
    forest = plant([row[done:] for row in rows], device)
    with evaluating(body), _laid(body, forest, prefix) as laid:
        cached = KeyValues(body) if prefix is None else laid.behind(prefix)
        ends = [places[-1] for places in laid.places]
        hidden = run(body, laid.tokens, laid.positions, ends, mask=laid.mask, cached=cached)
    width, longest = laid.tokens.shape[1], max(map(len, laid.places))
    columns = torch.zeros(len(rows), longest, dtype=torch.long)
    positions = torch.full_like(columns, NOWHERE)
    for row, places in enumerate(laid.places):
        columns[row, : len(places)] = torch.tensor(places) % width + done
        positions[row, : len(places)] = torch.arange(done, done + len(places))
    trees = torch.tensor([places[0] // width for places in laid.places])
    return hidden, cached.picked(trees.to(device), columns.to(device), positions.to(device))


def continue_behind(cached: KeyValues, rows: Sequence[Row], done: Sequence[int]) -> Tensor:
    """Hidden states [B, T, H] of what follows the cached beginning of each row, padded behind.

    Of row b, `done[b]` tokens are cached; its states stand at [b, : len(rows[b]) - done[b]].
    """
    left = [len(row) - n for row, n in zip(rows, done, strict=True)]
    width, device = rounded(max(left)), device_of(cached.body)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for index, (row, n) in enumerate(zip(rows, done, strict=True)):
        tokens[index, : left[index]] = torch.tensor(row[n:])
    column = torch.arange(width)[None]
    valid = (column < torch.tensor(left)[:, None]).to(device)
    positions = (column + torch.tensor(done)[:, None]).to(device)
    with evaluating(cached.body):
        return cached.extend(tokens.to(device), positions, valid)
