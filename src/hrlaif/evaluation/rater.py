"""How satisfied would a person be with one response, from 1 to 5? A judge's expected level.

HRLAIF (arXiv 2403.08309) measures satisfaction, which is absolute, beside preference, which is
relative and rewards style. Its scale is not public; ours, and the bar, are stated here.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import final

import numpy as np
from pydantic import Field

from hrlaif.errors import DataError
from hrlaif.llm.prompting import about_one, load_template
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Chat, Choice, Rating, Record, Response, Score, Unanswered
from hrlaif.rows import read_rows
from hrlaif.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
LEVELS = ("1", "2", "3", "4", "5")
FEWEST = 20
"""People's ratings from which a line may be fitted."""


@final
class Line(Record):
    """What people say, as a line of what the judge says: least squares, kept within 1 and 5."""

    slope: float
    intercept: float
    n: int

    def apply(self, level: float) -> float:
        """The level that people would give."""
        return min(5.0, max(1.0, self.intercept + self.slope * level))


@final
class Satisfaction(Settings):
    """Asks the judge for a level from 1 to 5, and takes the expectation of its probabilities."""

    bar: float = Field(default=3.5, gt=1, le=5)
    """Satisfied: an (expected) level of at least this; from people, 4 and 5 are."""
    ratings: str | None = None
    """A file of people's ratings, as `hrlaif vote` writes: where they are of responses rated here,
    20 or more, a line from the judge's levels to theirs is fitted and applied."""
    mass_floor: float = Field(default=0.05, ge=0, le=1)
    """No level when the judge gives all levels together less probability than this."""
    max_chars: int = Field(default=8000, ge=100)
    """Longer prompts lose their beginning, longer responses their end, visibly."""

    def score(self, responses: Sequence[Response], judge: LanguageModel) -> list[Score]:
        """The judge's expected level of each response, 1 to 5; None with the reason for silence."""
        asked = [r for r in responses if r.finish_reason != "error"]
        told = iter(judge.choose([self._question(r) for r in asked], LEVELS))
        missing = Unanswered(reason=MISSING)
        return [
            self._score(r, missing if r.finish_reason == "error" else next(told), judge.name)
            for r in responses
        ]

    def people(self) -> list[Rating]:
        """People's ratings; raises DataError naming the file and the row that is none."""
        if self.ratings is None:
            return []
        found = []
        for row in read_rows(self.ratings):
            try:
                found.append(Rating.from_row(row.values))
            except (ValueError, KeyError):
                raise DataError(
                    f"{row.where}: no rating: evaluation.satisfaction.ratings takes the "
                    "ratings.jsonl of `hrlaif vote`"
                ) from None
        return found

    def _score(self, response: Response, choice: Choice | Unanswered, judge: str) -> Score:
        scorer = f"satisfaction/{judge}"
        if isinstance(choice, Choice) and choice.mass < self.mass_floor:
            floor = f"level mass {choice.mass:.3g} is below the floor {self.mass_floor}"
            choice = Unanswered(reason=floor)
        if isinstance(choice, Unanswered):
            return Score(id=response.key, value=None, scorer=scorer, reason=choice.reason)
        shares = dict(zip(LEVELS, choice.probabilities, strict=True))
        value = sum(int(level) * share for level, share in shares.items())
        return Score(id=response.key, value=round(value, 6), scorer=scorer, distribution=shares)

    def _question(self, response: Response) -> Chat:
        texts = load_template(PROMPTS, "satisfaction", response.prompt.language)
        return about_one(texts, response, self.max_chars)


def fitted(
    responses: Sequence[Response], scores: Sequence[Score], people: Sequence[Rating]
) -> Line | None:
    """The line from the judge's levels to people's mean levels of the same responses.

    None with fewer than 20 such responses, where the judge says the same of all, or where people
    do not rise with the judge: such a line would put the judge upside down.
    """
    said: dict[Hashable, list[float]] = {}
    for rating in people:
        if rating.response is not None:
            said.setdefault(_of(rating.response), []).append(rating.satisfaction)
    pairs = [
        (score.value, sum(said[_of(r)]) / len(said[_of(r)]))
        for r, score in zip(responses, scores, strict=True)
        if score.value is not None and _of(r) in said
    ]
    if len(pairs) < FEWEST:
        return None
    x, y = np.asarray(pairs, np.float64).T
    spread = float(np.square(x - x.mean()).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 1e-12 else 0.0
    if slope <= 0:
        return None
    return Line(slope=slope, intercept=float(y.mean() - slope * x.mean()), n=len(pairs))


def _of(response: Response) -> Hashable:
    """What people and the judge read: an id may stand for several questions."""
    return response.prompt.messages, response.text
