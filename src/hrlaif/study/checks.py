"""Which labels should a person check, and what do the checks make of the judge's figures?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    Calibration,
    Figure,
    Floats,
    corrected_share,
    prediction_powered,
    right,
)
from hrlaif.statistics.checking import (
    chances,
    disagreement,
    doubt,
    draw,
    planned_half_width,
)
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item


class Checkable(NamedTuple):
    """Answered pairs, how sure the judge is of each after calibration, and how split variants are.

    All lists are as long as the labels.
    """

    items: list[Item]
    labels: list[Preference]
    sure: Floats
    split: Floats

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        answers: Sequence[Answer],
        *,
        others: Sequence[Sequence[Answer]],
        calibration: Calibration | None,
    ) -> Checkable:
        """`others`: what the other variants said of the same items; silence there is a tie.

        Pairs that people call a tie are left out.
        """
        told = [(n, a) for n, a in enumerate(answers) if isinstance(a, Preference)]
        kept = [n for n, _ in told if items[n].truth != 0.5]
        labels = [a for n, a in told if items[n].truth != 0.5]
        p = [a.prob_a if calibration is None else calibration.apply(a.prob_a) for a in labels]
        several = [[_said(made[n]) for n in kept] for made in (answers, *others)]
        return cls(
            [items[n] for n in kept],
            labels,
            np.array([max(x, 1 - x) for x in p]),
            disagreement(several) if kept else np.zeros(0),
        )

    def unknown(self) -> Checkable:
        """The pairs without people's word; all, where all have it."""
        kept = [n for n, item in enumerate(self.items) if item.truth is None]
        if not kept:
            return self
        items, labels = [self.items[n] for n in kept], [self.labels[n] for n in kept]
        return Checkable(items, labels, self.sure[kept], self.split[kept])


def to_check(pool: Checkable, budget: int, *, seed: int) -> tuple[Row, list[Row]]:
    """The intervals to expect of each strategy, and the rows that a person should see.

    They are drawn from the pairs without people's word; from all where all have it, as a trial.
    Rows carry `chance`, by which their votes are weighed; the judge's label is left out, so that
    the person is not led by it.
    """
    pool = pool.unknown()
    if not pool.labels or budget < 1:
        return {}, []
    interest = {
        "random": np.ones(len(pool.labels)),
        "doubt": doubt(pool.sure),
        "disagreement": pool.split,
    }
    shares = {name: chances(wish, budget) for name, wish in interest.items()}
    planned = {
        name: {"half_width": round(planned_half_width(pool.sure, share), 5)}
        for name, share in shares.items()
    }
    rows = []
    for n in sorted(draw(shares["doubt"], seed=seed), key=lambda n: float(pool.sure[n])):
        comparison = pool.items[n].comparison.model_copy(
            update={"human_preference": None, "gold_preference": None}
        )
        rows.append({**comparison.row(), "chance": round(float(shares["doubt"][n]), 6)})
    return {"budget": min(budget, len(pool.labels)), "strategies": planned}, rows


def corrected(pool: Checkable, budget: int, *, seed: int) -> Row:
    """The judge's figures put right by people's: agreement, and the share in which a is better.

    Where only some pairs have people's word, that is the check. Where all have it, a check of
    `budget` is drawn in each way, and stands beside what all of people's word says.
    """
    known = [n for n, item in enumerate(pool.items) if item.decided]
    if len(known) < 2:
        return {}
    if len(known) < len(pool.items):
        given = [item.chance for item in pool.items]
        # What people said before any check was drawn stands beside it for certain.
        weighed = any(given[n] is not None for n in known)
        share = np.array([1.0 if c is None else c for c in given]) if weighed else None
        return {"people": len(known), "partly": True} | _estimates(pool, known, share)
    found: Row = {"people": len(known), "partly": False, "all": _estimates(pool, known, None)}
    ways: Mapping[str, Floats] = {
        "random": np.ones(len(known)),
        "doubt": doubt(pool.sure),
        "disagreement": pool.split,
    }
    for name, wish in ways.items():
        share = chances(wish, min(budget, len(known)))
        found[name] = _estimates(pool, draw(share, seed=seed), share)
    return found


def _estimates(pool: Checkable, checked: Sequence[int], share: Floats | None) -> Row:
    """`share`: each pair's chance of being checked; None when the check was random."""
    truths = [pool.items[n].truth or 0.0 for n in checked]
    said = [label.prob_a > 0.5 for label in pool.labels]
    marks = [right(pool.labels[n].prob_a, t) for n, t in zip(checked, truths, strict=True)]
    better = [float(t > 0.5) for t in truths]
    guesses = np.array([float(s) for s in said])
    rows: Row = {
        "checked": len(checked),
        "agreement": _share(prediction_powered(pool.sure, checked, marks, chances=share)).row(),
        "a_is_better": _share(prediction_powered(guesses, checked, better, chances=share)).row(),
    }
    if share is None or np.ptp(share[list(checked)]) == 0:
        # Sensitivity and specificity are those of a random sample only.
        rows["rogan_gladen"] = corrected_share(
            said, [said[n] for n in checked], [t > 0.5 for t in truths]
        ).row()
    return rows


def _share(found: Figure) -> Figure:
    """Cut off at 0 and 1: an estimate of few checks may pass them, the truth does not."""
    ends = {name: getattr(found, name) for name in ("value", "low", "high")}
    return found.model_copy(
        update={name: min(max(end, 0.0), 1.0) for name, end in ends.items() if end is not None}
    )


def _said(answer: Answer) -> float:
    return answer.prob_a if isinstance(answer, Preference) else 0.5
