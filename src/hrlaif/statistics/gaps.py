"""By how much do two shares differ, of the same rows or of others? Never with a width of zero."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.statistics.figures import (
    NOTHING,
    Codes,
    Figure,
    Floats,
    draws,
    interval,
    mean,
    numbered,
    weighed,
    within,
    worth,
)

Marks = Sequence[tuple[Hashable, float]]
"""The prompt of each row, and its mark within 0 and 1."""
Weights = tuple[Sequence[float], Sequence[float]]
"""For how many rows each row of the two sides stands."""
_Side = tuple[Marks, Floats]
"""Marks and their weights, whose mean is 1."""


class Gap(NamedTuple):
    """Two shares, and the first less the second."""

    difference: Figure
    first: Figure
    second: Figure


def gap(
    first: Marks,
    second: Marks,
    *,
    weights: Weights | None = None,
    paired: bool = False,
    seed: int = 0,
) -> Gap:
    """Mean mark of `first` less that of `second`; `paired` rows (same number of each) count once.

    Whole prompts are drawn again with all that both sides have of them, so what is paired stays so;
    the tail is that of the side with fewer prompts. Where a side has no spread, or their difference
    has none, a bootstrap sees no doubt: the sides' own intervals are then joined (`joined`). None
    where a side is empty; no interval where one stands on a single prompt.
    """
    if paired and len(first) != len(second):
        raise ValueError(f"paired marks: {len(first)} first, {len(second)} second")
    sides = [
        (marks, weighed(weights and weights[n], len(marks)))
        for n, marks in enumerate((first, second))
    ]
    one, other = (_share(*side, seed) for side in sides)
    n = len(first) if paired else len(first) + len(second)
    if one.value is None or other.value is None:
        return Gap(NOTHING.model_copy(update={"n": n}), one, other)
    value = one.value - other.value
    if min(len({name for name, _ in marks}) for marks, _ in sides) < 2:
        return Gap(Figure(value=value, low=None, high=None, n=n), one, other)
    resampled = _resampled(sides, seed)
    flat = any(len({mark for _, mark in marks}) == 1 for marks in (first, second))
    if flat or np.ptp(resampled) < 1e-12:
        return Gap(joined(one, other).model_copy(update={"n": n}), one, other)
    clusters = max(2, round(min(_worth(*side) for side in sides)))
    found = interval(value, resampled, n=n, clusters=clusters)
    return Gap(within(found, -1.0, 1.0), one, other)


def joined(one: Figure, other: Figure) -> Figure:
    """The difference of two independent shares from the interval of each; no n.

    d - sqrt((p - l)^2 + (u' - p')^2) to d + sqrt((u - p)^2 + (p' - l')^2): Newcombe, Statistics in
    Medicine 17, 1998, method 10, also called MOVER.
    """
    ends = (one.value, one.low, one.high, other.value, other.low, other.high)
    p, low, high, q, below, above = (math.nan if end is None else end for end in ends)
    value = p - q
    return Figure(
        value=value,
        low=value - math.hypot(p - low, above - q),
        high=value + math.hypot(high - p, q - below),
        n=0,
    )


def _share(marks: Marks, weights: Floats, seed: int) -> Figure:
    names = [name for name, _ in marks]
    values = [mark for _, mark in marks]
    return mean(values, clusters=names, weights=weights, share=True, seed=seed)


def _worth(marks: Marks, weights: Floats) -> float:
    """How many prompts, as if all rows had equal weights."""
    return worth(len({name for name, _ in marks}), weights, len(marks))


def _resampled(sides: Sequence[_Side], seed: int) -> Floats:
    """Differences of the shares of resamples in which both sides occur."""
    names = [name for marks, _ in sides for name, _ in marks]
    codes, count = numbered(names, len(names))
    own = np.split(codes, [len(sides[0][0])])
    totals = [_totals(*side, at, count) for side, at in zip(sides, own, strict=True)]
    found = []
    for drawn in draws(count, seed=seed):
        with np.errstate(invalid="ignore"):
            shares = [(drawn @ sums) / (drawn @ sizes) for sums, sizes in totals]
        found.append(shares[0] - shares[1])
    gaps = np.concatenate(found)
    return np.asarray(gaps[~np.isnan(gaps)], np.float64)


def _totals(marks: Marks, weights: Floats, codes: Codes, count: int) -> tuple[Floats, Floats]:
    values = np.array([mark for _, mark in marks], np.float64)
    sums = np.bincount(codes, weights=weights * values, minlength=count).astype(np.float64)
    return sums, np.bincount(codes, weights=weights, minlength=count).astype(np.float64)
