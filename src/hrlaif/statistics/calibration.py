"""When the judge says 80 %, is it right in 80 %? Calibration error, and what mends it.

Guo et al., arXiv 1706.04599 (temperature), Zadrozny and Elkan, KDD 2002 (isotonic), Nguyen and
O'Connor, EMNLP 2015 (bins of equal mass). Where no label is wrong the likeliest map is certainty:
there it is fitted to Platt's targets (Advances in Large Margin Classifiers, 1999).
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
    effective,
    mean,
    numbered,
    student,
    weighed,
)
from hrlaif.statistics.logistic import fit, logit, sigmoid
from hrlaif.statistics.shares import wilson

BINS = 10
_RESAMPLES = 1000
_TINY = 1e-9
Weights = Sequence[float] | Floats


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
    weights: Weights | None = None,
    seed: int = 0,
) -> Figure:
    """Mean of (p - y)^2: probabilities against outcomes in [0, 1]."""
    gaps = np.asarray(p, np.float64) - np.asarray(y, np.float64)
    return mean(gaps**2, clusters=clusters, weights=weights, share=True, seed=seed)


def reliability(
    p: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    bins: int = BINS,
    clusters: Sequence[Hashable] | None = None,
    weights: Weights | None = None,
    seed: int = 0,
) -> list[Bin]:
    """Bins that hold about equally many probabilities; equal ones are never split.

    `weights`: how many each stands for, as in `mean`; the bins hold equally many all the same.
    """
    said, found = np.asarray(p, np.float64), np.asarray(y, np.float64)
    if not said.size:
        return []
    which = _bins(said, bins)
    names = numbered(clusters, said.size)[0]
    weight = weighed(weights, said.size)
    return [
        Bin(
            said=float(np.average(said[among], weights=weight[among])),
            happened=mean(
                found[among],
                clusters=names[among].tolist(),
                weights=weight[among],
                share=True,
                seed=seed,
            ),
        )
        for b in np.unique(which)
        for among in [which == b]
    ]


def ece(
    p: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    bins: int = BINS,
    clusters: Sequence[Hashable] | None = None,
    weights: Weights | None = None,
    seed: int = 0,
) -> Figure:
    """Expected calibration error: sum over equal-mass bins of their share times |said - happened|.

    The value is the usual one, which chance alone makes positive. The interval is around the value
    less its bias as the bootstrap sees it, as wide as its spread and that correction together, and
    it begins at 0 where outcomes drawn from the probabilities themselves give as much in 2.5 % of
    draws (consistency resampling, Broecker and Smith, 2007). So it can end below the value. Where
    prompts have several values, they are not independent: there the errors seen, with one random
    sign a prompt, stand in for drawn ones (wild cluster bootstrap, Cameron et al., 2008).
    """
    said, found = np.asarray(p, np.float64), np.asarray(y, np.float64)
    if not said.size:
        return NOTHING
    which, gaps, weight = _bins(said, bins), said - found, weighed(weights, said.size)
    value = float(_ece(weight[None], gaps, which)[0])
    codes, count = numbered(clusters, said.size)
    if count < 2:
        return Figure(value=value, low=None, high=None, n=said.size)
    # Each bin with its own sign: near 0 the absolute values of resamples hide their spread.
    signs = np.sign(np.bincount(which, weights=weight * gaps))[which]
    errors, signed = [], []
    for drawn in draws(count, seed=seed, resamples=_RESAMPLES, width=said.size):
        times = drawn[:, codes] * weight
        errors.append(_ece(times, gaps, which))
        signed.append(times @ (gaps * signs) / times.sum(1))
    bias = float(np.concatenate(errors).mean()) - value
    spread = float(np.concatenate(signed).std())
    half = student(count - 1) * math.hypot(spread, bias)
    if spread < _TINY:  # equal errors: one in a prompt not seen yet is as rare as Wilson's bound
        half = wilson(0, count)[1]
    by_chance = _by_chance(_null(said, gaps, codes, seed=seed), weight, which)
    low = 0.0 if value <= by_chance else max(0.0, value - bias - half)
    return Figure(value=value, low=low, high=min(1.0, value - bias + half), n=said.size)


def temperature(
    p: Sequence[float] | Floats, y: Sequence[float] | Floats, *, weights: Weights | None = None
) -> Calibration:
    """sigmoid(logit(p) / T) with the T of the highest likelihood; outcomes y in [0, 1].

    A judge that is wrong more often than right gets slope 0: every label becomes 0.5.
    """
    x, weight = logit(np.asarray(p, np.float64))[:, None], weighed(weights, len(p))
    slope = float(fit(x, _targets(p, y, weight), weight[None])[0, 0])
    return Calibration(method="temperature", slope=max(0.0, slope), n=len(x))


def isotonic(
    p: Sequence[float] | Floats, y: Sequence[float] | Floats, *, weights: Weights | None = None
) -> Calibration:
    """The best monotone map in squares (pool adjacent violators), fitted to both orientations.

    Every (p, y) also counts as (1 - p, 1 - y), so that swapping a and b mirrors the label.
    """
    one, own = np.asarray(p, np.float64), weighed(weights, len(p))
    outcome = _targets(p, y, own)
    said, found = np.concatenate([one, 1 - one]), np.concatenate([outcome, 1 - outcome])
    knots, inverse = np.unique(said.round(12), return_inverse=True)
    weight = np.tile(own, 2)
    sizes = np.asarray(np.bincount(inverse, weights=weight), np.float64)
    values = pooled(np.bincount(inverse, weights=weight * found) / sizes, sizes)
    return Calibration(
        method="isotonic", x=tuple(knots.tolist()), y=tuple(values.tolist()), n=len(said) // 2
    )


def all_right(p: Sequence[float] | Floats, y: Sequence[float] | Floats) -> bool:
    """True where every p but those of 0.5 names its outcome, and that is 0 or 1.

    No slope is then large enough to be the likeliest.
    """
    side, truth = np.sign(np.asarray(p, np.float64) - 0.5), np.asarray(y, np.float64)
    return bool(side.any() and (side * (2 * truth - 1) == np.abs(side)).all())


def _targets(p: Sequence[float] | Floats, y: Sequence[float] | Floats, weights: Floats) -> Floats:
    """What a map is fitted to [N]: y, but of n labels that are all right (n + 1) / (n + 2)."""
    truth = np.asarray(y, np.float64)
    if not all_right(p, truth):
        return truth
    n = effective(weights[np.asarray(p, np.float64) != 0.5])
    return np.where(truth > 0.5, n + 1, 1.0) / (n + 2)


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
            f"{path}: no such file, seen from {Path.cwd()}: give a calibration that `hrlaif study` "
            "wrote"
        ) from None
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} is no calibration ({type(error).__name__}): give one that `hrlaif study` wrote"
        ) from None


def _bins(said: Floats, bins: int) -> Codes:
    """The number of each value's bin; the edges are quantiles, as in scikit-learn.

    Values within 1e-9 are equal: what a map leaves of a sum is no difference.
    """
    said = np.round(said, 9)
    edges = np.round(np.quantile(said, np.linspace(0, 1, bins + 1)[1:-1]), 12)
    return np.asarray(np.searchsorted(edges, said), np.intp)


def _ece(weights: Floats, gaps: Floats, which: Codes) -> Floats:
    """[B] of weights [B, N]: a bin's share times its |mean gap| is |its sum of gaps| / total."""
    member = (which[:, None] == np.unique(which)).astype(np.float64)  # [N, bins]
    sums = weights @ (gaps[:, None] * member)
    return np.asarray(np.abs(sums).sum(1) / weights.sum(1))


def _null(said: Floats, gaps: Floats, codes: Codes, *, seed: int) -> Floats:
    """[500, N] errors of a perfectly calibrated judge."""
    coins = np.random.default_rng([seed, 1])
    count = int(codes.max()) + 1
    if count == said.size:
        return np.asarray(said - (coins.random((500, said.size)) < said))
    return np.asarray(coins.choice((-1.0, 1.0), (500, count))[:, codes] * gaps)


def _by_chance(errors: Floats, weight: Floats, which: Codes) -> float:
    """The calibration error that 2.5 % of these rows of errors exceed."""
    member = (which[:, None] == np.unique(which)).astype(np.float64)
    sums = np.abs((errors * weight) @ member).sum(1)
    return float(np.quantile(sums / weight.sum(), 0.975))
