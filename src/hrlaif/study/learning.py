"""What would a reward model learn from these labels, from fewer of them, or from poisoned ones?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import Figure, mean, noise, right
from hrlaif.statistics.logistic import fit
from hrlaif.study.features import STYLES, differences
from hrlaif.study.pairs import Item

Trainer = Callable[[Sequence[Preference], Sequence[Preference]], Sequence[float]]
"""Trains a reward model on the first, and gives the reward of a minus that of b for the second."""

SHARES = (0.125, 0.25, 0.5, 1.0)
POISON = (0.0, 0.05, 0.1, 0.2, 0.3)
_RIDGE = 3.0
_NOISE_RIDGE = 0.1
_SHOWN = 20
_REPEATS = 5
_LEAST = 8


class Lesson(NamedTuple):
    """Labels to learn from, and pairs of which people's preference is known."""

    train: Sequence[Preference]
    test: Sequence[Item]


def linear(train: Sequence[Preference], test: Sequence[Preference]) -> Sequence[float]:
    """A ridge Bradley-Terry model on the features of `features.differences`."""
    x = differences([p.comparison for p in (*train, *test)])
    y = np.array([p.prob_a for p in train])
    beta = fit(x[: len(train)], y, np.ones((1, len(train))), ridge=_RIDGE)
    found: list[float] = (x[len(train) :] @ beta[0]).tolist()
    return found


def curve(lesson: Lesson, trainer: Trainer, *, seed: int) -> Row:
    """Accuracy on people's preferences by the number of AI labels learnt from."""
    found = {}
    for share in SHARES:
        count = round(share * len(lesson.train))
        if count >= _LEAST:
            found[str(count)] = _accuracy(lesson, trainer, count=count, seed=seed).row()
    return found


def poisoned(lesson: Lesson, trainer: Trainer, *, seed: int) -> Row:
    """The same with a share of the labels turned round, by an attacker or a careless rater."""
    if len(lesson.train) < _LEAST:
        return {}
    return {
        f"{share:g}": _accuracy(
            lesson, trainer, count=len(lesson.train), poison=share, seed=seed
        ).row()
        for share in POISON
    }


def doubtful(labels: Sequence[Preference], *, seed: int) -> Row:
    """How many labels look flipped to a model of the other folds, and which most.

    Ties of the labeler are left out. The model knows style alone, so it tells little, and the
    interval of the rate says so; what good taste beyond style decides looks like noise to it. Where
    people's preference is known, `contradicted` is their share of wrong labels, and
    `likely_contradicted` that of the labels that look most flipped.
    """
    told = [p for p in labels if p.prob_a != 0.5]
    if len(told) < _LEAST:
        return {}
    hard = [float(p.prob_a > 0.5) for p in told]
    names = [p.comparison.prompt.id for p in told]
    x = differences([p.comparison for p in told])[:, :STYLES]
    found = noise(x, hard, clusters=names, ridge=_NOISE_RIDGE)
    worst = np.argsort(-found.flipped, kind="stable")[:_SHOWN]
    return {
        "rate": found.rate.row(),
        "contradicted": _contradicted(told, seed).row(),
        "likely_contradicted": _contradicted([told[i] for i in worst], seed).row(),
        "likely": [
            {"id": told[i].comparison.id, "probability": round(float(found.flipped[i]), 4)}
            for i in worst
        ],
    }


def _contradicted(labels: Sequence[Preference], seed: int) -> Figure:
    """Share of labels that name the other response than people do."""
    rows = [(p.comparison.prompt.id, 1.0 - mark) for p in labels if (mark := _right(p)) is not None]
    return mean([v for _, v in rows], clusters=[n for n, _ in rows], share=True, seed=seed)


def _right(label: Preference) -> float | None:
    known = label.comparison.human_preference
    known = label.comparison.gold_preference if known is None else known
    return None if known in (None, 0.5) else right(label.prob_a, known or 0.0)


def _accuracy(
    lesson: Lesson, trainer: Trainer, *, count: int, seed: int, poison: float = 0.0
) -> Figure:
    """Mean over a few draws of which labels are learnt from, and which of them turned round."""
    asked = [_plain(item) for item in lesson.test if item.decided]
    truths = [item.truth or 0.0 for item in lesson.test if item.decided]
    # Other trainers than the linear one take minutes, so they get one draw.
    several = trainer is linear and (count < len(lesson.train) or poison)
    repeats = _REPEATS if several else 1
    marks = np.zeros(len(asked))
    for repeat in range(repeats):
        coins = np.random.default_rng([seed, 3, repeat])
        order = coins.permutation(len(lesson.train))[:count]
        turned = set(coins.permutation(count)[: round(poison * count)].tolist())
        train = [
            _turned(lesson.train[i]) if n in turned else lesson.train[i]
            for n, i in enumerate(order)
        ]
        gaps = trainer(train, asked)
        probabilities = [0.5 if g == 0 else float(g > 0) for g in gaps]
        marks += [right(p, t) for p, t in zip(probabilities, truths, strict=True)]
    names = [p.comparison.prompt.id for p in asked]
    return mean(marks / repeats, clusters=names, share=True, seed=seed)


def _turned(preference: Preference) -> Preference:
    return preference.model_copy(update={"prob_a": 1.0 - preference.prob_a})


def _plain(item: Item) -> Preference:
    return Preference(comparison=item.comparison, prob_a=item.truth or 0.0, labeler="human/people")
