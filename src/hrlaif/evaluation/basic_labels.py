"""What would basic labels have said of the same pairs? The basic labeler, asked again.

HRLAIF (arXiv 2403.08309): hybrid labels agree more often with people on math and multiple choice.
What is known of a pair is people's word, else a known answer, else a check's verdict; a label that
a check made is never measured against that same check.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, final

from hrlaif.evaluation.win_rate import NO_CATEGORY
from hrlaif.protocols import Labeler, LanguageModel, pairs_at_once
from hrlaif.records import Preference
from hrlaif.run import map_rows
from hrlaif.statistics import Figure, Measured, clusters, mean, right

_PARTIAL = "basic_labels.jsonl.partial"


@final
class BothLabels(Measured):
    """Agreement with what is known, on the same rows: those that both labelled, and on which people
    or a known answer, and not the check itself, say what is better."""

    hybrid: Figure
    basic: Figure
    basic_against_check: Figure
    """On other rows: of those that a check labelled, and nobody else knows."""
    silent: int
    """Rows on which the basic labeler said nothing."""


@final
class BasicLabels(Measured):
    """Hybrid beside basic labels."""

    overall: BothLabels
    by_category: dict[str, BothLabels]


class Basic(NamedTuple):
    """The labeler without verification, whom it asks, and about how many pairs at most."""

    labeler: Labeler
    judge: LanguageModel
    most: int


class _Row(NamedTuple):
    preference: Preference
    truth: float
    checked: bool
    """The truth is the verdict of the check that made the label."""


def basic_labels(
    preferences: Sequence[Preference], basic: Basic, folder: Path, *, seed: int = 0
) -> BasicLabels:
    """Asks again about some of the labelled pairs of which it is known what is better."""
    labeler, judge, most = basic
    known = [row for preference in preferences if (row := _known(preference)) is not None]
    drawn = random.Random(seed).sample(known, min(most, len(known)))
    rows = map_rows(
        folder / _PARTIAL,
        drawn,
        lambda group: labeler.label([row.preference.comparison for row in group], judge),
        chunk=pairs_at_once(judge, labeler),
        key=lambda row: row.preference.comparison.id,
        what="basic labels",
        unit="pairs",
    )
    (folder / _PARTIAL).unlink(missing_ok=True)
    told = [(row, answer.get("prob_a")) for row, answer in zip(drawn, rows, strict=True)]
    names = sorted({_category(row) for row in drawn})
    return BasicLabels(
        overall=_both(told, seed),
        by_category={
            name: _both([pair for pair in told if _category(pair[0]) == name], seed)
            for name in names
        },
    )


def _known(preference: Preference) -> _Row | None:
    comparison, evidence = preference.comparison, preference.evidence
    truth = comparison.human_or_gold
    by_check = truth is None and evidence is not None and evidence.source == "verified"
    truth = preference.prob_a if by_check else truth
    return None if truth is None or truth == 0.5 else _Row(preference, truth, by_check)


def _category(row: _Row) -> str:
    return row.preference.comparison.prompt.category or NO_CATEGORY


def _both(told: Sequence[tuple[_Row, float | None]], seed: int) -> BothLabels:
    def share(rows: Sequence[tuple[_Row, float]]) -> Figure:
        names = clusters(row.preference.comparison.prompt for row, _ in rows)
        values = [right(label, row.truth) for row, label in rows]
        return mean(values, clusters=names, share=True, seed=seed)

    both = [(row, label) for row, label in told if label is not None]
    known = [(row, label) for row, label in both if not row.checked]
    return BothLabels(
        hybrid=share([(row, row.preference.prob_a) for row, _ in known]),
        basic=share(known),
        basic_against_check=share([(row, label) for row, label in both if row.checked]),
        silent=sum(label is None for _, label in told),
    )
