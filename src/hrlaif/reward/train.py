"""How is the reward model trained? Soft Bradley-Terry on what the labeler found probable."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hrlaif.errors import DataError
from hrlaif.messages import spoken
from hrlaif.progress import say
from hrlaif.records import Candidate, Preference, Response
from hrlaif.reward import evaluate, head, maths
from hrlaif.reward.labels import learnt_from
from hrlaif.reward.settings import RewardTraining
from hrlaif.rows.files import write_rows
from hrlaif.run import write_json
from hrlaif.training import lora as adapters
from hrlaif.training import metrics
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.loop import Step, Where, order, steps
from hrlaif.training.optimizer import build
from hrlaif.transformer.batches import of_trees
from hrlaif.transformer.load import load_causal
from hrlaif.transformer.tree import size


class Pair(NamedTuple):
    """Both responses of one comparison as token ids, and the label."""

    id: str
    a: list[int]
    b: list[int]
    prob_a: float
    cut: bool


def train(
    settings: RewardTraining,
    preferences: Sequence[Preference],
    base: str,
    folder: Path,
    *,
    seed: int = 0,
    reference_responses: Sequence[Response] = (),
) -> dict[str, Any]:
    """Trains, evaluates and saves a reward model into `folder`; resumes what is there. Counts back.

    `folder` then holds what AutoModelForSequenceClassification loads, `metrics.jsonl`,
    `evaluation.json` and `heldout_predictions.jsonl`. `reference_responses` are the SFT policy's
    samples: their mean and deviation of reward go into config.json as `reward_mean`, `reward_std`.
    """
    if not preferences:
        raise DataError(
            "there is no label to train on: no two responses to a prompt differ beside their "
            "thoughts, or the labeler abstained on every pair: look into responses.jsonl and "
            "abstentions.jsonl"
        )
    preferences = [learnt_from(p, settings.probabilities) for p in preferences]
    rows, aside = evaluate.held_out(preferences, share=settings.heldout_share, seed=seed)
    if not rows:
        raise DataError("no preference is left to train on: label more train prompts")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    loaded = load_causal(base, train=True)
    limit = loaded.within(settings.max_length)
    reward = head.with_head(loaded)
    model = reward.model
    adapters.attach(model.base_model, settings.lora)
    model.score.requires_grad_(True)
    optimizer = build(settings.optimizer, {"model": model}, heads=["model.score"])
    pairs = {i: _pair(reward, preferences[i], limit) for i in (*rows, *aside)}
    plan = order(len(rows), batch_size=settings.batch_size, epochs=settings.epochs, seed=seed)
    where = Where(folder, settings.optimizer, settings.checkpoints)
    for step in steps("reward model", plan, Trainee({"model": model}, optimizer), where):
        _learn(model, [pairs[rows[i]] for i in step.batch], step, settings.accuracy_threshold)
    adapters.settle(model)  # all figures below are of the model that is saved
    predicted = _predictions(model, [preferences[i] for i in aside], [pairs[i] for i in aside])
    found = evaluate.summary(predicted, threshold=settings.accuracy_threshold)
    scale = _scale(reward, _drawn(reference_responses, settings, seed), limit)
    adapters.merge_and_save(model, reward.tokenizer, folder)
    head.stored(folder, reward_max_length=limit, **scale)
    write_rows(folder / "heldout_predictions.jsonl", predicted)
    counts = {
        "pairs": len(rows),
        "heldout_pairs": len(aside),
        "unused_test_pairs": len(preferences) - len(rows) - len(aside),
        "cut_pairs": sum(pair.cut for pair in pairs.values()),
        "steps": len(plan),
        "tokens": sum(row.get("tokens", 0) for row in metrics.read(folder / "metrics.jsonl")),
    }
    write_json(folder / "evaluation.json", {**counts, **scale, "heldout": found})
    return {**counts, **scale, **_headline(found)}


def _pair(reward: head.RewardModel, preference: Preference, limit: int) -> Pair:
    comparison = preference.comparison

    def side(candidate: Candidate) -> head.Rendered:
        finished = head.was_finished(candidate.finish_reason)
        text = spoken(candidate.text)
        return head.render(reward, comparison.prompt, text, finished=finished, limit=limit)

    a, b = side(comparison.a), side(comparison.b)
    return Pair(comparison.id, a.tokens, b.tokens, preference.prob_a, a.cut or b.cut)


def _batches(pairs: Sequence[Pair]) -> list[list[int]]:
    """Micro-batches of whole pairs, whose prompt is computed once for both responses."""
    return of_trees([size([pair.a, pair.b]) for pair in pairs])


def _learn(model: Any, pairs: list[Pair], step: Step[Any], threshold: float) -> None:
    """One step's gradient: the mean loss over its pairs, however they are cut into batches."""
    differences: list[float] = []
    labels: list[float] = []
    for indices in _batches(pairs):
        part = [pairs[i] for i in indices]
        values = head.rewards(model, [s for pair in part for s in (pair.a, pair.b)])
        difference = values[0::2] - values[1::2]
        prob_a = torch.tensor([pair.prob_a for pair in part], device=difference.device)
        loss = maths.soft_bradley_terry(difference, prob_a).sum() / len(pairs)
        step.backward(loss, [pair.id for pair in part])
        differences += difference.tolist()
        labels += [pair.prob_a for pair in part]
    each = zip(differences, labels, strict=True)
    marks = [mark for d, p in each if (mark := maths.is_right(d, p, threshold)) is not None]
    step.log(
        floor=statistics.fmean(map(maths.entropy, labels)),
        right=sum(marks),
        decided=len(marks),
        tokens=sum(len(pair.a) + len(pair.b) for pair in pairs),
        mean_difference=statistics.fmean(map(abs, differences)),
    )


def _predictions(
    model: Any, preferences: Sequence[Preference], pairs: Sequence[Pair]
) -> list[dict[str, Any]]:
    values = head.rewards_of(model, [s for pair in pairs for s in (pair.a, pair.b)])
    scored = zip(preferences, values[0::2], values[1::2], strict=True)
    return [evaluate.prediction(preference, a, b) for preference, a, b in scored]


def _drawn(responses: Sequence[Response], settings: RewardTraining, seed: int) -> list[Response]:
    """So many of the SFT policy's samples as are wanted."""
    there = [response for response in responses if response.finish_reason != "error"]
    order = np.random.default_rng([seed, 2]).permutation(len(there))
    return [there[i] for i in sorted(order[: settings.reference_samples].tolist())]


def _scale(
    reward: head.RewardModel, responses: Sequence[Response], limit: int
) -> dict[str, float | int | None]:
    """Mean and deviation of the reward on the SFT policy's samples; None without samples."""
    if len(responses) < 2:
        say("  no samples of the SFT policy: the mean and deviation of the reward stay unknown")
        return {"reward_mean": None, "reward_std": None, "reward_samples": 0}
    values = head.rewards_of(
        reward.model, [text.tokens for text in rendered(reward, responses, limit)]
    )
    return {
        "reward_mean": statistics.fmean(values),
        "reward_std": statistics.pstdev(values),
        "reward_samples": len(values),
    }


def rendered(
    reward: head.RewardModel, responses: Sequence[Response], limit: int
) -> list[head.Rendered]:
    """Responses in tokens, exactly as in training."""

    def tokens(response: Response) -> head.Rendered:
        finished, text = head.was_finished(response.finish_reason), spoken(response.text)
        return head.render(reward, response.prompt, text, finished=finished, limit=limit)

    return [tokens(response) for response in responses]


def _headline(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "heldout_loss": found["loss"],
        "heldout_floor": found["floor"],
        "heldout_accuracy": found["accuracy"]["value"],
        "heldout_human_accuracy": found["human_accuracy"]["value"],
    }
