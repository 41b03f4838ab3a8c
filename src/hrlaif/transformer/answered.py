"""What was answered at length is asked again with the answer behind it: the first part is kept.

A judge that reasons first writes its reasons to a question, and is then asked for a label behind
the same question and these reasons. The question's tokens are computed once, for both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from hrlaif.transformer.body import device_of
from hrlaif.transformer.branches import Branches
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.prefix import continue_behind
from hrlaif.transformer.tree import Row, shared

_WORTH = 32  # tokens; less is computed again in less time than it is copied


class Held(NamedTuple):
    """Where the beginning of a row is kept."""

    part: KeyValues
    row: int
    length: int
    """Tokens that both have in common."""


@final
class Answered:
    """The prompts that were answered last, with their caches; for models that do not change."""

    def __init__(self) -> None:
        self._known: list[tuple[list[int], int, int]] = []  # sorted: tokens, part, row in it
        self._parts: list[KeyValues] = []
        self._tokens = 0

    def clear(self) -> None:
        """Nothing more is asked about them."""
        self._known, self._parts, self._tokens = [], [], 0

    def add(self, prompts: Sequence[list[int]], cached: Branches, room: int) -> None:
        """A copy of the cache of these prompts, a row each, while there is room for its tokens."""
        first = {tuple(prompt): row for row, prompt in reversed(list(enumerate(prompts)))}
        tokens = len(first) * max(map(len, first))
        if self._tokens + tokens > room:
            return
        self._parts.append(cached.whole(list(first.values())))
        part = len(self._parts) - 1
        self._known += [(list(prompt), part, row) for row, prompt in enumerate(first)]
        self._known.sort()
        self._tokens += tokens

    def find(self, row: list[int], beyond: int) -> Held | None:
        """The kept prompt with which a row has most in common, if it is well `beyond` so many."""
        place = bisect_left(self._known, (row,))
        near = self._known[max(0, place - 1) : place + 1]  # neighbours share the longest beginning
        held = [
            Held(self._parts[p], r, min(shared(known, row), len(row) - 1)) for known, p, r in near
        ]
        best = max(held, key=lambda one: one.length, default=None)
        return best if best is not None and best.length >= beyond + _WORTH else None


def last_states(
    rows: Sequence[Row], held: Sequence[Held], paths: Iterable[Sequence[int]]
) -> Iterator[Tensor]:
    """For each path: last hidden states [B, H] of the rows, whose beginnings are held, and it."""
    device = device_of(held[0].part.body)
    parts = [(one.part.beginning(one.length), one.row) for one in held]
    cached = KeyValues.join([(part, torch.tensor([row], device=device)) for part, row in parts])
    done, lengths = [one.length for one in held], torch.tensor([len(row) for row in rows])
    hidden = continue_behind(cached, rows, done)
    ends = (lengths - torch.tensor(done) - 1).to(device)
    length = cached.length
    for path in paths:
        if not path:
            yield hidden[torch.arange(len(rows), device=device), ends]
            continue
        tokens = torch.tensor([list(path)] * len(rows), device=device)
        positions = (lengths[:, None] + torch.arange(len(path))).to(device)
        yield cached.extend(tokens, positions, torch.ones_like(tokens, dtype=torch.bool))[:, -1]
        cached.crop(length)
