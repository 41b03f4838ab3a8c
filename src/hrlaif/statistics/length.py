"""Would it still win at equal length? Length-controlled win rates, refitted in every resample.

Four named estimators that are never mixed. x = tanh((len_baseline - len) / sd):

lc_minimal    P(win) = sigmoid(phi x + theta), LC = sigmoid(theta): AlpacaEval's
              `length_controlled_minimal` (arXiv 2404.04475).
lc_difficulty P(win on prompt i) = sigmoid(phi x + psi gamma_i + theta), LC the mean over prompts of
              sigmoid(psi gamma_i + theta), where gamma_i says how hard prompt i is.
lc_alpaca_v1  the same, fitted together with rows in which the baseline played against its own
              verbose and concise selves: weight 0.1 each and no theta, as in AlpacaEval 2.
lc_ratio      logistic regression from the length ratio to the win, predicted at ratio 1:
              RLAIF (arXiv 2309.00267), evaluation and appendix on length.

Lengths are in characters. AlpacaEval fits with an L1 penalty chosen by cross-validation; on its 805
prompts the plain maximum-likelihood fit here gives the same to 0.02 points. Its published standard
error is a spread of fitted values, about a quarter of the real one; here the whole fit is repeated
on resampled prompts, and the interval reaches at least as far as Wilson's of the raw wins' number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple, final

import numpy as np

from hrlaif.statistics.figures import (
    NOTHING,
    RESAMPLES,
    Codes,
    Figure,
    Floats,
    Measured,
    draws,
    interval,
    mean,
    numbered,
    reaching,
    within,
)
from hrlaif.statistics.logistic import fit, sigmoid
from hrlaif.statistics.separation import TOLD_BY_LENGTH, Sizes, warnings_of
from hrlaif.statistics.shares import as_many, wilson

Estimator = Literal["lc_minimal", "lc_difficulty", "lc_alpaca_v1", "lc_ratio"]
GAMED_WEIGHT = 0.1  # AlpacaEval's lambda of 0.2, halved because there are two gamed baselines


@final
class LengthControlled(Measured):
    """A win rate with the effect of length taken out."""

    estimator: Estimator
    win_rate: Figure
    """None, and no coefficient, where length tells all wins apart (`flags` say so)."""
    raw: Figure
    phi: Figure
    """Length term of the tanh: below 0, the longer response is preferred. Slope in lc_ratio."""
    psi: Figure = NOTHING
    """Weight of the difficulty, where there is one."""
    theta: Figure = NOTHING
    """The model's own term: log-odds of a win at equal length (and difficulty 0)."""
    flags: tuple[str, ...] = ()
    """What a reader has to know before trusting the number."""


class Contest(NamedTuple):
    """Soft wins in [0, 1] of a model over the baseline, and lengths in characters: [N] each."""

    wins: Sequence[float] | Floats
    lengths: Sequence[float] | Floats
    baseline_lengths: Sequence[float] | Floats
    clusters: Sequence[Hashable] | None = None
    """Names each value's prompt; one value a prompt when None."""


class Gamed(NamedTuple):
    """Wins of the baseline's verbose and concise selves over itself, a value a row: [G]."""

    wins: Sequence[float] | Floats
    std_delta_len: Sequence[float] | Floats
    """(baseline's length - the gamed length) / sd, as in AlpacaEval's df_gamed.csv."""
    difficulty: Sequence[float] | Floats
    prompts: Sequence[Hashable]
    """As in `Contest.clusters`, so that a prompt is drawn with its gamed rows."""


def lc_minimal(
    wins: Sequence[float] | Floats,
    lengths: Sequence[float] | Floats,
    baseline_lengths: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> LengthControlled:
    """LC win rate from soft wins in [0, 1] and lengths in characters, a value each a comparison.

    `sd` is the sample deviation (ddof 1) of the differences, not centred. Equal differences
    leave no length term: LC is then the raw win rate.
    """
    contest = Contest(wins, lengths, baseline_lengths, clusters)
    return _controlled("lc_minimal", contest, _tanh(contest), seed=seed, resamples=resamples)


def lc_ratio(
    wins: Sequence[float] | Floats,
    lengths: Sequence[float] | Floats,
    baseline_lengths: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> LengthControlled:
    """Win rate predicted at equal length from the ratio length / baseline length.

    An empty baseline counts as one character.
    """
    contest = Contest(wins, lengths, baseline_lengths, clusters)
    ratio = np.asarray(lengths, np.float64) / np.maximum(np.asarray(baseline_lengths), 1)

    def feature(weights: Floats) -> Floats:
        return np.broadcast_to(ratio - 1.0, weights.shape)

    return _controlled("lc_ratio", contest, feature, seed=seed, resamples=resamples)


def lc_difficulty(
    contest: Contest,
    difficulty: Sequence[float] | Floats,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> LengthControlled:
    """LC win rate with the difficulty gamma of each comparison's prompt beside the length."""
    hard = np.asarray(difficulty, np.float64)
    return _controlled(
        "lc_difficulty", contest, _tanh(contest),
        difficulty=hard, seed=seed, resamples=resamples,
    )  # fmt: skip


def lc_alpaca_v1(
    contest: Contest,
    difficulty: Sequence[float] | Floats,
    gamed: Gamed,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> LengthControlled:
    """AlpacaEval 2's LC win rate, gamed rows included."""
    hard = np.asarray(difficulty, np.float64)
    return _controlled(
        "lc_alpaca_v1", contest, _tanh(contest),
        difficulty=hard, gamed=gamed, seed=seed, resamples=resamples,
    )  # fmt: skip


def length_feature(contest: Contest) -> Floats:
    """tanh((len_baseline - len) / sd) of each comparison [N]; 0 where all differences are equal."""
    return np.asarray(_tanh(contest)(np.ones((1, len(contest.wins))))[0], np.float64)


def _tanh(contest: Contest) -> Callable[[Floats], Floats]:
    """The length feature [B, N] of weights [B, N]: its sd is a part of what is resampled."""
    gaps = np.asarray(contest.baseline_lengths, np.float64) - np.asarray(
        contest.lengths, np.float64
    )

    def feature(weights: Floats) -> Floats:
        sd = deviations(gaps, weights)[:, None]
        return np.tanh(np.divide(gaps, sd, out=np.zeros_like(weights), where=sd > 0))

    return feature


def _controlled(
    estimator: Estimator,
    contest: Contest,
    feature: Callable[[Floats], Floats],
    *,
    difficulty: Floats | None = None,
    gamed: Gamed | None = None,
    seed: int,
    resamples: int,
) -> LengthControlled:
    y = np.asarray(contest.wins, np.float64)
    raw = mean(y, clusters=contest.clusters, share=True, seed=seed)
    if y.size == 0 or np.ptp(feature(np.ones((1, y.size)))) == 0:
        known = "no spread in length differences: length-controlled is raw"
        reason = known if y.size else "no comparisons"
        return LengthControlled(
            estimator=estimator, win_rate=raw, raw=raw, phi=NOTHING, flags=(reason,)
        )
    codes, count = numbered(contest.clusters, y.size)
    model = _Model(y, feature, difficulty, _Extra.of(gamed, contest, count))
    whole = model.fitted(np.ones((1, y.size)), np.ones((1, count)))
    rate = float(model.rate(whole, np.ones((1, y.size)))[0])
    found = [Figure(value=float(v), low=None, high=None, n=y.size) for v in (*whole[0], rate)]
    if count > 1:
        rows = []
        width = (y.size + len(model.extra.y)) * whole.shape[1]
        for drawn in draws(count, seed=seed, resamples=resamples, width=width):
            weights = drawn[:, codes]
            beta = model.fitted(weights, drawn, whole)
            rows.append(np.column_stack([beta, model.rate(beta, weights)]))
        several = np.concatenate(rows).T
        found = [
            interval(f.value or 0.0, r, n=y.size, clusters=count)
            for f, r in zip(found, several, strict=True)
        ]
    as_raw = as_many(y, np.ones(y.size), codes)  # as in the interval of the raw rate
    prompts = count if as_raw == math.inf else as_raw
    found[-1] = within(reaching(found[-1], *wilson(rate * prompts, prompts)), 0.0, 1.0)
    reach = 1.0
    if estimator == "lc_ratio":  # of the range that a tanh has by itself
        reach = float(np.minimum(np.abs(feature(np.ones((1, y.size)))), 1.0).mean())
    sizes = Sizes.of(whole[0], reach, difficulty)
    flags = warnings_of(sizes, rate, raw)
    if np.ptp(y) == 0:
        # Resampling equal results shows no spread; Wilson's interval of the raw share does.
        found[-1] = Figure(value=rate, low=raw.low, high=raw.high, n=y.size)
        flags = (*flags, "every comparison had the same result: the interval is the raw one")
    elif sizes.told_by_length():
        found = [Figure(value=None, low=None, high=None, n=y.size) for _ in found]
        flags = (TOLD_BY_LENGTH,)
    psi = found[1] if difficulty is not None else NOTHING
    return LengthControlled(
        estimator=estimator, win_rate=found[-1], raw=raw, phi=found[0], psi=psi,
        theta=found[-2], flags=flags,
    )  # fmt: skip


class _Extra(NamedTuple):
    """Gamed rows: results, features [G, K], and the number of each one's prompt, -1 for none."""

    y: Floats
    x: Floats
    codes: Codes

    @classmethod
    def of(cls, gamed: Gamed | None, contest: Contest, count: int) -> _Extra:
        if gamed is None:
            return cls(np.zeros(0), np.zeros((0, 0)), np.zeros(0, np.intp))
        names = contest.clusters if contest.clusters is not None else range(count)
        order = {name: n for n, name in enumerate(dict.fromkeys(names))}
        codes = np.array([order.get(name, -1) for name in gamed.prompts], np.intp)
        x = [np.tanh(gamed.std_delta_len), np.asarray(gamed.difficulty), np.zeros(len(codes))]
        return cls(np.asarray(gamed.wins, np.float64), np.stack(x, axis=1), codes)

    def weights(self, drawn: Floats) -> Floats:
        """[B, G]: a gamed row is drawn with its prompt; one without a prompt always stands."""
        if not len(self.y):
            return np.zeros((len(drawn), 0))
        return GAMED_WEIGHT * np.where(self.codes < 0, 1.0, drawn[:, self.codes])


class _Model(NamedTuple):
    """Columns phi, psi where there is a difficulty, theta."""

    y: Floats
    feature: Callable[[Floats], Floats]
    difficulty: Floats | None
    extra: _Extra

    def fitted(self, weights: Floats, drawn: Floats, start: Floats | None = None) -> Floats:
        """Coefficients [B, K] at weights [B, N] of rows and drawn [B, prompts]."""
        hard = [] if self.difficulty is None else [np.broadcast_to(self.difficulty, weights.shape)]
        x = np.stack([self.feature(weights), *hard, np.ones_like(weights)], axis=2)
        if not len(self.extra.y):
            return fit(x, self.y, weights, start)
        more = np.broadcast_to(self.extra.x, (len(weights), *self.extra.x.shape))
        every = np.concatenate([weights, self.extra.weights(drawn)], axis=1)
        y = np.concatenate([self.y, self.extra.y])
        return fit(np.concatenate([x, more], axis=1), y, every, start)

    def rate(self, beta: Floats, weights: Floats) -> Floats:
        """Win rates [B] of the same fit with the length term set to zero."""
        if self.difficulty is None:
            return sigmoid(beta[:, -1])
        at_equal = sigmoid(beta[:, 1:2] * self.difficulty + beta[:, 2:])
        return np.asarray((weights * at_equal).sum(1) / weights.sum(1))


def deviations(values: Floats, weights: Floats) -> Floats:
    """Sample deviations (ddof 1) [B] of values [N], each standing for as many as weights [B, N]."""
    total = weights.sum(1)
    centre = (weights @ values) / total
    squares = (weights * (values - centre[:, None]) ** 2).sum(1)
    return np.asarray(np.sqrt(squares / np.maximum(total - 1, 1)), np.float64)
