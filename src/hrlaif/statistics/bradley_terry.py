"""Which of several models is best, and how much of that is style?

Bradley-Terry with style covariates: P(i beats j) = sigmoid(s_i - s_j + w z). z are differences in
style divided by their deviation but not centred, so that zero means equal style, the point at which
the strengths are compared. Chatbot Arena's style control, but with soft wins and a refit in every
resample of prompts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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
    weighed,
    within,
    worth,
)
from hrlaif.statistics.logistic import RIDGE, fit, sigmoid

_EQUAL = 1e-6  # strengths nearer than this differ by what the fit left over
_DIFFERENT = 10
"""A trait in which fewer comparisons differ is left out."""
_OWN = 0.01
"""Of a trait, the least share of its squares that the models and other traits do not explain."""


TOLD_BY_STYLE = "style tells wins apart: no pull is large enough"
_RUNAWAY = 10.0  # a pull beyond this is held by the ridge alone


class Games(NamedTuple):
    """Comparisons of models: first against second, [N] each."""

    first: Sequence[str]
    second: Sequence[str]
    wins: Sequence[float] | Floats
    """Probability that the first is better; 0.5 is a tie."""
    clusters: Sequence[Hashable] | None = None
    weights: Sequence[float] | None = None
    """For how many games each stands; None: for itself."""


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
    models, sides = _sides(games)
    traits = {k: scaled(np.asarray(v, np.float64)) for k, v in (style or {}).items()}
    x = np.column_stack([sides, *traits.values()]) if traits else sides
    weight = weighed(games.weights, y.size)
    whole = fit(x, y, weight[None], ridge=RIDGE)
    codes, count = numbered(games.clusters, y.size)
    found = _told(whole, len(models))
    figures = [Figure(value=float(v), low=None, high=None, n=y.size) for v in found[0]]
    if count > 1:
        several = np.concatenate(
            [
                _told(fit(x, y, weight * drawn[:, codes], whole, ridge=RIDGE), len(models))
                for drawn in draws(count, seed=seed, resamples=resamples, width=y.size)
            ]
        )
        clusters = max(2, round(worth(count, weight, y.size)))
        figures = [
            interval(float(v), several[:, i], n=y.size, clusters=clusters)
            for i, v in enumerate(found[0])
        ]
    m = len(models)
    return Ranking(
        strength=dict(zip(models, figures[:m], strict=True)),
        win_rate=dict(zip(models, (within(f, 0.0, 1.0) for f in figures[m : 2 * m]), strict=True)),
        style=dict(zip(traits, figures[2 * m :], strict=True)),
    )


def bounded(games: Games) -> bool:
    """True when every model won against every other, at least through others (Ford 1957).

    Else the most likely strengths are infinite, and only the ridge decides how large they are.
    """
    played = list(zip(games.first, games.second, games.wins, strict=True))
    won = [(a, b) for a, b, win in played if win > 0]
    won += [(b, a) for a, b, win in played if win < 1]
    models = {name for pair in won for name in pair}
    return all(_reached(next(iter(models)), way) == models for way in (won, [p[::-1] for p in won]))


def _reached(start: str, won: Sequence[tuple[str, str]]) -> set[str]:
    """Whom a model beats, whom those beat, and so on."""
    beats: dict[str, set[str]] = {}
    for winner, beaten in won:
        beats.setdefault(winner, set()).add(beaten)
    reached, new = {start}, {start}
    while new:
        new = {name for winner in new for name in beats.get(winner, ())} - reached
        reached |= new
    return reached


def told_apart(
    games: Games, traits: Mapping[str, Sequence[float]]
) -> tuple[dict[str, Sequence[float]], dict[str, str]]:
    """Traits, [N] a name, that can be told from the models and each other; why others cannot."""
    _, sides = _sides(games)
    kept: dict[str, Sequence[float]] = {}
    left_out: dict[str, str] = {}
    for name, values in traits.items():
        column = np.asarray(values, np.float64)
        known = np.column_stack([sides, *kept.values()])
        rest = column - known @ np.linalg.lstsq(known, column, rcond=None)[0]
        if np.count_nonzero(column) < _DIFFERENT:
            left_out[name] = f"fewer than {_DIFFERENT} comparisons differ"
        elif rest @ rest < _OWN * (column @ column):
            left_out[name] = "not to be told from the models themselves, or another trait"
        else:
            kept[name] = values
    return kept, left_out


def told_by_style(found: Ranking) -> bool:
    """True where some trait explains every win, so that only the ridge says how large its pull is.

    What the models are worth at equal style is then not known.
    """
    return any(abs(pull.value or 0.0) > _RUNAWAY for pull in found.style.values())


def same_order(
    games: Games, others: Sequence[float] | Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> Figure:
    """Kendall's tau-b of the models' strengths by the wins of `games` and by `others`, [N].

    1: the same order, -1: the reverse. Both are fitted again on the same drawn prompts. Without an
    interval where all draws have one order, which says no more than that; unknown where a side
    tells no two models apart.
    """
    models, x = _sides(games)
    codes, count = numbered(games.clusters, len(x))

    def taus(weights: Floats) -> Floats:
        sides = [
            fit(x, np.asarray(y, np.float64), weights, ridge=RIDGE) for y in (games.wins, others)
        ]
        return _tau(sides[0][:, : len(models)], sides[1][:, : len(models)])

    weight = weighed(games.weights, len(x))
    found = float(taus(weight[None])[0])
    if np.isnan(found):
        return Figure(value=None, low=None, high=None, n=len(x))
    blocks = draws(count, seed=seed, resamples=resamples, width=len(x))
    drawn = np.concatenate([taus(weight * block[:, codes]) for block in blocks])
    drawn = drawn[~np.isnan(drawn)]
    if count < 2 or not drawn.size or np.ptp(drawn) == 0:
        return Figure(value=found, low=None, high=None, n=len(x))
    clusters = max(2, round(worth(count, weight, len(x))))
    return within(interval(found, drawn, n=len(x), clusters=clusters), -1.0, 1.0)


def _tau(one: Floats, other: Floats) -> Floats:
    """Kendall's tau-b [B] of values [B, M]; NaN where all of a side are equal."""
    first, second = np.triu_indices(one.shape[1], 1)
    a, b = (
        np.where(np.abs(gap) < _EQUAL, 0.0, np.sign(gap))
        for gap in (one[:, first] - one[:, second], other[:, first] - other[:, second])
    )
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1)), np.float64)


def _sides(games: Games) -> tuple[list[str], Floats]:
    """The models by name, and a row a game: 1 at the first of the two, -1 at the second."""
    models = sorted({*games.first, *games.second})
    place = {name: n for n, name in enumerate(models)}
    first, second = ([place[name] for name in side] for side in (games.first, games.second))
    return models, np.eye(len(models))[first] - np.eye(len(models))[second]


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


def difficulties(wins: Sequence[Floats], lengths: Sequence[Floats]) -> Floats:
    """gamma [N] of N prompts from several models' wins over one baseline, [N] each, NaN for none.

    One joint fit of P(m wins on i) = sigmoid(phi_m x_mi + gamma_i + theta_m), where x are length
    features tanh(gap / sd) [N]: AlpacaEval's joint model with psi held at 1. A ridge of 1 on
    all weights holds prompts that every model wins. Raises ValueError with fewer than two models:
    of one, the difficulties would be its own results.
    """
    if len(wins) < 2:
        raise ValueError(f"difficulty needs at least 2 models in the same run, not {len(wins)}")
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
    beta = fit(design, np.concatenate(y), np.ones((1, design.shape[1])), ridge=1.0)
    return np.asarray(beta[0, :prompts])
