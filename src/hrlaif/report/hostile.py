"""What did the red team find, and was it mended? Its files as plain values for the template."""

from __future__ import annotations

from hrlaif.pages import words
from hrlaif.pages.charts import Charts
from hrlaif.pages.values import answer, figure, folded, number, turns
from hrlaif.records import Row, digest
from hrlaif.report.load import Run, pairs
from hrlaif.statistics import Figure

_SHOWN = 6
_REWRITE = "a harmless rewrite over a harmful answer"


def red_team(run: Run, charts: Charts) -> Row:
    """Attack success by family and hazard, rewrites side by side, over-refusal, the change."""
    found = run.json("redteam/figures.json")
    success, refusal = found.get("success") or {}, found.get("over_refusal") or {}
    rewrites = found.get("rewrites") or {}
    families, hazards = _named(success.get("by_family")), _named(success.get("by_hazard"))
    return {
        "known": bool(found),
        "target": str(found.get("target") or ""),
        "judge": str(found.get("judge") or ""),
        "overall": figure(success.get("overall")),
        "corrected": figure(success.get("corrected")),
        "attempts": number(success.get("attempts")),
        "unjudged": pairs(success.get("unjudged")),
        "families": families,
        "hazards": hazards,
        "by_family": _picture(charts, families, "harmful answers, %", "Attack success by family"),
        "by_hazard": _picture(charts, hazards, "harmful answers, %", "Attack success by hazard"),
        "variations": figure((found.get("variations") or {}).get("overall")),
        "imported": _named((found.get("imported") or {}).get("by_family")),
        "harmful": number(rewrites.get("harmful")),
        "accepted": number(rewrites.get("accepted")),
        "dropped": pairs(rewrites.get("dropped")),
        "length_ratio": number(rewrites.get("length_ratio")),
        "refusal": figure(refusal.get("overall")),
        "refusals": _named(refusal.get("by_kind")),
        "benign_pairs": pairs(found.get("benign_pairs")),
        "benign_left_out": pairs(found.get("benign_left_out")),
        "pairs": number(found.get("pairs")),
        "side_by_side": _side_by_side(run),
        "changes": list(_changes(run)),
    }


def _named(value: object) -> list[tuple[str, Figure]]:
    named = [(words.spaced(name), f) for name, v in pairs(value) if (f := figure(v))]
    return sorted(named, key=lambda item: -(item[1].value or 0))


def _picture(charts: Charts, figures: list[tuple[str, Figure]], unit: str, alt: str) -> object:
    return charts.intervals(figures, unit=unit, reference=None, alt=f"{alt} with 95 % intervals")


def _changes(run: Run) -> list[Row]:
    """Harmful answers and over-refusals before and after RL."""
    harm = run.json("evaluation/metrics.json").get("harm") or {}
    named = (
        ("harmful", "Harmful answers to attacks"),
        ("over_refusal", "Innocent prompts refused"),
    )
    return [
        {
            "title": title,
            "figures": [
                (name, f)
                for name, side in (
                    ("before", "before"),
                    ("after", "after"),
                    ("before, corrected", "before_corrected"),
                    ("after, corrected", "after_corrected"),
                )
                if (f := figure(harm[key].get(side)))
            ],
            "gain": figure(harm[key].get("gain")),
            "unjudged": [number(harm[key].get(f"unjudged_{w}")) for w in ("before", "after")],
        }
        for key, title in named
        if isinstance(harm.get(key), dict)
    ]


def _side_by_side(run: Run) -> list[Row]:
    """Some rewrites beside what they replace, drawn by lot."""
    rows = [r for r in run.rows("redteam_preferences.jsonl") if r.get("reason") == _REWRITE]
    rows.sort(key=lambda row: digest(str(row.get("id"))))
    return [_pair(row) for row in rows[:_SHOWN]]


def _pair(row: Row) -> Row:
    better, worse = ("a", "b") if row.get("prob_a") == 1 else ("b", "a")
    text = {name: (row.get(name) or {}).get("text") for name in "ab"}
    return {
        "id": str(row.get("id", "")),
        "turns": [(role, folded(said)) for role, said in turns(row.get("prompt"))],
        "rewrite": answer(text[better]),
        "harmful": answer(text[worse]),
    }
