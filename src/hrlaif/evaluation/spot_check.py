"""What share passes a check, once people have seen some of it? Rows for them, and their correction.

The rows that people see are drawn more often where the check doubts, or at random; each counts by
the inverse of its chance (Zrnic and Candes, Active statistical inference, arXiv 2403.03208).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from hrlaif.errors import DataError
from hrlaif.records import Response, Row, Verdict
from hrlaif.rows.files import SourceRow
from hrlaif.rows.known import told_of
from hrlaif.statistics import clusters, corrected_by_check, mean, prediction_powered
from hrlaif.statistics.checking import chances, done, doubt, draw


class Word(NamedTuple):
    """What a person said of a response."""

    passed: bool | None
    """None where nobody was asked."""
    chance: float | None = None
    """How probable it was that a person was asked; None: for certain, or as likely as any."""


class Seen(NamedTuple):
    """A response that a check could judge, and what a person said of it."""

    response: Response
    verdict: Verdict
    word: Word

    @property
    def probability(self) -> float:
        """That it passes, as far as the check says how sure it is; else 1 or 0."""
        known = self.verdict.evidence
        for name in ("prob_harmful", "prob_refusal"):
            if name in known:
                return 1.0 - float(known[name])
        sure = float(known.get("confidence", 1.0))
        return sure if self.verdict.passed else 1.0 - sure


def word_of(row: SourceRow) -> Word:
    """`human_passed` (true or false) and `chance` of a row; raises DataError for anything else."""
    passed, given = told_of(row.values, "human_passed", row.where), row.values.get("chance")
    try:
        chance = None if given in (None, "") else float(given)
    except (TypeError, ValueError):
        chance = 0.0
    if chance is not None and not 0 < chance <= 1:
        raise DataError(
            f"{row.where}: chance {given!r:.40} is no probability above 0: mend or drop it"
        )
    return Word(passed, chance)


def judged(
    responses: Sequence[Response], verdicts: Sequence[Verdict], words: Sequence[Word]
) -> list[Seen]:
    """Those with a verdict: what a check cannot tell is in no share."""
    every = zip(responses, verdicts, words, strict=True)
    return [Seen(*one) for one in every if one[1].passed is not None]


def rows_to_check(
    seen: Sequence[Seen], count: int, *, by: Literal["doubt", "random"] = "doubt", seed: int = 0
) -> list[Row]:
    """At most `count` responses that no person saw, each with its `chance`, without the verdict.

    By doubt they are drawn more often where the check doubts, and evenly where it does not say how
    sure it is; by random evenly. They stand in a random order, so that the first of them are a
    smaller check of the same kind.
    """
    left = [one for one in seen if one.word.passed is None]
    if not left:
        return []
    interest = np.ones(len(left)) if by == "random" else doubt([one.probability for one in left])
    share = chances(interest, count)
    drawn = draw(share, seed=seed)
    np.random.default_rng([seed, 3]).shuffle(drawn)
    return [{**left[n].response.row(), "chance": round(float(share[n]), 6)} for n in drawn]


def passed_share(seen: Sequence[Seen], *, seed: int = 0) -> Row:
    """The share that passes as the check says, and as people's word on some corrects it.

    `rogan_gladen` only where the checked are a random some of all; empty where nobody was asked.
    """
    checked = [n for n, one in enumerate(seen) if one.word.passed is not None]
    if not checked:
        return {}
    said = [bool(one.verdict.passed) for one in seen]
    truth = [bool(seen[n].word.passed) for n in checked]
    prompts = clusters([one.response.prompt for one in seen])
    drawn = [c for n in checked if (c := seen[n].word.chance) is not None]
    # Whom the check did not reach, the first of its rows stand for.
    factor = done(drawn, len(seen) - len(checked))
    given = [one.word.chance for one in seen]
    share = np.array([1.0 if c is None else c * factor for c in given]) if drawn else None
    corrected = prediction_powered(
        [one.probability for one in seen],
        checked,
        [float(t) for t in truth],
        chances=share,
        clusters=prompts,
        share=True,
    )
    found: Row = {
        "judged": mean([float(s) for s in said], clusters=prompts, share=True, seed=seed).row(),
        "corrected": corrected.row(),
        "checked": len(checked),
        "checked_passed": sum(truth),
        "checked_agreed": sum(said[n] == t for n, t in zip(checked, truth, strict=True)),
    }
    if len(checked) < len(seen) and (share is None or np.ptp(share[checked]) == 0):
        found["rogan_gladen"] = corrected_by_check(
            said, checked, truth, clusters=prompts, seed=seed
        ).row()
    return found
