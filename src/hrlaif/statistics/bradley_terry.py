"""Which of several models is best, and how much of that is style?

Bradley-Terry with style covariates: P(i beats j) = sigmoid(s_i - s_j + w z). z are differences in
style divided by their deviation but not centred, so that zero means equal style, the point at which
the strengths are compared. Chatbot Arena's style control, but with soft wins and a refit in every
resample of prompts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, final

import numpy as np

from hrlaif.statistics.figures import (
    RESAMPLES,
    Figure,
    Floats,
    Measured,
    draws,
    interval,
    numbered,
)
from hrlaif.statistics.logistic import RIDGE, fit, sigmoid


class Games(NamedTuple):
    """Comparisons of models: first against second, [N] each."""

    first: Sequence[str]
    second: Sequence[str]
    wins: Sequence[float] | Floats
    """Probability that the first is better; 0.5 is a tie."""
    clusters: Sequence[Hashable] | None = None


@final
class Ranking(Measured):
    """Strengths of models, and the pull of style."""

    strength: dict[str, Figure]
    """Log-odds against the average model; they sum to 0."""
    win_rate: dict[str, Figure]
    """Mean probability of beating each other model at equal style."""
    style: dict[str, Figure]
    """Log-odds of a win for one deviation more of a trait; above 0, it is liked."""


def bradley_terry(
    games: Games,
    *,
    style: dict[str, Sequence[float]] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Ranking:
    """Strengths from games; `style` holds differences, first minus second, a trait a name."""
    y = np.asarray(games.wins, np.float64)
    models = sorted({*games.first, *games.second})
    place = {name: n for n, name in enumerate(models)}
    codes_of = [np.array([place[name] for name in side]) for side in (games.first, games.second)]
    sides = np.eye(len(models))[codes_of[0]] - np.eye(len(models))[codes_of[1]]
    traits = {k: scaled(np.asarray(v, np.float64)) for k, v in (style or {}).items()}
    x = np.column_stack([sides, *traits.values()]) if traits else sides
    whole = fit(x, y, np.ones((1, y.size)), ridge=RIDGE)
    codes, count = numbered(games.clusters, y.size)
    found = _told(whole, len(models))
    figures = [Figure(value=float(v), low=None, high=None, n=y.size) for v in found[0]]
    if count > 1:
        several = np.concatenate(
            [
                _told(fit(x, y, drawn[:, codes], whole, ridge=RIDGE), len(models))
                for drawn in draws(count, seed=seed, resamples=resamples, width=y.size)
            ]
        )
        figures = [
            interval(float(v), several[:, i], n=y.size, clusters=count)
            for i, v in enumerate(found[0])
        ]
    m = len(models)
    return Ranking(
        strength=dict(zip(models, figures[:m], strict=True)),
        win_rate=dict(zip(models, figures[m : 2 * m], strict=True)),
        style=dict(zip(traits, figures[2 * m :], strict=True)),
    )


def scaled(values: Floats) -> Floats:
    """Divided by the sample deviation, not centred; equal values stay as zeros."""
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return values / sd if sd > 0 else np.zeros_like(values)


def _told(beta: Floats, models: int) -> Floats:
    """[B, 2 M + K]: strengths that sum to 0, mean win rates against the others, style."""
    strength = beta[:, :models] - beta[:, :models].mean(1, keepdims=True)
    beats = sigmoid(strength[:, :, None] - strength[:, None, :])  # [B, M, M]
    rates = (beats.sum(2) - 0.5) / max(models - 1, 1)
    return np.concatenate([strength, rates, beta[:, models:]], axis=1)


def difficulties(
    wins: Sequence[Floats], lengths: Sequence[Floats], *, ridge: float = 1.0
) -> Floats:
    """gamma [N] of N prompts from several models' wins over one baseline, [N] each, NaN for none.

    One joint fit of P(m wins on i) = sigmoid(phi_m x_mi + gamma_i + theta_m), where x are length
    features tanh(gap / sd) [N]: AlpacaEval's joint model with psi held at 1. `ridge` on all weights
    holds prompts that every model wins. Raises ValueError with fewer than three models.
    """
    if len(wins) < 3:
        raise ValueError(f"difficulty needs at least 3 models in the same run, not {len(wins)}")
    prompts, rows, y = len(wins[0]), [], []
    for m, (won, x) in enumerate(zip(wins, lengths, strict=True)):
        block = np.zeros((prompts, prompts + 2 * len(wins)))
        block[np.arange(prompts), np.arange(prompts)] = 1.0
        block[:, prompts + 2 * m], block[:, prompts + 2 * m + 1] = x, 1.0
        known = ~np.isnan(won)
        rows.append(block[known])
        y.append(np.asarray(won)[known])
    # Dense: fit's products of columns would not fit in memory, so x goes in as one resample.
    design = np.concatenate(rows)[None]
    beta = fit(design, np.concatenate(y), np.ones((1, design.shape[1])), ridge=ridge)
    return np.asarray(beta[0, :prompts])
