"""Which questions are in which batch? Written down before a batch is sent, so none is sent twice.

A ledger holds a row for each batch under way, and one for each question in it, until its answers
are booked. Who is killed at any moment leaves rows that tell the next process where to look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, final
from uuid import uuid4

from hrlaif.llm.ledger import Ledger
from hrlaif.llm.ledger_file import as_json

_OPEN = "SELECT DISTINCT tag FROM batched WHERE key IN (SELECT value FROM json_each(?))"
_BATCH = "SELECT tag, address, id, model, at FROM batches WHERE tag = ?"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch under way; `id` is the server's, empty until it is known to have taken it."""

    tag: str
    address: str
    id: str
    model: str
    at: str


@dataclass(frozen=True, slots=True)
class Batched:
    """A question in it; `most` is what it can cost, in US dollars, None where that is unknown."""

    kind: Literal["generate", "choose"]
    request: dict[str, Any]
    most: float | None


@final
class BatchBook:
    """The batches under way that a ledger knows of."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger

    def under_way(self, keys: Sequence[str]) -> list[Batch]:
        """Those that hold one of these questions, the oldest first."""
        with self._ledger.file() as db:
            if db.execute("SELECT 1 FROM batches LIMIT 1").fetchone() is None:
                return []
            tags = [row[0] for row in db.execute(_OPEN, (json.dumps(keys),)).fetchall()]
        found = [batch for tag in tags if (batch := self.batch(tag)) is not None]
        return sorted(found, key=lambda batch: batch.at)

    def batch(self, tag: str) -> Batch | None:
        """One of them; None once it is over."""
        with self._ledger.file() as db:
            row = db.execute(_BATCH, (tag,)).fetchone()
        return None if row is None else Batch(*row)

    def claim(self, address: str, model: str, questions: dict[str, Batched]) -> Batch:
        """Takes them for a new batch, whose questions no other may hold.

        What they can cost is set aside until the batch is `over`: raises BudgetReached where that
        is more than the maximum leaves.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        batch = Batch(uuid4().hex, address, "", model, at)
        costs = [question.most for question in questions.values()]
        most = None if None in costs else sum(cost or 0.0 for cost in costs)
        self._ledger.reserve(most)
        try:
            with self._ledger.file("cannot be written") as db:
                head = (batch.tag, address, "", self._ledger.stage, model, most, at)
                db.execute("BEGIN IMMEDIATE")
                try:
                    db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?)", head)
                    db.executemany(
                        "INSERT INTO batched VALUES (?, ?, ?, ?, ?)",
                        (
                            (key, batch.tag, q.kind, as_json(q.request), q.most)
                            for key, q in questions.items()
                        ),
                    )
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        finally:
            self._ledger.release(most)
        return batch

    def taken(self, batch: Batch, id: str) -> Batch:
        """The server has taken it, under this id."""
        with self._ledger.file("cannot be written") as db:
            db.execute("UPDATE batches SET id = ? WHERE tag = ?", (id, batch.tag))
        return Batch(batch.tag, batch.address, id, batch.model, batch.at)

    def questions(self, batch: Batch) -> dict[str, Batched]:
        """What is in it, by key."""
        query = "SELECT key, kind, request, most FROM batched WHERE tag = ?"
        with self._ledger.file() as db:
            rows: Iterable[Any] = db.execute(query, (batch.tag,)).fetchall()
        return {key: Batched(kind, json.loads(request), most) for key, kind, request, most in rows}

    def booked(self, keys: Sequence[str]) -> dict[str, str]:
        """The answers to these questions that the ledger holds."""
        query = "SELECT key, response FROM calls WHERE key IN (SELECT value FROM json_each(?))"
        with self._ledger.file() as db:
            return dict(db.execute(query, (json.dumps(keys),)).fetchall())

    def over(self, batch: Batch) -> None:
        """Its answers are booked, or it was never taken."""
        with self._ledger.file("cannot be written") as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM batched WHERE tag = ?", (batch.tag,))
            db.execute("DELETE FROM batches WHERE tag = ?", (batch.tag,))
            db.execute("COMMIT")
