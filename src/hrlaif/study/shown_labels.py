"""What are its labels good for? What the page shows of checks, lessons and disagreements."""

from __future__ import annotations

from hrlaif.pages.charts import Charts, Point
from hrlaif.pages.values import figure, folded, is_harmful, turns
from hrlaif.records import Row
from hrlaif.statistics import Figure

_WAYS = ("random", "doubt", "disagreement")


def checking(one: Row, charts: Charts) -> Row:
    """What checks by people would tell, or told."""
    found = one["checking"]
    people = found.get("corrected")
    if "budget" not in found and not people:
        return {}
    rows = []
    if people and not people["partly"]:
        for way in ("all", *_WAYS):
            name = "everything checked" if way == "all" else f"{people[way]['checked']} by {way}"
            rows.append((name, _estimates(people[way])))
    elif people:
        rows.append((f"{people['checked']} checked", _estimates(people)))
    planned = found.get("strategies", {})
    return {
        "budget": found.get("budget"),
        "by": found.get("check_by"),
        "budget_test": found.get("budget_test"),
        "planned": [
            (way, planned[way]["half_width"], planned[way]["half_width_a_is_better"])
            for way in _WAYS
            if way in planned
        ],
        "rows": rows,
        "chart": charts.grouped(
            [(name, [cells[0]]) for name, cells in rows], unit="agreement with people",
            span=(0.4, 1.0), alt="Agreement as estimated from few checks",
        ),
    }  # fmt: skip


def _estimates(row: Row) -> list[Figure | None]:
    return [figure(row.get(k)) for k in ("agreement", "a_is_better", "rogan_gladen")]


def learning(one: Row, charts: Charts) -> Row:
    """What reward models learn from the labels, and which labels look flipped."""
    curve = [Point(float(n), f) for n, v in one["learning"].items() if (f := figure(v))]
    poison = [Point(float(n), f) for n, v in one["poison"].items() if (f := figure(v))]
    labels = ("accuracy",)
    return {
        "curve": [(f"{p.x:g}", p.figure) for p in curve],
        "poison": [(f"{100 * p.x:g} %", p.figure) for p in poison],
        "rate": figure(one["noise"].get("rate")),
        "contradicted": figure(one["noise"].get("contradicted")),
        "likely_contradicted": figure(one["noise"].get("likely_contradicted")),
        "likely": one["noise"].get("likely", []),
        "curve_chart": charts.points(
            [curve], labels=("labels learnt from", *labels), reference=0.5,
            alt="Accuracy of a reward model by the number of labels",
        ),
        "poison_chart": charts.points(
            [poison], labels=("share of labels turned round", *labels), reference=0.5,
            alt="Accuracy of a reward model by the share of poisoned labels",
        ),
    }  # fmt: skip


def worst(row: Row) -> Row:
    """A pair on which judge and people differ."""
    return {
        "id": str(row["id"]),
        "category": str(row.get("category") or ""),
        "turns": [(role, folded(text)) for role, text in turns(row.get("prompt"))],
        "sides": [
            _side(f"response {n}", side) for n, side in ((1, row["a"]), (2, row["b"]))
        ],
        "judge": row["prob_a"],
        "people": row["people"],
        "votes": list(row["votes"].items()),
        "flipped": row["flipped"],
        "rationales": [folded(text) for text in row["rationales"]],
        "harmful": is_harmful(row),
    }  # fmt: skip


def _side(when: str, side: Row) -> Row:
    return {"when": when, "model": side.get("model") or "", "text": folded(side.get("text"))}
