"""What did people say in another tool? Rows of Argilla, Label Studio, Potato, CSV, or our own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.rows.files import SourceRow
from hrlaif.rows.known import side
from hrlaif.rows.names import from_0, named
from hrlaif.rows.said import Said, side_of, subjects
from hrlaif.rows.turns import MEND

_QUESTIONS = ("preference", "satisfaction", "harmless")
_YES = {"yes": "yes", "true": "yes", "harmless": "yes", "no": "no", "false": "no", "harmful": "no"}


class Brought(NamedTuple):
    """An answer made elsewhere."""

    where: str
    """File and row."""
    item: str
    said: Said
    texts: tuple[str, ...] = ()
    """The responses in the order that `said` speaks of, where the row holds them: with `chosen` and
    `rejected` that order is the row's, not the item's."""


def brought(rows: Sequence[SourceRow]) -> list[Brought]:
    """Every answer by people in rows of any of the forms. Raises DataError naming file and row."""
    return [answer for row in rows for answer in _answers(row)]


def _answers(row: SourceRow) -> Iterator[Brought]:
    values = row.values
    texts = _texts(values)
    found: Iterable[Said]
    if "fields" in values and "responses" in values:
        found = _argilla(row)
    elif "data" in values and "annotations" in values:
        found = _label_studio(row)
    elif "annotations" in values:
        found = _potato(row, values["annotations"])
    elif "instance_id" in values and "labels" in values:
        found = _potato(row, [values])
    elif "question" in values and "answer" in values:
        found = _checked(row, str(values.get("by") or ""), values["question"], values["answer"])
    else:
        found, texts = _own(row)
    yield from (Brought(row.where, _name(row), said, texts) for said in found if said.human)


def _texts(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The responses that other tools were given, where their rows still hold them."""
    if isinstance(held := values.get("text"), list):  # Potato's
        return tuple(map(str, held))
    fields = values.get("fields", values.get("data", values))
    shown = fields if isinstance(fields, Mapping) else {}
    found = [str(shown.get(f"response_{letter}") or "") for letter in "ab"]
    return tuple(found[: 2 if found[1] else 1]) if any(found) else ()


def _name(row: SourceRow) -> str:
    data = row.values.get("data")
    name = (data if isinstance(data, Mapping) else row.values).get("id")
    name = row.values.get("instance_id") if name is None else name
    if name in (None, ""):
        raise DataError(f"{row.where}: no `id`, so it is not known what was answered: add it")
    return str(name)


def _own(row: SourceRow) -> tuple[list[Said], tuple[str, ...]]:
    """What a row of ours, or of TRL, says, and of which responses."""
    found = subjects([row], Counter())
    if not found:
        return [], ()
    for said in found[0].said:
        if said.human and isinstance(said.value, float):
            raise DataError(
                f"{row.where}: satisfaction {said.value:g} is not whole, as people's are: {MEND}"
            )
    return found[0].said, found[0].texts


def _argilla(row: SourceRow) -> Iterable[Said]:
    names = _raters(row.values.get("metadata"))
    for question, answers in _pairs(row, row.values["responses"]):
        for answer in _objects(row, answers, f"answers to {question!r:.30}"):
            user = str(answer.get("user_id") or "someone")
            yield from _checked(row, names.get(user, user), question, answer.get("value"))


def _raters(metadata: Any) -> dict[str, str]:
    """User ids by alias, where our own export put them."""
    text = metadata.get("raters") if isinstance(metadata, Mapping) else None
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _label_studio(row: SourceRow) -> Iterable[Said]:
    for annotation in _objects(row, row.values["annotations"], "annotations"):
        if annotation.get("was_cancelled"):
            continue
        by = annotation.get("rater") or annotation.get("completed_by") or "someone"
        # In newer exports `completed_by` is an object.
        by = by.get("email") or by.get("id") if isinstance(by, Mapping) else by
        for result in _objects(row, annotation.get("result"), "results of an annotation"):
            named, paired = result.get("from_name"), result.get("type") == "pairwise"
            if paired or named in _QUESTIONS:
                value = result.get("value")
                asked = "preference" if paired else named
                yield from _checked(row, str(by), asked, _given(value))


def _given(value: Any) -> Any:
    """The answer in a result of Label Studio, whichever control gave it."""
    if isinstance(value, Mapping):
        value = value.get("choices") or value.get("rating") or value.get("selected")
    return value[0] if isinstance(value, list) and value else value


def _potato(row: SourceRow, annotations: Any) -> Iterable[Said]:
    """Annotations beside their item, as we export them, or one a row, as Potato writes them."""
    for annotation in _objects(row, annotations, "annotations"):
        by = str(annotation.get("user_id") or "someone")
        for question, labels in _pairs(row, annotation.get("labels")):
            if question in _QUESTIONS:
                given = {labels: True} if isinstance(labels, str) else labels
                chosen = {value: told for value, told in _pairs(row, given) if told}
                # Its pairwise scheme has one label, whose value is the side.
                values = [chosen["selection"]] if "selection" in chosen else chosen
                for value in values:
                    yield from _checked(row, by, question, value)


def _objects(row: SourceRow, value: Any, what: str) -> Sequence[Mapping[str, Any]]:
    """Those of a list; null is none. Raises DataError for anything else."""
    found = value or []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise DataError(f"{row.where}: {what} are no list of objects: {MEND}")
    return found


def _pairs(row: SourceRow, value: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping | None):
        raise DataError(f"{row.where}: answers are not named: export the file again")
    return [] if value is None else [(str(k), v) for k, v in value.items()]


def _checked(row: SourceRow, by: str, question: Any, answer: Any) -> Iterator[Said]:
    """One answer in our words; none where nothing is answered, or by a judge.

    A `by` with a slash is whole: human/ada, pairwise/gpt-4/helpful.
    """
    rater = by if "/" in by else f"human/{by}"
    text = "" if answer is None else str(answer).strip().lower()
    reason = str(row.values.get("reason") or "")
    if not text or not rater.startswith("human/"):
        return
    if not by:
        raise DataError(f"{row.where}: nobody is named who answered: fill in `by`")
    if question == "preference" and (prob := _side(row, text)) is not None:
        yield Said("preference", side_of(prob), rater, reason, prob)
    elif question == "harmless" and text in _YES:
        yield Said("harmless", _YES[text], rater, reason)
    elif question == "satisfaction" and text in ("1", "2", "3", "4", "5"):
        yield Said("satisfaction", int(text), rater, reason)
    else:
        raise DataError(
            f"{row.where}: {answer!r:.60} is no answer to {question!r:.30}: questions are "
            f"{', '.join(_QUESTIONS)}; answers a, b, tie; 1 to 5; yes, no: {MEND}"
        )


def _side(row: SourceRow, text: str) -> float | None:
    return side(text, counted_from_0=from_0(named(row.values)))
