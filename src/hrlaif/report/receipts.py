"""What did each stage make, and what did it take? From the receipts of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hrlaif.pages import words
from hrlaif.pages.charts import Charts
from hrlaif.pages.values import figure, number
from hrlaif.records import Row
from hrlaif.report.load import Run, pairs


def flow(run: Run, charts: Charts) -> Row:
    """A line a stage: how long, how much, finished or not."""
    lines = [
        {
            "stage": words.spaced(receipt.get("stage")),
            "finished": bool(receipt.get("finished")),
            "seconds": number(receipt.get("seconds")),
            "counts": list(_counts(receipt.get("counts"))),
        }
        for receipt in run.receipts()
    ]
    longest = max((line["seconds"] or 0 for line in lines), default=0)
    return {"stages": lines, "longest": longest}


def bill(run: Run, charts: Charts) -> Row:
    """Calls, tokens, time and money by stage, from the receipts; a label beside the paper's."""
    found = run.json("evaluation/metrics.json").get("cost") or {}
    lines = [
        {
            "stage": words.spaced(receipt.get("stage")),
            "seconds": number(receipt.get("seconds")),
            **{
                key: number(cost.get(key))
                for key in ("calls", "prompt_tokens", "completion_tokens")
            },
            "cost": _dollars(cost),
        }
        for receipt in run.receipts()
        if isinstance(cost := receipt.get("cost"), dict) and cost
    ]
    names = ("labels", "cost_per_label", "seconds_per_label", "human_total")
    paper = ("paper_human_label", "paper_ai_label")
    return {"stages": lines, **{name: number(found.get(name)) for name in (*names, *paper)}}


def last(run: Run) -> Row:
    """What the newest receipt says of the machine and the command, as texts."""
    receipts = run.receipts()
    if not receipts:
        return {}
    last = receipts[-1]
    return {
        "finished": words.moment(last["finished"]) if last.get("finished") else "",
        "command": str(last.get("command") or "not recorded"),
        "seed": str(last.get("seed", "not recorded")),
        "versions": [f"{name} {version}" for name, version in (last.get("versions") or {}).items()],
        "hardware": [
            f"{words.spaced(name)}: {value}" for name, value in (last.get("hardware") or {}).items()
        ],
    }


def paid(receipts: list[Row]) -> float | None:
    """Dollars of all stages; None when one of them does not know, or none is on record."""
    costs = [_dollars(c) for r in receipts if isinstance(c := r.get("cost"), dict)]
    known = [dollars for dollars in costs if dollars is not None]
    return sum(known) if costs and len(known) == len(costs) else None


def _dollars(cost: Row) -> float | None:
    """What a stage paid: nothing where it called no model, None where a call had no known price."""
    if not cost.get("calls"):
        return 0.0
    return None if cost.get("unpriced_calls") else number(cost.get("usd"))


def _counts(value: Any) -> Iterator[tuple[str, str]]:
    """What a stage counted as (name, value); a table's rows stand for themselves."""
    for name, found in pairs(value):
        if (known := figure(found)) is not None:
            yield words.spaced(name), words.percent(known)
        elif isinstance(found, dict):
            yield from _counts(found)
        elif found is not None:
            yield words.spaced(name), _said(found)


def _said(value: Any) -> str:
    as_number = number(value)
    if as_number is None:
        return str(value)
    return words.count(as_number) if as_number == int(as_number) else f"{as_number:.3g}"
