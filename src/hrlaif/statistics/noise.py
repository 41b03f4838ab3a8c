"""How many labels are wrong, and which? What a model of the responses says against their labels.

P(label = 1) = rho + (1 - 2 rho) sigmoid(w x): a Bradley-Terry model of the features' differences x
whose labels are flipped with probability rho (Bootkrajang and Kaban, ECML 2012), fitted by
expectation and maximisation. It sees noise only as far as the features tell good from bad.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.statistics.figures import Figure, Floats, draws, interval, numbered
from hrlaif.statistics.logistic import fit, logits, sigmoid

_ROUNDS = 300
_RESAMPLES = 200
_PRIOR = 0.5  # of a wrong label and of a right one, so that no share sticks at 0 or 0.5


class Noise(NamedTuple):
    """What was found about the labels."""

    rate: Figure
    """Share of flipped labels."""
    flipped: Floats
    """Probability that each label [N] is flipped, the model fitted without its fold."""


def noise(
    x: Floats,
    labels: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    folds: int = 5,
    ridge: float = 1.0,
    seed: int = 0,
) -> Noise:
    """From features' differences x [N, K] (a minus b, no constant) and hard labels, 1 for a."""
    y = np.asarray(labels, np.float64)
    codes, count = numbered(clusters, y.size)
    ones = np.ones((1, y.size))
    beta, rho = _fitted(x, y, ones, ridge)
    rate = Figure(value=float(rho[0]), low=None, high=None, n=y.size)
    if count > 1:
        found = [
            _fitted(x, y, drawn[:, codes], ridge, beta)[1]
            for drawn in draws(count, seed=seed, resamples=_RESAMPLES, width=4 * y.size)
        ]
        rate = interval(float(rho[0]), np.concatenate(found), n=y.size, clusters=count)
    return Noise(rate, _out_of_fold(x, y, codes, folds=min(folds, count), ridge=ridge))


def fold_of(codes: Floats, folds: int) -> Floats:
    """The fold of each row, by its prompt's number: no prompt is in two."""
    return np.asarray(codes) % max(folds, 1)


def flip_probability(label: Floats, p: Floats, rho: float) -> Floats:
    """P(flipped | label) = rho (1 - q) / (rho (1 - q) + (1 - rho) q), q = P(true label = label)."""
    q = np.clip(np.where(label > 0.5, p, 1 - p), 1e-9, 1 - 1e-9)
    return np.asarray(rho * (1 - q) / (rho * (1 - q) + (1 - rho) * q))


def _out_of_fold(x: Floats, y: Floats, codes: Floats, *, folds: int, ridge: float) -> Floats:
    fold, flipped = fold_of(codes, folds), np.zeros(y.size)
    for number in range(folds if folds > 1 else 0):
        aside = fold == number
        weights = (~aside).astype(np.float64)[None]
        beta, rho = _fitted(x, y, weights, ridge)
        p = sigmoid(logits(x[aside], beta))[0]
        flipped[aside] = flip_probability(y[aside], p, float(rho[0]))
    return flipped


def _fitted(
    x: Floats, y: Floats, weights: Floats, ridge: float, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """beta [B, K] and rho [B] of weights [B, N]."""
    beta = fit(x, y, weights, start, ridge=ridge)
    rho = np.full(len(weights), 0.1)
    total = weights.sum(1)
    for _ in range(_ROUNDS):
        p = sigmoid(logits(x, beta))
        ahead = (1 - rho)[:, None] * np.where(y > 0.5, p, 1 - p)
        behind = rho[:, None] * np.where(y > 0.5, 1 - p, p)
        wrong = behind / (ahead + behind)  # P(flipped | label) [B, N]
        clean = np.where(y > 0.5, 1 - wrong, wrong)  # P(true label = 1)
        beta = fit(x, clean, weights, beta, ridge=ridge)
        before, rho = rho, ((weights * wrong).sum(1) + _PRIOR) / (total + 2 * _PRIOR)
        # A rate above one half is the same model with the labels' names exchanged.
        rho = np.minimum(rho, 0.499)
        if np.abs(rho - before).max() < 1e-5:
            break
    return beta, rho
