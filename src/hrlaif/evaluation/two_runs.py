"""Did one policy gain more than another, on the same prompts against the same baseline?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, final

from hrlaif.errors import DataError
from hrlaif.evaluation.win_rate import Answer, answer_from, won
from hrlaif.progress import number
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Comparison, Preference
from hrlaif.rows import read_rows
from hrlaif.statistics import NOTHING, Figure, Measured, Paired, clusters, paired


class _Win(NamedTuple):
    prompt: str
    share: float
    labeler: str
    judged: bool
    """Not a tie of two equal texts, of which nobody was asked."""


_Wins = dict[tuple[str, str], _Win]


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


def refuse_others(
    others: Path, pairs: Sequence[Comparison], labeler: Labeler, judge: LanguageModel
) -> None:
    """Before these pairs are paid: raises DataError where `others` cannot be subtracted from them.

    That is, where its baseline responses or its judge, or what that was asked, are not these.
    """
    answers = _answers(others)
    wins = _wins(answers)
    judged = {key for key, win in wins.items() if win.judged}
    if not judged & {_key(one) for one in pairs}:
        if any(_of_several(answer.comparison) for answer in answers):
            raise DataError(f"{others} compares several models: give the folder of one of two")
        raise DataError(
            f"{others} holds no verdict against these baseline responses: compare on the same ones"
        )
    # Of two equal responses nothing is asked, and the row says who did not answer.
    [row] = labeler.label([pairs[0].model_copy(update={"b": pairs[0].a})], judge)
    _one_judge({row.labeler}, "this comparison", wins, others)


def _one_judge(mine: set[str], these: Path | str, wins: _Wins, others: Path) -> None:
    theirs = {win.labeler for win in wins.values()}
    if mine != theirs or len(mine) != 1:
        raise DataError(
            f"{these} is judged by {_named(mine)} and {others} by {_named(theirs)}: "
            "only verdicts of one judge can be subtracted"
        )


def two_runs(these: Path, others: Path, *, seed: int = 0) -> TwoRuns:
    """The difference of two folders that `compare`, or a run's evaluation, wrote.

    It is not known where all that one of the two says of the common ones are ties of equal texts.
    Raises DataError where they share no comparison, or the judge or the question is not the same.
    """
    mine, theirs = _wins(_answers(these)), _wins(_answers(others))
    common = [key for key in mine if key in theirs]
    if not common:
        raise DataError(f"{these} and {others} share no comparison: compare on the same prompts")
    judges = {win.labeler for win in mine.values()}
    _one_judge(judges, these, theirs, others)
    found = paired(
        [mine[key].share for key in common],
        [theirs[key].share for key in common],
        clusters=[mine[key].prompt for key in common],
        share=True,
        seed=seed,
    )
    if not all(any(wins[key].judged for key in common) for wins in (mine, theirs)):
        found = Paired(difference=NOTHING, p=None)
    unmatched = len(mine) + len(theirs) - 2 * len(common)
    return TwoRuns(
        difference=found.difference,
        p=found.p,
        unmatched=unmatched,
        labeler=_named(judges),
        statement=_statement(found, others, unmatched),
    )


def _statement(found: Paired, others: Path, unmatched: int) -> str:
    gap = found.difference
    alone = f" Left out: {number(unmatched, 'verdict')} of one of the two alone."
    rest = alone if unmatched else ""
    if gap.value is None:
        return f"Too few verdicts to compare with {others}.{rest}"
    if gap.low is None or gap.high is None or found.p is None:
        return f"Too few prompts to compare with {others}.{rest}"
    value, low, high = (100 * x for x in (gap.value, gap.low, gap.high))
    shown = f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}, p {found.p:.3f})"
    on = f"on {number(gap.n, 'comparison')}"
    said = "" if gap.excludes(0.0) else ": not distinguishable from none"
    return f"The win rate's difference from {others} is {shown} {on}{said}.{rest}"


def _named(judges: set[str]) -> str:
    return " and ".join(sorted(judges))


def _answers(folder: Path) -> list[Answer]:
    file = folder / "comparisons.jsonl"
    if not file.is_file():
        raise DataError(f"{file} is missing: give a folder that `hrlaif compare` or a run wrote")
    return [answer_from(row.values) for row in read_rows(file)]


def _wins(answers: Sequence[Answer]) -> _Wins:
    """By comparison and baseline text."""
    prompts = clusters([answer.comparison.prompt for answer in answers])
    return {
        _key(answer.comparison): _Win(prompt, win, answer.labeler, isinstance(answer, Preference))
        for answer, prompt in zip(answers, prompts, strict=True)
        if (win := won(answer)) is not None
    }


def _key(comparison: Comparison) -> tuple[str, str]:
    return comparison.id, comparison.a.text


def _of_several(comparison: Comparison) -> bool:
    """Where more than two models met, each comparison is named after its two."""
    return comparison.id.endswith(f"/{comparison.a.model}/{comparison.b.model}")
