"""Which tokens do sequences share? Prefix trees, in which each shared token stands once.

A tree is one row of tokens in depth-first order: a token's descendants are the columns after it, up
to its `end`. So token q sees token k where k <= q < end(k), and what a sequence computes in a tree
is what it computes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from hrlaif.transformer.batches import of_trees, rounded

Row = Sequence[int]
_ATTENTION = 3000  # keys that a token may look at in the time of its matrix products (rough)


class Forest(NamedTuple):
    """A batch of trees, and where each sequence's tokens stand in it."""

    tokens: Tensor  # [B, N] int64, 0 for padding
    positions: Tensor  # [B, N] int64, the depth of each token in its tree
    ends: Tensor  # [B, N] int64, the column after each token's last descendant
    lengths: list[int]
    """Of each tree: its columns before the padding."""
    rows: list[int]
    """Of each sequence: its tree."""
    columns: list[list[int]]
    """Of each sequence: the column of each of its tokens."""

    def begins(self) -> list[int]:
        """The place, of B x N, in which each tree begins."""
        rows, width = self.tokens.shape
        return [row * width for row in range(rows)]

    def visible(self) -> Tensor:
        """[B, N, N]: whether query token q sees key token k; padding sees itself alone."""
        index = torch.arange(self.tokens.shape[1], device=self.ends.device)
        return (index[None, None] <= index[None, :, None]) & (
            index[None, :, None] < self.ends[:, None, :]
        )


def shared(a: Row, b: Row) -> int:
    """How many tokens two sequences have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def size(rows: Sequence[Row]) -> int:
    """Different tokens in the tree of these sequences."""
    ordered = sorted(rows, key=list)
    common = sum(shared(a, b) for a, b in pairwise(ordered))
    return sum(map(len, ordered)) - common


def groups(rows: Sequence[Row]) -> list[list[int]]:
    """Which sequences grow on one tree: those whose shared tokens outweigh the wider attention.

    A tree of N tokens costs N matrix products and N^2 / `_ATTENTION` of attention, so sequences
    that share next to nothing keep a tree each.
    """
    found: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(rows)), key=lambda i: list(rows[i])):
        row = rows[index]
        common = shared(rows[found[-1][-1]], row) if found else 0
        wider = (tokens + len(row) - common) ** 2 - tokens**2 - len(row) ** 2
        if found and common * _ATTENTION > wider:
            found[-1].append(index)
            tokens += len(row) - common
        else:
            found.append([index])
            tokens = len(row)
    return found


def micro_batches(rows: Sequence[Row], budget: int | None = None) -> list[list[int]]:
    """Indices of the sequences of each batch; those on one tree stay together.

    As `of_trees`. Every index occurs exactly once.
    """
    trees = groups(rows)
    sizes = [size([rows[i] for i in tree]) for tree in trees]
    return [[i for t in part for i in trees[t]] for part in of_trees(sizes, budget)]


def plant(rows: Sequence[Row], device: torch.device | str = "cpu") -> Forest:
    """The trees of `groups(rows)` as one padded batch."""
    where, columns = [0] * len(rows), [[0]] * len(rows)
    grown = []
    for number, tree in enumerate(groups(rows)):
        tokens, depths, ends, places = _grow([rows[i] for i in tree])
        grown.append((tokens, depths, ends))
        for i, place in zip(tree, places, strict=True):
            where[i], columns[i] = number, place
    lengths = [len(tokens) for tokens, _, _ in grown]
    width = rounded(max(lengths))
    padded = torch.zeros(3, len(grown), width, dtype=torch.long)
    padded[2] = torch.arange(1, width + 1)
    for number, tree_of in enumerate(grown):
        padded[:, number, : len(tree_of[0])] = torch.tensor(tree_of)
    tokens, depths, ends = padded.to(device)
    return Forest(tokens, depths, ends, lengths, where, columns)


def _grow(rows: Sequence[Row]) -> tuple[list[int], list[int], list[int], list[list[int]]]:
    """Tokens, depths and ends of one tree, and the columns of each of its sorted sequences."""
    tokens: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    columns: list[list[int]] = []
    path: list[int] = []
    for number, row in enumerate(rows):
        common = shared(rows[number - 1], row) if number else 0
        for column in path[common:]:
            ends[column] = len(tokens)
        new = range(len(tokens), len(tokens) + len(row) - common)
        path = [*path[:common], *new]
        tokens += row[common:]
        depths += range(common, len(row))
        ends += [0] * len(new)
        columns.append(path)
    for column in path:
        ends[column] = len(tokens)
    return tokens, depths, ends, columns
