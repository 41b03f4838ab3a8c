"""What happened at each step? `metrics.jsonl`, a row a step, without steps that were undone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds one row; a row has a `step`, counted from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(row)) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, without a torn last line; none where there is no file."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in whole if line.endswith("\n")]


def cut(path: Path, *, after: int) -> None:
    """Drops rows of steps after `after`: training resumes there and writes them again."""
    if not path.exists():
        return
    kept = [json.dumps(row) + "\n" for row in read(path) if row["step"] <= after]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)
