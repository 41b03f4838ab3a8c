"""What do people say, beside the AI judge? From votes.json to plain values for the template."""

from __future__ import annotations

from typing import Any

from hrlaif.pages.charts import Charts
from hrlaif.pages.values import figure
from hrlaif.records import Row
from hrlaif.report.load import Run

_QUESTIONS = (
    ("win_rate", "Win rate", "preferred, %", 0.5),
    ("satisfaction_rate", "Satisfaction rate", "satisfied (4 or 5 of 5), %", None),
    ("harmless_rate", "Harmless rate", "harmless, %", None),
)
_MEASURES = (
    ("preference", "kappa", "Fleiss' kappa of preferences"),
    ("preference", "alpha", "Krippendorff's alpha of preferences, ordinal"),
    ("ranking", "w", "Kendall's W of rankings"),
    ("satisfaction", "alpha", "Krippendorff's alpha of satisfaction, ordinal"),
    ("harmless", "kappa", "Fleiss' kappa of harmlessness"),
    ("harmless", "alpha", "Krippendorff's alpha of harmlessness, nominal"),
)
_WITH_JUDGE = (
    ("preference", "preferences"),
    ("satisfaction", "satisfied or not"),
    ("harmless", "harmless or not"),
)


def people(run: Run, charts: Charts) -> Row:
    """Rates by category, agreement between people and with the judge, and what was left open."""
    found = run.json("votes/votes.json")
    if _of_another_policy(run):
        run.notes.append(
            "votes/ are about responses that this run no longer has: move that folder, and "
            f"`hrlaif vote {run.folder}` asks about those of now."
        )
        found = {}
    agreed = found.get("agreement") or {}
    rates = [
        _rate(title, row, charts, unit, line)
        for key, title, unit, line in _QUESTIONS
        for row in found.get(key) or []
    ]
    return {
        "votes": found.get("votes"),
        "raters": found.get("raters"),
        "rates": [rate for rate in rates if rate["people"]],
        "agreement": [
            (name, f)
            for question, measure, name in _MEASURES
            if (f := figure((agreed.get(question) or {}).get(measure)))
        ],
        "with_judge": [
            (name, f)
            for question, name in _WITH_JUDGE
            if (f := figure((agreed.get(question) or {}).get("judge")))
        ],
        "abstentions": [
            (f"{mode}: {reason}", count)
            for mode, reasons in (found.get("abstentions") or {}).items()
            for reason, count in reasons.items()
        ],
    }


def _of_another_policy(run: Run) -> bool:
    """Whether votes on the policy are about other responses than those of its evaluation."""
    text, pair = ("response", "model"), ("a", "b")

    def rows(name: str, fields: tuple[str, str]) -> list[Row]:
        return run.rows(name, lambda row: {field: row.get(field) for field in fields})

    now = {row["response"] for row in rows("evaluation/policy_responses.jsonl", text)}
    pairs = rows("votes/pairs.jsonl", pair)
    sides = [side for row in pairs for side in row.values() if isinstance(side, dict)]
    said = {side.get("text") for side in sides if side.get("model") == "policy"}
    for name in ("votes/ratings.jsonl", "votes/verdicts.jsonl"):
        said |= {row["response"] for row in rows(name, text) if row["model"] == "policy"}
    return bool(now) and not said <= now


def _rate(title: str, row: Row, charts: Charts, unit: str, line: float | None) -> Row:
    both = [(name, f) for name in ("people", "judge") if (f := figure(row.get(name))) is not None]
    of, over = str(row.get("of") or ""), str(row.get("over") or "")
    whom = f" of {of}" if of else ""
    if "over" in row:
        whom = f" of {of} over {over}" if of or over else " of the second response"
    return {
        "title": f"{title}{whom}",
        "people": figure(row.get("people")),
        "judge": figure(row.get("judge")),
        "picture": charts.intervals(
            both, unit=unit, reference=line, alt=f"{title}{whom}: people and the AI judge"
        ),
        "categories": [
            (name, figure(values.get("people")), figure(values.get("judge")))
            for name, values in _named(row.get("by_category"))
        ],
    }


def _named(value: Any) -> list[tuple[str, Row]]:
    pairs = value.items() if isinstance(value, dict) else ()
    return [(str(name), row) for name, row in pairs if isinstance(row, dict)]
