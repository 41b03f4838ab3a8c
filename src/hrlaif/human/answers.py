"""What did a rater say? From a button about what was shown to an answer about what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from hrlaif.errors import DataError
from hrlaif.human.items import Item
from hrlaif.records import Record

Choice = Literal["a", "b", "tie", "both bad"]
MOST_COMMENT = 4000


class Answer(Record):
    """One answer about the candidates in the file's order; exactly one field says it."""

    prefers: Choice | None = None
    ranking: tuple[int, ...] | None = None
    """Candidates from the best to the worst."""
    satisfaction: int | None = Field(default=None, ge=1, le=5)
    harmless: Literal["yes", "no", "unsure"] | None = None
    skipped: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
    """Why the rater passed it on: an abstention."""

    @model_validator(mode="after")
    def _one(self) -> Answer:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("an answer says exactly one thing")
        return self

    def fits(self, item: Item) -> bool:
        """True when it answers the question that the item asks."""
        if self.skipped is not None:
            return True
        if item.mode == "preference":
            return self.prefers is not None
        if item.mode == "ranking":
            return self.ranking is not None and sorted(self.ranking) == list(
                range(len(item.candidates))
            )
        return getattr(self, item.mode) is not None

    @property
    def silent(self) -> str | None:
        """Why there is no verdict; None when there is one."""
        return "unsure" if self.harmless == "unsure" else self.skipped

    @property
    def prob_a(self) -> float | None:
        """Of a preference: a tie, and two bad ones, are 0.5."""
        return None if self.prefers is None else {"a": 1.0, "b": 0.0}.get(self.prefers, 0.5)


def understood(given: Mapping[str, Any], item: Item, shown: Sequence[int]) -> Answer:
    """The answer behind what a page sent about texts shown in the order `shown`.

    The page says `first` and `second` for sides and counts positions from 0. Raises DataError for
    an answer that is none.
    """
    try:
        values = dict(given)
        if (side := values.get("prefers")) in ("first", "second"):
            values["prefers"] = "ab"[shown[0 if side == "first" else 1]]
        elif side in ("a", "b"):
            raise ValueError("sides are called first and second")
        if "ranking" in values:
            values["ranking"] = tuple(shown[place] for place in _places(values["ranking"]))
        answer = Answer.model_validate(values)
    except (ValueError, TypeError, IndexError, AttributeError):
        raise DataError(f"not an answer to a question of {item.mode}: reload the page") from None
    if not answer.fits(item):
        raise DataError(f"not an answer to a question of {item.mode}: reload the page")
    return answer


def as_given(answer: Answer, shown: Sequence[int]) -> dict[str, Any]:
    """The inverse of `understood`: what the page sent, to show an earlier answer again."""
    values: dict[str, Any] = answer.model_dump(exclude_none=True)
    if answer.prefers in ("a", "b"):
        values["prefers"] = "first" if shown[0] == "ab".index(answer.prefers) else "second"
    if answer.ranking is not None:
        values["ranking"] = [list(shown).index(candidate) for candidate in answer.ranking]
    return values


def passed_check(answer: Answer, item: Item) -> bool:
    """True when a rater did what an attention check says."""
    if answer.prefers is not None:
        return answer.prefers == "b"
    if answer.ranking is not None:
        return answer.ranking[0] == len(item.candidates) - 1
    return answer.satisfaction == 1 or answer.harmless == "unsure"


def _places(value: Any) -> list[int]:
    if not isinstance(value, list) or any(type(n) is not int or n < 0 for n in value):
        raise ValueError("a ranking is a list of positions")
    return value
