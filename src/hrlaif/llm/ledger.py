"""What has been asked already, and what has it cost? Every answer is on disk before it is read.

One SQLite file, one row per call. The key is a hash of everything that can change the answer and of
nothing else, so the same question is never paid for twice: not by a second reading, a second
command, or after `kill -9`, which can only lose the calls that were under way.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, final

from hrlaif.errors import BudgetReached, DataError, UsageError
from hrlaif.records import digest

VERSION = 1
_SECONDS_FOR_A_LOCK = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (version INTEGER NOT NULL);
INSERT INTO ledger SELECT {version} WHERE NOT EXISTS (SELECT 1 FROM ledger);
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, kind TEXT NOT NULL,
  request TEXT NOT NULL, response TEXT NOT NULL, status TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cost REAL, seconds REAL NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
  stage TEXT NOT NULL, model TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (stage, model, reason));
"""
# A key answered twice (two processes at once) keeps its first answer and adds up what was paid.
_INSERT = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  prompt_tokens = prompt_tokens + excluded.prompt_tokens,
  completion_tokens = completion_tokens + excluded.completion_tokens,
  cost = cost + excluded.cost, seconds = seconds + excluded.seconds
RETURNING response
"""
_FIND = """
SELECT response, prompt_tokens, completion_tokens, seconds, COALESCE(cost, 0.0), cost IS NULL
FROM calls WHERE key = ?
"""
_FAILED = """
INSERT INTO failures VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1
"""


def call_key(**what: Any) -> str:
    """The key of a call: give it everything that can change the answer, and nothing else."""
    return digest(what, length=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An answered call. `cost` is in US dollars; None where the price is not known."""

    key: str
    model: str
    kind: Literal["generate", "choose"]
    request: Mapping[str, Any]
    response: str
    """The answer as it came, before anyone read it."""
    status: str = "ok"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over answered calls; `cost` leaves out the `unpriced_calls`."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float
    unpriced_calls: int

    def plus(self, other: Totals, sign: int = 1) -> Totals:
        """Both together; with sign -1, what came since `other`."""
        mine, theirs = astuple(self), astuple(other)
        return Totals(*(a + sign * b for a, b in zip(mine, theirs, strict=True)))


NO_CALLS = Totals(0, 0, 0, 0.0, 0.0, 0)


@final
class Ledger:
    """The book of calls, in force inside its `with` block; threads and processes may share a file.

    `max_cost` bounds, in US dollars, all that this file ever books: earlier runs and all stages.
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
        self._reserved = 0.0
        self._spent: float | None = None
        self._seen_version = -1
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._token: Token[Ledger | None] | None = None

    def __enter__(self) -> Self:
        self._db = connect(self.path)
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _CURRENT.reset(self._token)
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def find(self, key: str) -> str | None:
        """The answer to this call, if there is one; counts as a hit."""
        with self._lock:
            row = self._open().execute(_FIND, (key,)).fetchone()
            self.hits += row is not None
            if row is not None:
                self.used = self.used.plus(Totals(1, *row[1:]))
        return None if row is None else str(row[0])

    def record(self, call: Call) -> str:
        """Books one answer; on disk on return. Gives the answer that stands, which is the first."""
        return self.record_many([call])[0]

    def record_many(self, calls: Iterable[Call]) -> list[str]:
        """Books answers in one transaction."""
        calls = list(calls)
        if not calls:
            return []
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            db = self._open()
            try:
                db.execute("BEGIN IMMEDIATE")
                stands = [str(db.execute(_INSERT, self._row(c, at)).fetchone()[0]) for c in calls]
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise DataError(
                    f"the ledger {self.path} cannot be written ({error}): is the disk full, or "
                    "held by another program? The same command goes on from there"
                ) from None
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if self._spent is not None:
                self._spent += sum(call.cost or 0.0 for call in calls)
            for call in calls:
                self.used = self.used.plus(_totals_of(call))
        return stands

    def record_failure(self, model: str, reason: str) -> None:
        """Counts a call that got no answer; it is not an answer, so the next run asks again."""
        with self._lock:
            self.failed += 1
            self._open().execute(_FAILED, (self.stage, model, reason[:200]))

    def totals(self, stage: str | None = None) -> Totals:
        """Sums over one stage, or over all."""
        with self._lock:
            return totals(self._open(), stage)

    def reserve(self, worst_case: float | None) -> None:
        """Sets aside what a call may cost before it is sent; `release` it when it has ended.

        Raises BudgetReached when it could lead beyond `max_cost`, and UsageError when there is a
        `max_cost` but no price: an unknown price is not zero.
        """
        if self.max_cost is None:
            return
        if worst_case is None:
            raise UsageError(
                "a maximum cost is set, but the price of this model is not known: set `price: "
                "[input, output]` in US dollars per million tokens, or leave out --max-cost"
            )
        with self._lock:
            spent = self.spent()
            if spent + self._reserved + worst_case > self.max_cost:
                raise BudgetReached(
                    f"${spent:.4f} of at most ${self.max_cost:.4f} is spent, and the next call "
                    f"could cost ${worst_case:.4f}: all answers are kept in {self.path}; run the "
                    "same command with a higher --max-cost to go on"
                )
            self._reserved += worst_case

    def release(self, worst_case: float | None) -> None:
        """Gives a reservation back; what the call did cost is booked by `record`."""
        if self.max_cost is not None and worst_case is not None:
            with self._lock:
                self._reserved = max(0.0, self._reserved - worst_case)

    def spent(self) -> float:
        """US dollars booked in this file until now, by whichever stage and process."""
        with self._lock:
            db = self._open()
            version = int(db.execute("PRAGMA data_version").fetchone()[0])
            # SQLite changes data_version only when another connection has written.
            if self._spent is None or version != self._seen_version:
                self._seen_version, self._spent = version, totals(db, None).cost
            return self._spent

    def _row(self, call: Call, at: str) -> tuple[Any, ...]:
        request = json.dumps(call.request, ensure_ascii=False, sort_keys=True)
        tokens = (call.prompt_tokens, call.completion_tokens)
        head = (call.key, self.stage, call.model, call.kind, _text(request), _text(call.response))
        return (*head, call.status, *tokens, call.cost, call.seconds, at)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            raise UsageError(f"the ledger {self.path} is closed: use it inside its `with` block")
        return self._db


_CURRENT: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


def current() -> Ledger | None:
    """The ledger in force, if any."""
    return _CURRENT.get()


def connect(path: Path, *, must_exist: bool = False) -> sqlite3.Connection:
    """Opens a ledger file; raises DataError naming the file and the move when it cannot be used."""
    if must_exist and not path.is_file():
        raise DataError(f"there is no ledger {path}: give the ledger.sqlite of a run folder")
    move = "move it away to begin a new ledger (its answers would be asked again)"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(
            path, timeout=_SECONDS_FOR_A_LOCK, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise DataError(
            f"the ledger {path} cannot be opened ({error}): is the folder writable?"
        ) from None
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript("BEGIN IMMEDIATE;" + _SCHEMA.format(version=VERSION) + "COMMIT;")
        version = db.execute("SELECT version FROM ledger").fetchone()[0]
        db.execute("SELECT key, cost, at FROM calls LIMIT 1")
    except sqlite3.Error as error:
        db.close()
        if any(words in str(error) for words in ("full", "disk I/O", "locked", "readonly")):
            move = "is the disk full, or the file held or protected? The same command goes on"
        raise DataError(f"{path} is not a usable ledger ({error}): {move}") from None
    if version != VERSION:
        db.close()
        raise DataError(f"{path} is a ledger of version {version}, not {VERSION}: {move}")
    return db


def totals(db: sqlite3.Connection, stage: str | None) -> Totals:
    """Sums over the calls of one stage, or over all."""
    row = db.execute(
        "SELECT COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0), "
        "COALESCE(SUM(seconds), 0.0), COALESCE(SUM(cost), 0.0), COUNT(*) - COUNT(cost) "
        "FROM calls WHERE :stage IS NULL OR stage = :stage",
        {"stage": stage},
    ).fetchone()
    return Totals(*row)


def _totals_of(call: Call) -> Totals:
    tokens = (call.prompt_tokens, call.completion_tokens)
    return Totals(1, *tokens, call.seconds, call.cost or 0.0, int(call.cost is None))


def _text(text: str) -> str:
    # A lone surrogate, which JSON may hold, is not UTF-8 and SQLite refuses it.
    return text.encode("utf-8", "replace").decode("utf-8")
