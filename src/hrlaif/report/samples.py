"""What do the answers look like? Biggest wins, biggest losses, and some drawn by lot."""

from __future__ import annotations

import re
from typing import Any

from hrlaif.records import Row, digest
from hrlaif.report.load import Run, number, turns

_HARMFUL = re.compile(r"harm|toxic|unsafe|danger|red.?team", re.IGNORECASE)
_EACH = 3
_LONG = 900


def side_by_side(comparisons: list[Row]) -> list[Row]:
    """Groups of comparisons; nothing is shown twice."""
    judged = [row for row in comparisons if number(row.get("prob_a")) is not None]
    ranked = sorted(judged, key=lambda row: (row["prob_a"], str(row.get("id"))))
    wins = [row for row in ranked[:_EACH] if row["prob_a"] < 0.5]
    losses = [row for row in reversed(ranked[-_EACH:]) if row["prob_a"] > 0.5]
    shown = {id(row) for row in (*wins, *losses)}
    rest = [row for row in ranked if id(row) not in shown]
    drawn = sorted(rest, key=lambda row: digest(str(row.get("id"))))[:_EACH]
    groups = (("Biggest wins", wins), ("Biggest losses", losses), ("Drawn by lot", drawn))
    return [
        {"title": title, "rows": [_shown(row) for row in rows]} for title, rows in groups if rows
    ]


def from_training(run: Run) -> list[Row]:
    """A few responses of the last logged step of RL, with their rewards."""
    rows = [r for r in run.rows("policy/samples.jsonl") if number(r.get("step")) is not None]
    last = max((r["step"] for r in rows), default=None)
    return [
        {
            "step": row["step"],
            "turns": [(role, _text(text)) for role, text in turns(row.get("prompt"))],
            "text": _text(row.get("text", row.get("response"))),
            "reward": number(row.get("reward")),
            "harmful": _is_harmful(row),
        }
        for row in rows
        if row["step"] == last
    ][:_EACH]


def _shown(row: Row) -> Row:
    return {
        "id": str(row.get("id", "")),
        "category": str(row.get("category") or ""),
        "turns": [(role, _text(text)) for role, text in turns(row.get("prompt"))],
        "sides": [_side("before", row.get("a")), _side("after", row.get("b"))],
        "win": 1.0 - row["prob_a"],
        "harmful": _is_harmful(row),
        "reason": str(row.get("reason") or ""),
    }


def _side(when: str, value: Any) -> Row:
    side = value if isinstance(value, dict) else {}
    return {"when": when, "model": str(side.get("model") or ""), "text": _text(side.get("text"))}


def _text(value: object) -> Row:
    """The text, and where to fold it when it is long."""
    text = "" if value is None else str(value)
    cut = len(text) if len(text) <= _LONG else text.rfind(" ", _LONG // 2, _LONG) + 1 or _LONG
    return {"head": text[:cut], "tail": text[cut:]}


def _is_harmful(row: Row) -> bool:
    return bool(row.get("harmful") or _HARMFUL.search(str(row.get("category") or "")))
