"""What is in this run folder? Whatever is there, whole or not; what is missing stays missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrlaif.pages.charts import Charts
from hrlaif.pages.words import spaced
from hrlaif.records import Row

_LABEL_FIELDS = ("id", "prompt_id", "prob_a", "category", "labeler", "reason", "evidence")


@dataclass
class Run:
    """Reads a run's files when asked, and remembers what could not be read."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    """Where a file lies when not under its usual name."""

    def path(self, name: str) -> Path:
        """Where a file of the run lies."""
        return self.folder / self.aliases.get(name, name)

    def text(self, name: str) -> str:
        """A small text file; empty when it is not there."""
        path = self.path(name)
        if not path.is_file():
            return ""
        return path.read_text("utf-8", "replace")

    def json(self, name: str) -> Row:
        """A JSON object; empty when it is not there or not readable."""
        text = self.text(name)
        if not text.strip():
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            self.notes.append(f"{name} is not JSON and is left out.")
            return {}
        return value if isinstance(value, dict) else {}

    def rows(self, name: str, keep: Callable[[Row], Row] | None = None) -> list[Row]:
        """The rows of a JSON Lines file, or what `keep` makes of each; a bad line is noted."""
        return list(self._rows(name, keep or (lambda row: row)))

    def _rows(self, name: str, keep: Callable[[Row], Row]) -> Iterator[Row]:
        path = self.path(name)
        if not path.is_file():
            return
        bad = 0
        with path.open("rb") as stream:
            for raw in stream:
                try:
                    row = json.loads(raw)
                except (ValueError, RecursionError):
                    bad += bool(raw.strip())
                    continue
                if isinstance(row, dict):
                    yield keep(row)
        if bad:
            self.notes.append(f"{name}: {bad} unreadable lines are left out.")

    def receipts(self) -> list[Row]:
        """In the order in which the stages were begun; the page's own stage is not among them."""
        paths = (self.folder / "receipts").glob("*.json")
        names = sorted(path.name for path in paths if path.stem != "report")
        found = [self.json(f"receipts/{name}") for name in names]
        return sorted((r for r in found if r), key=lambda r: str(r.get("begun", "")))

    def labels(self) -> list[Row]:
        """preferences.jsonl without its texts, so that a large file fits in memory."""
        return self.rows("preferences.jsonl", lambda row: {k: row.get(k) for k in _LABEL_FIELDS})


def part(name: str, build: Callable[[Run, Charts], Row], run: Run, charts: Charts) -> Row:
    """One part of a page; a file of another shape costs its part, never the page."""
    try:
        return build(run, charts)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        run.notes.append(f"The part on {spaced(name)} could not be read: {error!r:.200}")
        return {}


def pairs(value: object) -> list[tuple[str, Any]]:
    """The items of an object; none of anything else."""
    return [(str(k), v) for k, v in value.items()] if isinstance(value, dict) else []
