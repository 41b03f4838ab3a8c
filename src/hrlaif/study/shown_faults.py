"""What sways it, is it as sure as it may be, can it be talked round? What the page shows of it."""

from __future__ import annotations

from hrlaif.pages.charts import Charts, Point
from hrlaif.pages.values import figure, number
from hrlaif.records import Row
from hrlaif.study.bias import FIRST, SAME

_KINDS = {
    "position": "Position",
    "length": "Length",
    "format": "Format",
    "refusal": "Refusals",
    "language": "Language",
    "probe": "One change to the same response",
    "self": "Its own samples",
}
_LEFT_OUT = ("cut", "unwritten", "abstentions")
_MAPS = {
    "raw": "Labels as they are",
    "temperature": "After temperature scaling",
    "isotonic": "After the isotonic map",
}
_AXES = {
    "share": ("share", " %"),
    "difference of shares": ("difference of shares, points", ""),
    "log-odds": ("log-odds", None),
}


def bias(one: Row, charts: Charts) -> list[Row]:
    """The bias card, a chart a kind and unit."""
    parts = []
    for kind, title in _KINDS.items():
        lines = [
            {**line, **_figures(line)} for line in one["bias"]
            if line["kind"] == kind
            and (figure(line["figure"]) or any(line.get(name) for name in _LEFT_OUT))
        ]  # fmt: skip
        units = list(dict.fromkeys(line["unit"] for line in lines))
        for unit in units:
            group = [line for line in lines if line["unit"] == unit]
            drawn = [line for line in group if line["figure"]]
            axis, percent = _AXES.get(unit, (unit, None))
            chart = charts.grouped(
                [(line["name"], [line["figure"]]) for line in drawn], percent=percent,
                unit=f"{axis}; dashed: unbiased", references=[line["fair"] for line in drawn],
                span=(0.0, 1.0) if unit == "share" else (-0.1, 0.1),
                alt=f"{title}: " + ", ".join(line["name"] for line in drawn),
            )  # fmt: skip
            named = f"{title}, {unit}" if len(units) > 1 else title
            soft = any(line["probability"] for line in group)
            parts.append({"title": named, "lines": group, "chart": chart, "soft": soft})
    return parts


def _figures(line: Row) -> Row:
    """Its figure, the mean probability where it has one, the shares that it comes from, and of how
    many more there was no verdict."""
    beside = {name: figure(value) for name, value in line.get("beside", {}).items()}
    probability = figure(line.get("probability"))
    return {
        "figure": figure(line["figure"]),
        "probability": probability,
        "beside": beside,
        "without": sum((line.get("abstentions") or {}).values()),
    }


def places(found: Row, charts: Charts) -> Row:
    """How far place decides, judge by judge, the smallest first where all sizes are known."""
    rows = []
    for name, one in found["judges"].items():
        lines = {line["name"]: figure(line["figure"]) for line in one["bias"]}
        rows.append(
            {
                "name": name,
                "parameters": one["parameters"],
                "same": lines.get(SAME),
                "first": lines.get(FIRST),
            }
        )
    if all(row["parameters"] for row in rows):
        rows.sort(key=lambda row: row["parameters"])
    drawn = [(f"{row['name']}{_size(row)}", [row["same"], row["first"]]) for row in rows]
    chart = charts.grouped(
        drawn, unit="share of pairs", alt="Same position preferred, and the first, by judge"
    )
    return {"rows": rows, "chart": chart} if any(row["same"] for row in rows) else {}


def _size(row: Row) -> str:
    """`, 1.8B`, or nothing where it is not known."""
    count = row["parameters"]
    if count is None:
        return ""
    return f", {count / 1e9:.1f}B" if count >= 1e9 else f", {count / 1e6:.0f}M"


def calibration(one: Row, charts: Charts) -> Row:
    """Reliability, and the errors of each map."""
    found = one["calibration"]
    if not found:
        return {}
    rows = [{"name": w, **{k: figure(found[w][k]) for k in ("ece", "brier")}} for w in _MAPS]
    maps = []
    for n, (way, title) in enumerate(_MAPS.items()):
        points = [Point(b["said"], f) for b in found[way]["bins"] if (f := figure(b["happened"]))]
        bins = [(f"{p.x:.4f}", p.figure) for p in points]
        chart = charts.points(
            [*([()] * n), points], labels=("how sure the label is", "how often it is right"),
            diagonal=True, alt=f"Reliability diagram, {title.lower()}",
        )  # fmt: skip
        maps.append({"title": title, "bins": bins, "chart": chart})
    return {
        "rows": rows,
        "maps": [one for one in maps if one["bins"]],
        "slope": number(found["slope"]),
        "fitted": found["fitted_to"],
        "all_right": found.get("all_right"),
    }


_WAYS = {"labels": "labels", "undefended": "without the defence", "scores": "single grades"}


def injection(one: Row, charts: Charts) -> Row:
    """Families of attacks; empty where none were asked."""
    found = one["injection"]
    if not found:
        return {}
    ways = [way for way in _WAYS if way in found]
    names = {name: family for way in ways for name, family in found[way]["families"].items()}
    told = {name: [found[way]["families"].get(name, {}) for way in ways] for name in names}
    families = [
        {
            "name": name,
            "cells": [figure(f.get("resistance")) for f in told[name]],
            "shift": figure(told[name][0].get("shift")),
            "less": figure(found["less"]["undefended"]["families"].get(name)),
            "silent": [f.get("abstentions") for f in told[name]],
        }
        for name in names
    ]
    prompts = max((f["prompts"] for f in found["labels"]["families"].values()), default=0)
    return {
        "ways": [_WAYS[way] for way in ways],
        "pairs": [found[way]["pairs"] for way in ways],
        "unasked": [
            (_WAYS[way], n, reason) for way in ways for reason, n in found[way]["unasked"].items()
        ],
        "overall": _beside(_WAYS["labels"], found["labels"]),
        "parts": [part for way in ways for part in _parts(_WAYS[way], found[way])],
        "less": [
            {**row, "way": way, "by": by, "controls": figure(row["controls"])}
            for way, row in found["less"].items()
            if (by := figure(row["injections"]))
        ],
        "too_long": found["too_long"],
        "prompts": prompts,
        # Half of a share's interval at one half, where it is widest.
        "reach": round(98 / prompts**0.5) if prompts else None,
        "families": families,
        "chart": charts.grouped(
            [(f["name"], f["cells"][:2]) for f in families],
            unit="share of labels that stay where they were",
            alt="Injection resistance by family, with the defence and without",
        ),
    }


def _beside(name: str, row: Row) -> Row:
    """What injections, controls and the difference of both are, for one line of a table."""
    figures = {key: figure(row[key]) for key in ("effect", "injections", "controls")}
    return {"name": name, "prompts": row["prompts"], **figures}


def _parts(way: str, found: Row) -> list[Row]:
    """All targets, those by the side attacked, and the orders; where there is something to show."""
    sides, orders = found["by_side"], found["by_order"]
    rows = [
        _beside(way, found),
        _beside("– of the row's two, the first", sides["a"]),
        _beside("– of the row's two, the second", sides["b"]),
        _beside("– where it is shown first", orders["first"]),
        _beside("– where it is shown second", orders["second"]),
    ]
    return [row for row in rows if row["prompts"]]
