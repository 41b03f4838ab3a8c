"""What sways it, is it as sure as it may be, can it be talked round? What the page shows of it."""

from __future__ import annotations

from hrlaif.pages import words
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


def bias(one: Row, charts: Charts) -> list[Row]:
    """The bias card, a chart a kind and unit."""
    parts = []
    for kind, title in _KINDS.items():
        lines = [
            {**line, **_figures(line)} for line in one["bias"]
            if line["kind"] == kind and (figure(line["figure"]) or line.get("cut"))
        ]  # fmt: skip
        units = list(dict.fromkeys(line["unit"] for line in lines))
        for unit in units:
            group = [line for line in lines if line["unit"] == unit]
            chart = charts.grouped(
                [(line["name"], [line["figure"]]) for line in group],
                unit=f"{unit}; dashed: unbiased", references=[line["fair"] for line in group],
                span=(0.0, 1.0) if unit == "share" else (-0.1, 0.1),
                alt=f"{title}: " + ", ".join(line["name"] for line in group),
            )  # fmt: skip
            named = f"{title}, {unit}" if len(units) > 1 else title
            soft = any(line["probability"] for line in group)
            parts.append({"title": named, "lines": group, "chart": chart, "soft": soft})
    return parts


def _figures(line: Row) -> Row:
    """Its figure, the mean probability where it has one, and the shares that it comes from."""
    beside = {name: figure(value) for name, value in line.get("beside", {}).items()}
    probability = figure(line.get("probability"))
    return {"figure": figure(line["figure"]), "probability": probability, "beside": beside}


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
    ways = ("raw", "temperature", "isotonic")
    rows = [{"name": w, **{k: figure(found[w][k]) for k in ("ece", "brier")}} for w in ways]
    series = [
        [Point(b["said"], f) for b in found[way]["bins"] if (f := figure(b["happened"]))]
        for way in ways[:2]
    ]
    bins = [
        (words.digits(b["said"]), f) for b in found["raw"]["bins"] if (f := figure(b["happened"]))
    ]
    return {
        "rows": rows,
        "bins": bins,
        "slope": number(found["slope"]),
        "fitted": found["fitted_to"],
        "chart": charts.points(
            series, labels=("how sure the label is", "how often it is right"), diagonal=(0.5, 1.0),
            alt="Reliability diagram, raw labels and labels after temperature scaling",
        ),
    }  # fmt: skip


def injection(one: Row, charts: Charts) -> Row:
    """Families of attacks; empty where none were asked."""
    found = one["injection"]
    if not found:
        return {}
    ways = [w for w in ("labels", "undefended", "scores") if w in found]
    families = [
        {
            "name": name,
            "control": family["control"],
            "cells": [figure(found[w]["families"][name]["resistance"]) for w in ways],
            "shift": figure(family["shift"]),
            "silent": [found[w]["families"][name]["abstentions"] for w in ways],
        }
        for name, family in found["labels"]["families"].items()
    ]
    names = {"labels": "labels", "undefended": "without the defence", "scores": "single grades"}
    return {
        "ways": [names[w] for w in ways],
        "pairs": [found[w]["pairs"] for w in ways],
        "overall": [figure(found[w]["injections"]) for w in ways],
        "controls": [figure(found[w]["controls"]) for w in ways],
        "families": families,
        "chart": charts.grouped(
            [(f["name"], f["cells"][:2]) for f in families],
            unit="share of labels that stay where they were",
            alt="Injection resistance by family, with the defence and without",
        ),
    }  # fmt: skip
