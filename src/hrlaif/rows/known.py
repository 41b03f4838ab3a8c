"""Which response is known to be the better? Probabilities, words for a side, columns not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from hrlaif.errors import DataError
from hrlaif.progress import say
from hrlaif.rows.names import STEMS, from_0, plain

_SAID = re.compile(rf"(?:(?:{'|'.join(STEMS)}|model|assistant)_)?([ab012])")
_FIRST, _SECOND = ("a", "left", "a>b"), ("b", "right", "b>a")
_TIE = ("tie", "draw", "equal", "same", "both", "a=b", "both_bad", "tie_(bothbad)")
_NUMBERS = {False: ("1", "2"), True: ("0", "1")}
"""Of the first and the second; counted from 0 where the row's columns are."""
# Each data set means something else by these, so none is guessed at.
_UNREAD = (
    "preference", "preferred", "preferred_response", "overall_preference", "human_label",
    "better", "better_response", "better_response_id", "best", "best_response", "choice",
    "label", "labels", "verdict", "judgment", "judgement", "vote", "annotator1",
)  # fmt: skip


def side(word: object, *, counted_from_0: bool = False) -> float | None:
    """1.0 for the first response, 0.0 for the second, 0.5 for a tie; None for any other word."""
    text = plain(str(word)).strip("[]")
    found = re.fullmatch(r"([012])\.0", text) or _SAID.fullmatch(text)
    text = found[1] if found else text
    first, second = _NUMBERS[counted_from_0]
    if text in (first, *_FIRST):
        return 1.0
    return 0.0 if text in (second, *_SECOND) else 0.5 if text in _TIE else None


def _words(counted_from_0: bool = False) -> str:
    return "a, b, tie, {} or {}".format(*_NUMBERS[counted_from_0])


def probability(values: Mapping[str, Any], column: str, where: str) -> Any:
    """That the first response is the better: a number from 0 to 1, or a word for a side.

    None where nothing is said. Raises DataError for any other word or number.
    """
    value = values.get(column)
    if value == "":
        return None
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = side(value, counted_from_0=from_0(values))
        if number is None:
            raise DataError(
                f"{where}: {column}: {value!r:.40} is neither {_words(from_0(values))} nor a "
                "probability: write one of these, or rename the column"
            ) from None
    if number is not None and not _from_0_to_1(number):
        raise DataError(
            f"{where}: {column}: {value!r:.40} is no probability from 0 to 1: mend it, or where "
            "1 and 2 are sides, name the column `winner`"
        )
    return number


def _from_0_to_1(value: Any) -> bool:
    try:
        return bool(0 <= value <= 1)
    except (TypeError, ArithmeticError):  # a list; a decimal that is not a number
        return False


def told_of(values: Mapping[str, Any], column: str, where: str) -> bool | None:
    """True or false, in a table also as a word; None where nothing is said.

    Raises DataError for anything else: every text is true in Python, `False` among them.
    """
    value = values.get(column)
    found = {"true": True, "false": False, "": None, "none": None}.get(str(value).lower(), value)
    if found is not None and not isinstance(found, bool):
        raise DataError(f"{where}: {column} {value!r:.40} is neither true nor false: mend it")
    return found


def winner(values: Mapping[str, Any], where: str) -> float | None:
    """What a column `winner` says, in words.

    0 is a tie to some and the first to others: refused, but where the sides are counted from 0.
    """
    value = values.get("winner")
    if value is None or value == "":
        return None
    found = side(value, counted_from_0=from_0(values))
    if found is None:
        raise DataError(
            f"{where}: winner: {value!r:.40} is none of {_words(from_0(values))}: write one of "
            "these, or rename the column if it says something else"
        )
    return found


def unread(values: Mapping[str, Any]) -> list[str]:
    """Columns that look as if they knew the better response, and are not read."""
    return [name for name in _UNREAD if values.get(name) not in (None, "")]


def say_unread(columns: Iterable[tuple[str, str]]) -> None:
    """Says of each file and column that it was not read, and how it would be."""
    for file, column in columns:
        say_once(
            f"{file}: the column `{column}` is not read. If it says which response is better, name "
            f"it `winner` ({_words()}) or `human_preference` (probability that the first is better)"
        )


@lru_cache(maxsize=256)
def say_once(text: str) -> None:
    """Some callers read a file row by row."""
    say(text)


def file_of(where: str) -> str:
    """The file of `pairs.jsonl, line 12`."""
    return where.rpartition(", ")[0] or where
