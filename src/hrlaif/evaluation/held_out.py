"""Did the reward rise on prompts the policy was not trained on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from hrlaif.statistics import NOTHING, Figure, Measured, difference, mean


@final
class HeldOutReward(Measured):
    """Reward on validation prompts before RL (the first evaluated step) and after."""

    before: Figure
    after: Figure
    gain: Figure
    """After minus before, paired by prompt."""
    step_before: int | None
    step_after: int | None
    unscored: int = 0
    """Prompts without a reward at one of the two steps; they are in no figure above."""


def held_out_reward(
    rows: Sequence[Mapping[str, Any]], *, step: int | None = None, seed: int = 0
) -> HeldOutReward:
    """From rows of policy/validation.jsonl: `step`, `reward_mean`, and `rewards`, one a prompt.

    `rewards` is a list in the same order at every step, or {prompt id: value}. After is `step`
    (the chosen checkpoint), else the last. Without single rewards nothing has an interval.
    """
    by_step = {int(row["step"]): row for row in rows}
    if not by_step:
        return HeldOutReward(
            before=NOTHING, after=NOTHING, gain=NOTHING, step_before=None, step_after=None
        )
    first, last = min(by_step), step if step in by_step else max(by_step)
    old, new = _rewards(by_step[first]), _rewards(by_step[last])
    if old is None or new is None:
        then, now = by_step[first].get("reward_mean"), by_step[last].get("reward_mean")
        return HeldOutReward(
            before=_bare(then),
            after=_bare(now),
            gain=_bare(None if then is None or now is None else now - then),
            step_before=first,
            step_after=last,
        )
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


def _rewards(row: Mapping[str, Any]) -> dict[str, float | None] | None:
    given = row.get("rewards")
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, Sequence):
        return {str(number): value for number, value in enumerate(given)}
    return None


def _bare(value: float | None) -> Figure:
    return Figure(value=value, low=None, high=None, n=0 if value is None else 1)
