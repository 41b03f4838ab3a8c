"""What stands before each next token? Each prompt computed once, then a step a token.

Three ways: a cache that grows (`KeyValues`), a table that stays (`Table`, on a GPU), and everything
again at each token for a family whose cache cannot be used.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hrlaif.transformer.batches import batches
from hrlaif.transformer.body import body_of
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.memory import total
from hrlaif.transformer.prefix import can_share, common_prefix, continue_from_prefix
from hrlaif.transformer.table import Table, token_bytes

_ROOM = 32_768  # tokens
_SHARE = {"cpu": 0.1, "cuda": 0.3}  # of all memory, and of what is free on a GPU


def room(loaded: Loaded) -> int:
    """How many rows x tokens of attention cache there is room for at once."""
    kind = loaded.device.type
    if kind == "cuda":
        memory, _ = torch.cuda.mem_get_info(loaded.device)
    else:
        memory = total()
    share = _SHARE.get(kind, 0.0)
    return max(_ROOM, int(memory * share) // token_bytes(body_of(loaded.model)))


class Move(NamedTuple):
    """One token more for every row; then only some rows go on, and others begin behind them."""

    tokens: list[int]
    kept: list[int] | None = None
    """None: all."""
    fresh: Sequence[list[int]] = ()


def states(
    loaded: Loaded, prompts: Sequence[list[int]], width: int, keep: bool
) -> Generator[Tensor, Move]:
    """Yields hidden states [B, H] before each next token; no row ever holds more than `width`.

    With `keep` the caches of the prompts stay in `loaded.answered`.
    """
    if not can_share(body_of(loaded.model)):
        return _plain(loaded, prompts)
    if loaded.device.type == "cuda":
        return _in_a_table(loaded, prompts, width, keep)
    return _growing(loaded, prompts, keep)


def _growing(loaded: Loaded, prompts: Sequence[list[int]], keep: bool) -> Generator[Tensor, Move]:
    """For a CPU: only the rows that go on, and only as many columns as they hold."""
    hidden, cached, lengths = prefill(loaded, prompts, keep)
    while True:
        move = yield hidden
        row = torch.tensor(move.tokens, device=loaded.device)[:, None]
        valid = torch.ones_like(row, dtype=torch.bool)
        hidden = cached.extend(row, lengths[:, None], valid)[:, -1]
        lengths = lengths + 1
        if move.kept is None:
            continue
        index = torch.tensor(move.kept, dtype=torch.long, device=loaded.device)
        parts = [(hidden[index], cached, lengths[index], index)] if move.kept else []
        if move.fresh:
            new = prefill(loaded, move.fresh, keep)
            parts.append((*new, torch.arange(len(move.fresh), device=loaded.device)))
        hidden = torch.cat([part[0] for part in parts])
        cached = KeyValues.join([(part[1], part[3]) for part in parts])
        lengths = torch.cat([part[2] for part in parts])


def _in_a_table(
    loaded: Loaded, prompts: Sequence[list[int]], width: int, keep: bool
) -> Generator[Tensor, Move]:
    """For a GPU: the rows stay in their places, and new ones take those of rows that have ended."""
    hidden, cached, lengths = prefill(loaded, prompts, keep)
    places = list(range(len(prompts)))
    table = Table(body_of(loaded.model), len(places), width)
    table.put(cached, places, lengths)
    del cached
    while True:
        move = yield hidden
        hidden = table.step(move.tokens, places)
        if move.kept is None:
            continue
        places = [places[number] for number in move.kept]
        count = len(places) + len(move.fresh)
        if not table.rows // 2 < count <= table.rows:
            table, places = table.moved(places, count), list(range(len(places)))
        parts = [hidden[torch.tensor(move.kept, dtype=torch.long, device=loaded.device)]]
        if move.fresh:
            new, cached, lengths = prefill(loaded, move.fresh, keep)
            free = sorted(set(range(table.rows)).difference(places))[: len(move.fresh)]
            table.put(cached, free, lengths)
            del cached
            parts.append(new)
            places += free
        hidden = torch.cat(parts)


def _plain(loaded: Loaded, prompts: Sequence[list[int]]) -> Generator[Tensor, Move]:
    """For a family whose cache cannot be used: everything again at each token."""
    from hrlaif.transformer.forward import Sequence as Asked
    from hrlaif.transformer.forward import hidden_last

    rows = [list(prompt) for prompt in prompts]
    while True:
        move = yield hidden_last(loaded.model, [Asked(row, 0) for row in rows])
        rows = [[*row, token] for row, token in zip(rows, move.tokens, strict=True)]
        if move.kept is not None:
            rows = [*(rows[number] for number in move.kept), *map(list, move.fresh)]


def prefill(
    loaded: Loaded, prompts: Sequence[list[int]], keep: bool = False
) -> tuple[Tensor, KeyValues, Tensor]:
    """Last states [B, H], the cache of B rows, lengths [B]; equal prompts are computed once."""
    body = body_of(loaded.model)
    distinct = sorted({tuple(p) for p in prompts}, key=lambda p: (-len(p), p))
    place = {prompt: index for index, prompt in enumerate(distinct)}
    prefix = common_prefix(body, distinct, len(distinct[-1]) - 1)
    done = 0 if prefix is None else prefix.length
    order: list[int] = []
    last, parts = [], []
    for indices in batches([len(p) - done for p in distinct]):
        part = [distinct[i] for i in indices]
        hidden, cached = continue_from_prefix(body, part, prefix)
        ends = torch.tensor([len(p) - 1 - done for p in part], device=hidden.device)
        wanted = [(row, i) for row, d in enumerate(indices) for i in _rows_of(d, prompts, place)]
        rows = torch.tensor([row for row, _ in wanted], device=hidden.device)
        last.append(hidden[rows, ends[rows]])
        parts.append((cached, rows))
        order += [i for _, i in wanted]
    # Back to the order of the prompts, which the random streams follow.
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=loaded.device)
    joined = KeyValues.join(parts)
    if order != sorted(order):
        joined = joined.select(back)
    if keep:
        loaded.answered.add(prompts, joined, room(loaded))
    lengths = torch.tensor([len(p) for p in prompts], device=loaded.device)
    return torch.cat(last)[back], joined, lengths


def _rows_of(
    index: int, prompts: Sequence[list[int]], place: dict[tuple[int, ...], int]
) -> list[int]:
    return [i for i, prompt in enumerate(prompts) if place[tuple(prompt)] == index]
