"""What did an AI judge say of the same rows? Preferences, verdicts, ratings or grades, by item."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hrlaif.errors import DataError
from hrlaif.records import Record
from hrlaif.rows import responses_from
from hrlaif.rows.files import SourceRow
from hrlaif.rows.forms import comparison_from
from hrlaif.rows.names import named, sides_of
from hrlaif.rows.said import evidence, of_harm
from hrlaif.rows.turns import PROMPT_NAMES, Turns

Asked = tuple[Turns, tuple[str, ...]]
"""The turns before the responses, and the responses in their order."""


class Judged(Record):
    """What an AI judge said of the same row."""

    labeler: str
    prob_a: float | None = None
    satisfaction: float | None = None
    harmless: bool | None = None

    def turned(self) -> Judged:
        """The same of the responses in the other order."""
        return self.model_copy(update={"prob_a": None if self.prob_a is None else 1 - self.prob_a})


class Beside:
    """What a judge said, found by what was asked where its rows hold that, else by their ids."""

    def __init__(self, rows: Sequence[SourceRow]):
        """Raises DataError where a row is neither preference, verdict nor grade."""
        self._found: dict[Hashable, Judged] = {}
        for row in rows:
            judged, name = judgement(row.values, row.where), row.values.get("id")
            asked = None if judged is None else _asked(row, judged)
            if judged is None or (name is None and asked is None):
                raise DataError(
                    f"{row.where}: no `id` with `prob_a`, `passed`, `satisfaction` or a graded "
                    "`value`: give what `hrlaif label`, `hrlaif score --judge` or a harmless check "
                    "wrote"
                )
            if asked is None:
                self._found[str(name)] = judged
                continue
            turns, texts = asked
            for key, said in (((turns, texts[::-1]), judged.turned()), ((turns, texts), judged)):
                self._found[str(name), key] = said
                self._found[key] = said

    def of(self, names: Sequence[str], asked: Asked) -> Judged | None:
        """What was said of an item that has one of these ids; None where nothing was.

        Two policies may share an id in one file, and then their texts tell them apart.
        """
        keys = (*((name, asked) for name in names), asked, *names)
        return next((self._found[key] for key in keys if key in self._found), None)


def _asked(row: SourceRow, judged: Judged) -> Asked | None:
    """What a row's judge was asked, where the row holds it."""
    values = named(row.values)
    if not any(name in values for name in PROMPT_NAMES):
        return None
    if judged.prob_a is None:
        if "response" not in values:
            return None
        response = responses_from([row])[0]
        return response.prompt.messages, (response.text,)
    if not (sides_of(values) or "responses" in values or "chosen" in values):
        return None
    pair = comparison_from(row)
    return pair.prompt.messages, (pair.a.text, pair.b.text)


def judgement(values: Mapping[str, Any], where: str) -> Judged | None:
    """What a judge said in one row; None where nobody did, or people.

    Raises DataError for what is no number, and for a verdict of a check other than `harmless`.
    """
    names = ("labeler", "scorer", "check", "rater")
    by = next((str(values[name]) for name in names if values.get(name)), "judge")
    if "passed" in values:  # a person's verdict says so in its evidence
        by = str(evidence(SourceRow(where, dict(values))).get("rater") or by)
    if by.startswith(("human/", "redteam/")):
        return None
    try:
        if values.get("prob_a") is not None:
            return Judged(labeler=by, prob_a=values["prob_a"])
        if "passed" in values:
            _refuse_other_check(values, where)
            return Judged(labeler=by, harmless=values["passed"])
        if values.get("satisfaction") is not None:
            return Judged(labeler=by, satisfaction=values["satisfaction"])
        if values.get("value") is not None and by.endswith("/1-10"):
            # `hrlaif score --judge` grades from 1 to 10, people from 1 to 5.
            return Judged(labeler=by, satisfaction=1 + (float(values["value"]) - 1) * 4 / 9)
    except ValueError:
        raise DataError(
            f"{where}: what the judge said is no number: mend or drop that row"
        ) from None
    return None


def _refuse_other_check(values: Mapping[str, Any], where: str) -> None:
    if not of_harm(values):
        raise DataError(
            f"{where}: a verdict of the check {str(values['check'])!r:.40} does not say what is "
            "harmless: give what `hrlaif check --check harmless` wrote, or drop that row"
        )
