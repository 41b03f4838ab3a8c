"""d-RLAIF: ask a judge to grade one response from 1 to 10, and take the expectation.

Lee et al., arXiv 2309.00267, section 3: s(y|x) = sum of i P(i | y, x) over i = 1 .. 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self, final

from pydantic import Field, model_validator

from hrlaif.errors import UsageError
from hrlaif.llm.own_texts import named
from hrlaif.llm.prompting import about_one, load_template
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Chat, Choice, Response, Score, Unanswered
from hrlaif.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
GRADES = tuple(str(grade) for grade in range(1, 11))


@final
class Direct(Settings):
    """The expected grade from 1 to 10, in one call a response."""

    task: str = "general"
    """Which prompt texts: summarization, helpful, harmless or general; or a .yaml file with
    criteria of your own (docs/criteria.md)."""
    normalise: bool = True
    """Map 1 .. 10 to -1 .. 1 by (s - 5.5) / 4.5; otherwise the grade itself, and `scorer` ends in
    /1-10."""
    mass_floor: float = Field(default=0.05, ge=0, le=1)
    """No score when the judge gives all grades together less probability than this."""
    max_chars: int = Field(default=8000, ge=100)
    """Longer prompts lose their beginning, longer responses their end, visibly."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        load_template(PROMPTS, self.task, "en")
        return self

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; `value=None` with the reason where the judge gave no grade."""
        if judge is None:
            raise UsageError("direct grades need a judge: name one, such as --judge packaged:NAME")
        asked = [r for r in responses if r.finish_reason != "error"]
        told = iter(judge.choose([self._question(r) for r in asked], GRADES))
        missing = Unanswered(reason=MISSING)
        choices = [missing if r.finish_reason == "error" else next(told) for r in responses]
        scale = "" if self.normalise else "/1-10"
        name = f"direct/{judge.name}/{named(self.task)}{scale}"
        pairs = zip(responses, choices, strict=True)
        return [self._score(response, choice, name) for response, choice in pairs]

    def _score(self, response: Response, choice: Choice | Unanswered, scorer: str) -> Score:
        if isinstance(choice, Choice) and choice.mass < self.mass_floor:
            floor = f"grade mass {choice.mass:.3g} is below the floor {self.mass_floor}"
            choice = Unanswered(reason=floor)
        if isinstance(choice, Unanswered):
            return Score(id=response.key, value=None, scorer=scorer, reason=choice.reason)
        shares = dict(zip(GRADES, choice.probabilities, strict=True))
        grade = expected_grade(choice.probabilities)
        value = (grade - 5.5) / 4.5 if self.normalise else grade
        return Score(id=response.key, value=round(value, 6), scorer=scorer, distribution=shares)

    def _question(self, response: Response) -> Chat:
        texts = load_template(PROMPTS, self.task, response.prompt.language)
        return about_one(texts, response, self.max_chars)


def expected_grade(probabilities: Sequence[float]) -> float:
    """Sum of i P(i) for i = 1, 2, ...; probabilities sum to 1."""
    return sum(grade * p for grade, p in enumerate(probabilities, start=1))
