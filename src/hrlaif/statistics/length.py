"""Would it still win at equal length? Length-controlled win rates, refitted in every resample.

Two named estimators that are never mixed:

lc_minimal  P(win) = sigmoid(phi tanh((len_baseline - len) / sd) + theta), LC = sigmoid(theta):
            AlpacaEval's `length_controlled_minimal` (arXiv 2404.04475) by a plain Newton fit.
lc_ratio    logistic regression from the length ratio to the win, predicted at ratio 1:
            RLAIF (arXiv 2309.00267), evaluation and appendix on length.

Lengths are in characters. The published LC standard error is a spread of fitted values, about a
quarter of the real one; here the whole fit is repeated on resampled prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal, final

import numpy as np

from hrlaif.statistics.figures import (
    NOTHING,
    Figure,
    Floats,
    Measured,
    draws,
    interval,
    mean,
    numbered,
)

_RIDGE = 1e-6
_RUNAWAY = 10.0  # a coefficient beyond this is held by the ridge alone
_FAR = 0.2  # LC this far from raw is worth a warning


@final
class LengthControlled(Measured):
    """A win rate with the effect of length taken out."""

    estimator: Literal["lc_minimal", "lc_ratio"]
    win_rate: Figure
    raw: Figure
    phi: Figure
    """Length term of lc_minimal: below 0, the longer response is preferred. Slope in lc_ratio."""
    flags: tuple[str, ...] = ()
    """What a reader has to know before trusting the number."""


def lc_minimal(
    wins: Sequence[float] | Floats,
    lengths: Sequence[float] | Floats,
    baseline_lengths: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> LengthControlled:
    """LC win rate from soft wins in [0, 1] and lengths in characters, a value each a comparison.

    `sd` is the sample deviation (ddof 1) of the differences, not centred. Equal differences
    leave no length term: LC is then the raw win rate.
    """
    gaps = np.asarray(baseline_lengths, np.float64) - np.asarray(lengths, np.float64)

    def feature(weights: Floats) -> Floats:  # weights [B, N] -> [B, N]
        sd = _deviation(gaps, weights)[:, None]
        return np.tanh(np.divide(gaps, sd, out=np.zeros_like(weights), where=sd > 0))

    return _controlled("lc_minimal", wins, feature, clusters=clusters, seed=seed)


def lc_ratio(
    wins: Sequence[float] | Floats,
    lengths: Sequence[float] | Floats,
    baseline_lengths: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> LengthControlled:
    """Win rate predicted at equal length from the ratio length / baseline length.

    An empty baseline counts as one character.
    """
    ratio = np.asarray(lengths, np.float64) / np.maximum(np.asarray(baseline_lengths), 1)

    def feature(weights: Floats) -> Floats:
        return np.broadcast_to(ratio - 1.0, weights.shape)

    return _controlled("lc_ratio", wins, feature, clusters=clusters, seed=seed)


def _controlled(
    estimator: Literal["lc_minimal", "lc_ratio"],
    wins: Sequence[float] | Floats,
    feature: Callable[[Floats], Floats],
    *,
    clusters: Sequence[Hashable] | None,
    seed: int,
) -> LengthControlled:
    y = np.asarray(wins, np.float64)
    raw = mean(y, clusters=clusters, share=True, seed=seed)
    x = feature(np.ones((1, y.size))) if y.size else np.zeros((1, 0))
    if y.size == 0 or np.ptp(x) == 0:
        known = "no spread in length differences: length-controlled is raw"
        reason = known if y.size else "no comparisons"
        return LengthControlled(
            estimator=estimator, win_rate=raw, raw=raw, phi=NOTHING, flags=(reason,)
        )
    whole = fit(x, y, np.ones_like(x))
    phi, theta = whole[0]
    rate = float(_sigmoid(theta))
    codes, count = numbered(clusters, y.size)
    rates = Figure(value=rate, low=None, high=None, n=y.size)
    slopes = Figure(value=float(phi), low=None, high=None, n=y.size)
    if count > 1:
        resampled = (drawn[:, codes] for drawn in draws(count, seed=seed, width=y.size))
        fits = np.concatenate([fit(feature(weights), y, weights, whole) for weights in resampled])
        rates = interval(rate, _sigmoid(fits[:, 1]), n=y.size)
        slopes = interval(float(phi), fits[:, 0], n=y.size)
    flags = _flags(phi, theta, rate, raw)
    if np.ptp(y) == 0:
        # Resampling equal results shows no spread; Wilson's interval of the raw share does.
        rates = Figure(value=rate, low=raw.low, high=raw.high, n=y.size)
        flags = (*flags, "every comparison had the same result: the interval is the raw one")
    return LengthControlled(estimator=estimator, win_rate=rates, raw=raw, phi=slopes, flags=flags)


def _flags(phi: float, theta: float, rate: float, raw: Figure) -> tuple[str, ...]:
    flags = []
    if max(abs(phi), abs(theta)) > _RUNAWAY:
        flags.append("separated: wins are told apart perfectly, a ridge of 1e-6 holds the fit")
    if raw.value is not None and abs(rate - raw.value) > _FAR:
        flags.append(f"length moves the win rate by {rate - raw.value:+.2f}: read the responses")
    return tuple(flags)


def fit(x: Floats, y: Floats, weights: Floats, start: Floats | None = None) -> Floats:
    """Weighted logistic fits y ~ sigmoid(phi x + theta), one for each row of x and weights [B, N].

    Newton with a ridge of 1e-6 and steps that move no logit by more than 1, which keeps the
    objective falling. Returns [B, 2]: phi, theta. `start` [1, 2] saves steps.
    """
    beta = np.zeros((x.shape[0], 2))
    if start is not None:
        beta += start
    for _ in range(200):
        p = _sigmoid(beta[:, :1] * x + beta[:, 1:])
        error, curve = weights * (p - y), weights * p * (1 - p)
        slope = np.stack([(error * x).sum(1), error.sum(1)], 1) + _RIDGE * beta
        xx, xo, oo = (curve * x * x).sum(1) + _RIDGE, (curve * x).sum(1), curve.sum(1) + _RIDGE
        across = np.stack(
            [oo * slope[:, 0] - xo * slope[:, 1], xx * slope[:, 1] - xo * slope[:, 0]]
        )
        step = (across / (xx * oo - xo * xo)).T
        moved = np.abs(step[:, :1] * x + step[:, 1:]).max(1, keepdims=True)
        step /= np.maximum(moved, 1.0)
        beta -= step
        if np.abs(step).max() < 1e-8:
            break
    return beta


def _sigmoid(z: Floats) -> Floats:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _deviation(values: Floats, weights: Floats) -> Floats:
    total = weights.sum(1)
    centre = (weights @ values) / total
    squares = (weights * (values - centre[:, None]) ** 2).sum(1)
    return np.asarray(np.sqrt(squares / np.maximum(total - 1, 1)), np.float64)
