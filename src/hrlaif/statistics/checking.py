"""Which labels should a person check, when only so many can be checked?

A person is sent where the judge is likely to be wrong, more often but not only: every label keeps a
chance, and each checked one counts by the inverse of its chance, so the estimate stays unbiased
(Zrnic and Candes, Active statistical inference, arXiv 2403.03208).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from hrlaif.statistics.figures import Floats, numbered
from hrlaif.statistics.shares import Z95

UNIFORM = 0.2
"""Share of the chances spread evenly, so that no weight becomes huge."""


def doubt(probabilities: Sequence[float] | Floats) -> Floats:
    """sqrt(c (1 - c)) of confidences c: the standard deviation of being right, from 0 to 0.5."""
    p = np.asarray(probabilities, np.float64)
    return np.asarray(np.sqrt(p * (1 - p)))


def disagreement(labels: Sequence[Sequence[float]] | Floats) -> Floats:
    """sqrt(s (1 - s)) where s is the share of labelers [L, N] that prefer a; 0.5 is half."""
    several = np.asarray(labels, np.float64)
    votes = np.where(several == 0.5, 0.5, (several > 0.5).astype(np.float64))
    return doubt(votes.mean(0))


def chances(interest: Sequence[float] | Floats, budget: int) -> Floats:
    """Each label's chance of being checked: they sum to the budget, and none is above 1.

    Proportional to the interest, but for an evenly spread fifth.
    """
    wish = np.asarray(interest, np.float64)
    count = wish.size
    if budget >= count:
        return np.ones(count)
    wish = wish / wish.sum() if wish.sum() > 0 else np.full(count, 1 / count)
    wish = (1 - UNIFORM) * wish + UNIFORM / count
    found, sure = np.zeros(count), np.zeros(count, bool)
    while True:
        left = budget - int(sure.sum())
        found = np.where(sure, 1.0, left * wish / wish[~sure].sum())
        if not (found > 1).any():
            return found
        sure |= found >= 1


def draw(chance: Sequence[float] | Floats, *, seed: int) -> list[int]:
    """Positions of the labels to check, each with its own chance; exactly as many as they sum to.

    Systematic sampling: labels in a random order laid end to end, one pin every unit of length.
    """
    share = np.asarray(chance, np.float64)
    coins = np.random.default_rng([seed, 2])  # apart from what drew the data
    order = coins.permutation(share.size)
    ends = np.cumsum(share[order])
    budget = round(float(ends[-1])) if share.size else 0
    pins = coins.random() + np.arange(budget)
    at = np.searchsorted(ends, np.minimum(pins, ends[-1] - 1e-9), side="right")
    return sorted(int(i) for i in order[np.unique(at)])


def done(chance: Sequence[float] | Floats, left: int) -> float:
    """By what the chances of a check are multiplied where people did only the first of its rows.

    `chance`: of the rows that they did, which stand in a random order; `left`: how many items have
    nobody's word. Both together are what was drawn from, so that many the rows stand for: their
    1 / (chance x factor) sum to it. 1 where nothing is left, or nothing was done.
    """
    weights = 1 / np.asarray(chance, np.float64)
    return float(weights.sum()) / (weights.size + left) if left and weights.size else 1.0


def planned_half_width(
    probability: Sequence[float] | Floats,
    chance: Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
) -> float:
    """Half of the 95 % interval to expect of a share, if each item's probability p is right.

    Var = 1/N^2 sum of p (1 - p) / chance + var(mean of p), the latter by clusters. Confidences give
    the agreement, probabilities that a is better the share in which it is.
    """
    p = np.asarray(probability, np.float64)
    errors = float((p * (1 - p) / chance).sum())
    codes, _ = numbered(clusters, p.size)
    shifts = np.bincount(codes, weights=p - p.mean())
    return Z95 * math.sqrt(errors + float(shifts @ shifts)) / p.size
