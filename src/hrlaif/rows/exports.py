"""How do labels and votes leave for other tools? TRL, Argilla, Label Studio, Potato, and CSV.

Every row becomes what somebody said of one item: people's answers become annotations, an AI
judge's become suggestions. People read responses without their thoughts, as a judge does.
`rows.imports` reads what these tools give back.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif.errors import UsageError
from hrlaif.messages import spoken
from hrlaif.records import Row
from hrlaif.rows.files import SourceRow, line_of, whole, write_rows
from hrlaif.rows.said import Said, Subject, subjects

LETTERS = ("a", "b")
SATISFIED = 4  # levels from here on are satisfied ones, levels below 3 are not
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Exported(NamedTuple):
    """A file's text, how many rows it has, and what that form cannot say, by reason."""

    text: str
    rows: int
    left_out: dict[str, int]
    records: list[Row] | None = None
    """The rows themselves, in a form that is a row a line."""


def exported(rows: Iterable[SourceRow], form: str, *, min_margin: float = 0.0) -> Exported:
    """Rows of preferences, ratings or verdicts in another tool's form.

    For TRL, labels whose `prob_a` is less than `min_margin` from one half are left out. Verdicts of
    any check are good or bad to TRL; in other forms they would be an answer about harm.
    """
    if form not in FORMS:
        raise UsageError(f"--to {form!r} is none of {', '.join(FORMS)}")
    if not 0 <= min_margin <= 0.5:
        raise UsageError(f"--min-margin {min_margin:g} is not from 0 to 0.5")
    if min_margin and form != "trl":
        raise UsageError(f"--min-margin is of --to trl: --to {form} keeps every label")
    left: Counter[str] = Counter()
    found = subjects(rows, left, every_check=form == "trl")
    if form == "trl":
        records = _trl(found, left, min_margin)
        return Exported("".join(map(line_of, records)), len(records), dict(left), records)
    read = [s._replace(texts=tuple(map(spoken, s.texts))) for s in found]
    text, count = _TEXTS[form](read, left)
    return Exported(text, count, dict(left))


def refuse_name(path: Path, form: str) -> None:
    """Raises UsageError where a file's name says that it holds another format than `form` has."""
    name = path.with_suffix("") if path.suffix == ".gz" else path
    ends = _ENDS.get(form, ())
    if ends and name.suffix.lower() in _FORMATS and name.suffix.lower() not in ends:
        raise UsageError(
            f"-o {path}: --to {form} writes {' or '.join(ends)}: name the file "
            f"{path.with_name(name.stem + ends[0])}"
        )


def write_export(path: Path, found: Exported) -> None:
    """Writes what was exported, whole or not at all: text, .gz, or TRL's rows as Parquet."""
    if found.records is not None:
        write_rows(path, found.records)
    else:
        with whole(path) as file:
            file.write(found.text.encode("utf-8", "replace"))


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
                human = {"human_preference": row["prob_chosen"], "rater": said.by}
                rows.append(row | (human if said.human else {}))
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
        exact: Row = {}
        for said in subject.said:
            if said.human:
                user = str(uuid.uuid5(uuid.NAMESPACE_URL, said.by))
                responses.setdefault(said.question, []).append(
                    {"value": said.value, "user_id": user}
                )
            elif said.question in suggestions:
                left["further judges, of which Argilla shows one"] += 1
            else:
                score = None if said.prob_a is None else max(said.prob_a, 1 - said.prob_a)
                value = said.value
                if isinstance(value, float):  # Argilla takes a rating's own levels alone
                    exact[said.question], value = value, round(value)
                suggestions[said.question] = {"value": value, "score": score, "agent": said.by}
        raters = {str(uuid.uuid5(uuid.NAMESPACE_URL, s.by)): s.by for s in subject.said if s.human}
        records.append(
            {
                "id": subject.id, "fields": {"prompt": subject.prompt, **_sides(subject)},
                "metadata": {
                    "category": subject.category, "raters": json.dumps(raters), **exact,
                },
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
            {"user_id": s.who, "instance_id": subject.id, "labels": {s.question: {s.value: True}}}
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
            cells = (*asked, said.question, said.value, prob, said.who, said.reason)
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
_ENDS = {
    "trl": (".jsonl", ".parquet"), "argilla": (".json",), "label-studio": (".json",),
    "potato": (".jsonl",), "csv": (".csv",),
}  # fmt: skip
_FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
