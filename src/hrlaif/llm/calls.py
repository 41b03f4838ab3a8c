"""What stands in a ledger: cost, list, export, take and prune, as `hrlaif calls` shows them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hrlaif.errors import DataError, UsageError
from hrlaif.llm.ledger import connect
from hrlaif.rows.files import SourceRow, read_rows, write_rows

Row = dict[str, Any]
_COLUMNS = (
    "key", "stage", "model", "kind", "request", "response", "status",
    "prompt_tokens", "completion_tokens", "cost", "seconds", "at",
)  # fmt: skip


def cost_table(path: Path) -> list[Row]:
    """A row per stage and model: calls, tokens, seconds, cost in US dollars, unpriced, failures.

    `seconds` adds up the time of each call, so calls that ran at once count each.
    """
    sums = (
        "SELECT stage, model, COUNT(*) AS calls, SUM(prompt_tokens) AS prompt_tokens, "
        "SUM(completion_tokens) AS completion_tokens, SUM(seconds) AS seconds, "
        "COALESCE(SUM(cost), 0.0) AS cost, COUNT(*) - COUNT(cost) AS unpriced_calls "
        "FROM calls GROUP BY stage, model ORDER BY stage, model"
    )
    lost = "SELECT stage, model, SUM(count) FROM failures GROUP BY stage, model"
    with closing(connect(path, must_exist=True)) as db:
        rows = {(row["stage"], row["model"]): row for row in _rows(db, sums)}
        for stage, model, count in db.execute(lost).fetchall():
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
    with closing(connect(path, must_exist=True)) as db:
        return list(_rows(db, query, {"stage": stage, "model": model, "limit": limit}))


def export(path: Path, out: Path, *, answers_only: bool = False) -> int:
    """Writes every call as JSON Lines, compressed if `out` ends in .gz; returns how many.

    With `answers_only` no request goes out: the keys alone find the answers again, on any machine
    that asks the same, and tell nobody else what was asked.
    """
    with closing(connect(path, must_exist=True)) as db:
        rows = _rows(db, "SELECT * FROM calls ORDER BY at, key")
        return write_rows(out, (_exported(row, answers_only) for row in rows))


def _exported(row: Row, answers_only: bool) -> Row:
    return row | {"request": {} if answers_only else json.loads(row["request"])}


def take(path: Path, source: str) -> int:
    """Books the calls that `export` wrote, but for keys that are there; returns how many are new.

    What another machine was told is then not asked again. Raises DataError naming the row.
    """
    rows = [_taken(row) for row in read_rows(source)]
    with closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        names = ", ".join(_COLUMNS)
        marks = ", ".join(f":{name}" for name in _COLUMNS)
        query = f"INSERT OR IGNORE INTO calls ({names}) VALUES ({marks})"
        new = db.executemany(query, rows).rowcount
        db.execute("COMMIT")
    return new


def _taken(row: SourceRow) -> Row:
    if missing := [name for name in _COLUMNS if name not in row.values]:
        raise DataError(
            f"{row.where}: no {missing[0]!r}: not a row that `hrlaif calls LEDGER export` wrote"
        )
    request = json.dumps(row.values["request"], ensure_ascii=False, sort_keys=True)
    return {name: row.values[name] for name in _COLUMNS} | {"request": request}


def prune(path: Path, *, older_than: timedelta | None = None, model: str | None = None) -> int:
    """Forgets calls that are older, or of a model, or both; returns how many.

    What is forgotten is asked, and paid, again when it is needed; a `max_cost` forgets it too.
    """
    if older_than is None and model is None:
        raise UsageError("say which calls to prune: by age (--older-than 30d), by --model, or both")
    before = None if older_than is None else (datetime.now(UTC) - older_than).isoformat()
    with closing(connect(path, must_exist=True)) as db:
        gone = db.execute(
            "DELETE FROM calls WHERE (:before IS NULL OR at < :before) "
            "AND (:model IS NULL OR model = :model)",
            {"before": before, "model": model},
        ).rowcount
        # A run that is writing keeps the space for now; the next prune frees it.
        with suppress(sqlite3.OperationalError):
            db.execute("VACUUM")
    return gone


def _rows(db: sqlite3.Connection, query: str, values: Row | None = None) -> Iterator[Row]:
    cursor = db.execute(query, values or {})
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _nothing(stage: str, model: str) -> Row:
    sums = ("calls", "prompt_tokens", "completion_tokens", "seconds", "cost", "unpriced_calls")
    return {"stage": stage, "model": model, **dict.fromkeys(sums, 0)}
