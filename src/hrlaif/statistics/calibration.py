"""When the judge says 80 %, is it right in 80 %? Calibration error, and what mends it.

Guo et al., arXiv 1706.04599 (temperature), Zadrozny and Elkan, KDD 2002 (isotonic), Nguyen and
O'Connor, EMNLP 2015 (bins of equal mass).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import ValidationError

from hrlaif.errors import DataError
from hrlaif.statistics.figures import (
    NOTHING,
    Codes,
    Figure,
    Floats,
    Measured,
    draws,
    mean,
    numbered,
    student,
)
from hrlaif.statistics.logistic import fit, logit, sigmoid

BINS = 10
_RESAMPLES = 1000


@final
class Bin(Measured):
    """One bar of a reliability diagram."""

    said: float
    """Mean probability in the bin."""
    happened: Figure
    """Mean outcome in the bin."""


@final
class Calibration(Measured):
    """A monotone map from what a judge says to how often it is so; 1 - p goes to 1 - its image."""

    method: Literal["temperature", "isotonic"]
    slope: float | None = None
    """Temperature: 1 / T, the factor on the log-odds; below 1 the judge was too sure."""
    x: tuple[float, ...] = ()
    """Isotonic: knots; between them the map is linear."""
    y: tuple[float, ...] = ()
    n: int = 0
    """Labels that it was fitted to."""
    judge: str = ""
    labeler: str = ""

    def apply(self, p: float) -> float:
        """The calibrated probability."""
        if self.method == "temperature":
            return float(sigmoid((self.slope or 0.0) * logit(np.array([p])))[0])
        return float(np.interp(p, self.x, self.y))


def brier(
    p: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Mean of (p - y)^2: probabilities against outcomes in [0, 1]."""
    gaps = np.asarray(p, np.float64) - np.asarray(y, np.float64)
    return mean(gaps**2, clusters=clusters, seed=seed)


def reliability(
    p: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    bins: int = BINS,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> list[Bin]:
    """Bins that hold about equally many probabilities; equal ones are never split."""
    said, found = np.asarray(p, np.float64), np.asarray(y, np.float64)
    if not said.size:
        return []
    which = _bins(said, bins)
    names = np.arange(said.size) if clusters is None else numbered(clusters, said.size)[0]
    return [
        Bin(
            said=float(said[which == b].mean()),
            happened=mean(
                found[which == b], clusters=names[which == b].tolist(), share=True, seed=seed
            ),
        )
        for b in np.unique(which)
    ]


def ece(
    p: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    bins: int = BINS,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Expected calibration error: sum over equal-mass bins of their share times |said - happened|.

    The value is the usual one, which chance alone makes positive. The interval is around the value
    less its bias as the bootstrap sees it, as wide as its spread and that correction together, and
    it begins at 0 where outcomes drawn from the probabilities themselves give as much in 2.5 % of
    draws (consistency resampling, Broecker and Smith, 2007). So it can end below the value.
    """
    said, found = np.asarray(p, np.float64), np.asarray(y, np.float64)
    if not said.size:
        return NOTHING
    which = _bins(said, bins)
    value = float(_ece(np.ones((1, said.size)), said - found, which)[0])
    codes, count = numbered(clusters, said.size)
    if count < 2:
        return Figure(value=value, low=None, high=None, n=said.size)
    gaps = said - found
    # Each bin with its own sign: near 0 the absolute values of resamples hide their spread.
    signs = np.sign(np.bincount(which, weights=gaps))[which]
    errors, signed = [], []
    for drawn in draws(count, seed=seed, resamples=_RESAMPLES, width=said.size):
        weights = drawn[:, codes]
        errors.append(_ece(weights, gaps, which))
        signed.append(weights @ (gaps * signs) / weights.sum(1))
    bias = float(np.concatenate(errors).mean()) - value
    half = student(count - 1) * math.hypot(float(np.concatenate(signed).std()), bias)
    low = 0.0 if value <= _by_chance(said, which, seed) else max(0.0, value - bias - half)
    return Figure(value=value, low=low, high=min(1.0, value - bias + half), n=said.size)


def temperature(p: Sequence[float] | Floats, y: Sequence[float] | Floats) -> Calibration:
    """sigmoid(logit(p) / T) with the T of the highest likelihood; outcomes y in [0, 1].

    A judge that is wrong more often than right gets slope 0: every label becomes 0.5.
    """
    x = logit(np.asarray(p, np.float64))[:, None]
    slope = float(fit(x, np.asarray(y, np.float64), np.ones((1, len(x))))[0, 0])
    return Calibration(method="temperature", slope=max(0.0, slope), n=len(x))


def isotonic(p: Sequence[float] | Floats, y: Sequence[float] | Floats) -> Calibration:
    """The best monotone map in squares (pool adjacent violators), fitted to both orientations.

    Every (p, y) also counts as (1 - p, 1 - y), so that swapping a and b mirrors the label.
    """
    said = np.concatenate([np.asarray(p, np.float64), 1 - np.asarray(p, np.float64)])
    found = np.concatenate([np.asarray(y, np.float64), 1 - np.asarray(y, np.float64)])
    knots, inverse = np.unique(said.round(12), return_inverse=True)
    sizes = np.bincount(inverse).astype(np.float64)
    values = pooled(np.bincount(inverse, weights=found) / sizes, sizes)
    return Calibration(
        method="isotonic", x=tuple(knots.tolist()), y=tuple(values.tolist()), n=len(said) // 2
    )


def pooled(values: Floats, weights: Floats) -> Floats:
    """The non-decreasing sequence nearest to `values` in weighted squares."""
    blocks: list[list[float]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last = blocks.pop()
            first = blocks[-1]
            total = first[1] + last[1]
            first[0] = (first[0] * first[1] + last[0] * last[1]) / total
            first[1], first[2] = total, first[2] + last[2]
    return np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks])


def read_calibration(path: Path) -> Calibration:
    """A map that `hrlaif study` wrote. Raises DataError naming the file and the next move."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file: give a calibration that `hrlaif study` wrote"
        ) from None
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} is no calibration ({type(error).__name__}): give one that `hrlaif study` wrote"
        ) from None


def _bins(said: Floats, bins: int) -> Codes:
    """The number of each value's bin; the edges are quantiles, as in scikit-learn."""
    edges = np.quantile(said, np.linspace(0, 1, bins + 1)[1:-1])
    return np.asarray(np.searchsorted(edges, said), np.intp)


def _ece(weights: Floats, gaps: Floats, which: Codes) -> Floats:
    """[B] of weights [B, N]: a bin's share times its |mean gap| is |its sum of gaps| / total."""
    member = (which[:, None] == np.unique(which)).astype(np.float64)  # [N, bins]
    sums = weights @ (gaps[:, None] * member)
    return np.asarray(np.abs(sums).sum(1) / weights.sum(1))


def _by_chance(said: Floats, which: Codes, seed: int) -> float:
    """The error that a perfectly calibrated judge exceeds in 2.5 % of draws."""
    coins = np.random.default_rng([seed, 1])
    drawn = coins.random((500, said.size)) < said
    member = (which[:, None] == np.unique(which)).astype(np.float64)
    return float(np.quantile(np.abs((said - drawn) @ member).sum(1) / said.size, 0.975))
