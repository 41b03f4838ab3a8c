"""What is the mean, and between which bounds? Bootstrap over prompts, not over rows.

Rows of one prompt are not independent, so whole prompts are drawn again. Percentile interval,
95 %, widened for few prompts as Student's t is (Hesterberg, "What teachers should know about the
bootstrap", 2015, the expanded percentile interval), seeded: the same values give the same figure on
every machine. Resamples of four prompts and fewer do not reach that far: there it is Student's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hrlaif.records import Record, Row
from hrlaif.statistics.shares import Z95, by_spread, of_gaps, wilson

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
"""Numbers that stand for names, such as those of prompts."""
RESAMPLES = 2000
_STUDENT = (12.706204736, 4.30265273, 3.182446305)  # the 97.5 % points at 1, 2 and 3
_CELLS = 4_000_000  # numbers held at once by a block of resamples: 32 MB
_FEW = 4  # prompts; a sample of one of them alone is then more frequent than the tail
_ALIKE = 1e-9  # values nearer than this differ by what rounding left
_KEPT = 1_000_000  # numbers of resamples kept for the next figure: 8 MB


class Measured(Record):
    """A record whose row keeps what is not known, as null."""

    def row(self) -> Row:
        """All fields, nulls included."""
        return self.model_dump(mode="json")


@final
class Figure(Measured):
    """A number with its 95 % interval; what is not known is None, never 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """How many values went in."""

    def excludes(self, value: float) -> bool:
        """True when the interval is known and the value lies outside it."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


NOTHING = Figure(value=None, low=None, high=None, n=0)


def mean(
    values: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | Floats | None = None,
    share: bool = False,
    seed: int = 0,
) -> Figure:
    """The mean of the values; `clusters` names each value's prompt (default: one value a prompt).

    `weights` say how many values each stands for, such as 1 / its chance of having been asked; only
    their proportions count (Hajek 1971). The interval is then that of as many prompts as would say
    as much with equal weights (Kish 1965).

    That of a `share` (values within 0 and 1) reaches at least as far as `shares.by_spread` says. A
    bootstrap sees no spread in equal values, nor in prompts of equal means. When they are a share
    the interval is then Wilson's over the prompts; else it is the value itself. A single prompt has
    no interval, but for equal shares.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return NOTHING
    if not np.isfinite(data).all():
        raise ValueError("a mean over NaN or infinity: leave out what is unknown, and count it")
    codes, count = numbered(clusters, data.size)
    weight = weighed(weights, data.size)
    prompts = worth(count, weight, data.size)
    equal = np.ptp(data) == 0
    value = float(data[0] if equal else (weight * data).sum() / weight.sum())
    if count < 2 and not (share and equal):
        return Figure(value=value, low=None, high=None, n=data.size)
    means = drawn_means(data, weight, codes, seed=seed)
    if share and np.ptp(means) < _ALIKE:
        low, high = wilson(value * prompts, prompts)
        return Figure(value=value, low=min(low, value), high=max(high, value), n=data.size)
    found = interval(value, means, n=data.size, clusters=max(2, round(prompts)))
    if not share:
        return found
    return within(reaching(found, *by_spread(data, weight, codes)[1:]), 0.0, 1.0)


def weighed(weights: Sequence[float] | Floats | None, n: int) -> Floats:
    """Weights whose mean is 1; by default n of 1. Raises ValueError for any that is not above 0."""
    if weights is None:
        return np.ones(n)
    given = np.asarray(weights, dtype=np.float64)
    if given.size != n:
        raise ValueError(f"{n} values with {given.size} weights")
    if not (np.isfinite(given) & (given > 0)).all():
        raise ValueError("a weight is how many values one stands for: above 0, and finite")
    return np.asarray(given / given.mean() if n else given)


def effective(weights: Floats) -> float:
    """How many equal weights are worth as much: (sum w)^2 / sum w^2 (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if weights.size else 0.0


def worth(clusters: int, weights: Sequence[float] | Floats | None, n: int) -> float:
    """As how many of the `clusters` of n values they count, if the weights were equal."""
    return clusters * effective(weighed(weights, n)) / n


def drawn_means(values: Floats, weights: Floats, codes: Codes, *, seed: int) -> Floats:
    """[RESAMPLES] weighted means over whole clusters drawn again."""
    count = int(codes.max()) + 1
    sums = np.bincount(codes, weights=weights * values, minlength=count)
    sizes = np.bincount(codes, weights=weights, minlength=count)
    return np.concatenate([(d @ sums) / (d @ sizes) for d in draws(count, seed=seed)])


def bootstrapped(
    estimate: Callable[[Floats], Floats],
    n: int,
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | Floats | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Any estimate of n values: `estimate` maps weights [B, n] to values [B], NaN where undefined.

    The value is the estimate at weights of 1; the interval that of whole clusters drawn again.
    `weights` are those that `estimate` puts in by itself: the interval is that of as many prompts
    as would say as much with equal ones.
    """
    value = float(estimate(np.ones((1, n)))[0]) if n else math.nan
    if math.isnan(value):
        return Figure(value=None, low=None, high=None, n=n)
    codes, count = numbered(clusters, n)
    if count < 2:
        return Figure(value=value, low=None, high=None, n=n)
    blocks = draws(count, seed=seed, resamples=resamples, width=n)
    found = np.concatenate([estimate(drawn[:, codes]) for drawn in blocks])
    known = found[~np.isnan(found)]
    if not known.size:
        return Figure(value=value, low=None, high=None, n=n)
    return interval(value, known, n=n, clusters=max(2, round(worth(count, weights, n))))


def difference(
    after: Sequence[float] | Floats,
    before: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    weights: Sequence[float] | Floats | None = None,
    share: bool = False,
    seed: int = 0,
) -> Figure:
    """Mean of after minus before, paired value by value.

    Where all differences are the same g, a bootstrap sees no spread. If both sides are a `share`
    (within 0 and 1), a prompt that deviates is as rare as Wilson's bound w of none seen allows:
    g - w (1 + g) to g + w (1 - g). Else there is no interval. That of shares which differ in some
    reaches at least as far as `shares.of_gaps` says.
    """
    if len(after) != len(before):
        raise ValueError(f"paired values: {len(after)} after, {len(before)} before")
    gaps = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    found = mean(gaps, clusters=clusters, weights=weights, seed=seed)
    if found.low is None or found.high is None:
        return found
    codes, count = numbered(clusters, gaps.size)
    prompts = worth(count, weights, gaps.size)
    if found.high - found.low > _ALIKE:
        if not share:
            return found
        ends = of_gaps(gaps, weighed(weights, gaps.size), codes, prompts=prompts)
        return within(reaching(found, *ends), -1.0, 1.0)
    if not share:
        return found.model_copy(update={"low": None, "high": None})
    rare, g = wilson(0, prompts)[1], found.value or 0.0
    return found.model_copy(update={"low": g - rare * (1 + g), "high": g + rare * (1 - g)})


def entropy_floor(probabilities: Sequence[float] | Floats) -> float | None:
    """Mean entropy of soft labels in nats: the lowest loss any reward model can reach on them."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.size == 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log(p), 0.0) + np.where(p < 1, (1 - p) * np.log1p(-p), 0.0)
    return float(-parts.mean())


def numbered(clusters: Sequence[Hashable] | None, n: int) -> tuple[Codes, int]:
    """Clusters as 0, 1, ... in order of first appearance, and how many there are."""
    if clusters is None:
        return np.arange(n), n
    if len(clusters) != n:
        raise ValueError(f"{n} values with {len(clusters)} cluster names")
    order: dict[Hashable, int] = {}
    codes = np.array([order.setdefault(name, len(order)) for name in clusters], dtype=np.intp)
    return codes, len(order)


def draws(
    count: int, *, seed: int, resamples: int = RESAMPLES, width: int | None = None
) -> Iterator[Floats]:
    """Blocks of resamples [block, count]: how often each cluster was drawn.

    `width` is the row length of what the caller makes of a block, and bounds the block's memory.
    """
    block = max(1, _CELLS // max(width or count, 1))
    if resamples * count <= _KEPT:
        whole = _kept(count, seed, resamples)
        yield from (whole[begin : begin + block] for begin in range(0, resamples, block))
        return
    generator = np.random.default_rng(seed)
    for begin in range(0, resamples, block):
        yield _times(generator, min(block, resamples - begin), count)


@lru_cache(maxsize=4)
def _kept(count: int, seed: int, resamples: int) -> Floats:
    """What most figures of a study are drawn by: as many prompts, by the same seed."""
    whole = _times(np.random.default_rng(seed), resamples, count)
    whole.flags.writeable = False
    return whole


def _times(generator: np.random.Generator, size: int, count: int) -> Floats:
    drawn = generator.integers(0, count, size=(size, count))
    drawn += np.arange(size)[:, None] * count
    times = np.bincount(drawn.ravel(), minlength=size * count)
    return times.reshape(size, count).astype(np.float64)


def interval(
    value: float, resampled: NDArray[Any], *, n: int, clusters: int | None = None
) -> Figure:
    """The expanded percentile interval of resampled values, of `clusters` (default: n) prompts.

    Of four prompts and fewer, whose resamples end before it does: Student's t by their spread.
    """
    count = clusters or n
    if 1 < count <= _FEW:
        half = student(count - 1) * math.sqrt(count / (count - 1)) * float(np.std(resampled))
        return Figure(value=value, low=value - half, high=value + half, n=n)
    tail = 100 * tail_of(count)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Figure(value=value, low=float(low), high=float(high), n=n)


def within(figure: Figure, least: float, most: float) -> Figure:
    """The same, with an interval that ends where the values do."""
    if figure.low is None or figure.high is None:
        return figure
    return figure.model_copy(update={"low": max(figure.low, least), "high": min(figure.high, most)})


def reaching(figure: Figure, low: float, high: float) -> Figure:
    """The same, with an interval that holds these two, too."""
    if figure.low is None or figure.high is None:
        return figure
    return figure.model_copy(update={"low": min(low, figure.low), "high": max(high, figure.high)})


def tail_of(clusters: int) -> float:
    """Share of resamples below a 95 % interval: Phi(-sqrt(n / (n - 1)) t), 0.025 for many clusters.

    A bootstrap of n values underestimates their spread by sqrt((n - 1) / n), and knows nothing of
    Student's t with n - 1 degrees of freedom.
    """
    freedom = max(clusters - 1, 1)
    wide = math.sqrt((freedom + 1) / freedom) * student(freedom)
    return 0.5 * math.erfc(wide / math.sqrt(2))


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t: exact to 3 degrees of freedom, then off by less than 0.01.

    From 4 on it is the expansion of Abramowitz and Stegun 26.7.5.
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z, v = Z95, float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3
