"""How is a ledger's file opened, and what is said where it cannot be used?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrlaif.errors import DataError

VERSION = 1
LOST = "lost"
"""Status of a call that was sent and whose answer never came: no answer, but perhaps a bill."""
COLUMNS = (
    "key", "stage", "model", "kind", "request", "response", "status",
    "prompt_tokens", "completion_tokens", "cost", "seconds", "at",
)  # fmt: skip
_SECONDS_FOR_A_LOCK = 60.0
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS ledger (version INTEGER NOT NULL);
INSERT INTO ledger SELECT {VERSION} WHERE NOT EXISTS (SELECT 1 FROM ledger);
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, kind TEXT NOT NULL,
  request TEXT NOT NULL, response TEXT NOT NULL, status TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cost REAL, seconds REAL NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
  stage TEXT NOT NULL, model TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (stage, model, reason));
CREATE TABLE IF NOT EXISTS batches (
  tag TEXT PRIMARY KEY, address TEXT NOT NULL, file TEXT NOT NULL, id TEXT NOT NULL,
  stage TEXT NOT NULL, model TEXT NOT NULL, most REAL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batched (
  key TEXT PRIMARY KEY, tag TEXT NOT NULL, kind TEXT NOT NULL, request TEXT NOT NULL, most REAL);
"""
_IS_LEDGER = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ledger'"
_PASSING = ("full", "disk I/O", "locked", "readonly", "unable to open")
_WAIT = "is the disk full, or held by another program, or protected? The same command goes on"
_NAMES = (
    "give a folder that holds a ledger.sqlite, or the OUT of `hrlaif label`, score or check, with "
    "OUT.ledger.sqlite beside it"
)
_MOVE = "move it away to begin a new ledger (its answers would be asked again)"


@contextmanager
def telling(path: Path, what: str = "cannot be used") -> Iterator[None]:
    """What SQLite raises, as DataError naming the file and the next move."""
    try:
        yield
    except sqlite3.Error as error:
        move = _MOVE if path.suffix == ".sqlite" else f"is it a ledger? If not, {_NAMES}"
        if any(words in str(error) for words in _PASSING):
            move = _WAIT
        raise DataError(f"the ledger {path} {what} ({error}): {move}") from None


def connect(path: Path, *, must_exist: bool = False) -> sqlite3.Connection:
    """Opens a ledger file; raises DataError naming the file and the move when it cannot be used."""
    if must_exist and not path.is_file():
        raise DataError(f"there is no ledger {path}: {_NAMES}")
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
        with telling(path):
            if must_exist and not db.execute(_IS_LEDGER).fetchone():
                raise DataError(f"{path} is no ledger: {_NAMES}")
            version = _prepared(db)
    except BaseException:
        db.close()
        raise
    if version != VERSION:
        db.close()
        raise DataError(f"{path} is a ledger of version {version}, not {VERSION}: {_MOVE}")
    return db


def _prepared(db: sqlite3.Connection) -> Any:
    """Makes the tables where they are not there, and returns the version of those that are."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
    db.execute(f"SELECT {', '.join(COLUMNS)} FROM calls LIMIT 1")
    db.execute("SELECT stage, model, reason, count FROM failures LIMIT 1")
    row = db.execute("SELECT version FROM ledger").fetchone()
    return row[0] if row else None


@contextmanager
def unsynced(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that need not outlast a power cut, so it does not wait for the disk."""
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.execute("PRAGMA synchronous = FULL")


def as_json(value: Mapping[str, Any]) -> str:
    """What was asked, as a row holds it."""
    return plain(json.dumps(value, ensure_ascii=False, sort_keys=True))


def plain(text: str) -> str:
    """Without lone surrogates, which JSON may hold: they are not UTF-8 and SQLite refuses them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_object(text: str) -> bool:
    """Whether it is a JSON object, as every answer in a ledger is; a row may have been cut."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
