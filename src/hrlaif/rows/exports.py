"""How do labels and votes leave for other tools? TRL, Argilla, Label Studio, Potato, and CSV.

Every row becomes what somebody said of one item: people's answers become annotations, an AI
judge's become suggestions. `rows.imports` reads what these tools give back.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hrlaif.errors import DataError, UsageError
from hrlaif.records import Row
from hrlaif.rows.files import SourceRow, line_of, whole, write_rows
from hrlaif.rows.forms import comparison_from, responses_from
from hrlaif.rows.known import probability
from hrlaif.rows.names import named

Form = Literal["trl", "argilla", "label-studio", "potato", "csv"]
Question = Literal["preference", "satisfaction", "harmless"]
LETTERS = ("a", "b")
SATISFIED = 4  # levels from here on are satisfied ones, levels below 3 are not
_OF_PEOPLE = ("human_preference", "winner", "chosen")
_HARMLESS = {True: "yes", False: "no"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Said(NamedTuple):
    """What somebody said of one item."""

    question: Question
    value: str | int
    """`a`, `b` or `tie`; a level from 1 to 5; `yes` or `no`."""
    by: str
    reason: str = ""
    prob_a: float | None = None

    @property
    def human(self) -> bool:
        """True for people, false for judges, rewrites and checks."""
        return self.by.startswith("human/")


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


class Exported(NamedTuple):
    """A file's text, how many rows it has, and what that form cannot say, by reason."""

    text: str
    rows: int
    left_out: dict[str, int]
    records: list[Row] | None = None
    """The rows themselves, in a form that is a row a line."""


def exported(rows: Iterable[SourceRow], form: str, *, min_margin: float = 0.0) -> Exported:
    """Rows of preferences, ratings or verdicts in another tool's form.

    For TRL, labels whose `prob_a` is less than `min_margin` from one half are left out.
    """
    if form not in FORMS:
        raise UsageError(f"--to {form!r} is none of {', '.join(FORMS)}")
    if not 0 <= min_margin <= 0.5:
        raise UsageError(f"--min-margin {min_margin:g} is not from 0 to 0.5")
    if min_margin and form != "trl":
        raise UsageError(f"--min-margin is of --to trl: --to {form} keeps every label")
    left: Counter[str] = Counter()
    found = subjects(rows, left)
    if form == "trl":
        records = _trl(found, left, min_margin)
        return Exported("".join(map(line_of, records)), len(records), dict(left), records)
    text, count = _TEXTS[form](found, left)
    return Exported(text, count, dict(left))


def write_export(path: Path, found: Exported) -> None:
    """Writes what was exported, whole or not at all: text, .gz, or TRL's rows as Parquet."""
    if found.records is not None:
        write_rows(path, found.records)
    elif path.suffix == ".parquet":
        raise UsageError(f"-o {path}: only --to trl is written as Parquet: name another file")
    else:
        with whole(path) as file:
            file.write(found.text.encode("utf-8", "replace"))


def subjects(rows: Iterable[SourceRow], left: Counter[str]) -> list[Subject]:
    """What was said, by item; rows without a verdict are left out and counted."""
    found: dict[tuple[str, str], Subject] = {}
    for given in rows:
        row = SourceRow(given.where, dict(named(given.values)))
        said = _said(row)
        if said is None:
            left["rows without a verdict"] += 1
            continue
        name = (str(row.values.get("id") or row.where), said.question)
        if name not in found:
            found[name] = _subject(row, said)
        found[name].said.append(said)
    return list(found.values())


def _said(row: SourceRow) -> Said | None:
    values = row.values
    reason = str(values.get("reason") or "")
    if "satisfaction" in values:
        level = values["satisfaction"]
        by = str(values.get("rater") or "human/people")
        return Said("satisfaction", int(level) if level == int(level) else level, by, reason)
    if "passed" in values:
        if values["passed"] is None:
            return None
        evidence = values.get("evidence") or {}
        by = str(evidence.get("rater") or values.get("check") or "check")
        return Said("harmless", _HARMLESS[bool(values["passed"])], by, reason)
    prob, by = probability(values, "prob_a", row.where), str(values.get("labeler") or "judge")
    if prob is None and any(values.get(name) is not None for name in _OF_PEOPLE):
        prob, by = comparison_from(row).human_preference, "human/people"
    return None if prob is None else Said("preference", side_of(prob), by, reason, float(prob))


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


def _trl(found: Sequence[Subject], left: Counter[str], min_margin: float) -> list[Row]:
    """`prompt`, `chosen`, `rejected`; and unpaired `prompt`, `completion`, `label`.

    TRL takes every pair for certain: `prob_chosen`, which it passes over, says how sure it is.
    """
    rows: list[Row] = []
    for subject in found:
        turns = [[{"role": "assistant", "content": text}] for text in subject.texts]
        for said in subject.said:
            row: Row = {"id": subject.id, "prompt": subject.turns}
            if said.value == "tie":
                left["ties, which TRL has no form for"] += 1
            elif said.prob_a is not None:
                sure = max(said.prob_a, 1 - said.prob_a)
                if round(sure - 0.5, 9) < min_margin:
                    left[f"closer to one half than {min_margin:g}"] += 1
                    continue
                chosen, rejected = turns if said.value == "a" else reversed(turns)
                row |= {"chosen": chosen, "rejected": rejected, "prob_chosen": round(sure, 9)}
                rows.append(row | ({"human_preference": row["prob_chosen"]} if said.human else {}))
            elif said.question == "satisfaction" and 3 <= float(said.value) < SATISFIED:
                left["satisfaction in the middle, which is no label"] += 1
            else:
                good = said.value == "yes" or (
                    said.question == "satisfaction" and float(said.value) >= SATISFIED
                )
                rows.append({**row, "completion": turns[0], "label": good})
    return rows


def _argilla(found: Sequence[Subject], left: Counter[str]) -> tuple[str, int]:
    """What `argilla.Record.from_dict` reads; a rater's user id follows from the alias."""
    records = []
    for subject in found:
        responses: dict[str, list[Row]] = {}
        suggestions: dict[str, Row] = {}
        for said in subject.said:
            if said.human:
                user = str(uuid.uuid5(uuid.NAMESPACE_URL, said.by))
                responses.setdefault(said.question, []).append(
                    {"value": said.value, "user_id": user}
                )
            else:
                score = None if said.prob_a is None else max(said.prob_a, 1 - said.prob_a)
                suggestions[said.question] = {
                    "value": said.value, "score": score, "agent": said.by,
                }  # fmt: skip
        raters = {str(uuid.uuid5(uuid.NAMESPACE_URL, s.by)): s.by for s in subject.said if s.human}
        records.append(
            {
                "id": subject.id, "fields": {"prompt": subject.prompt, **_sides(subject)},
                "metadata": {"category": subject.category, "raters": json.dumps(raters)},
                "suggestions": suggestions, "responses": responses, "vectors": {},
            }
        )  # fmt: skip
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n", len(records)


def _label_studio(found: Sequence[Subject], left: Counter[str]) -> tuple[str, int]:
    """Tasks with annotations and predictions, for `Choices` and `Rating` controls."""
    tasks = []
    for number, subject in enumerate(found, start=1):
        data = {"id": subject.id, "prompt": subject.prompt, "category": subject.category}
        people, machines = [], []
        for said in subject.said:
            result = {"from_name": said.question, "to_name": "response_a", **_control(said)}
            if said.human:
                people.append({"result": [result], "rater": said.by})
            else:
                machines.append({"result": [result], "model_version": said.by})
        tasks.append(
            {
                "id": number, "data": {**data, **_sides(subject)},
                "annotations": people, "predictions": machines,
            }
        )  # fmt: skip
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", len(tasks)


def _control(said: Said) -> Row:
    if said.question == "satisfaction":
        return {"type": "rating", "value": {"rating": said.value}}
    return {"type": "choices", "value": {"choices": [said.value]}}


def _potato(found: Sequence[Subject], left: Counter[str]) -> tuple[str, int]:
    """Instances of a data file (`items_key: text`), with what was said of them."""
    rows = []
    for subject in found:
        answers = [
            {"user_id": s.by, "instance_id": subject.id, "labels": {s.question: {s.value: True}}}
            for s in subject.said
        ]
        data = {"id": subject.id, "prompt": subject.prompt, "text": list(subject.texts)}
        rows.append({**data, "category": subject.category, "annotations": answers})
    return "".join(map(line_of, rows)), len(rows)


def _csv(found: Sequence[Subject], left: Counter[str]) -> tuple[str, int]:
    """A row an answer; no cell begins as a formula does."""
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    names = ("id", "category", "prompt", "response_a", "response_b")
    table.writerow([*names, "question", "answer", "prob_a", "by", "reason"])
    count = 0
    for subject in found:
        texts = [*subject.texts, ""][:2]
        for said in subject.said:
            prob = "" if said.prob_a is None else said.prob_a
            asked = (subject.id, subject.category, subject.prompt, *texts)
            cells = (*asked, said.question, said.value, prob, said.by, said.reason)
            table.writerow([_cell(cell) for cell in cells])
            count += 1
    return "\ufeff" + stream.getvalue(), count


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run begins with a quotation mark instead."""
    return (
        f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value
    )


def _sides(subject: Subject) -> Mapping[str, str]:
    pairs = zip(LETTERS, subject.texts, strict=False)
    return {f"response_{letter}": text for letter, text in pairs}


_TEXTS: dict[str, Callable[[Sequence[Subject], Counter[str]], tuple[str, int]]] = {
    "argilla": _argilla,
    "label-studio": _label_studio,
    "potato": _potato,
    "csv": _csv,
}
FORMS = ("trl", *_TEXTS)
