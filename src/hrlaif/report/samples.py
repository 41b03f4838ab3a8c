"""What do the answers look like? Biggest wins, biggest losses, and some drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrlaif.pages.values import answer, folded, is_harmful, number, turns
from hrlaif.records import Row, digest
from hrlaif.report.load import Run

_EACH = 3


def side_by_side(
    comparisons: Sequence[Row], names: tuple[str, str] = ("before", "after")
) -> list[Row]:
    """Groups of comparisons, nothing shown twice; `names` are what a and b are called."""
    judged = [row for row in comparisons if number(row.get("prob_a")) is not None]
    ranked = sorted(judged, key=lambda row: (row["prob_a"], str(row.get("id"))))
    wins = [row for row in ranked[:_EACH] if row["prob_a"] < 0.5]
    losses = [row for row in reversed(ranked[-_EACH:]) if row["prob_a"] > 0.5]
    shown = {id(row) for row in (*wins, *losses)}
    rest = [row for row in ranked if id(row) not in shown]
    drawn = sorted(rest, key=lambda row: digest(str(row.get("id"))))[:_EACH]
    groups = (("Biggest wins", wins), ("Biggest losses", losses), ("Drawn by lot", drawn))
    return [
        {"title": title, "rows": [_shown(row, names) for row in rows]}
        for title, rows in groups
        if rows
    ]


def from_training(run: Run) -> list[Row]:
    """A few responses of the last logged step of RL, with their rewards."""
    rows = [r for r in run.rows("policy/samples.jsonl") if number(r.get("step")) is not None]
    last = max((r["step"] for r in rows), default=None)
    return [
        {
            "step": row["step"],
            "turns": [(role, folded(text)) for role, text in turns(row.get("prompt"))],
            "text": answer(row.get("response")),
            "reward": number(row.get("reward")),
            "harmful": is_harmful(row),
        }
        for row in rows
        if row["step"] == last
    ][:_EACH]


def _shown(row: Row, names: tuple[str, str]) -> Row:
    return {
        "id": str(row.get("id", "")),
        "category": str(row.get("category") or ""),
        "turns": [(role, folded(text)) for role, text in turns(row.get("prompt"))],
        "sides": [_side(name, row.get(key)) for name, key in zip(names, "ab", strict=True)],
        "win": 1.0 - row["prob_a"],
        "harmful": is_harmful(row),
        "reason": str(row.get("reason") or ""),
    }


def _side(name: str, value: Any) -> Row:
    side = value if isinstance(value, dict) else {}
    model = str(side.get("model") or "")
    return {"name": name, "model": model if model != name else "", "text": answer(side.get("text"))}
