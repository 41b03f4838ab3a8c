"""What does a value of a JSON file say to a page? Figures, numbers, turns, and where to fold."""

from __future__ import annotations

from hrlaif.messages import names_harm, spoken
from hrlaif.records import Row
from hrlaif.statistics import Figure

_LONG = 900


def figure(value: object) -> Figure | None:
    """A figure of a metrics file; None when it is not one, or says nothing."""
    if not isinstance(value, dict) or number(value.get("value")) is None:
        return None
    low, high = number(value.get("low")), number(value.get("high"))
    return Figure(value=number(value["value"]), low=low, high=high, n=int(value.get("n") or 0))


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def verdicts(won: Row) -> int | None:
    """Of a win rate, how many comparisons of different texts were decided; None if it is not said.

    Where none were, there are only ties of equal texts, and a win rate of 0.5 says nothing.
    """
    asked = number(won.get("asked"))
    if asked is None:
        return None
    silent = sum(number(n) or 0 for n in (won.get("abstentions") or {}).values())
    return round(asked - (number(won.get("identical")) or 0) - silent)


def turns(value: object) -> list[tuple[str, str]]:
    """A prompt as (role, text) turns, from a string or a list of messages."""
    if isinstance(value, str):
        return [("user", value)]
    if not isinstance(value, list):
        return []
    return [
        (str(t.get("role", "")), str(t.get("content", ""))) for t in value if isinstance(t, dict)
    ]


def folded(value: object) -> Row:
    """The text, and where to fold it when it is long."""
    text = "" if value is None else str(value)
    cut = len(text) if len(text) <= _LONG else text.rfind(" ", _LONG // 2, _LONG) + 1 or _LONG
    return {"head": text[:cut], "tail": text[cut:]}


def answer(value: object) -> Row:
    """A response without its thoughts, which no judge was shown, and where to fold it."""
    return folded(spoken("" if value is None else str(value)))


def is_harmful(row: Row) -> bool:
    """True when a row's texts should not be seen unasked."""
    return bool(row.get("harmful")) or names_harm(str(row.get("category") or ""))
