"""Which weights explain soft wins best? Weighted logistic regressions, many resamples at once."""

from __future__ import annotations

import numpy as np

from hrlaif.statistics.figures import Floats

RIDGE = 1e-6
_STEPS = 200
_CLOSE = 1e-8
_HALVINGS = 40
_FALL = 1e-4  # of the fall that the slope promises, the least share that a step has to keep


def fit(
    x: Floats, y: Floats, weights: Floats, start: Floats | None = None, *, ridge: float = RIDGE
) -> Floats:
    """Coefficients [B, K] of y ~ sigmoid(x beta), one fit for each row of weights [B, N].

    x is [N, K], or [B, N, K] where features differ by resample; y [N] or [B, N] is in [0, 1].
    Minimises the weighted cross-entropy plus ridge/2 |beta|^2 by Newton steps, each halved until
    the objective falls. `start` [1, K] or [B, K] saves steps. Raises ArithmeticError where 200
    steps do not reach the minimum.
    """
    count, width = weights.shape[0], x.shape[-1]
    beta: Floats = np.zeros((count, width)) + (0.0 if start is None else start)
    z = logits(x, beta)
    now = _loss(z, beta, y, weights, ridge)
    for _ in range(_STEPS):
        p, q = sigmoid(z), sigmoid(-z)
        slope = _through(weights * ((1 - y) * p - y * q), x) + ridge * beta
        curve = _curvature(weights * p * q, x) + ridge * np.eye(width)
        step = np.asarray(np.linalg.solve(curve, slope[:, :, None])[:, :, 0], np.float64)
        moved = logits(x, step)
        least, size = _FALL * (slope * step).sum(1), np.ones((count, 1))
        for _ in range(_HALVINGS):
            then = _loss(z - size * moved, beta - size * step, y, weights, ridge)
            worse = then > now - size[:, 0] * least + 1e-12 * now
            if not worse.any():
                break
            size[worse] /= 2
        beta, now = beta - size * step, then
        z = logits(x, beta)
        # In logits: what moves none, as all strengths together do, may never come to rest.
        if np.abs(size * moved).max(initial=0.0) < _CLOSE:
            return beta
    raise ArithmeticError(f"a logistic fit of {x.shape[-2]} rows has not come to rest")


def _loss(z: Floats, beta: Floats, y: Floats, weights: Floats, ridge: float) -> Floats:
    """What `fit` minimises, [B], of logits z [B, N] and coefficients beta [B, K]."""
    each = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
    return np.asarray((weights * each).sum(1) + ridge / 2 * (beta**2).sum(1))


def logits(x: Floats, beta: Floats) -> Floats:
    """x beta as [B, N]."""
    if x.ndim == 2:
        return beta @ x.T
    return np.asarray(np.matmul(x, beta[:, :, None])[:, :, 0])


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow, exact where it is near 0."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def logit(p: Floats) -> Floats:
    """log(p / (1 - p)); probabilities are kept 1e-9 away from 0 and 1."""
    kept = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _through(values: Floats, x: Floats) -> Floats:
    """Sum over rows of values [B, N] times x: [B, K]."""
    if x.ndim == 2:
        return values @ x
    return np.asarray(np.matmul(values[:, None, :], x)[:, 0, :])


def _curvature(values: Floats, x: Floats) -> Floats:
    """Sum over rows of values times x x': [B, K, K]."""
    if x.ndim == 2:
        width = x.shape[1]
        products = (x[:, :, None] * x[:, None, :]).reshape(len(x), width * width)
        return (values @ products).reshape(-1, width, width)
    return np.asarray(np.matmul(x.transpose(0, 2, 1) * values[:, None, :], x))
