"""What is the reward worth without RL? The best of n answers of the SFT policy, by that reward.

Best-of-n is the baseline that RL has to beat: no training, n times the price of an answer. It moves
the policy by at most log n - (n - 1) / n nats (Beirami et al., arXiv 2401.01879), so its place
beside RL's reward and KL says whether training found more than choosing does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from hrlaif.errors import DataError
from hrlaif.evaluation.compose import compare
from hrlaif.pages.values import verdicts
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Response, Row, Score
from hrlaif.statistics import mean


class Picked(NamedTuple):
    """The best response to each prompt, and its reward."""

    responses: list[Response]
    rewards: list[float]
    unscored: int
    """Responses without a score: they cannot be chosen."""
    left_out: int
    """Prompts with no scored response at all."""


def pick(responses: Sequence[Response], scores: Sequence[Score]) -> Picked:
    """The response with the highest score to each prompt, of equal ones the first drawn.

    Responses to one prompt lie side by side. Raises DataError where nothing has a score.
    """
    best: list[tuple[Response, float]] = []
    unscored = left_out = 0
    both = zip(responses, scores, strict=True)
    for _, group in groupby(both, key=lambda pair: pair[0].prompt.id):
        members = list(group)
        known = [(r, s.value) for r, s in members if s.value is not None]
        unscored += len(members) - len(known)
        if known:
            best.append(max(known, key=lambda pair: pair[1]))  # max keeps the first of equal ones
        else:
            left_out += 1
    if not best:
        reason = scores[0].reason if scores else "there are no responses"
        raise DataError(f"best of n: no response has a reward ({reason}): mend the reward")
    return Picked([r for r, _ in best], [v for _, v in best], unscored, left_out)


def most_kl(n: int) -> float:
    """log n - (n - 1) / n, in nats: best-of-n is never further from the policy that it draws on."""
    return math.log(n) - (n - 1) / n


def best_of(
    baseline: Sequence[Response],
    drawn: Sequence[Response],
    scores: Sequence[Score],
    asked: tuple[Labeler, LanguageModel],
    folder: Path,
    *,
    seed: int = 0,
) -> Row:
    """Win rate over the baseline of the best drawn responses, with the reward that they reach.

    The win rate is None where nobody said which of two different texts is better.
    `baseline` has one response a prompt; those of prompts without a scored one are left out.
    Writes folder/compare.json and folder/comparisons.jsonl.
    """
    found = pick(drawn, scores)
    prompts = {r.prompt.id for r in found.responses}
    shown = [r for r in baseline if r.prompt.id in prompts]
    won = compare(shown, found.responses, *asked, folder, seed=seed)["win_rate"]
    judged = verdicts(won) != 0
    known = [s.value for s in scores if s.value is not None]
    n = max(len(list(group)) for _, group in groupby(drawn, key=lambda r: r.prompt.id))
    return {
        "n": n,
        "win_rate": won["overall"] if judged else None,
        "length_controlled": won["length_controlled"]["win_rate"] if judged else None,
        "length_flags": won["length_controlled"]["flags"] if judged else [],
        "reward": mean(found.rewards, seed=seed).row(),
        "reward_of_all": mean(known, clusters=_prompts(drawn, scores), seed=seed).row(),
        "most_kl": most_kl(n),
        "unscored": found.unscored,
        "left_out": found.left_out,
    }


def _prompts(drawn: Sequence[Response], scores: Sequence[Score]) -> list[str]:
    both = zip(drawn, scores, strict=True)
    return [r.prompt.id for r, s in both if s.value is not None]
