"""What stands before each next token? Each prompt computed once, then a step a token.

Three ways: a cache that grows (`Branches`), a table that stays (`Table`, on a GPU), and everything
again at each token for a family whose cache cannot be used.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hrlaif.transformer.body import body_of
from hrlaif.transformer.branches import Branches
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.memory import bound
from hrlaif.transformer.prefill import Beginnings, fill, prefill
from hrlaif.transformer.prefix import can_share
from hrlaif.transformer.table import Table

_WIDE = 0.8  # of a table's columns: all of them are read at each step, and the longest begin first


class Move(NamedTuple):
    """One token more for every row; then only some rows go on, and others begin behind them."""

    tokens: list[int]
    kept: list[int] | None = None
    """None: all."""
    fresh: Sequence[list[int]] = ()


def states(
    loaded: Loaded, prompts: Sequence[list[int]], width: int, begun: Beginnings
) -> Generator[Tensor, Move]:
    """Yields hidden states [B, H] before each next token; no row ever holds more than `width`."""
    if not can_share(body_of(loaded.model)):
        return _plain(loaded, prompts)
    if loaded.device.type == "cuda":
        return _in_a_table(loaded, prompts, width, begun)
    return _growing(loaded, prompts, begun)


def _growing(
    loaded: Loaded, prompts: Sequence[list[int]], begun: Beginnings
) -> Generator[Tensor, Move]:
    """For a CPU: only the rows that go on, and only as many columns as they hold."""
    hidden, rows, lengths = prefill(loaded, prompts, begun)
    while True:
        move = yield hidden
        hidden = rows.extend(torch.tensor(move.tokens, device=loaded.device), lengths)
        lengths = lengths + 1
        if move.kept is None:
            continue
        index = torch.tensor(move.kept, dtype=torch.long, device=loaded.device)
        parts = [(hidden[index], rows, lengths[index], move.kept)] if move.kept else []
        if move.fresh:
            new = prefill(loaded, move.fresh, begun)
            parts.append((*new, list(range(len(move.fresh)))))
        hidden = torch.cat([part[0] for part in parts])
        rows = Branches.join([(part[1], part[3]) for part in parts], emptied=True)
        lengths = torch.cat([part[2] for part in parts])
        del parts
        bound()


def _in_a_table(
    loaded: Loaded, prompts: Sequence[list[int]], width: int, begun: Beginnings
) -> Generator[Tensor, Move]:
    """For a GPU: the rows stay in their places, and new ones take those of rows that have ended."""
    places, more = list(range(len(prompts))), width - max(map(len, prompts))
    ends = [len(prompt) + more for prompt in prompts]
    table = Table(body_of(loaded.model), len(places), width)
    hidden = fill(loaded, table, prompts, places, begun)
    while True:
        move = yield hidden
        hidden = table.step(move.tokens, places)
        if move.kept is None:
            continue
        places = [places[number] for number in move.kept]
        ends = [ends[number] for number in move.kept]
        ends += [len(prompt) + more for prompt in move.fresh]
        count, width = len(ends), max(ends, default=1)
        if not table.rows // 2 < count <= table.rows or width < _WIDE * table.width:
            table, places = table.moved(places, count, width), list(range(len(places)))
        parts = [hidden[torch.tensor(move.kept, dtype=torch.long, device=loaded.device)]]
        if move.fresh:
            free = sorted(set(range(table.rows)).difference(places))[: len(move.fresh)]
            parts.append(fill(loaded, table, move.fresh, free, begun))
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
