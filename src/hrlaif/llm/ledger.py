"""What has been asked already, and what has it cost? Every answer is on disk before it is read.

One SQLite file, one row per call. The key is a hash of everything that can change the answer and of
nothing else, so the same question is never paid for twice: not by a second reading, a second
command, or after `kill -9`, which can only lose the calls that were under way.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, final
from uuid import uuid4

from hrlaif.errors import DataError, UsageError
from hrlaif.llm.budget import Budget
from hrlaif.llm.call import NO_CALLS, Call, Totals, totals_of
from hrlaif.llm.ledger_file import LOST, as_json, connect, plain, telling, unsynced
from hrlaif.progress import say

# A key answered twice (two processes at once) keeps its first answer and adds up what was paid; of
# a known and an unknown price the known one.
_INSERT = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  prompt_tokens = prompt_tokens + excluded.prompt_tokens,
  completion_tokens = completion_tokens + excluded.completion_tokens,
  cost = COALESCE(cost + excluded.cost, cost, excluded.cost), seconds = seconds + excluded.seconds
RETURNING response
"""
_FIND = """
SELECT response, stage, prompt_tokens, completion_tokens, seconds, COALESCE(cost, 0.0),
  cost IS NULL
FROM calls WHERE key = ?
"""
_TOTALS = f"""
SELECT COUNT(*) FILTER (WHERE status <> '{LOST}'), CAST(TOTAL(prompt_tokens) AS INTEGER),
  CAST(TOTAL(completion_tokens) AS INTEGER), TOTAL(seconds), TOTAL(cost), COUNT(*) - COUNT(cost)
FROM calls WHERE :stage IS NULL OR stage = :stage
"""
_SPENT = "SELECT TOTAL(cost), COUNT(*) - COUNT(cost) FROM calls"
_FAILED = """
INSERT INTO failures VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1
"""
_APART = f"UPDATE calls SET key = ?, status = '{LOST}' WHERE key = ? AND response = ?"


@final
class Ledger:
    """The book of calls, in force inside its `with` block; threads and processes may share a file.

    `max_cost` bounds, in US dollars, all that this file ever books: earlier runs, all stages, and
    what other processes have under way; a call that was lost counts with the most it can cost.
    `hits` counts the answers found again, `failed` the calls without one, in this process; `used`
    is what all answers asked for in this process cost, whenever they were paid.
    """

    def __init__(self, path: str | Path, *, stage: str = "", max_cost: float | None = None):
        self.path = Path(path)
        self.stage = stage
        self.max_cost = max_cost
        self.hits = 0
        self.failed = 0
        self.used = NO_CALLS
        self._budget = None if max_cost is None else Budget(self.path, max_cost, stage)
        self._unkept: list[Call] = []
        self._spent: float | None = None
        self._seen_version = -1
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._token: Token[Ledger | None] | None = None

    def __enter__(self) -> Self:
        db = connect(self.path)
        try:
            if self._budget:
                with telling(self.path):
                    self._budget.open(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _CURRENT.reset(self._token)
        with self._lock:
            if self._db is None:
                return
            with suppress(DataError):
                self.keep()
            with suppress(DataError), telling(self.path):
                if self._budget:
                    self._budget.close(self._db)
            self._db.close()
            self._db = None

    def find(self, key: str, readable: Callable[[str], bool] | None = None) -> str | None:
        """The answer to this call, if there is one; counts as a hit.

        One that is not `readable`, as where a row was cut, is set apart to be asked for again: its
        cost stays. One from before its stage was begun anew is of the stage again.
        """
        with self.file() as db:
            row = db.execute(_FIND, (key,)).fetchone()
            if row is not None and readable is not None and not readable(str(row[0])):
                say(f"  an answer in {self.path} cannot be read: it is asked for again")
                db.execute(_APART, (f"{LOST}-{uuid4().hex}", key, row[0]))
                row = None
            self.hits += row is not None
            if row is not None:
                self.used = self.used.plus(Totals(1, *row[2:]))
                if row[1] == _earlier(self.stage):
                    with unsynced(db):
                        db.execute("UPDATE calls SET stage = ? WHERE key = ?", (self.stage, key))
        return None if row is None else str(row[0])

    def record(self, call: Call) -> str:
        """Books one answer; on disk on return. Gives the answer that stands, which is the first."""
        return self.record_many([call])[0]

    def record_many(self, calls: Iterable[Call]) -> list[str]:
        """Books answers in one transaction. What cannot be written waits for the next: see `keep`.

        Raises DataError then.
        """
        calls = list(calls)
        with self._lock:
            self._unkept += calls
            stands = self.keep()
        return stands[len(stands) - len(calls) :]

    def keep(self) -> list[str]:
        """Books the answers that could not be written before; raises DataError while that is so."""
        with self._lock:
            calls = self._unkept
            if not calls:
                return []
            with self.writing(calls) as stands:
                pass
            self._unkept = []
        return stands

    @contextmanager
    def writing(self, calls: Sequence[Call]) -> Iterator[list[str]]:
        """A transaction that books these answers, and what else its block writes into `file`.

        Gives the answers that stand. What is raised in the block undoes all of it.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, self.file("cannot be written") as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                rows = [db.execute(_INSERT, self._row(c, at)).fetchone() for c in calls]
                yield [str(row[0]) for row in rows]
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if self._spent is not None:
                self._spent += sum(call.cost or 0.0 for call in calls)
            for call in calls:
                self.used = self.used.plus(totals_of(call))

    def record_failure(self, model: str, reason: str) -> None:
        """Counts a call that got no answer; it is not an answer, so the next run asks again."""
        with self.file("cannot be written") as db:
            self.failed += 1
            db.execute(_FAILED, (self.stage, model, plain(reason[:200])))

    def totals(self, stage: str | None = None) -> Totals:
        """Sums over one stage, or over all."""
        with self.file() as db:
            return Totals(*db.execute(_TOTALS, {"stage": stage}).fetchone())

    def begin_anew(self, stage: str) -> None:
        """Takes what was asked until now out of a stage's totals, but for what it asks again."""
        with self.file("cannot be written") as db:
            db.execute("UPDATE calls SET stage = ? WHERE stage = ?", (_earlier(stage), stage))

    def reserve(self, worst_case: float | None) -> None:
        """Sets aside what a call may cost before it is sent; `release` it when it has ended.

        Raises BudgetReached when it could lead beyond `max_cost`, UsageError when there is a
        `max_cost` but no price (an unknown price is not zero), and DataError while answers cannot
        be kept: then none should be bought.
        """
        self.keep()
        if self._budget is None or worst_case == 0:
            return
        if worst_case is None:
            raise UsageError(
                "a maximum cost is set, but the price of this model is not known: set `price: "
                "[input, output]` in US dollars per million tokens, as in "
                '--judge "{kind: remote, model: NAME, price: [2, 8]}", or leave out --max-cost'
            )
        with self.file() as db:
            self._budget.reserve(db, worst_case, self.spent)

    def left(self) -> float:
        """US dollars that calls not yet sent may cost at most; infinite without a maximum."""
        if self._budget is None:
            return math.inf
        with self.file() as db:
            return self._budget.left(db, self.spent())

    @property
    def has_set_aside(self) -> bool:
        """Whether calls that this process has under way will leave something of the maximum."""
        return self._budget is not None and self._budget.aside > 0

    def release(self, worst_case: float | None) -> None:
        """Gives a reservation back; what the call did cost is booked by `record`."""
        if self._budget is None or not worst_case:
            return
        # A row that cannot be changed now is at most too careful, until the next one can.
        with self._lock, suppress(DataError):
            if self._db is not None:
                with telling(self.path):
                    self._budget.release(self._db, worst_case)

    def paid(self) -> str:
        """`$0.12` for a progress bar; nothing where nothing is paid."""
        cost = self.spent()
        return f"${cost:.4f}" if cost else ""

    def spent(self) -> float:
        """US dollars booked in this file until now, by whichever stage and process."""
        with self.file() as db:
            version = int(db.execute("PRAGMA data_version").fetchone()[0])
            # SQLite changes data_version only when another connection has written.
            if self._spent is None or version != self._seen_version:
                begun = self._spent is None
                total, unpriced = db.execute(_SPENT).fetchone()
                self._spent, self._seen_version = float(total), version
                if begun and unpriced and self._budget:
                    say(
                        f"  {unpriced:,} calls of unknown price count for nothing towards "
                        f"--max-cost: what they cost comes on top of it ({self.path})"
                    )
            return self._spent

    def _row(self, call: Call, at: str) -> tuple[Any, ...]:
        tokens = (call.prompt_tokens, call.completion_tokens)
        texts = (as_json(call.request), plain(call.response))
        head = (call.key, self.stage, call.model, call.kind, *texts)
        return (*head, call.status, *tokens, call.cost, call.seconds, at)

    @contextmanager
    def file(self, what: str = "cannot be used") -> Iterator[sqlite3.Connection]:
        """The file, for this thread alone."""
        with self._lock:
            if self._db is None:
                raise UsageError(
                    f"the ledger {self.path} is closed: use it inside its `with` block"
                )
            with telling(self.path, what):
                yield self._db


def _earlier(stage: str) -> str:
    """What the calls of a stage are listed as, once it was begun anew."""
    return f"{stage}, before --redo"


_CURRENT: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


def current() -> Ledger | None:
    """The ledger in force, if any."""
    return _CURRENT.get()
