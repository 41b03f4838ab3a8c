"""Does it agree with people? What the page shows of it: ways of asking, groups, raters, models."""

from __future__ import annotations

from hrlaif.pages import words
from hrlaif.pages.charts import Charts, marks
from hrlaif.pages.values import figure
from hrlaif.records import Row
from hrlaif.statistics import Figure

Named = list[tuple[str, Figure]]
_VARIANT_FIGURES = ("agreement", "ceiling", "kappa", "same_position", "mass")
_PARTS = (
    ("agreement", "On all pairs that it answered"),
    ("unanimous", "Where all raters agree"),
    ("one_rater", "With one rater"),
    ("confident_half", "On the half that it is surest of"),
    ("faint_half", "On the other half"),
)
_RULES = ("always_longer", "always_first")


def variants(one: Row, found: Row, charts: Charts) -> Row:
    """Every way of asking, and its chart."""
    rows = []
    for name, v in one["variants"].items():
        base = v["against_base"] or {}
        rows.append(
            {
                "name": name,
                "chosen": name == one["chosen"],
                "dev": figure(v["points_dev"]),
                "figures": {k: figure(v[k]) for k in _VARIANT_FIGURES},
                "difference": figure(base.get("difference")),
                "p": base.get("p_holm"),
                "effective": v["effective"],
                "silent": sum(v["abstentions"].values()),
                "reasons": list(v["abstentions"].items()),
                "cost": v["cost"],
            }
        )
    shown: Named = [(r["name"], f) for r in rows if (f := r["figures"]["agreement"])]
    for key in _RULES:
        if f := figure(found["baselines"][key]):
            shown.append((key.replace("_", " the "), f))
    chart = charts.intervals(
        shown, unit="names what people prefer, test half, %", marks=marks(shown),
        alt="Agreement of every way of asking",
    )  # fmt: skip
    best = next(r for r in rows if r["chosen"])
    weighed = best["effective"] if found["pairs"].get("weighed") else None
    told = {"rated": any(r["figures"]["ceiling"] for r in rows), "effective": weighed}
    beside = {"beside": _beside_rules(one), "fewer": _answered_fewer(one, found)}
    return {"rows": rows, "chart": chart, "drawn": shown, **told, **beside}


def _beside_rules(one: Row) -> list[Row]:
    """Each agreement of every way of asking, beside both rules on the same pairs."""
    parts = []
    for key, title in _PARTS:
        rows = [
            (name, [figure(v[key]), *(figure(v["baselines"][key][rule]) for rule in _RULES)])
            for name, v in one["variants"].items()
            if figure(v[key])
        ]
        if rows:
            parts.append({"title": title, "rows": rows})
    return parts


def _answered_fewer(one: Row, found: Row) -> bool:
    """Whether a way of asking is silent on pairs that the baselines of the whole half count."""
    ways = one["variants"].values()
    return any(v["baselines"]["agreement"] != found["baselines"] for v in ways)


def breakdown(one: Row, charts: Charts) -> list[Row]:
    """Groups of pairs, each beside the baselines."""
    titles = (
        ("by_confidence", "By how sure the judge is"),
        ("by_length", "By how different the lengths are"),
        ("by_language", "By language"),
        ("by_category", "By category"),
    )
    parts = []
    for key, title in titles:
        rows = [
            (
                _ranged(name, group),
                [figure(group[k]) for k in ("agreement", *_RULES)],
            )
            for name, group in one["breakdown"][key].items()
        ]
        if len(rows) > 1:
            unit = "share that names what people prefer"
            chart = charts.grouped(rows, unit=unit, references=[0.5], alt=title)
            parts.append({"title": title, "rows": rows, "chart": chart})
    return parts


def _ranged(name: str, group: Row) -> str:
    """`surest, 0.81 to 0.97`."""
    if "from" not in group:
        return name
    return f"{name}, {words.digits(group['from'])} to {words.digits(group['to'])}"


def raters(one: Row) -> Row:
    """Single raters; empty where rows carry no votes."""
    found = one["raters"]
    if not found:
        return {}
    return {
        "rows": [
            (name, [figure(r[k]) for k in ("judge", *_RULES)])
            for name, r in found["raters"].items()
        ],
        "more": [
            (name, figure(r["kappa"]), figure(r["others"])) for name, r in found["raters"].items()
        ],
        "between": figure(found["between_raters"]),
        "kappa": figure(found["kappa_raters"]),
        "alpha": figure(found["alpha_raters"]),
        "with_judge": figure(found["alpha_with_judge"]),
    }


def ranking(one: Row, charts: Charts) -> Row:
    """The models behind the responses; empty where they are not known."""
    found = one["ranking"]
    if not found:
        return {}
    ways = [way for way in found["by"] if way != "judge, soft"]
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
    left_out: dict[str, list[str]] = {}
    for trait, why in found["style_left_out"].items():
        left_out.setdefault(why, []).append(words.spaced(trait))
    return {
        "ways": ways,
        "left_out": [(", ".join(traits), why) for why, traits in left_out.items()],
        "rows": rows,
        "style": style,
        "games": found["games"],
        "order": found["same_order"],
        "tau": figure(found["same_order"]["tau"]),
        "chart": charts.grouped(
            both, unit="mean share of wins against the others", references=[0.5],
            alt="Win rates of the models by people and by the judge",
        ),
    }  # fmt: skip
