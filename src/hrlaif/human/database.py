"""Where are the votes? In SQLite (WAL) or PostgreSQL: tables, and safe transactions.

A new database is made at once; one whose tables are of another VERSION is refused.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from hrlaif.errors import DataError, UsageError
from hrlaif.machine import install
from hrlaif.settings import masked

T = TypeVar("T")
tables = sql.MetaData()
version = sql.Table("version", tables, sql.Column("number", sql.Integer, nullable=False))
study = sql.Table(
    "study", tables,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("settings", sql.Text, nullable=False),
    sql.Column("key", sql.Text, nullable=False),
    sql.Column("created", sql.Float, nullable=False),
)  # fmt: skip
items = sql.Table(
    "items", tables,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("key", sql.Text, nullable=False, unique=True),
    sql.Column("block", sql.Integer, nullable=False),
    # -1 for attention checks, which no overlap fills.
    sql.Column("shuffle", sql.Integer, nullable=False),
    sql.Column("taken", sql.Integer, nullable=False, default=0),
    sql.Column("body", sql.Text, nullable=False),
    sql.Index("items_next", "block", "taken", "shuffle"),
)  # fmt: skip
raters = sql.Table(
    "raters", tables,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("alias", sql.Text, nullable=False, unique=True),
    sql.Column("seed", sql.Text, nullable=False),
    sql.Column("given", sql.Integer, nullable=False, default=0),
    sql.Column("answered", sql.Integer, nullable=False, default=0),
    sql.Column("created", sql.Float, nullable=False),
)  # fmt: skip
assignments = sql.Table(
    "assignments", tables,
    sql.Column("id", sql.Text, primary_key=True),
    sql.Column("rater", sql.ForeignKey("raters.id"), nullable=False),
    sql.Column("item", sql.ForeignKey("items.id"), nullable=False),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("again", sql.Integer, nullable=False, default=0),
    sql.Column("shown", sql.Text, nullable=False),
    sql.Column("state", sql.Text, nullable=False),
    sql.Column("opened", sql.Float, nullable=False),
    sql.Column("answered", sql.Float),
    sql.Column("vote", sql.Text),
    sql.UniqueConstraint("rater", "item", "again", name="assignments_once"),
    sql.UniqueConstraint("rater", "number", name="assignments_number"),
    sql.Index("assignments_state", "state", "rater", "opened"),
    sql.Index("assignments_item", "item"),
)  # fmt: skip
votes = sql.Table(
    "votes", tables,
    sql.Column("key", sql.Text, primary_key=True),
    sql.Column("assignment", sql.ForeignKey("assignments.id"), nullable=False, index=True),
    sql.Column("answer", sql.Text, nullable=False),
    sql.Column("comment", sql.Text, nullable=False, default=""),
    sql.Column("seconds", sql.Float),
    sql.Column("at", sql.Float, nullable=False),
    sql.Column("replaces", sql.Text),
)  # fmt: skip

VERSION = 1
"""Of the tables above."""
_SECONDS_FOR_A_LOCK = 30
_LOCK = 4207107  # of PostgreSQL's advisory locks: any number that others do not take
_CONNECTIONS = 8  # to PostgreSQL: more would wait for the same cores


@final
class Database:
    """Transactions on one database; threads, and processes too, may share it."""

    def __init__(self, url: str):
        self.engine = _engine(url)
        sqlite = self.engine.dialect.name == "sqlite"
        self._queue = Together(self.engine) if sqlite else None
        try:
            self.write(prepare)
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise DataError(
                f"--database {self.engine.url.render_as_string()}: {reason}: check that it is "
                "there, and that it may be written"
            ) from None

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does the work in a transaction, which is on the disk when this returns."""
        if self._queue is not None:
            return self._queue.write(work)
        with self.engine.begin() as connection:
            return work(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the database, for reading alone."""
        with self.engine.connect() as connection:
            yield connection.execution_options(reading=True)

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


@final
class Together:
    """SQLite has one writer: whoever waits for it is written in one transaction, with one fsync.

    The first to come does the work of all that wait; each has a savepoint, so that one failure is
    nobody else's, and none returns before the commit.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._turn = threading.Lock()
        self._waiting: deque[tuple[Callable[[Connection], Any], Future[Any]]] = deque()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does the work, now or in the transaction of another thread."""
        mine: Future[T] = Future()
        self._waiting.append((work, mine))
        with self._turn:
            if not mine.done():
                self._write_all()
        return mine.result()

    def _write_all(self) -> None:
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with self._engine.begin() as connection:
                for work, future in group:
                    done.append((future, *_apart(connection, work)))
        except BaseException as error:
            for _, future in group:
                future.set_exception(error)
            return
        for future, value, failure in done:
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)


def _apart(
    connection: Connection, work: Callable[[Connection], Any]
) -> tuple[Any, Exception | None]:
    """What the work returns, or why it failed and was undone."""
    point = connection.begin_nested()
    try:
        value = work(connection)
        point.commit()
    except Exception as error:
        point.rollback()
        return None, error
    return value, None


def prepare(connection: Connection) -> None:
    """Makes the tables where there are none; DataError where those there are of another version."""
    if connection.dialect.name == "postgresql":
        connection.execute(sql.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    if not sql.inspect(connection).has_table("version"):
        tables.create_all(connection)
        connection.execute(version.insert().values(number=VERSION))
        return
    found: int = connection.execute(sql.select(version.c.number)).scalar_one()
    if found != VERSION:
        raise DataError(
            f"the database is of version {found}, this program knows {VERSION}: use the hrlaif "
            "that made it, or name another --database"
        )


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise UsageError(
            f"--database {masked(repr(url)):.60} is no address: give sqlite:///FILE or "
            "postgresql://USER@HOST/NAME"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise UsageError(f"--database: {parsed.drivername} is neither sqlite nor postgresql")
    if parsed.drivername == "sqlite":
        _for_its_owner_alone(parsed.database or "")
        options: dict[str, Any] = {"timeout": _SECONDS_FOR_A_LOCK, "check_same_thread": False}
        engine = sql.create_engine(parsed, connect_args=options, pool_size=20, max_overflow=20)
        sql.event.listen(engine, "connect", _prepare)
        sql.event.listen(engine, "begin", _begin)
        return engine
    try:
        return sql.create_engine(parsed, pool_size=_CONNECTIONS, max_overflow=0)
    except ModuleNotFoundError:
        raise UsageError(f"PostgreSQL needs `{install('human')}`") from None


def _for_its_owner_alone(path: str) -> None:
    """Who reads the file has the key behind every link; SQLite's other files follow its mode."""
    if path and Path(path).parent.is_dir():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare(connection: Any, _: object) -> None:
    # None: the driver starts no transactions of its own, `_begin` does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
