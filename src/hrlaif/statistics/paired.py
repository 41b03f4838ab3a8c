"""Is one way of judging better than another, when both judged the same pairs?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import final

import numpy as np

from hrlaif.statistics.figures import (
    Figure,
    Floats,
    Measured,
    difference,
    drawn_means,
    numbered,
    weighed,
)


@final
class Paired(Measured):
    """A paired difference, and how likely one as large is when there is none."""

    difference: Figure
    """Mean of this minus the other."""
    p: float | None
    """Two-sided, from the bootstrap over prompts; None with fewer than two prompts."""
    p_holm: float | None = None
    """The same, corrected for all the comparisons made together."""


def paired(
    these: Sequence[float] | Floats,
    others: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | Floats | None = None,
    share: bool = False,
    seed: int = 0,
) -> Paired:
    """Values of two methods, or of two runs, on the same items in the same order.

    `weights` and `share` are those of `difference`.

    p = (1 + #{|d* - d| >= |d|}) / (1 + resamples): how often resampling moves the mean as far from
    itself as it lies from zero (Efron and Tibshirani, An introduction to the bootstrap, 16.4). It
    is never below 2^(1 - prompts), the chance that the signs of so many are all the same.
    """
    found = difference(these, others, clusters=clusters, weights=weights, share=share, seed=seed)
    gaps = np.asarray(these, np.float64) - np.asarray(others, np.float64)
    codes, count = numbered(clusters, gaps.size)
    if count < 2:
        return Paired(difference=found, p=None)
    if np.ptp(gaps) == 0:
        return Paired(difference=found, p=1.0 if gaps[0] == 0 else 2.0 ** (1 - count))
    weight = weighed(weights, gaps.size)
    gap = float((weight * gaps).sum() / weight.sum())
    moved = drawn_means(gaps, weight, codes, seed=seed) - gap
    # The bootstrap's spread is that of n values with divisor n; see figures.tail_of.
    moved *= math.sqrt(count / (count - 1))
    extreme = int((np.abs(moved) >= abs(gap) - 1e-12).sum())
    p = (1 + extreme) / (1 + moved.size)
    return Paired(difference=found, p=max(p, 2.0 ** (1 - count)))


def against_base(
    values: Mapping[str, Sequence[float | None]],
    base: str,
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | Floats | None = None,
    share: bool = False,
    seed: int = 0,
) -> dict[str, Paired]:
    """Each method against the base on the items that both have a value of, else None.

    Holm-corrected over the methods that could be tested.
    """
    found = {}
    for name, own in values.items():
        both = [n for n, pair in enumerate(zip(own, values[base], strict=True)) if None not in pair]
        if name != base:
            found[name] = paired(
                [own[n] or 0.0 for n in both],
                [values[base][n] or 0.0 for n in both],
                clusters=None if clusters is None else [clusters[n] for n in both],
                weights=None if weights is None else [weights[n] for n in both],
                share=share,
                seed=seed,
            )
    return corrected(found)


def corrected(found: Mapping[str, Paired]) -> dict[str, Paired]:
    """The same comparisons with `p_holm`, over those that have a p."""
    known = {name: one.p for name, one in found.items() if one.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return {
        name: one.model_copy(update={"p_holm": adjusted.get(name)}) for name, one in found.items()
    }


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (Scandinavian Journal of Statistics 6, 1979), in the given order.

    The smallest is multiplied by m, the next by m - 1, and so on; none falls below the one before.
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        found[i] = highest
    return found


def sign_test(successes: int, n: int) -> float:
    """Exact two-sided p of `successes` in n throws of a fair coin; 1 when nothing was thrown."""
    if n == 0:
        return 1.0
    extreme = min(successes, n - successes)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(extreme + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))
