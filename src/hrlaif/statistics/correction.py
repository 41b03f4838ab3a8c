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
    Z95,
    Figure,
    Floats,
    Measured,
    draws,
    interval,
    numbered,
    student,
)


def rogan_gladen(share: float, sensitivity: float, specificity: float) -> float | None:
    """(share + specificity - 1) / (sensitivity + specificity - 1), kept within 0 and 1.

    None when the judge is no better than a coin: then its share says nothing (Rogan and Gladen,
    American Journal of Epidemiology 107, 1978).
    """
    power = sensitivity + specificity - 1.0
    if power <= 0:
        return None
    return min(1.0, max(0.0, (share + specificity - 1.0) / power))


def corrected_share(
    judged: Sequence[bool], checked: Sequence[bool], truth: Sequence[bool]
) -> Figure:
    """The true share of positives from the judge's verdicts, and from a checked random sample.

    `judged` are the verdicts on everything, `checked` the judge's on the checked items, `truth`
    people's on the same. The interval is Lang and Reiczigel's (Preventive Veterinary Medicine 113,
    2014), which counts the uncertainty of sensitivity and specificity too. Items are independent.
    """
    said = np.asarray(checked, bool)
    known = np.asarray(truth, bool)
    positives, negatives, n = int(known.sum()), int((~known).sum()), len(judged)
    if not positives or not negatives or not n:
        return NOTHING.model_copy(update={"n": n})
    hits, clears, share = int(said[known].sum()), int((~said[~known]).sum()), float(np.mean(judged))
    value = rogan_gladen(share, hits / positives, clears / negatives)
    z2 = Z95**2
    seen = (n * share + z2 / 2) / (n + z2)
    se, sp = (hits + 1) / (positives + 2), (clears + 1) / (negatives + 2)
    power = se + sp - 1
    if value is None or power <= 0:
        return NOTHING.model_copy(update={"n": n})
    prevalence = (seen + sp - 1) / power
    in_se = se * (1 - se) / (positives + 2)
    in_sp = sp * (1 - sp) / (negatives + 2)
    shift = 2 * z2 * (prevalence * in_se - (1 - prevalence) * in_sp) / power
    variance = seen * (1 - seen) / (n + z2) + prevalence**2 * in_se + (1 - prevalence) ** 2 * in_sp
    half = Z95 * math.sqrt(variance) / power
    low, high = (min(1.0, max(0.0, prevalence + shift + side * half)) for side in (-1, 1))
    return Figure(value=value, low=min(low, value), high=max(high, value), n=n)


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
    if count < 2 or np.ptp(said) == 0:
        # Equal values have no spread to draw from: the posterior over clusters stands in.
        shares = stream.beta(share * count + 0.5, (1 - share) * count + 0.5, RESAMPLES)
    else:
        sums = np.bincount(codes, weights=said, minlength=count)
        sizes = np.bincount(codes, minlength=count).astype(np.float64)
        drawn = [(times @ sums) / (times @ sizes) for times in draws(count, seed=seed)]
        shares = np.concatenate(drawn)
    se = stream.beta(sure.hits + 0.5, sure.positives - sure.hits + 0.5, shares.size)
    sp = stream.beta(sure.clears + 0.5, sure.negatives - sure.clears + 0.5, shares.size)
    power = se + sp - 1
    if np.mean(power <= 0) > 0.025:
        return Figure(value=value, low=0.0, high=1.0, n=n)
    kept = power > 0
    fixed = np.clip((shares[kept] + sp[kept] - 1) / power[kept], 0.0, 1.0)
    found = interval(value, fixed, n=n, clusters=count)
    low, high = min(found.low or 0.0, value), max(found.high or 0.0, value)
    return found.model_copy(update={"low": low, "high": high})


def prediction_powered(
    guesses: Sequence[float] | Floats,
    checked: Sequence[int],
    truth: Sequence[float] | Floats,
    *,
    chances: Sequence[float] | Floats | None = None,
) -> Figure:
    """The mean that people would give to all items, from guesses of all and people's word on some.

    `checked` are the positions that people saw, `truth` what they said there, `chances` each item's
    chance of being checked (default: all alike). With n checked of N,

        mean(l f) + 1/N sum over checked of (y - l f) / chance,

    where l in [0, 1] is chosen for the least variance: a useless guess gets 0. Student's t with
    n - 2 degrees of freedom; no interval from fewer than two.
    """
    f, y = np.asarray(guesses, np.float64), np.asarray(truth, np.float64)
    seen = np.asarray(checked, np.intp)
    total, n = f.size, seen.size
    if n == 0:
        return NOTHING.model_copy(update={"n": total})
    chance = np.full(total, n / total) if chances is None else np.asarray(chances, np.float64)
    weight = n / (total * chance[seen])  # 1 where all have the same chance
    if n < 2:
        value = float(f.mean() + (weight * (y - f[seen])).mean())
        return Figure(value=value, low=None, high=None, n=n)
    options = [(_variance(f, f[seen], y, weight, power), power) for power in np.linspace(0, 1, 101)]
    variance, power = min(options)
    value = float(power * f.mean() + (weight * (y - power * f[seen])).mean())
    # The power is one more thing fitted to what was checked, unless everything was.
    freedom = n - 1 if n == total else max(n - 2, 1)
    half = student(freedom) * math.sqrt(variance * (n - 1) / freedom)
    return Figure(value=value, low=value - half, high=value + half, n=n)


def _variance(f: Floats, seen: Floats, y: Floats, weight: Floats, power: float) -> float:
    """Of the estimate: the checked items are some of all items, so the two parts covary."""
    error = weight * (y - power * seen)
    n, total = len(y), len(f)
    together = float(np.mean((error - error.mean()) * power * (seen - seen.mean()))) * n / (n - 1)
    parts = power**2 * float(f.var(ddof=1)) + 2 * together
    return max(0.0, parts / total + float(error.var(ddof=1)) / n)
