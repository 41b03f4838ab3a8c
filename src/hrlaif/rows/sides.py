"""Which two responses does a row hold, which is the first, and which the better by its form?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.progress import number
from hrlaif.records import digest
from hrlaif.rows.names import sides_of
from hrlaif.rows.turns import (
    MEND,
    PROMPT_NAMES,
    Turns,
    answer_of,
    transcript,
    turns_of,
    with_system,
)

OF_THE_FIRST = ("prob_a", "votes", "models")
"""What stands in these speaks of the first response, and would be wrong of the second."""
_PREFERENCES = ("human_preference", "gold_preference")


class Sides(NamedTuple):
    """Two responses in a row's own order."""

    turns: Turns
    first: Any
    second: Any
    preference: float | None = None
    """That the first is the better, where `chosen` and `rejected` say it."""
    are_placed: bool = True
    """Whether the row says which is the first."""

    def are_turned(self, key: str) -> bool:
        """Whether `rejected` becomes a, by a coin that the id throws: the same on every machine.

        With `chosen` always first, whoever prefers the first would agree with people in every pair.
        """
        return not self.are_placed and int(digest(["side", key]), 16) % 2 == 1


def sides(values: Mapping[str, Any], where: str) -> Sides:
    """Of a row in any form; raises DataError where there are not two, or it is not plain which."""
    given = _given(values, where)
    if "chosen" not in values or "rejected" not in values:
        if given is None:
            raise DataError(
                f"{where}: no responses: a pair needs `responses: [a, b]`, `response_a` and "
                "`response_b`, or `chosen` and `rejected` (the row has "
                f"{', '.join(map(repr, values)) or 'nothing'}): {MEND}"
            )
        if len(given) != 2:
            many = number(len(given), "response")
            raise DataError(f"{where}: {many}, where a pair has 2: split or drop the row")
        return Sides(turns_of(values, where), given[0], given[1])
    turns, chosen, rejected = _chosen_rejected(values, where)
    if given is not None and len(given) == 2:
        texts = [_text(side, turns, where) for side in given]
        if texts in ([chosen, rejected], [rejected, chosen]):
            return Sides(turns, given[0], given[1], float(texts[0] == chosen))
        if any(values.get(name) not in (None, "") for name in (*_PREFERENCES, *OF_THE_FIRST)):
            raise DataError(
                f"{where}: `chosen` and `rejected` are not the two responses beside them: drop "
                "what is not meant"
            )
    return Sides(turns, chosen, rejected, 1.0, are_placed=_speaks_of_the_first(values))


def _given(values: Mapping[str, Any], where: str) -> Sequence[Any] | None:
    """The responses of a row in their order, but for chosen and rejected; None without any."""
    if "responses" in values:
        found = values["responses"]
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise DataError(f"{where}: responses is no list: write [a, b], or drop that row")
        return found
    names = sides_of(values)
    return [values[name] for name in names] if names else None


def _text(side: Any, turns: Turns, where: str) -> Any:
    if isinstance(side, Mapping):
        return side.get("text")
    return answer_of(side, turns, where, "response") if side else side


def _speaks_of_the_first(values: Mapping[str, Any]) -> bool:
    meta = values.get("meta")
    beside = meta if isinstance(meta, Mapping) else {}
    return any(values.get(name, beside.get(name)) is not None for name in OF_THE_FIRST)


def _chosen_rejected(values: Mapping[str, Any], where: str) -> tuple[Turns, str, str]:
    if any(name in values for name in PROMPT_NAMES):
        turns = turns_of(values, where)
        chosen, rejected = (answer_of(values[k], turns, where, k) for k in ("chosen", "rejected"))
        return turns, chosen, rejected
    before, after = (transcript(values[k], where, k) for k in ("chosen", "rejected"))
    if before[:-1] != after[:-1] or not before[:-1]:
        raise DataError(
            f"{where}: without a `prompt`, `chosen` and `rejected` must be transcripts "
            f"that differ in the last assistant turn alone: {MEND}"
        )
    return with_system(before[:-1], values, where), before[-1].content, after[-1].content
