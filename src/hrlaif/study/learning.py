"""What would a reward model learn from these labels, from fewer of them, or from poisoned ones?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import RESAMPLES, Figure, Floats, difference, mean, noise, right
from hrlaif.statistics.figures import draws, interval, numbered, within
from hrlaif.statistics.logistic import fit
from hrlaif.study.agreement import baselines
from hrlaif.study.features import differences
from hrlaif.study.pairs import Item

Trainer = Callable[[Sequence[Preference], Sequence[Preference]], Sequence[float]]
"""Trains a reward model on the first, and gives the reward of a minus that of b for the second."""

SHARES = (0.125, 0.25, 0.5, 1.0)
_RIDGE = 3.0
_SHOWN = 20
_LEAST = 8
_DRAWS, _FOLDS = 10, 5
_FEW_DRAWS, _FEW_FOLDS = 1, 3  # other trainers than the linear one take minutes


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
    """Accuracy on people's preferences by the number of AI labels learnt from.

    Beside it, on the same pairs, what needs no labels. `draws`: of which labels are learnt from.
    """
    counts = [c for share in SHARES if (c := round(share * len(lesson.train))) >= _LEAST]
    if not counts:
        return {}
    found = {str(count): _marks(lesson, trainer, count=count, seed=seed) for count in counts}
    return {
        "accuracy": {name: _one_training(lesson, m, seed=seed).row() for name, m in found.items()},
        **baselines(lesson.test, seed=seed),
        "draws": _several(trainer, _DRAWS, _FEW_DRAWS),
    }


def poisoned(lesson: Lesson, trainer: Trainer, *, shares: Sequence[float], seed: int) -> Row:
    """The same with these shares of the labels turned round, by an attacker or a careless rater.

    Of none of them, too. `difference` is the accuracy minus that, paired by the test pairs. Of few
    labels a share may be none, which is left out; `turned` is how many it is.
    """
    if len(lesson.train) < _LEAST:
        return {}
    count, found = len(lesson.train), {}
    clean = _marks(lesson, trainer, count=count, seed=seed)
    for share in (0.0, *(s for s in shares if round(s * count))):
        marks = _marks(lesson, trainer, count=count, seed=seed, poison=share) if share else clean
        change = _one_training(lesson, marks - clean, seed=seed, least=-1.0) if share else None
        found[f"{share:g}"] = {
            "accuracy": _one_training(lesson, marks, seed=seed).row(),
            "difference": change.row() if change else None,
            "turned": round(share * count),
        }
    return found


def doubtful(
    labels: Sequence[Preference], trainer: Trainer, *, test: Collection[str], seed: int
) -> Row:
    """Which labels does a reward model speak against that has not seen them, and how many err?

    Ties of the labeler are left out, and no prompt is in two folds. A suspect's `margin` is by how
    much, in log-odds, the model of the other folds prefers the response that the label does not
    name. Errors which follow what the model sees, such as a taste for length, it learns and
    repeats: no figure here but those of people knows of them. `contradicted` is the share of labels
    that name the other response than people do, among prompts of `test`, and `likely_contradicted`
    that of the first suspects there.
    """
    told = [p for p in labels if p.prob_a != 0.5]
    names = [p.comparison.prompt.id for p in told]
    codes, prompts = numbered(names, len(told))
    folds = min(_several(trainer, _FOLDS, _FEW_FOLDS), prompts)
    if len(told) < _LEAST or folds < 2:
        return {}
    margins = np.zeros(len(told))
    for fold in range(folds):
        aside = codes % folds == fold
        rest = [p for p, out in zip(told, aside, strict=True) if not out]
        margins[aside] = trainer(rest, [told[i] for i in np.flatnonzero(aside)])
    named = np.array([p.prob_a > 0.5 for p in told])
    found = noise(margins, named.astype(np.float64), clusters=names, seed=seed)
    against = np.where(named, -margins, margins)
    order = [i for i in np.argsort(-against, kind="stable") if against[i] > 0]
    known = [i for i in order if names[i] in test and _right(told[i]) is not None]
    return {
        "contradicted": _contradicted([p for p in told if p.comparison.prompt.id in test], seed),
        "likely_contradicted": _contradicted([told[i] for i in known[:_SHOWN]], seed),
        "held_out": found.held_out.row(),
        "random_flips_at_most": found.at_most.row(),
        "random_flips": found.rate.row(),
        "folds": folds,
        "suspects": [
            {"rank": n, "id": told[i].comparison.id, "margin": round(float(against[i]), 4)}
            for n, i in enumerate(order[:_SHOWN], start=1)
        ],
    }


def _several(trainer: Trainer, many: int, few: int) -> int:
    return many if trainer is linear else few


def _contradicted(labels: Sequence[Preference], seed: int) -> Row:
    """Share of labels that name the other response than people do."""
    rows = [(p.comparison.prompt.id, 1.0 - mark) for p in labels if (mark := _right(p)) is not None]
    values, names = [v for _, v in rows], [n for n, _ in rows]
    return mean(values, clusters=names, share=True, seed=seed).row()


def _right(label: Preference) -> float | None:
    known = label.comparison.human_or_gold
    return None if known in (None, 0.5) else right(label.prob_a, known or 0.0)


def _marks(
    lesson: Lesson, trainer: Trainer, *, count: int, seed: int, poison: float = 0.0
) -> Floats:
    """[draws, decided test pairs]: whether the reward model of each draw names what people do.

    A draw says which labels are learnt from, and which of them are turned round. Where that is all
    and none, draws are the same.
    """
    asked = [_plain(item) for item in lesson.test if item.decided]
    repeats = _several(trainer, _DRAWS, _FEW_DRAWS)
    same = count == len(lesson.train) and not poison
    rows = []
    for repeat in range(1 if same else repeats):
        coins = np.random.default_rng([seed, 3, repeat])
        order = coins.permutation(len(lesson.train))[:count]
        turned = set(coins.permutation(count)[: round(poison * count)].tolist())
        train = [
            _turned(lesson.train[i]) if n in turned else lesson.train[i]
            for n, i in enumerate(order)
        ]
        gaps = np.sign(trainer(train, asked))
        rows.append([right(0.5 + g / 2, p.prob_a) for g, p in zip(gaps, asked, strict=True)])
    return np.array(rows * (repeats if same else 1), np.float64)


def _one_training(lesson: Lesson, marks: Floats, *, seed: int, least: float = 0.0) -> Figure:
    """Mean of marks [draws, decided test pairs], from `least` to 1, as one training may have it.

    Each resample takes one of the draws, and whole prompts again.
    """
    n = marks.shape[1]
    prompts = [item.prompt for item in lesson.test if item.decided]
    if (marks == marks[0]).all():  # nothing but the pairs was drawn
        if least == 0.0:
            return mean(marks[0], clusters=prompts, share=True, seed=seed)
        up, down = np.maximum(marks[0], 0.0), np.maximum(-marks[0], 0.0)
        return difference(up, down, clusters=prompts, share=True, seed=seed)
    codes, count = numbered(prompts, n)
    value = float(marks.mean())
    if count < 2:
        return Figure(value=value, low=None, high=None, n=n)
    sums = np.array([np.bincount(codes, weights=row, minlength=count) for row in marks])
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    means = [(drawn @ sums.T) / (drawn @ sizes)[:, None] for drawn in draws(count, seed=seed)]
    taken = np.random.default_rng([seed, 4]).integers(0, len(marks), RESAMPLES)
    drawn = np.concatenate(means)[range(RESAMPLES), taken]
    return within(interval(value, drawn, n=n, clusters=count), least, 1.0)


def _turned(preference: Preference) -> Preference:
    return preference.model_copy(update={"prob_a": 1.0 - preference.prob_a})


def _plain(item: Item) -> Preference:
    return Preference(comparison=item.comparison, prob_a=item.truth or 0.0, labeler="human/people")
