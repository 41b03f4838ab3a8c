"""What would people have said, had they been asked about all of it? AI figures put right by some.

Rogan-Gladen: a share seen by an imperfect judge, from its sensitivity and specificity.
Prediction-powered: the judge's mean over everything plus the mean error on what people checked
(Angelopoulos et al., arXiv 2301.09633 and 2311.01453; unequal chances: arXiv 2403.03208).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import final

import numpy as np

from hrlaif.statistics.figures import (
    NOTHING,
    RESAMPLES,
    Codes,
    Figure,
    Floats,
    Measured,
    drawn_means,
    draws,
    interval,
    numbered,
    student,
    within,
)
from hrlaif.statistics.shares import wilson

_STEPS, _NEAR = 100, 1e-9


def rogan_gladen(share: float, sensitivity: float, specificity: float) -> float | None:
    """(share + specificity - 1) / (sensitivity + specificity - 1), kept within 0 and 1.

    None when the judge is no better than a coin: then its share says nothing (Rogan and Gladen,
    American Journal of Epidemiology 107, 1978).
    """
    power = sensitivity + specificity - 1.0
    if power <= 0:
        return None
    return min(1.0, max(0.0, (share + specificity - 1.0) / power))


@final
class Sureness(Measured):
    """How a judge fared where the truth is known: it called so many positives and negatives so."""

    hits: int
    positives: int
    clears: int
    negatives: int

    @property
    def known(self) -> bool:
        """False where one of the two kinds was never seen."""
        return self.positives > 0 and self.negatives > 0


def corrected_by_cluster(
    judged: Sequence[bool], sure: Sureness, *, clusters: Sequence[Hashable], seed: int = 0
) -> Figure:
    """Rogan-Gladen's share of positives among items that come in clusters.

    The interval is a bootstrap of both sources of doubt at once: whole clusters drawn again, and
    sensitivity and specificity drawn from their posteriors, Beta(hits + 1/2, misses + 1/2). A judge
    that in more than 2.5 % of the draws is no better than a coin says nothing: 0 to 1.
    """
    n = len(judged)
    if not n or not sure.known:
        return NOTHING.model_copy(update={"n": n})
    said = np.asarray(judged, np.float64)
    codes, count = numbered(clusters, n)
    share = float(said.mean())
    value = rogan_gladen(share, sure.hits / sure.positives, sure.clears / sure.negatives)
    if value is None:
        return NOTHING.model_copy(update={"n": n})
    stream = np.random.default_rng([seed, 7])
    shares = drawn_means(said, np.ones(n), codes, seed=seed)
    if np.ptp(shares) < _NEAR:
        # Clusters of equal shares have no spread to draw: the posterior over them stands in.
        shares = stream.beta(share * count + 0.5, (1 - share) * count + 0.5, RESAMPLES)
    se = stream.beta(sure.hits + 0.5, sure.positives - sure.hits + 0.5, shares.size)
    sp = stream.beta(sure.clears + 0.5, sure.negatives - sure.clears + 0.5, shares.size)
    return _spread(value, (shares, se, sp), n=n, clusters=count)


def corrected_by_check(
    judged: Sequence[bool],
    checked: Sequence[int],
    truth: Sequence[bool],
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Rogan-Gladen's share of positives where a random some of the judged items were checked.

    `judged` are the verdicts on everything, `checked` the positions that people saw, `truth` what
    they said there, `clusters` each item's prompt (default: one item a prompt). The interval draws
    whole clusters again, what was judged and what was checked of it together. Sensitivity and
    specificity get half a hit and half a miss more in each draw: few checks without an error are
    no certainty. Where a judge's power (sensitivity + specificity - 1) is below 0.7, people's share
    among the checked alone is known better than this one.
    """
    said, n = np.asarray(judged, np.float64), len(judged)
    seen, known = np.asarray(checked, np.intp), np.asarray(truth, np.float64)
    codes, count = numbered(clusters, n)

    def sums(values: Floats, at: Codes) -> Floats:
        return np.bincount(at, weights=values, minlength=count).astype(np.float64)

    told, at = said[seen], codes[seen]
    columns = [sums(np.ones(n), codes), sums(said, codes)]
    columns += [sums(v, at) for v in (known, known * told, 1 - known, (1 - known) * (1 - told))]
    table = np.stack(columns, axis=1)  # [clusters, 6]
    items, called, positives, hits, negatives, clears = table.sum(0)
    if not positives or not negatives:
        return NOTHING.model_copy(update={"n": n})
    value = rogan_gladen(called / items, hits / positives, clears / negatives)
    if value is None:
        return NOTHING.model_copy(update={"n": n})
    seen_clusters = np.unique(at).size
    if seen_clusters < 2:
        return Figure(value=value, low=None, high=None, n=n)
    drawn = np.concatenate([times @ table for times in draws(count, seed=seed)]).T
    items, called, positives, hits, negatives, clears = drawn
    se, sp = (hits + 0.5) / (positives + 1), (clears + 0.5) / (negatives + 1)
    return _spread(value, (called / items, se, sp), n=n, clusters=seen_clusters)


def _spread(value: float, drawn: tuple[Floats, Floats, Floats], *, n: int, clusters: int) -> Figure:
    """The interval of resampled shares, sensitivities and specificities, put right one by one."""
    shares, se, sp = drawn
    power = se + sp - 1
    if np.mean(power <= 0) > 0.025:
        return Figure(value=value, low=0.0, high=1.0, n=n)
    kept = power > 0
    fixed = np.clip((shares[kept] + sp[kept] - 1) / power[kept], 0.0, 1.0)
    found = within(interval(value, fixed, n=n, clusters=clusters), 0.0, 1.0)
    low, high = min(found.low or 0.0, value), max(found.high or 0.0, value)
    return found.model_copy(update={"low": low, "high": high})


def prediction_powered(
    guesses: Sequence[float] | Floats,
    checked: Sequence[int],
    truth: Sequence[float] | Floats,
    *,
    chances: Sequence[float] | Floats | None = None,
    clusters: Sequence[Hashable] | None = None,
    share: bool = False,
) -> Figure:
    """The mean that people would give to all items, from guesses of all and people's word on some.

    `checked` are the positions that people saw, `truth` what they said there, `chances` each item's
    chance of being checked, up to a factor (default: all alike), `clusters` each item's prompt
    (default: one item a prompt). The estimate is

        l mean(f) + sum over checked of (y - l f) / chance, by the sum over checked of 1 / chance,

    where l in [0, 1] is chosen for the least variance: a useless guess gets 0. The variance is that
    of leaving out one cluster after another; Student's t with two degrees of freedom fewer than
    clusters were checked, no interval from fewer than two. A `share` is cut off at 0 and 1,
    and where all checked items say the same its interval is Wilson's over their clusters.
    """
    f, y = np.asarray(guesses, np.float64), np.asarray(truth, np.float64)
    seen = np.asarray(checked, np.intp)
    total, n = f.size, seen.size
    if n == 0:
        return NOTHING.model_copy(update={"n": total})
    codes, _ = numbered(clusters, total)
    weight = np.ones(n) if chances is None else 1 / np.asarray(chances, np.float64)[seen]
    weight *= n / weight.sum()  # 1 where all have the same chance
    if share and np.ptp(y) == 0:
        # Wilson's, as of so many clusters of equal weight (Kish).
        sizes = np.bincount(codes[seen], weights=weight)
        alike = int(sizes.sum() ** 2 / (sizes @ sizes) + 1e-9)
        low, high = wilson(float(y[0]) * alike, alike)
        return Figure(value=y[0], low=min(low, y[0]), high=max(high, y[0]), n=n)
    groups = np.unique(codes[seen]).size
    variance, power = _fitted(f, y, seen, weight, codes) if groups > 1 else (0.0, 1.0)
    value = float(power * f.mean() + (weight * (y - power * f[seen])).mean())
    kept = min(max(value, 0.0), 1.0) if share else value
    if groups < 2:
        return Figure(value=kept, low=None, high=None, n=n)
    if share and n < total:
        # Fewer than one error among the checked is not none among all.
        variance = max(variance, 1 / (groups * (groups + 2)))
    # The power is one more thing fitted to what was checked, unless everything was.
    freedom = groups - 1 if n == total else max(groups - 2, 1)
    half = student(freedom) * math.sqrt(variance * (groups - 1) / freedom)
    ends = (value - half, value + half)
    low, high = np.clip(ends, 0.0, 1.0) if share else ends
    return Figure(value=kept, low=float(low), high=float(high), n=n)


def prediction_powered_of_some(
    guesses: Sequence[float] | Floats,
    checked: Sequence[int],
    truth: Sequence[float | None],
    *,
    chances: Sequence[float] | Floats | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Figure:
    """A share among those items alone that people do not leave out, such as ties: None in `truth`.

    What is not checked would be left out as often, and nobody knows where. With d = 1 where an item
    counts, the share r is the mean of y d by the mean of d: the number for which an item left out
    may as well count as r. Its interval is that of these values, divided by the mean of d (the
    linearized ratio).
    """
    kept = np.array([t is not None for t in truth])
    if not kept.any():
        return NOTHING.model_copy(update={"n": 0})
    known = np.array([0.0 if t is None else t for t in truth])
    seen = np.asarray(checked, np.intp)
    weight = np.ones(seen.size) if chances is None else 1 / np.asarray(chances, np.float64)[seen]
    counted, r = (
        float(weight @ kept / weight.sum()),
        float(np.average(known, weights=weight * kept)),
    )
    for _ in range(_STEPS):
        found = prediction_powered(
            guesses, checked, np.where(kept, known, r), chances=chances, clusters=clusters,
            share=True,
        )  # fmt: skip
        moved, r = abs((found.value or 0.0) - r), found.value or 0.0
        if moved < _NEAR:
            break
    if found.low is None or found.high is None:
        return found.model_copy(update={"n": int(kept.sum())})
    low, high = (r - (r - found.low) / counted, r + (found.high - r) / counted)
    return Figure(value=r, low=max(low, 0.0), high=min(high, 1.0), n=int(kept.sum()))


def _fitted(f: Floats, y: Floats, seen: Codes, weight: Floats, codes: Codes) -> tuple[float, float]:
    """The least variance of the estimate, and the power that has it.

    A cluster's part is what leaving it out would change (the jackknife), for large clusters pull
    the mean towards themselves. The checked items are some of all items, so the guesses and the
    errors of a cluster covary.
    """
    at, count, groups = codes[seen], int(codes.max()) + 1, np.unique(codes[seen]).size

    def parts(values: Floats, weight: Floats, where: Codes) -> Floats:
        off = weight * (values - np.average(values, weights=weight))
        total = np.bincount(where, weights=weight, minlength=count)
        summed = np.bincount(where, weights=off, minlength=count)
        return np.asarray(summed / (weight.sum() - total), np.float64)

    guesses = parts(f, np.ones(f.size), codes)
    truths, guessed = parts(y, weight, at), parts(f[seen], weight, at)
    alone = 1 - np.bincount(codes, minlength=count) / f.size

    def variance(power: float) -> float:
        of_all, errors = power * guesses, truths - power * guessed
        together = 2 * float(of_all @ (alone * errors))
        own = float(of_all @ of_all) * (1 - 1 / count) + float(errors @ errors) * (1 - 1 / groups)
        return max(0.0, own + together)

    # What was checked in full needs no guesses.
    powers = np.linspace(0, 1, 101) if len(seen) < len(f) else [0.0]
    return min((variance(power), float(power)) for power in powers)
