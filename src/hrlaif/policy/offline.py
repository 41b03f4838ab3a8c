"""How does the policy learn from preferences.jsonl? The loop of offline DPO.

The steps, checkpoints and evaluations are those of `loop.py`; the responses come from the labels
instead of the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hrlaif.errors import DataError
from hrlaif.llm.chat import prompt_ids, response_ids
from hrlaif.policy import learn, loop, maths
from hrlaif.policy.dpo import Dpo, pair_margins
from hrlaif.policy.learn import Figures, Lesson
from hrlaif.policy.rollouts import Batch, Scorer
from hrlaif.policy.settings import Policy
from hrlaif.records import Candidate, Preference, Prompt
from hrlaif.transformer.forward import Sequence as Asked
from hrlaif.transformer.load import Loaded


class Pair(NamedTuple):
    """Both responses of a label as tokens, and the label."""

    id: str
    a: Asked
    b: Asked
    prob_a: float


def train(
    settings: Policy,
    preferences: Sequence[Preference],
    *,
    heldout: Sequence[Preference],
    start: str | Path | Loaded,
    folder: Path,
    validation: Sequence[Prompt] = (),
    scorer: Scorer | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Trains the policy from `start`, the SFT policy, and resumes what is in `folder`. Counts back.

    `heldout` labels say how well the policy orders responses that it did not learn from. A
    `scorer` grades the validation responses, where a reward is at hand.
    """
    algorithm = settings.algorithm
    if not isinstance(algorithm, Dpo):
        raise DataError(f"{type(algorithm).__name__} does not learn from a file of labels")
    if not (preferences or heldout):
        raise DataError(
            "there is no label to train the policy on: no two responses to a prompt differ beside "
            "their thoughts, or the labeler abstained on every pair: look into responses.jsonl and "
            "abstentions.jsonl"
        )
    work = loop.begin(settings, start, folder, seed)
    loaded = work.actor.loaded
    tokenizer, limit = loaded.tokenizer, loaded.within(algorithm.max_length)
    pairs, aside = _pairs(tokenizer, preferences, limit), _pairs(tokenizer, heldout, limit)
    if not pairs:
        raise DataError("no preference is left to train the policy on: label more train prompts")
    watched = loop.prepared(work, validation)
    plan = loop.schedule(work, len(pairs), min(algorithm.batch_size, len(pairs)))

    def look(done: int) -> None:
        loop.evaluate(work, done, watched, scorer, _heldout(work, algorithm, aside))

    def step(number: int) -> dict[str, Any]:
        return _learn(work, algorithm, number, [pairs[i] for i in plan[number]])

    loop.run(work, step, look, watched=bool(watched))
    return {"pairs": len(pairs), "empty_pairs": len(preferences) - len(pairs)}


def _pairs(tokenizer: Any, preferences: Sequence[Preference], limit: int) -> list[Pair]:
    """Labels as tokens, without those of an empty response that has not even an end."""
    found = []
    for preference in preferences:
        comparison = preference.comparison
        prompt = prompt_ids(tokenizer, comparison.prompt.messages)
        a, b = (_asked(tokenizer, prompt, side, limit) for side in (comparison.a, comparison.b))
        if a.start < len(a.tokens) and b.start < len(b.tokens):
            found.append(Pair(comparison.id, a, b, preference.prob_a))
    return found


def _asked(tokenizer: Any, prompt: list[int], side: Candidate, limit: int) -> Asked:
    """As reward training renders it: the end only where it was finished, the prompt cut at left."""
    response = response_ids(tokenizer, side.text, side.finish_reason != "length")
    response = response[: limit - 1]
    first = prompt[:1] if prompt[0] == tokenizer.bos_token_id else []
    room = max(limit - len(response) - len(first), 0)
    if len(prompt) + len(response) > limit:
        prompt = [*first, *prompt[len(prompt) - room :]] if room else prompt[:1]
    return Asked([*prompt, *response], len(prompt))


def _batch(work: loop.Work, pairs: Sequence[Pair]) -> Batch:
    """Neighbours are the sides of a pair; their rewards are half the label's log-odds each."""
    odds = torch.tensor([pair.prob_a for pair in pairs], dtype=torch.float64).logit() / 2
    sides = [side for pair in pairs for side in (pair.a, pair.b)]
    rewards = torch.stack([odds, -odds], dim=1).flatten().tolist()
    groups = [number for number in range(len(pairs)) for _ in range(2)]
    return Batch(sides, groups, rewards, None, work.actor.loaded.device)


def _learn(work: loop.Work, algorithm: Dpo, number: int, pairs: Sequence[Pair]) -> dict[str, Any]:
    batch, temperature = _batch(work, pairs), work.settings.sampling.temperature
    if number == 0:
        learn.check_same_start(work.actor, batch, temperature)
    rollouts = learn.judged(work.actor, batch, algorithm, temperature)
    names = [f"pair {pair.id}" for pair in pairs for _ in range(2)]
    where = f"step {number + 1} of {work.settings.steps}"
    credit = algorithm.credit(rollouts)
    lesson = Lesson(batch, rollouts, credit, algorithm, temperature, names, where)
    tokens = sum(len(side.tokens) for side in batch.sequences)
    return {**loop.update(work, number, lesson), "pairs": len(pairs), "tokens": tokens}


def _heldout(work: loop.Work, algorithm: Dpo, pairs: Sequence[Pair]) -> Figures:
    """Loss, and how often the policy's order is the label's; labels of exactly 0.5 have none."""
    if not pairs:
        return {"heldout_loss": None, "heldout_accuracy": None}
    batch, temperature = _batch(work, pairs), work.settings.sampling.temperature
    rollouts = learn.judged(work.actor, batch, algorithm, temperature)
    with torch.no_grad():
        new = batch.each(lambda part: work.actor.scores(part, temperature).logprobs)
    margins = pair_margins(new, rollouts, algorithm.beta)
    prob_a = torch.tensor([pair.prob_a for pair in pairs], device=margins.device)
    sure = prob_a != 0.5
    right = ((margins > 0) == (prob_a > 0.5)) & (margins != 0)
    return {
        "heldout_loss": float(maths.dpo_loss(margins, prob_a).mean()),
        "heldout_accuracy": float(right[sure].float().mean()) if sure.any() else None,
    }
