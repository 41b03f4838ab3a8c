"""Did the reward rise on prompts the policy was not trained on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from hrlaif.statistics import Figure, Measured, difference, mean


@final
class HeldOutReward(Measured):
    """Reward on validation prompts before RL (the first evaluated step) and after."""

    before: Figure
    after: Figure
    gain: Figure
    """After minus before, paired by prompt."""
    step_before: int
    step_after: int
    unscored: int = 0
    """Prompts without a reward at one of the two steps; they are in no figure above."""


def held_out_reward(
    rows: Sequence[Mapping[str, Any]], *, step: int | None = None, seed: int = 0
) -> HeldOutReward:
    """From rows of policy/validation.jsonl: `step` and `rewards`, at least one row.

    `rewards` is {prompt id: value}, a value None where there is none. After is `step` (the chosen
    checkpoint), else the last.
    """
    by_step = {int(row["step"]): row for row in rows}
    first, last = min(by_step), step if step in by_step else max(by_step)
    old, new = by_step[first]["rewards"], by_step[last]["rewards"]
    both = [k for k in old if old[k] is not None and new.get(k) is not None]
    before, after = [float(old[k] or 0.0) for k in both], [float(new[k] or 0.0) for k in both]
    return HeldOutReward(
        before=mean(before, seed=seed),
        after=mean(after, seed=seed),
        gain=difference(after, before, seed=seed),
        step_before=first,
        step_after=last,
        unscored=len(old.keys() | new.keys()) - len(both),
    )
