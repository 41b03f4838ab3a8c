"""What are its labels good for? What the page shows of checks, lessons and disagreements."""

from __future__ import annotations

from markupsafe import Markup

from hrlaif.pages.charts import Charts, Point
from hrlaif.pages.values import answer, figure, folded, is_harmful, turns
from hrlaif.records import Row
from hrlaif.statistics import Figure

_RULES = (("always_longer", "always the longer"), ("always_first", "always the first"))
_WAYS = ("random", "doubt", "disagreement")


def checking(one: Row, charts: Charts) -> Row:
    """What checks by people would tell, or told."""
    found = one["checking"]
    people = found.get("corrected")
    if "budget" not in found and not people:
        return {}
    rows = []
    if people and not people["partly"]:
        for way in ("all", *(way for way in _WAYS if way in people)):
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
    """What reward models learn from the labels, and which labels they speak against."""
    learnt, poison = one["learning"], one["poison"]
    rules = [(name, f) for key, name in _RULES if (f := figure(learnt.get(key)))]
    curve = [Point(float(n), f) for n, v in learnt.get("accuracy", {}).items() if (f := figure(v))]
    spoilt = [Point(float(x), f) for x, v in poison.items() if (f := figure(v["accuracy"]))]
    costs = {float(x): figure(v["difference"]) for x, v in poison.items()}
    worst = spoilt[-1].x if spoilt else 0.0
    return {
        "draws": learnt.get("draws"),
        "cost": costs.get(worst) and (f"{100 * worst:g} %", costs[worst]),
        "curve": [*((f"{p.x:g}", p.figure) for p in curve), *rules],
        "poison": [
            *((f"{100 * p.x:g} %", p.figure, costs[p.x]) for p in spoilt),
            *((name, f, None) for name, f in rules),
        ],
        "curve_chart": _over(curve, rules, charts, "labels learnt from"),
        "poison_chart": _over(spoilt, rules, charts, "share of labels turned round"),
        **_noise(one["noise"]),
    }


def _over(
    points: list[Point], rules: list[tuple[str, Figure]], charts: Charts, what: str
) -> Markup | None:
    """Accuracies, and level with them what needs no labels."""
    bare = [f.model_copy(update={"low": None, "high": None}) for _, f in rules]
    return charts.points(
        [points, *([Point(p.x, f) for p in points] for f in bare)],
        labels=(what, "accuracy"), reference=0.5, alt=f"Accuracy of a reward model by {what}",
    )  # fmt: skip


def _noise(found: Row) -> Row:
    """`beyond`: people contradict more labels than random flips account for."""
    told = {
        name: figure(found.get(name))
        for name in (
            "contradicted", "likely_contradicted", "held_out", "random_flips_at_most",
            "random_flips",
        )
    }  # fmt: skip
    people, rate = told["contradicted"], told["random_flips"]
    beyond = people and rate and (people.low or 0.0) > (1.0 if rate.high is None else rate.high)
    return {**told, "beyond": bool(beyond), "suspects": found.get("suspects", [])}


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
        "rationales": _rationales(row),
        "harmful": is_harmful(row),
    }  # fmt: skip


def _rationales(row: Row) -> list[Row]:
    """The judge's reasons, each with the way and the order in which it was asked for them."""
    by, texts = row["rationales_of"], row["rationales"]
    first = by["of_first"] if by else None
    return [{**by, "order": _order(n, first), "text": folded(text)} for n, text in enumerate(texts)]


def _order(n: int, first: int | None) -> str:
    if first is None:
        return "one of both orders"
    return "first order" if n < first else "second order"


def _side(when: str, side: Row) -> Row:
    return {"name": when, "model": side.get("model") or "", "text": answer(side.get("text"))}
