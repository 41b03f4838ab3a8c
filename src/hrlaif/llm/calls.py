"""What stands in a ledger, as `hrlaif calls` shows it: cost, list, show, export, take, prune."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from hrlaif.errors import DataError, UsageError
from hrlaif.llm.ledger_file import COLUMNS, LOST, as_json, connect, is_object, telling
from hrlaif.records import Record
from hrlaif.rows.files import SourceRow, read_rows, write_rows

Row = dict[str, Any]
_MOST_TOKENS = 10**12


class _Booked(Record):
    """A row that another ledger may bring."""

    key: str = Field(min_length=1)
    stage: str
    model: str
    kind: Literal["generate", "choose"]
    request: dict[str, Any]
    response: str
    status: Literal["ok"]
    prompt_tokens: int = Field(ge=0, le=_MOST_TOKENS)
    completion_tokens: int = Field(ge=0, le=_MOST_TOKENS)
    cost: float | None = Field(ge=0, allow_inf_nan=False)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT")


def cost_table(path: Path) -> list[Row]:
    """A row per stage and model: calls, tokens, seconds, cost in US dollars, unpriced, failures.

    `seconds` adds up the time of each call, so calls that ran at once count each. `lost` counts
    those that were sent and not answered; the most that they can have cost is in `cost`.
    """
    sums = (
        f"SELECT stage, model, COUNT(*) FILTER (WHERE status <> '{LOST}') AS calls, "
        "CAST(TOTAL(prompt_tokens) AS INTEGER) AS prompt_tokens, "
        "CAST(TOTAL(completion_tokens) AS INTEGER) AS completion_tokens, "
        "SUM(seconds) AS seconds, TOTAL(cost) AS cost, COUNT(*) - COUNT(cost) AS unpriced_calls, "
        f"COUNT(*) FILTER (WHERE status = '{LOST}') AS lost "
        "FROM calls GROUP BY stage, model ORDER BY stage, model"
    )
    failed = "SELECT stage, model, SUM(count) FROM failures GROUP BY stage, model"
    with _opened(path) as db:
        rows = {(row["stage"], row["model"]): row for row in _rows(db, sums)}
        for stage, model, count in db.execute(failed).fetchall():
            row = rows.setdefault((stage, model), _nothing(stage, model))
            row["failures"] = count
    return [{"failures": 0, **row} for row in rows.values()]


def list_calls(
    path: Path, *, stage: str | None = None, model: str | None = None, limit: int = 50
) -> list[Row]:
    """The newest calls, without their texts."""
    columns = "key, stage, model, kind, status, prompt_tokens, completion_tokens, cost, seconds, at"
    query = (
        f"SELECT {columns} FROM calls WHERE (:stage IS NULL OR stage = :stage) "
        "AND (:model IS NULL OR model = :model) ORDER BY at DESC, key LIMIT :limit"
    )
    with _opened(path) as db:
        return list(_rows(db, query, {"stage": stage, "model": model, "limit": limit}))


def show(path: Path, prefix: str) -> Row:
    """The one call whose key begins so, as `export` writes it.

    Raises UsageError where no call's does, or several do.
    """
    columns = ", ".join(COLUMNS)
    query = f"SELECT {columns} FROM calls WHERE substr(key, 1, length(:prefix)) = :prefix LIMIT 2"
    with _opened(path) as db:
        found = list(_rows(db, query, {"prefix": prefix}))
    if len(found) != 1:
        many = "several keys begin" if found else "no key begins"
        move = "give more of it" if found else f"see `hrlaif calls {path} list`"
        raise UsageError(f"{path}: {many} with {prefix!r}: {move}")
    return _exported(found[0], answers_only=False)


def in_words(call: Row) -> str:
    """What `show` found, for a person: YAML whose texts keep their lines."""
    told = json.loads(call["response"]) if is_object(call["response"]) else call["response"]
    return yaml.dump(
        call | {"response": told}, Dumper=_Texts, allow_unicode=True, sort_keys=False, width=10_000
    ).rstrip("\n")


class _Texts(yaml.SafeDumper):
    """A text of several lines stands in several lines."""


_Texts.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def export(path: Path, out: Path, *, answers_only: bool = False) -> int:
    """Writes every answered call as JSON Lines, compressed if `out` ends in .gz; returns how many.

    With `answers_only` no request goes out: the keys alone find the answers again, on any machine
    that asks the same, and tell nobody else what was asked.
    """
    columns = ", ".join(COLUMNS)
    with _opened(path) as db:
        query = f"SELECT {columns} FROM calls WHERE status <> '{LOST}' ORDER BY at, key"
        rows = _rows(db, query)
        return write_rows(out, (_exported(row, answers_only) for row in rows))


def _exported(row: Row, answers_only: bool) -> Row:
    try:
        return row | {"request": {} if answers_only else json.loads(row["request"])}
    except ValueError:
        raise DataError(
            f"the call {row['key']} holds a request that is not JSON: export with --answers-only"
        ) from None


def take(path: Path, source: str) -> int:
    """Books the calls that `export` wrote, but for keys that are there; returns how many are new.

    What another machine was told is then not asked again. Raises DataError naming the row.
    """
    rows = [_taken(row) for row in read_rows(source)]
    with telling(path, "cannot be written"), closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        names = ", ".join(COLUMNS)
        marks = ", ".join(f":{name}" for name in COLUMNS)
        query = f"INSERT OR IGNORE INTO calls ({names}) VALUES ({marks})"
        new = db.executemany(query, rows).rowcount
        db.execute("COMMIT")
    return new


def _taken(row: SourceRow) -> Row:
    """A row for the file; what cannot be read, or would break every sum, is not let in."""
    ours = "a row that `hrlaif calls LEDGER export` wrote"
    if missing := [name for name in COLUMNS if name not in row.values]:
        raise DataError(f"{row.where}: no {missing[0]!r}: not {ours}")
    given = {name: row.values[name] for name in COLUMNS}
    try:
        _Booked.model_validate(given, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise DataError(f"{row.where}: {name}: {first['msg']}: not {ours}") from None
    if not is_object(given["response"]):
        raise DataError(f"{row.where}: its response is no JSON object: not {ours}")
    return given | {"request": as_json(given["request"])}


def prune(path: Path, *, older_than: timedelta | None = None, model: str | None = None) -> int:
    """Forgets calls that are older, or of a model, or both; returns how many.

    What is forgotten is asked, and paid, again when it is needed; a `max_cost` forgets it too.
    """
    if older_than is None and model is None:
        raise UsageError(
            "say which calls to prune: by age (--older-than-days 30), by --model, or both"
        )
    before = None if older_than is None else (datetime.now(UTC) - older_than).isoformat()
    with _opened(path) as db:
        gone = db.execute(
            "DELETE FROM calls WHERE (:before IS NULL OR at < :before) "
            "AND (:model IS NULL OR model = :model)",
            {"before": before, "model": model},
        ).rowcount
        # A run that is writing keeps the space for now; the next prune frees it.
        with suppress(sqlite3.OperationalError):
            db.execute("VACUUM")
    return gone


def batches(path: Path) -> list[Row]:
    """The batches under way, the oldest first; `most` is what each can cost, in US dollars."""
    query = (
        "SELECT id, stage, model, address, most, at, "
        "(SELECT COUNT(*) FROM batched WHERE batched.tag = batches.tag) AS questions "
        "FROM batches ORDER BY at"
    )
    with _opened(path) as db:
        return list(_rows(db, query))


def forget(path: Path, batch: str) -> int:
    """Gives a batch up, so that its questions are asked again; returns how many they are.

    What it can have cost counts as a call that was lost.
    """
    with _opened(path) as db:
        row = db.execute("SELECT tag, most FROM batches WHERE id = ?", (batch,)).fetchone()
        if row is None:
            raise UsageError(f"{path} knows no batch {batch!r}: see `hrlaif calls {path} batches`")
        tag, most = row
        db.execute("BEGIN IMMEDIATE")
        if most:
            db.execute(
                f"INSERT INTO calls SELECT ?, stage, model, 'generate', '{{}}', 'given up', "
                f"'{LOST}', 0, 0, most, 0.0, at FROM batches WHERE tag = ?",
                (f"{LOST}-{tag}", tag),
            )
        questions = db.execute("DELETE FROM batched WHERE tag = ?", (tag,)).rowcount
        db.execute("DELETE FROM batches WHERE tag = ?", (tag,))
        db.execute("COMMIT")
    return questions


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A ledger that is there already."""
    with telling(path), closing(connect(path, must_exist=True)) as db:
        yield db


def _rows(db: sqlite3.Connection, query: str, values: Row | None = None) -> Iterator[Row]:
    cursor = db.execute(query, values or {})
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _nothing(stage: str, model: str) -> Row:
    sums = ("calls", "prompt_tokens", "completion_tokens", "seconds", "cost", "unpriced_calls")
    return {"stage": stage, "model": model, **dict.fromkeys((*sums, "lost"), 0)}
