"""Which of several models is best in this judge's eyes, and which at equal style?

Bradley-Terry of all comparisons, refitted on resampled prompts: with the judge's probabilities,
with its verdicts, and with differences in style beside the models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import final

import numpy as np
from pydantic import Field

from hrlaif.evaluation.win_rate import Answer, won
from hrlaif.messages import spoken
from hrlaif.records import Comparison, Preference
from hrlaif.statistics import (
    RESAMPLES,
    TOLD_BY_STYLE,
    Contest,
    Figure,
    Floats,
    Games,
    LengthControlled,
    Measured,
    Ranking,
    bounded,
    bradley_terry,
    clusters,
    difficulties,
    lc_difficulty,
    length_feature,
    told_apart,
    told_by_style,
    wilson,
)

Traits = Callable[[Comparison], Mapping[str, float]]
"""Differences in style, a minus b, a trait a name."""
_JOINTLY = 3
_CELLS = 40_000_000
"""Numbers in the joint fit of difficulties: 320 MB."""
_FLAT = 1e-4
"""An interval this narrow shows no spread: no number of comparisons gives it."""


@final
class Ranked(Measured):
    """Strengths and mean win rates of all models; None, with the reason, where there are none."""

    as_judged: Ranking | None = None
    """Of the judge's probabilities, as the win rate of two models is."""
    hard: Ranking | None = None
    """Of its verdicts: won, lost, or half at a probability of exactly 0.5."""
    at_equal_style: Ranking | None = None
    """Of its probabilities, the traits held equal; None where no trait can be."""
    style_left_out: dict[str, str] = Field(default_factory=dict)
    """Traits that were not held equal, and why."""
    reason: str = ""


@final
class WithDifficulty(Measured):
    """Each model against the first, the difficulty of prompts estimated from the others."""

    models: dict[str, LengthControlled] = Field(default_factory=dict)
    reason: str = ""
    """Why there is none."""


def ranked(
    answers: Sequence[Answer], traits: Traits, *, seed: int = 0, resamples: int = RESAMPLES
) -> Ranked:
    """Of all answers about models named in their comparisons; ties of equal texts are half wins."""
    told = [(answer.comparison, win) for answer in answers if (win := won(answer)) is not None]
    if not any(isinstance(answer, Preference) for answer in answers):
        return Ranked(reason="no verdicts")
    games = Games(
        [c.a.model for c, _ in told],
        [c.b.model for c, _ in told],
        np.array([1 - win for _, win in told]),
        clusters([c.prompt for c, _ in told]),
    )
    asked = sorted({side.model for a in answers for side in (a.comparison.a, a.comparison.b)})
    sides = _sides(games, asked)
    if np.linalg.matrix_rank(sides) < len(asked) - 1:  # of a graph in one piece it is M - 1
        return Ranked(reason="no verdict connects all the models")
    gaps = [traits(c) for c, _ in told]
    style, left_out = told_apart(games, {name: [gap[name] for gap in gaps] for name in gaps[0]})
    verdicts = 0.5 + 0.5 * np.sign(np.asarray(games.wins) - 0.5)

    def fitted(wins: Floats, traits: dict[str, Sequence[float]]) -> Ranking:
        played = games._replace(wins=wins)
        found = bradley_terry(played, style=traits, seed=seed, resamples=resamples)
        return _with_spread(found, played)

    equal = fitted(np.asarray(games.wins), style) if style else None
    if equal and told_by_style(equal):
        equal, left_out = None, left_out | dict.fromkeys(style, TOLD_BY_STYLE)
    return Ranked(
        as_judged=fitted(np.asarray(games.wins), {}),
        hard=fitted(verdicts, {}),
        at_equal_style=equal,
        style_left_out=left_out,
    )


def with_difficulty(answers: Sequence[Answer], first: str, *, seed: int = 0) -> WithDifficulty:
    """lc_difficulty of each model over `first`, from the answers in which `first` is a.

    The difficulty is a joint fit of the other models' verdicts, so that it explains none of its
    own (decision 076).
    """
    told: dict[str, list[tuple[Comparison, float]]] = defaultdict(list)
    for answer in answers:
        if answer.comparison.a.model == first and (win := won(answer)) is not None:
            told[answer.comparison.b.model].append((answer.comparison, win))
    if len(told) < _JOINTLY:
        return WithDifficulty(
            reason=f"the difficulty of prompts takes {_JOINTLY} models beside the first, "
            f"not {len(told)}"
        )
    items = dict.fromkeys(item_of(c) for rows in told.values() for c, _ in rows)
    places = {item: n for n, item in enumerate(items)}
    if len(told) * len(places) * (len(places) + 2 * len(told)) > _CELLS:
        return WithDifficulty(reason=f"{len(places):,} prompts are too many for a joint fit")
    wins, lengths = np.full((len(told), len(places)), np.nan), np.zeros((len(told), len(places)))
    for m, rows in enumerate(told.values()):
        at, contest = [places[item_of(c)] for c, _ in rows], _contest(rows)
        wins[m, at], lengths[m, at] = contest.wins, length_feature(contest)
    found = {}
    for m, (name, rows) in enumerate(told.items()):
        others = [k for k in range(len(told)) if k != m]
        gamma = difficulties(list(wins[others]), list(lengths[others]))
        hard = {item: gamma[n] for item, n in places.items() if not np.isnan(wins[others, n]).all()}
        known = [row for row in rows if item_of(row[0]) in hard]
        difficulty = [hard[item_of(c)] for c, _ in known]
        found[name] = lc_difficulty(_contest(known), difficulty, seed=seed)
    return WithDifficulty(models=found)


def item_of(comparison: Comparison) -> str:
    """The prompt, and which of its samples, without the models that met there."""
    return comparison.id.removesuffix(f"/{comparison.a.model}/{comparison.b.model}")


def _contest(rows: Sequence[tuple[Comparison, float]]) -> Contest:
    return Contest(
        [win for _, win in rows],
        [float(len(spoken(c.b.text))) for c, _ in rows],
        [float(len(spoken(c.a.text))) for c, _ in rows],
        clusters([c.prompt for c, _ in rows]),
    )


def _sides(games: Games, models: Sequence[str]) -> Floats:
    """1 where a model is first, -1 where it is second: [N, M]."""
    place = {name: n for n, name in enumerate(models)}
    rows = np.eye(len(models))
    return rows[[place[x] for x in games.first]] - rows[[place[x] for x in games.second]]


def _with_spread(found: Ranking, games: Games) -> Ranking:
    """Where resamples of equal results show no spread, Wilson's interval over the prompts.

    Where a model wins, or loses, everything, no strength is large enough: no model then has one,
    since each is against the average of all.
    """
    prompts: dict[str, set[Hashable]] = defaultdict(set)
    for names in (games.first, games.second):
        for name, prompt in zip(names, games.clusters or (), strict=True):
            prompts[name].add(prompt)
    flat = {name for name, f in found.win_rate.items() if _no_spread(f)}
    rates = {name: _by_wilson(found.win_rate[name], len(prompts[name])) for name in flat}
    gone = {"low": None, "high": None} | ({} if bounded(games) else {"value": None})
    lost = flat if bounded(games) else found.strength.keys()
    unknown = {name: found.strength[name].model_copy(update=gone) for name in lost}
    return found.model_copy(
        update={"win_rate": found.win_rate | rates, "strength": found.strength | unknown}
    )


def _no_spread(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None and figure.high - figure.low < _FLAT


def _by_wilson(figure: Figure, prompts: int) -> Figure:
    value = figure.value or 0.0
    low, high = wilson(value * prompts, prompts)
    return figure.model_copy(update={"low": min(low, value), "high": max(high, value)})
