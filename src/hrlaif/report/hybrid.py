"""Are answers right, and are people satisfied? What HRLAIF watches beside the win rate."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hrlaif.pages.charts import Charts
from hrlaif.pages.values import figure, number, verdicts
from hrlaif.reasons import counted
from hrlaif.records import Row
from hrlaif.report.load import Run, pairs

_SIDES = ("before", "after", "gain")


def correctness(run: Run, charts: Charts) -> Row:
    """Accuracy on prompts whose right answer is known, before and after."""
    found = run.json("evaluation/metrics.json").get("accuracy") or {}
    figures = [
        (name, f)
        for name, key in (("SFT", "before"), ("policy", "after"))
        if (f := figure(found.get(key)))
    ]
    return {
        "figures": figures,
        "chart": charts.intervals(
            figures, unit="answers right, %", reference=None, alt="Accuracy before and after"
        ),
        "categories": [
            (name, [figure(sides.get(key)) for key in _SIDES[:2]])
            for name, sides in pairs(found.get("by_category"))
        ],
        "gain": figure(found.get("gain")),
        "unverifiable": [
            number(found.get(key)) for key in ("unverifiable_before", "unverifiable_after")
        ],
    }


def satisfied(run: Run, charts: Charts) -> Row:
    """Satisfaction beside preference, by category: how good, and how much better than before."""
    metrics = run.json("evaluation/metrics.json")
    found = metrics.get("satisfaction") or {}
    rate = found.get("rate") or {}
    compared = metrics.get("win_rate") or {}
    won = dict(pairs(compared.get("by_category"))) if verdicts(compared) != 0 else {}
    shares = dict(pairs(found.get("by_category")))
    figures = [
        (name, f)
        for name, key in (("SFT", "before"), ("policy", "after"))
        if (f := figure(rate.get(key)))
    ]
    level = found.get("level") or {}
    return {
        "figures": figures,
        "chart": charts.intervals(
            figures, unit="satisfied, %", reference=None, alt="Satisfaction before and after"
        ),
        "gain": figure(rate.get("gain")),
        "level": [figure(level.get(key)) for key in _SIDES],
        "bar": number(found.get("bar")),
        "calibrated": found.get("calibrated"),
        "unrated": [(str(reason), count) for reason, count in pairs(found.get("unrated"))],
        "categories": [
            (name, figure(won.get(name)), [figure(shares.get(name, {}).get(key)) for key in _SIDES])
            for name in sorted(won.keys() | shares.keys())
        ]
        if found
        else [],
    }


def toxic(run: Run, charts: Charts) -> Row:
    """Share of toxic continuations, before and after, by kind of list."""
    found = run.json("evaluation/metrics.json").get("toxicity") or {}
    rows = [("all lists", found), *pairs(found.get("by_kind"))] if found else []
    return {
        "rows": [(name, [figure(sides.get(key)) for key in _SIDES[:2]]) for name, sides in rows],
        "gain": figure(found.get("gain")),
        "untold": [(str(reason), count) for reason, count in pairs(found.get("untold"))],
    }


def verified(run: Run, charts: Charts) -> Row:
    """How many sampled answers a check found right, and which path each comparison took."""
    verdicts = Counter(
        (str(row.get("check")), row.get("passed"), str(row.get("reason") or ""))
        for row in run.rows("verdicts.jsonl", _verdict)
    )
    paths: dict[str, list[str]] = {"labelled": [], "left out": []}
    for row in (*run.labels(), *run.rows("abstentions.jsonl", _path)):
        if str(row.get("labeler") or "").startswith("verified/"):
            kept = "labelled" if number(row.get("prob_a")) is not None else "left out"
            paths[kept].append(str(row.get("reason") or ""))
    checks = sorted({check for check, *_ in verdicts})
    unknown = counted(
        reason for (_, passed, reason), n in verdicts.items() if passed is None for _ in range(n)
    )
    return {
        "checks": [
            (check, *(_total(verdicts, check, p) for p in (True, False, None))) for check in checks
        ],
        "reasons": list(unknown.items()),
        "paths": sorted(
            ((reason, kept, n) for kept in paths for reason, n in counted(paths[kept]).items()),
            key=lambda path: -path[2],
        ),
        "agreement": _by_procedure(run),
    }


def _by_procedure(run: Run) -> list[Row]:
    """Agreement with people or known answers by category, of these labels and of basic ones."""
    metrics = run.json("evaluation/metrics.json")
    own = dict(pairs((metrics.get("agreement") or {}).get("by_category")))
    basic = metrics.get("basic_labels") or {}
    others = dict(pairs(basic.get("by_category")))
    return [
        {
            "category": name,
            "own": figure(own.get(name)),
            "basic": figure((others.get(name) or {}).get("basic")),
            "hybrid": figure((others.get(name) or {}).get("hybrid")),
            "checked": figure((others.get(name) or {}).get("basic_against_check")),
        }
        for name in sorted(own.keys() | others.keys())
    ]


def _verdict(row: Row) -> Row:
    return {key: row.get(key) for key in ("check", "passed", "reason")}


def _path(row: Row) -> Row:
    return {key: row.get(key) for key in ("labeler", "reason")}


def _total(verdicts: Counter[Any], check: str, passed: bool | None) -> int:
    return sum(n for (c, p, _), n in verdicts.items() if c == check and p is passed)
