"""Are more people satisfied than before? A rate with a stated bar, in every category.

HRLAIF (arXiv 2403.08309): under basic RLAIF the win ratio rose and the satisfaction rate fell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, final

from hrlaif.evaluation.rater import Line, Satisfaction, fitted
from hrlaif.evaluation.win_rate import NO_CATEGORY
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import counted
from hrlaif.records import Rating, Response, Score
from hrlaif.rows import write_rows
from hrlaif.run import map_rows
from hrlaif.statistics import Figure, Measured, difference, mean

_PARTIAL = "levels.jsonl.partial"


@final
class Change(Measured):
    """A figure before and after RL, and the gain, paired by prompt and sample."""

    before: Figure
    after: Figure
    gain: Figure


@final
class Satisfied(Measured):
    """Shares of satisfying responses, and mean levels from 1 to 5."""

    rate: Change
    level: Change
    by_category: dict[str, Change]
    """Rates."""
    bar: float
    calibrated: Line | None
    """From the judge's levels to people's; None: the judge's own."""
    unrated: dict[str, int]
    """Why responses have no level, and how many."""


class _Level(NamedTuple):
    prompt: str
    nth: int
    category: str
    value: float | None


def satisfaction(
    before: Sequence[Response],
    after: Sequence[Response],
    rater: Satisfaction,
    judge: LanguageModel,
    folder: Path,
    *,
    seed: int = 0,
) -> Satisfied:
    """Rates all responses, resumably; writes folder/ratings.jsonl."""
    responses = [*before, *after]
    people = rater.people()
    rows = map_rows(
        folder / _PARTIAL,
        responses,
        lambda group: rater.score(group, judge),
        chunk=judge.chunk,
        key=lambda response: response.key,
        what="satisfaction",
        unit="responses",
    )
    scores = [Score.model_validate(row) for row in rows]
    line = fitted(responses, scores, people)
    levels = [None if s.value is None else line.apply(s.value) if line else s.value for s in scores]
    ratings = [
        Rating(id=r.key, satisfaction=level, rater=s.scorer, response=r)
        for r, s, level in zip(responses, scores, levels, strict=True)
        if level is not None
    ]
    write_rows(folder / "ratings.jsonl", (rating.row() for rating in ratings))
    (folder / _PARTIAL).unlink(missing_ok=True)
    old = _placed(before, levels[: len(before)])
    new = _placed(after, levels[len(before) :])
    reached = ([_reached(x, rater.bar) for x in old], [_reached(x, rater.bar) for x in new])
    names = sorted({level.category for level in (*old, *new)})
    return Satisfied(
        rate=_change(*reached, share=True, seed=seed),
        level=_change(old, new, share=False, seed=seed),
        by_category={
            name: _change(
                *([x for x in side if x.category == name] for side in reached),
                share=True,
                seed=seed,
            )
            for name in names
        },
        bar=rater.bar,
        calibrated=line,
        unrated=counted(s.reason for s in scores if s.value is None),
    )


def _placed(responses: Sequence[Response], levels: Sequence[float | None]) -> list[_Level]:
    seen: Counter[str] = Counter()
    placed = []
    for response, level in zip(responses, levels, strict=True):
        name = response.prompt.id
        category = response.prompt.category or NO_CATEGORY
        placed.append(_Level(name, seen[name], category, level))
        seen[name] += 1
    return placed


def _reached(level: _Level, bar: float) -> _Level:
    return level._replace(value=None if level.value is None else float(level.value >= bar))


def _change(before: Sequence[_Level], after: Sequence[_Level], *, share: bool, seed: int) -> Change:
    def of(levels: Sequence[_Level]) -> Figure:
        told = [(x.prompt, x.value) for x in levels if x.value is not None]
        names = [name for name, _ in told]
        return mean([value for _, value in told], clusters=names, share=share, seed=seed)

    now = {(x.prompt, x.nth): x.value for x in after}
    pairs = [
        (x.prompt, x.value, new)
        for x in before
        if x.value is not None and (new := now.get((x.prompt, x.nth))) is not None
    ]
    names = [name for name, _, _ in pairs]
    now_said, then_said = [n for *_, n in pairs], [o for _, o, _ in pairs]
    gain = difference(now_said, then_said, clusters=names, share=share, seed=seed)
    return Change(before=of(before), after=of(after), gain=gain)
