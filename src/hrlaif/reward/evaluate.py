"""How often does the reward model agree on prompts that it has not seen? Counts, by category."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hrlaif.records import Preference
from hrlaif.reward.maths import entropy, is_right, pair_loss

Row = dict[str, Any]


def held_out(
    preferences: Sequence[Preference], *, share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Indices to train on and to hold out, by prompt: no prompt is on both sides.

    Rows of validation prompts where there are any, else all rows of a seeded share of the prompts.
    Rows of test prompts are on neither side.
    """
    usable = [i for i, p in enumerate(preferences) if p.comparison.prompt.split != "test"]
    chosen = {
        preferences[i].comparison.prompt.id
        for i in usable
        if preferences[i].comparison.prompt.split == "validation"
    }
    if not chosen and share > 0:
        prompts = sorted({preferences[i].comparison.prompt.id for i in usable})
        count = min(max(round(share * len(prompts)), 1), len(prompts) - 1)
        order = np.random.default_rng([seed, 1]).permutation(len(prompts))
        chosen = {prompts[i] for i in order[:count]}
    train = [i for i in usable if preferences[i].comparison.prompt.id not in chosen]
    return train, [i for i in usable if preferences[i].comparison.prompt.id in chosen]


def prediction(preference: Preference, reward_a: float, reward_b: float) -> Row:
    """One held-out row: the label, what people say if known, and the model's difference."""
    comparison = preference.comparison
    return {
        "id": comparison.id,
        "prompt_id": comparison.prompt.id,
        "category": comparison.prompt.category,
        "labeler": preference.labeler,
        "prob_a": preference.prob_a,
        "human": comparison.human_preference,
        "gold": comparison.gold_preference,
        "reward_a": reward_a,
        "reward_b": reward_b,
        "difference": reward_a - reward_b,
    }


def summary(rows: Sequence[Row], *, threshold: float = 0.0) -> Row:
    """Loss, entropy floor and accuracy on each kind of label, overall and by category.

    An accuracy is {"right", "n", "value"}: n leaves out labels within `threshold` of a tie, and
    value is None where n is 0.
    """
    categories = sorted({row["category"] for row in rows if row["category"] is not None})
    return {
        **_figures(rows, threshold),
        "threshold": threshold,
        "by_category": {
            name: _figures([row for row in rows if row["category"] == name], threshold)
            for name in categories
        },
    }


def _figures(rows: Sequence[Row], threshold: float) -> Row:
    count = len(rows)
    losses = [pair_loss(row["difference"], row["prob_a"]) for row in rows]
    floors = [entropy(row["prob_a"]) for row in rows]
    return {
        "n": count,
        "loss": sum(losses) / count if count else None,
        "floor": sum(floors) / count if count else None,
        "accuracy": _accuracy(rows, "prob_a", threshold),
        "human_accuracy": _accuracy(rows, "human", 0.0),
        "gold_accuracy": _accuracy(rows, "gold", 0.0),
    }


def _accuracy(rows: Iterable[Row], label: str, threshold: float) -> Row:
    marks = [
        is_right(row["difference"], row[label], threshold) for row in rows if row[label] is not None
    ]
    right, n = sum(mark is True for mark in marks), sum(mark is not None for mark in marks)
    return {"right": right, "n": n, "value": right / n if n else None}
