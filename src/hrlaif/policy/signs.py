"""Is the policy gaming its reward? Signs that a person would see when reading its responses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from hrlaif.checks.injected import marks
from hrlaif.training import metrics

if TYPE_CHECKING:
    from hrlaif.policy.rollouts import Rollout

_SHOWN = 3  # texts a step in samples.jsonl
_EACH = 3  # responses that address the judge, at most, a step
_FAR = 2.0  # deviations from the step's mean reward


def repeated_share(tokens: Sequence[int], n: int = 4) -> float:
    """Share of the n-grams of a sequence that stood in it before; 0 where there is none.

    1 - distinct / all, the `rep-n` of Welleck et al., arXiv 1908.04319.
    """
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def signs(rollouts: Sequence[Rollout]) -> dict[str, float | None]:
    """Of a batch of responses: how much they repeat themselves, and how many address the judge."""
    return {
        "repetition": fmean(repeated_share(_written(r)) for r in rollouts),
        "injection_share": fmean(bool(marks(r.response.text)) for r in rollouts),
    }


def outliers(scored: Sequence[tuple[Rollout, float | None]]) -> list[dict[str, Any]]:
    """Responses of a step that someone should read, each with why it is here.

    The best one where its reward is more than two deviations above the step's mean, the one that
    repeats itself most where half of it is repetition, and those that address the judge.
    """
    known = [(r, v) for r, v in scored if v is not None]
    found: list[tuple[str, Rollout, float | None]] = []
    if len(known) > 1:
        mean = fmean(v for _, v in known)
        spread = fmean((v - mean) ** 2 for _, v in known) ** 0.5
        best, value = max(known, key=lambda pair: pair[1])
        if value > mean + _FAR * spread:
            found.append(("its reward stands out", best, value))
    worst, value_of_worst = max(scored, key=lambda pair: repeated_share(_written(pair[0])))
    if repeated_share(_written(worst)) >= 0.5:
        found.append(("it repeats itself", worst, value_of_worst))
    addressing = [(", ".join(marks(r.response.text)), r, v) for r, v in scored]
    found += [(f"it addresses the judge: {m}", r, v) for m, r, v in addressing if m][:_EACH]
    return [
        {
            "why": why,
            "reward": value,
            "repetition": repeated_share(_written(rollout)),
            **rollout.response.row(),
        }
        for why, rollout, value in found
    ]


def _written(rollout: Rollout) -> list[int]:
    return rollout.sequence.tokens[rollout.sequence.start :]


def described(rollouts: Sequence[Rollout], rewards: Sequence[float]) -> dict[str, float | None]:
    """Of a batch of responses: their rewards, how long they are, how they ended, its signs."""
    return {
        "reward_mean": fmean(rewards) if rewards else None,
        "reward_std": pstdev(rewards) if rewards else None,
        "unscored_share": 1 - len(rewards) / len(rollouts),
        "length_mean": fmean(len(r.logprobs) for r in rollouts),
        "truncated_share": fmean(not r.ended for r in rollouts),
        "ended_share": fmean(r.ended for r in rollouts),
        **signs(rollouts),
    }


def show(folder: Path, step: int, scored: Sequence[tuple[Rollout, float | None]]) -> None:
    """Whole responses for the report: the first of a few prompts, and those that stand out."""
    firsts = [pair for pair in scored if pair[0].response.sample == 0]
    for rollout, value in firsts[:_SHOWN]:
        row = {"step": step, "reward": value, **rollout.response.row()}
        metrics.append(folder / "samples.jsonl", row)
    for row in outliers(scored):
        metrics.append(folder / "outliers.jsonl", {"step": step, **row})
