"""Did one policy gain more than another, on the same prompts against the same baseline?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import final

from hrlaif.errors import DataError
from hrlaif.evaluation.win_rate import answer_from, won
from hrlaif.rows import read_rows
from hrlaif.statistics import Figure, Measured, Paired, paired


@final
class TwoRuns(Measured):
    """The win rates of two policies, prompt by prompt."""

    difference: Figure
    """Mean of this win rate minus the other one, on the prompts that both have a verdict for."""
    p: float | None
    """Two-sided, from the bootstrap over prompts; None with fewer than two of them."""
    unmatched: int
    """Comparisons with a verdict in one run alone."""
    labeler: str
    statement: str


def refuse_others(others: Path, baseline: Collection[str]) -> None:
    """Before anything is paid: raises DataError where `others` had other baseline responses."""
    if not any(text in baseline for _, text in _wins(others)):
        raise DataError(
            f"{others} holds no verdict against these baseline responses: compare on the same ones"
        )


def two_runs(these: Path, others: Path, *, seed: int = 0) -> TwoRuns:
    """The difference of two folders that `compare`, or a run's evaluation, wrote.

    Raises DataError where they share no comparison, or the judge or the question is not the same.
    """
    mine, theirs = _wins(these), _wins(others)
    common = [key for key in mine if key in theirs]
    if not common:
        raise DataError(f"{these} and {others} share no comparison: compare on the same prompts")
    judges = [{labeler for _, _, labeler in rows.values()} for rows in (mine, theirs)]
    if judges[0] != judges[1] or len(judges[0]) != 1:
        raise DataError(
            f"{these} was judged by {_named(judges[0])} and {others} by {_named(judges[1])}: "
            "only verdicts of one judge can be subtracted"
        )
    found = paired(
        [mine[key][1] for key in common],
        [theirs[key][1] for key in common],
        clusters=[mine[key][0] for key in common],
        share=True,
        seed=seed,
    )
    return TwoRuns(
        difference=found.difference,
        p=found.p,
        unmatched=len(mine) + len(theirs) - 2 * len(common),
        labeler=_named(judges[0]),
        statement=_statement(found, others),
    )


def _statement(found: Paired, others: Path) -> str:
    gap = found.difference
    if gap.value is None or gap.low is None or gap.high is None or found.p is None:
        return f"Too few prompts to compare with {others}."
    value, low, high = (100 * x for x in (gap.value, gap.low, gap.high))
    shown = f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}, p {found.p:.3f})"
    said = "" if gap.excludes(0.0) else ": not distinguishable from none"
    return f"The win rate's difference from {others} is {shown}{said}."


def _named(judges: set[str]) -> str:
    return " and ".join(sorted(judges))


def _wins(folder: Path) -> dict[tuple[str, str], tuple[str, float, str]]:
    """By comparison and baseline text: the prompt, the win, and who said so."""
    file = folder / "comparisons.jsonl"
    if not file.is_file():
        raise DataError(f"{file} is missing: give a folder that `hrlaif compare` or a run wrote")
    found = {}
    for row in read_rows(file):
        answer = answer_from(row.values)
        if (win := won(answer)) is not None:
            prompt, baseline = answer.comparison.prompt.id, answer.comparison.a.text
            found[answer.comparison.id, baseline] = (prompt, win, answer.labeler)
    return found
