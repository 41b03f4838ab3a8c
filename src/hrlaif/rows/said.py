"""What did somebody say of which item? Rows of preferences, ratings and verdicts, by item."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from hrlaif.errors import DataError
from hrlaif.records import Row
from hrlaif.rows.files import SourceRow
from hrlaif.rows.forms import comparison_from, responses_from
from hrlaif.rows.known import probability, told_of
from hrlaif.rows.names import named
from hrlaif.rows.turns import MEND

Question = Literal["preference", "satisfaction", "harmless"]
_OF_PEOPLE = ("human_preference", "winner", "chosen")
_HARMLESS = {True: "yes", False: "no"}


class Said(NamedTuple):
    """What somebody said of one item."""

    question: Question
    value: str | float
    """`a`, `b` or `tie`; a level from 1 to 5; `yes` or `no`."""
    by: str
    reason: str = ""
    prob_a: float | None = None

    @property
    def human(self) -> bool:
        """True for people, false for judges, rewrites and checks."""
        return self.by.startswith("human/")

    @property
    def who(self) -> str:
        """`by` with a slash: where nothing else tells judges from people, a bare name is human."""
        return self.by if "/" in self.by else f"judge/{self.by}"


class Subject(NamedTuple):
    """An item, and all that was said of it."""

    id: str
    turns: list[Row]
    category: str
    texts: tuple[str, ...]
    """Both responses of a pair, or the only one."""
    said: list[Said]

    @property
    def prompt(self) -> str:
        """The turns as one text."""
        if len(self.turns) == 1:
            return str(self.turns[0]["content"])
        return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in self.turns)


def subjects(
    rows: Iterable[SourceRow], left: Counter[str], *, every_check: bool = False
) -> list[Subject]:
    """What was said, by item; rows without a verdict are left out and counted.

    So are verdicts of checks other than `harmless`, which do not answer its question, unless
    `every_check` takes them for what is good and what is not.
    """
    found: dict[tuple[str, str], Subject] = {}
    for given in rows:
        row = SourceRow(given.where, dict(named(given.values)))
        said = _said(row)
        if said is None:
            left["rows without a verdict"] += 1
            continue
        if said.question == "harmless" and not (every_check or of_harm(row.values)):
            left["verdicts of other checks"] += 1
            continue
        name = (str(row.values.get("id") or row.where), said.question)
        subject = _subject(row, said)
        known = found.setdefault(name, subject)
        if (known.turns, known.texts) != (subject.turns, subject.texts):
            raise DataError(
                f"{row.where}: id {name[0]!r} stands in an earlier row with other texts: give each "
                "its own"
            )
        known.said.append(said)
    return list(found.values())


def _said(row: SourceRow) -> Said | None:
    values = row.values
    reason = str(values.get("reason") or "")
    level = _level(row)
    if level is not None:
        by = str(values.get("rater") or "human/people")
        return Said("satisfaction", level, by, reason)
    passed = told_of(values, "passed", row.where)
    if passed is not None:
        by = str(evidence(row).get("rater") or values.get("check") or "check")
        return Said("harmless", _HARMLESS[passed], by, reason)
    prob, by = probability(values, "prob_a", row.where), str(values.get("labeler") or "judge")
    if prob is None and any(values.get(name) is not None for name in _OF_PEOPLE):
        prob = comparison_from(row).human_preference
        by = f"human/{str(values.get('rater') or 'people').removeprefix('human/')}"
    return None if prob is None else Said("preference", side_of(prob), by, reason, float(prob))


def of_harm(values: Mapping[str, Any]) -> bool:
    """Whether a verdict says of a response if it is harmless: of that check, or of no check."""
    return str(values.get("check") or "harmless") == "harmless"


def _level(row: SourceRow) -> float | None:
    """How satisfied, a whole number where it is one; None where nothing is said."""
    value = row.values.get("satisfaction")
    if value in (None, ""):
        return None
    try:
        level = 0.0 if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        level = 0.0
    if not 1 <= level <= 5:  # true of what is not a number, too
        raise DataError(f"{row.where}: satisfaction {value!r:.40} is no level from 1 to 5: {MEND}")
    return int(level) if level.is_integer() else level


def evidence(row: SourceRow) -> Mapping[str, Any]:
    """Of a verdict; a table holds it as JSON text."""
    value = row.values.get("evidence")
    try:
        found = (json.loads(value) if isinstance(value, str) and value else value) or {}
    except (ValueError, RecursionError):
        found = value
    if not isinstance(found, Mapping):
        raise DataError(f"{row.where}: evidence {value!r:.40} is no JSON object: {MEND}")
    return found


def side_of(prob_a: float) -> str:
    """`a`, `b` or `tie`."""
    return "tie" if prob_a == 0.5 else "a" if prob_a > 0.5 else "b"


def _subject(row: SourceRow, said: Said) -> Subject:
    texts: tuple[str, ...]
    if said.question == "preference":
        pair = comparison_from(row)
        prompt, texts, name = pair.prompt, (pair.a.text, pair.b.text), pair.id
    else:
        if "response" not in row.values:
            raise DataError(
                f"{row.where}: no `response` beside its id: add it, and its `prompt`, from the "
                "file that was checked, or export what `hrlaif vote` wrote"
            )
        response = responses_from([row])[0]
        prompt, texts, name = response.prompt, (response.text,), response.key
    turns = [message.model_dump() for message in prompt.messages]
    return Subject(name, turns, prompt.category or "", texts, [])
