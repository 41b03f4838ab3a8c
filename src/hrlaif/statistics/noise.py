"""How many labels are wrong, and which? What a model of the responses says against their labels.

P(label = 1) = rho + (1 - 2 rho) sigmoid(w x): a Bradley-Terry model of the features' differences x
whose labels are flipped with probability rho (Bootkrajang and Kaban, ECML 2012). It sees noise only
as far as the features tell good from bad. The interval of rho is that of the profile likelihood,
which also holds at its bound 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.statistics.figures import Codes, Figure, Floats, numbered
from hrlaif.statistics.logistic import fit, logits, newton, sigmoid

_RATES = np.linspace(0.0, 0.49, 50)
_ORDERING = 0.05  # a rate of 0 would give every label the same probability of being flipped
_CHI2 = 3.841458820694124  # 95 % point with one degree of freedom
_STEPS = 40


class Noise(NamedTuple):
    """What was found about the labels."""

    rate: Figure
    """Share of flipped labels."""
    flipped: Floats
    """Probability that each label [N] is flipped, by a model that did not see its fold.

    At a rate of at least 0.05, so that there is an order."""


def noise(
    x: Floats,
    labels: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    folds: int = 5,
    ridge: float = 1.0,
) -> Noise:
    """From features' differences x [N, K] (a minus b, no constant) and hard labels, 1 for a."""
    y = np.asarray(labels, np.float64)
    codes, count = numbered(clusters, y.size)
    profile = _profile(x, y, np.ones(y.size), ridge, _RATES)
    # Rows of one prompt count as one.
    drop = _CHI2 / 2 * y.size / max(count, 1)
    likely = _RATES[profile.likelihood >= profile.likelihood.max() - drop]
    rate = Figure(value=profile.rho, low=float(likely[0]), high=float(likely[-1]), n=y.size)
    fold = fold_of(codes, min(folds, count))
    return Noise(rate, _out_of_fold(x, y, fold, rho=max(profile.rho, _ORDERING), ridge=ridge))


def fold_of(codes: Codes, folds: int) -> Codes:
    """The fold of each row, by its prompt's number: no prompt is in two."""
    return np.asarray(codes % max(folds, 1), np.intp)


def flip_probability(label: Floats, p: Floats, rho: float) -> Floats:
    """P(flipped | label) = rho (1 - q) / (rho (1 - q) + (1 - rho) q), q = P(true label = label)."""
    q = np.clip(np.where(label > 0.5, p, 1 - p), 1e-9, 1 - 1e-9)
    return np.asarray(rho * (1 - q) / (rho * (1 - q) + (1 - rho) * q))


def _out_of_fold(x: Floats, y: Floats, fold: Codes, *, rho: float, ridge: float) -> Floats:
    """The rate is that of all labels, the weights those of the other folds."""
    flipped = np.zeros(y.size)
    for number in np.unique(fold) if np.ptp(fold) else ():
        aside = fold == number
        weights = (~aside).astype(np.float64)
        found = _profile(x, y, weights, ridge, np.array([rho]))
        p = sigmoid(logits(x[aside], found.beta[None]))[0]
        flipped[aside] = flip_probability(y[aside], p, rho)
    return flipped


class _Profile(NamedTuple):
    likelihood: Floats
    """Log-likelihood, less the ridge, of the best weights at each rate."""
    rho: float
    beta: Floats
    """[K] at the likeliest rate."""


def _profile(x: Floats, y: Floats, weights: Floats, ridge: float, rates: Floats) -> _Profile:
    """The best weights at every rate at once, by Fisher scoring."""
    rho, width = rates[:, None], x.shape[1]
    products = (x[:, :, None] * x[:, None, :]).reshape(len(x), width * width)
    beta: Floats = np.repeat(fit(x, y, weights[None], ridge=ridge), len(rates), axis=0)
    for _ in range(_STEPS):
        p = sigmoid(logits(x, beta))
        seen = np.clip(rho + (1 - 2 * rho) * p, 1e-12, 1 - 1e-12)
        reach = (1 - 2 * rho) * p * (1 - p)  # dP / d(w x)
        pull = weights * reach / (seen * (1 - seen))
        slope = (pull * (seen - y)) @ x + ridge * beta
        curve = ((pull * reach) @ products).reshape(-1, width, width) + ridge * np.eye(width)
        step = newton(curve, slope, x)
        beta = beta - step
        if np.abs(step).max() < 1e-4:
            break
    seen = np.clip(rho + (1 - 2 * rho) * sigmoid(logits(x, beta)), 1e-12, 1 - 1e-12)
    logs = (weights * (y * np.log(seen) + (1 - y) * np.log1p(-seen))).sum(1)
    likelihood = logs - ridge / 2 * (beta**2).sum(1)
    best = int(likelihood.argmax())
    return _Profile(likelihood, float(rates[best]), beta[best])
