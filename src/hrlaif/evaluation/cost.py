"""What did the labels cost, in money and seconds, and what would people have cost?

RLAIF (arXiv 2309.00267), cost appendix: $0.06 an AI label (GPT-4 prices of September 2023, two
orders) against $0.67 a human one (304 words at $0.11 a 50 words; one rater, no training).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

from hrlaif.statistics import Measured

PAPER_HUMAN_LABEL = 0.67
PAPER_AI_LABEL = 0.06


@final
class StageCost(Measured):
    """One line of the table; money is US dollars and None when a call had no known price."""

    stage: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    """Wall time of the stage, where it is known; else the sum of its calls' seconds."""
    cost: float | None
    unpriced_calls: int = 0


@final
class Cost(Measured):
    """The whole bill."""

    stages: tuple[StageCost, ...]
    calls: int
    seconds: float
    cost: float | None
    labels: int
    """Preferences and abstentions of a judge; those of people and of checks alone are none."""
    cost_per_label: float | None
    seconds_per_label: float | None
    paper_human_label: float = PAPER_HUMAN_LABEL
    paper_ai_label: float = PAPER_AI_LABEL
    human_total: float | None = None
    """The same number of labels from people, at the paper's price."""


def judged(labelers: Iterable[str]) -> int:
    """How many of the labels by these labelers a judge gave: none by people (`human/NAME`), nor
    where a check alone decided (`verified/NAME`, without `+` and whom it asked)."""
    return sum("+" in name or not name.startswith(("human/", "verified/")) for name in labelers)


def cost(totals: Mapping[str, Mapping[str, Any]], *, labels: int = 0) -> Cost:
    """From the ledger's totals a stage: calls, prompt_tokens, completion_tokens, seconds, cost.

    A missing `cost` is unknown unless the stage made no calls. A cost per label needs the
    stage `label` among them, and `labels` that a judge gave.
    """
    lines = tuple(_line(stage, given) for stage, given in totals.items())
    label = next((line for line in lines if line.stage == "label"), None)
    known = label is not None and labels > 0
    return Cost(
        stages=lines,
        calls=sum(line.calls for line in lines),
        seconds=sum(line.seconds for line in lines),
        cost=_total([line.cost for line in lines]),
        labels=labels,
        cost_per_label=label.cost / labels if known and label and label.cost is not None else None,
        seconds_per_label=label.seconds / labels if known and label else None,
        human_total=labels * PAPER_HUMAN_LABEL if labels else None,
    )


def _line(stage: str, given: Mapping[str, Any]) -> StageCost:
    calls, unpriced = int(given.get("calls") or 0), int(given.get("unpriced_calls") or 0)
    money = given.get("cost")
    if unpriced:
        money = None
    elif money is None and calls == 0:
        money = 0.0
    return StageCost(
        stage=stage,
        calls=calls,
        prompt_tokens=int(given.get("prompt_tokens") or 0),
        completion_tokens=int(given.get("completion_tokens") or 0),
        seconds=float(given.get("seconds") or 0.0),
        cost=None if money is None else float(money),
        unpriced_calls=unpriced,
    )


def _total(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
