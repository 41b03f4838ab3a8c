"""What does the page say of one judge? From its part of study.json to values for the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrlaif.pages import words
from hrlaif.pages.charts import Charts, Point
from hrlaif.pages.values import figure, folded, is_harmful, number, turns
from hrlaif.records import Row
from hrlaif.statistics import Figure

_KINDS = {
    "position": "Position",
    "length": "Length",
    "format": "Format",
    "refusal": "Refusals",
    "language": "Language",
    "probe": "One change to the same response",
    "self": "Its own samples",
}
_WAYS = ("random", "doubt", "disagreement")
Named = list[tuple[str, Figure]]


def judge(name: str, found: Row, charts: Charts) -> Row:
    """All parts of one judge, as plain values for the template."""
    one: Row = found["judges"][name]
    return {
        "name": name,
        "anchor": f"j{list(found['judges']).index(name)}",
        "chosen": one["chosen"],
        "variants": _variants(one, found, charts),
        "breakdown": _breakdown(one, charts),
        "raters": _raters(one),
        "ranking": _ranking(one, charts),
        "bias": _bias(one, charts),
        "calibration": _calibration(one, charts),
        "injection": _injection(one, charts),
        "checking": _checking(one, charts),
        "learning": _learning(one, charts),
        "worst": [_worst(row) for row in one["disagreements"]],
    }


def _variants(one: Row, found: Row, charts: Charts) -> Row:
    rows = []
    for name, v in one["variants"].items():
        base = v["against_base"] or {}
        rows.append(
            {
                "name": name,
                "chosen": name == one["chosen"],
                "dev": figure(v["agreement_dev"]),
                "figures": {k: figure(v[k]) for k in _VARIANT_FIGURES},
                "difference": figure(base.get("difference")),
                "p": base.get("p_holm"),
                "silent": sum(v["abstentions"].values()),
                "reasons": list(v["abstentions"].items()),
                "cost": v["cost"],
            }
        )
    shown: Named = [(r["name"], f) for r in rows if (f := r["figures"]["agreement"])]
    for key in ("always_longer", "always_first"):
        if f := figure(found["baselines"][key]):
            shown.append((key.replace("_", " the "), f))
    chart = charts.intervals(
        shown, unit="names what people prefer, test half, %", alt="Agreement of every way of asking"
    )
    return {"rows": rows, "chart": chart}


_VARIANT_FIGURES = (
    "agreement",
    "unanimous",
    "one_rater",
    "kappa",
    "confident_half",
    "faint_half",
    "same_position",
    "mass",
)


def _breakdown(one: Row, charts: Charts) -> list[Row]:
    titles = (
        ("by_confidence", "By how sure the judge is"),
        ("by_length", "By which response is longer"),
        ("by_language", "By language"),
        ("by_category", "By category"),
    )
    parts = []
    for key, title in titles:
        rows = [
            (name, [figure(group[k]) for k in ("agreement", "always_longer", "always_first")])
            for name, group in one["breakdown"][key].items()
        ]
        if len(rows) > 1:
            unit = "share that names what people prefer"
            chart = charts.grouped(
                [(name, cells[:2]) for name, cells in rows], unit=unit, references=[0.5], alt=title
            )
            parts.append({"title": title, "rows": rows, "chart": chart})
    return parts


def _raters(one: Row) -> Row:
    found = one["raters"]
    if not found:
        return {}
    return {
        "rows": [
            {"name": name, "judge": figure(r["judge"]), "others": figure(r["others"])}
            for name, r in found["raters"].items()
        ],
        "between": figure(found["between_raters"]),
        "alpha": figure(found["alpha_raters"]),
        "with_judge": figure(found["alpha_with_judge"]),
    }


def _ranking(one: Row, charts: Charts) -> Row:
    found = one["ranking"]
    if not found:
        return {}
    ways = list(found["by"])
    models = list(found["by"]["people"]["strength"])
    models.sort(key=lambda m: -(found["by"]["people"]["win_rate"][m]["value"] or 0))
    rows = [(m, [figure(found["by"][w]["win_rate"][m]) for w in ways]) for m in models]
    both = [(m, [figures[0], figures[2]]) for m, figures in rows]
    style = [
        (
            words.spaced(trait),
            [figure(found["by"][w]["style"][trait]) for w in ways if "style" in w],
        )
        for trait in found["by"]["people at equal style"]["style"]
    ]
    return {
        "ways": ways,
        "rows": rows,
        "style": style,
        "games": found["games"],
        "order": found["same_order"],
        "chart": charts.grouped(
            both, unit="mean share of wins against the others", references=[0.5],
            alt="Win rates of the models by people and by the judge",
        ),
    }  # fmt: skip


def _bias(one: Row, charts: Charts) -> list[Row]:
    parts = []
    for kind, title in _KINDS.items():
        lines = [
            {**line, "figure": f} for line in one["bias"]
            if line["kind"] == kind and (f := figure(line["figure"]))
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
            parts.append({"title": named, "lines": group, "chart": chart})
    return parts


def _calibration(one: Row, charts: Charts) -> Row:
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


def _injection(one: Row, charts: Charts) -> Row:
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


def _checking(one: Row, charts: Charts) -> Row:
    found = one["checking"]
    if "strategies" not in found:
        return {}
    people = found["corrected"]
    rows = []
    if people and not people["partly"]:
        for way in ("all", *_WAYS):
            name = "everything checked" if way == "all" else f"{people[way]['checked']} by {way}"
            rows.append((name, _estimates(people[way])))
    elif people:
        rows.append((f"{people['checked']} checked", _estimates(people)))
    return {
        "budget": found["budget"],
        "planned": [(way, found["strategies"][way]["half_width"]) for way in _WAYS],
        "rows": rows,
        "chart": charts.grouped(
            [(name, [cells[0]]) for name, cells in rows], unit="agreement with people",
            span=(0.4, 1.0), alt="Agreement as estimated from few checks",
        ),
    }  # fmt: skip


def _estimates(row: Row) -> list[Figure | None]:
    return [figure(row.get(k)) for k in ("agreement", "a_is_better", "rogan_gladen")]


def _learning(one: Row, charts: Charts) -> Row:
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


def _worst(row: Row) -> Row:
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


def known(rows: Sequence[tuple[str, Any]]) -> Named:
    """Those that have a value."""
    return [(name, f) for name, f in rows if f is not None]


def _side(when: str, side: Row) -> Row:
    return {"when": when, "model": side.get("model") or "", "text": folded(side.get("text"))}
