"""Which questions are in which batch? Written down before a batch is sent, so none is sent twice.

A ledger holds a row for each batch under way, and one for each question in it, until its answers
are booked. Who is killed at any moment leaves rows that tell the next process where to look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, final
from uuid import uuid4

from hrlaif.llm.call import Call
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.ledger_file import as_json

_OPEN = "SELECT DISTINCT tag FROM batched WHERE key IN (SELECT value FROM json_each(?))"
_BATCH = "SELECT tag, address, file, id, model, at FROM batches WHERE tag = ?"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch under way; `file` and `id` are the server's, empty until it is known to have them."""

    tag: str
    address: str
    file: str
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
        if not self.tags():
            return []
        with self._ledger.file() as db:
            tags = [row[0] for row in db.execute(_OPEN, (json.dumps(keys),)).fetchall()]
        found = [batch for tag in tags if (batch := self.batch(tag)) is not None]
        return sorted(found, key=lambda batch: batch.at)

    def tags(self) -> set[str]:
        """Of all batches under way."""
        with self._ledger.file() as db:
            return {row[0] for row in db.execute("SELECT tag FROM batches").fetchall()}

    def batch(self, tag: str) -> Batch | None:
        """One of them; None once it is over."""
        with self._ledger.file() as db:
            row = db.execute(_BATCH, (tag,)).fetchone()
        return None if row is None else Batch(*row)

    def claim(self, address: str, model: str, questions: dict[str, Batched]) -> Batch:
        """Takes them for a new batch, whose questions no other may hold.

        What they can cost is set aside until the batch is over: raises BudgetReached where that is
        more than the maximum leaves.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        batch = Batch(uuid4().hex, address, "", "", model, at)
        costs = [question.most for question in questions.values()]
        most = None if None in costs else sum(cost or 0.0 for cost in costs)
        head = (batch.tag, address, "", "", self._ledger.stage, model, most, at)
        rows = (
            (key, batch.tag, q.kind, as_json(q.request), q.most) for key, q in questions.items()
        )
        self._ledger.reserve(most)
        try:
            with self._ledger.writing([]), self._ledger.file() as db:
                db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", head)
                db.executemany("INSERT INTO batched VALUES (?, ?, ?, ?, ?)", rows)
        finally:
            self._ledger.release(most)
        return batch

    def known(self, batch: Batch, *, file: str = "", id: str = "") -> Batch:
        """The server has its file, or the batch itself, under this id."""
        now = replace(batch, file=file or batch.file, id=id or batch.id)
        with self._ledger.file("cannot be written") as db:
            update = "UPDATE batches SET file = ?, id = ? WHERE tag = ?"
            db.execute(update, (now.file, now.id, now.tag))
        return now

    def questions(self, batch: Batch) -> dict[str, Batched]:
        """What is in it, by key."""
        query = "SELECT key, kind, request, most FROM batched WHERE tag = ?"
        with self._ledger.file() as db:
            rows = db.execute(query, (batch.tag,)).fetchall()
        return {key: Batched(kind, json.loads(request), most) for key, kind, request, most in rows}

    def booked(self, keys: Sequence[str]) -> dict[str, str]:
        """The answers to these questions that the ledger holds."""
        query = "SELECT key, response FROM calls WHERE key IN (SELECT value FROM json_each(?))"
        with self._ledger.file() as db:
            return dict(db.execute(query, (json.dumps(keys),)).fetchall())

    def over(self, batch: Batch, calls: Sequence[Call] = ()) -> dict[str, str]:
        """Books its answers and forgets it, both or neither; gives the answers that stand, by key.

        None of it where another process did so before.
        """
        try:
            with self._ledger.writing(calls) as stands, self._ledger.file() as db:
                db.execute("DELETE FROM batched WHERE tag = ?", (batch.tag,))
                if not db.execute("DELETE FROM batches WHERE tag = ?", (batch.tag,)).rowcount:
                    raise _OverBefore  # which takes back what was just booked
        except _OverBefore:
            return self.booked([call.key for call in calls])
        return {call.key: raw for call, raw in zip(calls, stands, strict=True)}


class _OverBefore(Exception):
    """Another process has booked this batch."""
