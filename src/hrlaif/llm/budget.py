"""What is left of a maximum cost, when several processes share a ledger?

Each keeps what its calls under way can cost in a row of the file. Who is killed leaves the row, and
it counts on, since those calls may have been paid; after an hour it is booked, as calls lost.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import final
from uuid import uuid4

from hrlaif.errors import BudgetReached, UsageError
from hrlaif.llm.ledger_file import LOST, unsynced

_SILENT = 3600.0
"""Seconds without a sign after which a process has ended: longer than any call should take."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS reserved "
    "(owner TEXT PRIMARY KEY, stage TEXT NOT NULL, amount REAL NOT NULL, at REAL NOT NULL)",
    # Sums the costs without reading texts: another process's row makes us add them up again.
    "CREATE INDEX IF NOT EXISTS calls_cost ON calls (cost)",
)
_BOOKED = f"""
INSERT INTO calls SELECT '{LOST}-' || owner || '-' || at, stage, '(killed)', 'generate', '{{}}',
  'under way when its process was killed', '{LOST}', 0, 0, amount, 0.0, :now
FROM reserved WHERE at < :before
"""

_OTHERS = """
SELECT COALESCE((SELECT SUM(amount) FROM reserved WHERE owner <> ?), 0.0)
  + COALESCE((SELECT SUM(most) FROM batches), 0.0)
"""


@final
class Budget:
    """What one ledger in force has set aside in its file, of at most so many US dollars."""

    def __init__(self, path: Path, most: float, stage: str):
        if not (math.isfinite(most) and most >= 0):
            raise UsageError(f"a maximum cost of {most} is none: give US dollars, 0 or more")
        self._path, self._most, self._stage = path, most, stage
        self._owner = uuid4().hex
        self._amounts: list[float] = []

    def open(self, db: sqlite3.Connection) -> None:
        """Makes the table, and books what processes that were killed had set aside."""
        with unsynced(db):
            for statement in _SCHEMA:
                db.execute(statement)
            before = time.time() - _SILENT
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            db.execute(_BOOKED, {"now": now, "before": before})
            db.execute("DELETE FROM reserved WHERE at < ?", (before,))

    def reserve(
        self, db: sqlite3.Connection, worst_case: float, spent: Callable[[], float]
    ) -> None:
        """Raises BudgetReached where this call could lead beyond the maximum."""
        with unsynced(db):
            others = self._others(db)
            before = spent()
            mine = math.fsum([*self._amounts, worst_case])
            if before + others + mine > self._most:
                held = others + self.aside
                aside = f", ${held:.4f} set aside for calls or batches under way" if held else ""
                raise BudgetReached(
                    f"${before:.4f} of at most ${self._most:.4f} is spent{aside}, and the next "
                    f"call could cost ${worst_case:.4f}: all answers are kept in {self._path}; "
                    "run the same command with a higher --max-cost to go on"
                )
            self._write(db, mine)
        self._amounts.append(worst_case)

    @property
    def aside(self) -> float:
        """US dollars set aside for calls that this process has under way."""
        return math.fsum(self._amounts)

    def left(self, db: sqlite3.Connection, spent: float) -> float:
        """US dollars that are neither spent nor set aside."""
        return self._most - math.fsum([spent, self._others(db), *self._amounts])

    def release(self, db: sqlite3.Connection, worst_case: float) -> None:
        """Gives a reservation back; while there are others, the file hears of it with the next."""
        self._amounts.remove(worst_case)
        if not self._amounts:
            with unsynced(db):
                self._write(db, 0.0)

    def close(self, db: sqlite3.Connection) -> None:
        """Leaves nothing set aside."""
        if self._amounts:
            self._amounts.clear()
            with unsynced(db):
                self._write(db, 0.0)

    def _others(self, db: sqlite3.Connection) -> float:
        """What other processes have set aside, and what batches under way can cost."""
        return float(db.execute(_OTHERS, (self._owner,)).fetchone()[0])

    def _write(self, db: sqlite3.Connection, amount: float) -> None:
        if not amount:
            db.execute("DELETE FROM reserved WHERE owner = ?", (self._owner,))
            return
        row = (self._owner, self._stage, amount, time.time())
        db.execute("INSERT OR REPLACE INTO reserved VALUES (?, ?, ?, ?)", row)
