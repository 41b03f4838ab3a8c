"""May the reward be believed? How stale it grew, what it was raised at, and what to read."""

from __future__ import annotations

from typing import Any

from hrlaif.pages.charts import Charts, Curve, Point
from hrlaif.pages.values import answer, figure, folded, is_harmful, number, turns
from hrlaif.records import Row
from hrlaif.report.load import Run
from hrlaif.statistics import Figure

_POINTS = 60
_EACH = 3


def trust(run: Run, charts: Charts) -> Row:
    """What the reward was, how far the judge agrees with it, reward against KL, and outliers."""
    score = run.json("policy/score.json")
    return {
        "kinds": _kinds(score),
        "graded": "direct" in _kinds(score),
        "learned": bool({"learned", "ensemble"} & set(_kinds(score))),
        "staleness": _staleness(run, charts),
        **_front(run, charts),
        "best_of": _best_of(run),
        "outliers": _outliers(run),
    }


def _kinds(score: Any) -> list[str]:
    """The kinds of the reward and of all that it is made of, in order."""
    if isinstance(score, list):
        return [kind for item in score for kind in _kinds(item)]
    if not isinstance(score, dict):
        return []
    own = [score["kind"]] if isinstance(score.get("kind"), str) else []
    inside = [v for k, v in score.items() if k in ("parts", "reward")]
    return list(dict.fromkeys([*own, *_kinds(inside)]))


def _staleness(run: Run, charts: Charts) -> Row:
    rows = [r for r in run.rows("policy/staleness.jsonl") if number(r.get("step")) is not None]
    lines = [
        {
            "step": row["step"],
            "agreement": figure(row.get("agreement")),
            "expected": figure(row.get("expected")),
            "left_out": [
                (what, row[what])
                for what in ("identical", "unscored", "abstained", "ties")
                if row.get(what)
            ],
            "stale": bool(row.get("stale")),
            "refreshed": row.get("refreshed"),
            "fresh": row.get("fresh_labels"),
        }
        for row in rows
    ]
    known = [Point(line["step"], f) for line in lines if (f := line["agreement"])]
    return {
        "lines": lines,
        "chart": charts.points(
            [known],
            labels=("step", "agree with the judge, share"),
            reference=0.5,
            alt="Share of fresh pairs in which reward and judge prefer the same one, over steps",
        ),
    }


def _front(run: Run, charts: Charts) -> Row:
    """Reward against KL: training, held out, and best-of-n where it was measured."""
    series = []
    for name in ("policy/metrics.jsonl", "policy/validation.jsonl"):
        found = [
            Point(kl, Figure(value=reward, low=None, high=None, n=1))
            for row in run.rows(name)
            if (kl := number(row.get("kl"))) is not None
            and (reward := number(row.get("reward_mean"))) is not None
        ]
        series.append(found[:: max(1, len(found) // _POINTS)])
    best = run.json("evaluation/metrics.json").get("best_of") or {}
    furthest, reached = number(best.get("most_kl")), figure(best.get("reward"))
    if furthest is not None and reached is not None:
        series.append([Point(furthest, reached)])
    names = ("training", "held-out prompts", "best of n")
    curves = [
        Curve(name, [p.x for p in points], [p.figure.value or 0.0 for p in points])
        for name, points in zip(names, series, strict=False)
    ]
    return {
        "front": charts.points(
            series,
            labels=("KL from the SFT policy, nats", "mean reward"),
            alt="Mean reward against the KL from the SFT policy",
        ),
        "front_points": [(curve.label, curve.some()) for curve in curves],
    }


def _best_of(run: Run) -> Row:
    found = run.json("evaluation/metrics.json").get("best_of") or {}
    if not found:
        return {}
    names = ("win_rate", "length_controlled", "reward", "reward_of_all")
    counts = {name: number(found.get(name)) for name in ("n", "unscored", "left_out")}
    flags = [str(flag) for flag in found.get("length_flags") or ()]
    return {**{name: figure(found.get(name)) for name in names}, **counts, "length_flags": flags}


def _outliers(run: Run) -> list[Row]:
    """A few of each kind, of the last steps on which they stood out; nothing is shown twice."""
    by_why: dict[str, list[Row]] = {}
    for row in run.rows("policy/outliers.jsonl"):
        by_why.setdefault(str(row.get("why", "")).partition(":")[0], []).append(row)
    return [
        {"why": why, "n": len(rows), "rows": [_shown(row) for row in _last(rows)]}
        for why, rows in by_why.items()
    ]


def _last(rows: list[Row]) -> list[Row]:
    seen: dict[str, Row] = {}
    for row in reversed(rows):
        seen.setdefault(str(row.get("response")), row)
    return list(seen.values())[:_EACH]


def _shown(row: Row) -> Row:
    return {
        "step": row.get("step"),
        "why": str(row.get("why", "")),
        "reward": number(row.get("reward")),
        "repetition": number(row.get("repetition")),
        "turns": [(role, folded(text)) for role, text in turns(row.get("prompt"))],
        "text": answer(row.get("response")),
        "harmful": is_harmful(row),
    }
