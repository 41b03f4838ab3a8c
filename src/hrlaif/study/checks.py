"""Which labels should a person check, and what do the checks make of the judge's figures?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    Calibration,
    Floats,
    corrected_by_check,
    prediction_powered_of_some,
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
from hrlaif.study.pairs import Item, as_far_as_done


class Checkable(NamedTuple):
    """Answered pairs, what the judge says of each after calibration, and how split variants are.

    All lists are as long as the labels.
    """

    items: list[Item]
    labels: list[Preference]
    better: Floats
    """The calibrated probability that a is better."""
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

        Where people have seen all, pairs that they call a tie are left out; else nobody knows which
        of the others are ties, and those that are known speak for them.
        """
        told = [(n, a) for n, a in enumerate(answers) if isinstance(a, Preference)]
        if all(items[n].truth is not None for n, _ in told):
            told = [(n, a) for n, a in told if items[n].decided]
        kept, labels = [n for n, _ in told], [a for _, a in told]
        p = [a.prob_a if calibration is None else calibration.apply(a.prob_a) for a in labels]
        several = [[_said(made[n]) for n in kept] for made in (answers, *others)]
        return cls(
            [items[n] for n in kept],
            labels,
            np.array(p),
            disagreement(several) if kept else np.zeros(0),
        )

    @property
    def sure(self) -> Floats:
        """How probable it is that the label is right, if the judge may be as sure as it is."""
        return np.maximum(self.better, 1 - self.better)

    @property
    def interest(self) -> dict[str, Floats]:
        """What draws a check to each label, by each strategy's name."""
        even = np.ones(len(self.labels))
        return {"random": even, "doubt": doubt(self.better), "disagreement": self.split}

    @property
    def prompts(self) -> list[str]:
        """The names by which intervals are clustered."""
        return [item.prompt for item in self.items]

    def unknown(self) -> Checkable:
        """The pairs without people's word; all, where all have it."""
        kept = [n for n, item in enumerate(self.items) if item.truth is None]
        return self._some(kept) if kept else self

    def where(self, items: Sequence[Item]) -> Checkable:
        """Those of these items."""
        return self._some(self.places(items))

    def places(self, items: Sequence[Item]) -> list[int]:
        """Positions of these items."""
        names = {item.comparison.id for item in items}
        return [n for n, item in enumerate(self.items) if item.comparison.id in names]

    def _some(self, kept: Sequence[int]) -> Checkable:
        items, labels = [self.items[n] for n in kept], [self.labels[n] for n in kept]
        return Checkable(items, labels, self.better[kept], self.split[kept])


def to_check(
    pool: Checkable, budget: int, *, by: str = "doubt", test: Sequence[Item], seed: int
) -> tuple[Row, list[Row]]:
    """The intervals to expect of each strategy, and the rows that a person should see.

    They are drawn, by one of the strategies, from the pairs without people's word; from all where
    all have it, as a trial. Figures are those of the `test` items, on which the way of asking was
    not chosen: the intervals to expect are of the checks that fall there. Rows carry `chance`, by
    which their votes are weighed; the judge's label is left out, so that the person is not led by
    it. They stand in a random order: the first of them are a smaller check of the same kind.
    """
    pool = pool.unknown()
    if not pool.labels or budget < 1:
        return {}, []
    shares = {name: chances(wish, budget) for name, wish in pool.interest.items()}
    drawn = draw(shares[by], seed=seed)
    np.random.default_rng([seed, 3]).shuffle(drawn)
    rows = []
    for n in drawn:
        comparison = pool.items[n].comparison.model_copy(
            update={"human_preference": None, "gold_preference": None}
        )
        written_by = {"models": list(pool.items[n].models)} if all(pool.items[n].models) else {}
        rows.append({**comparison.row(), **written_by, "chance": round(float(shares[by][n]), 6)})
    there = pool.places(test)
    plan: Row = {"budget": min(budget, len(pool.labels)), "check_by": by}
    if there:
        plan["budget_test"] = round(float(shares["random"][there].sum()))
        plan["strategies"] = {name: _planned(pool, there, one) for name, one in shares.items()}
    return plan, rows


def _planned(pool: Checkable, places: Sequence[int], chance: Floats) -> Row:
    names = [pool.prompts[n] for n in places]
    return {
        name: round(planned_half_width(p[places], chance[places], clusters=names), 5)
        for name, p in (("half_width", pool.sure), ("half_width_a_is_better", pool.better))
    }


def corrected(pool: Checkable, budget: int, *, seed: int) -> Row:
    """The judge's figures put right by people's: agreement, and the share in which a is better.

    Where only some pairs have people's word, that is the check. Where all have it, a check of
    `budget` is drawn in each way, and stands beside what all of people's word says; with a budget
    of 0 the part is empty.
    """
    known = [n for n, item in enumerate(pool.items) if item.truth is not None]
    if sum(pool.items[n].decided for n in known) < 2:
        return {}
    given = [item.chance for item in as_far_as_done(pool.items)]
    # What people said before any check was drawn stands beside it for certain.
    weighed = any(given[n] is not None for n in known)
    share = np.array([1.0 if c is None else c for c in given]) if weighed else None
    partly = len(known) < len(pool.items)
    if not partly and budget < 1:
        return {}
    found: Row = {"people": len(known), "partly": partly}
    told = _estimates(pool, known, share, seed)
    if partly:
        return found | told
    found["all"] = told
    # A trial draws from all pairs: where people have seen the doubtful ones, those are not all.
    for name, wish in pool.interest.items() if not weighed else ():
        share = chances(wish, budget)
        found[name] = _estimates(pool, draw(share, seed=seed), share, seed)
    return found


def _estimates(pool: Checkable, checked: Sequence[int], share: Floats | None, seed: int) -> Row:
    """`share`: each pair's chance of being checked; None when the check was random."""
    truths = [pool.items[n].truth or 0.0 for n in checked]
    ties = 0.5 in truths
    marks = [
        None if t == 0.5 else right(pool.labels[n].prob_a, t)
        for n, t in zip(checked, truths, strict=True)
    ]
    better = [None if t == 0.5 else float(t > 0.5) for t in truths]
    rows: Row = {"checked": len(checked)}
    for name, guesses, people in (
        ("agreement", pool.sure, marks),
        ("a_is_better", pool.better, better),
    ):
        rows[name] = prediction_powered_of_some(
            guesses, checked, people, chances=share, clusters=pool.prompts
        ).row()
    random = share is None or np.ptp(share[list(checked)]) == 0
    if random and not ties and len(checked) < len(pool.labels):
        # Sensitivity and specificity are those of a random sample, and of pairs that are no ties.
        rows["rogan_gladen"] = corrected_by_check(
            [label.prob_a > 0.5 for label in pool.labels],
            checked,
            [t > 0.5 for t in truths],
            clusters=pool.prompts,
            seed=seed,
        ).row()
    return rows


def _said(answer: Answer) -> float:
    return answer.prob_a if isinstance(answer, Preference) else 0.5
