"""Which weights explain soft wins best? Weighted logistic regressions, many resamples at once."""

from __future__ import annotations

import numpy as np

from hrlaif.statistics.figures import Floats

RIDGE = 1e-6
_STEPS = 200
_CLOSE = 1e-8


def fit(
    x: Floats, y: Floats, weights: Floats, start: Floats | None = None, *, ridge: float = RIDGE
) -> Floats:
    """Coefficients [B, K] of y ~ sigmoid(x beta), one fit for each row of weights [B, N].

    x is [N, K], or [B, N, K] where features differ by resample; y [N] or [B, N] is in [0, 1].
    Minimises the weighted cross-entropy plus ridge/2 |beta|^2 by Newton steps that move no logit
    by more than 1, which keeps the objective falling. `start` [1, K] or [B, K] saves steps.
    """
    count, width = weights.shape[0], x.shape[-1]
    beta: Floats = np.zeros((count, width)) + (0.0 if start is None else start)
    for _ in range(_STEPS):
        p = sigmoid(logits(x, beta))
        slope = _through(weights * (p - y), x) + ridge * beta
        curve = _curvature(weights * p * (1 - p), x) + ridge * np.eye(width)
        step = np.asarray(np.linalg.solve(curve, slope[:, :, None])[:, :, 0], np.float64)
        moved = np.abs(logits(x, step)).max(1, keepdims=True)
        beta = beta - step / np.maximum(moved, 1.0)
        # In logits: what moves none, as all strengths together do, may never come to rest.
        if moved.max() < _CLOSE:
            break
    return beta


def logits(x: Floats, beta: Floats) -> Floats:
    """x beta as [B, N]."""
    if x.ndim == 2:
        return beta @ x.T
    return np.asarray(np.matmul(x, beta[:, :, None])[:, :, 0])


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


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
