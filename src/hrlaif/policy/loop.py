"""The RL run: answer, score, learn; evaluate and save now and then; continue where it stopped.

Everything random is a function of the seed, the number of the step, the prompt and the sample, so
a run that was killed and continued is bit for bit the run that was not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch

from hrlaif.errors import UsageError
from hrlaif.policy import candidates, learn, maths
from hrlaif.policy.actor import Actor
from hrlaif.policy.learn import Figures
from hrlaif.policy.rollouts import MODEL, Asked, Batch, Draw, Rollout, Scorer, respond, rewarded
from hrlaif.policy.settings import Policy
from hrlaif.policy.signs import outliers, signs
from hrlaif.policy.staleness import Seen, Watch
from hrlaif.progress import track
from hrlaif.records import Prompt, digest
from hrlaif.training import checkpoint, metrics, optimizer
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.loop import order
from hrlaif.training.trackers import tracking
from hrlaif.transformer.load import Loaded, load_causal

_SHOWN = 3  # texts a step in samples.jsonl
_SHOWN_LIVE = ("reward_mean", "kl", "length_mean", "entropy", "truncated_share")
_LOGS = ("metrics.jsonl", "samples.jsonl", "outliers.jsonl", "validation.jsonl")


@dataclass(frozen=True)
class Work:
    """What a run works with."""

    settings: Policy
    actor: Actor
    scorer: Scorer
    trainee: Trainee
    folder: Path
    seed: int


def train(
    settings: Policy,
    prompts: Sequence[Prompt],
    scorer: Scorer,
    *,
    start: str | Path | Loaded,
    folder: Path,
    validation: Sequence[Prompt] = (),
    watch: Watch | None = None,
    seed: int = 0,
) -> None:
    """Trains the policy from `start`, the SFT policy, into checkpoints and logs in `folder`.

    The same call continues a run that was cut short. Rewards should have mean 0 and standard
    deviation 1 on responses of `start`. Without validation prompts only the last step is kept.
    A `watch` compares the reward with a judge on the way; it then is the scorer's reward.
    """
    if not prompts:
        raise UsageError("there are no prompts to train the policy on")
    loaded = start if isinstance(start, Loaded) else load_causal(start, train=True)
    algorithm = settings.algorithm
    trunk = settings.value_trunk if algorithm.uses_values else "none"
    actor = Actor(loaded, settings.lora, value=trunk, seed=seed)
    modules = actor.modules()
    ratio = settings.value_learning_rate / settings.optimizer.learning_rate
    adamw = optimizer.build(
        settings.optimizer, modules, heads=("value.head",), rates={"value": ratio}
    )
    trainee = Trainee(modules=modules, optimizer=adamw)
    work = Work(settings, actor, scorer, trainee, folder, seed)
    asked = _asked(loaded, prompts)
    watched = _asked(loaded, validation[: settings.validation.prompts])
    begin = _resume(work)
    seen = Seen(actor, settings, watched, asked)
    if watch is not None:
        watch.resume(begin)
        watch.look(seen, begin)
    if begin == 0 and watched and not metrics.read(folder / "validation.jsonl"):
        _evaluate(work, 0, watched)
    with (
        tracking(folder) as log,
        track("policy", settings.steps, unit="steps", done=begin, shown=_SHOWN_LIVE) as bar,
    ):
        for number in range(begin, settings.steps):
            row = _step(work, number, [asked[i] for i in _plan(work, len(asked))[number]])
            metrics.append(folder / "metrics.jsonl", {"step": number + 1, **row})
            looked = watch is not None and watch.look(seen, number + 1)
            _pause(work, number + 1, watched, save=looked)
            log(number + 1, row)
            bar.advance(note=f"reward {row['reward_mean']:+.2f} KL {row['kl']:.2f}", figures=row)


def _asked(loaded: Loaded, prompts: Sequence[Prompt]) -> list[Asked]:
    from hrlaif.llm.chat import prompt_ids

    return [Asked(p, prompt_ids(loaded.tokenizer, p.messages)) for p in prompts]


def _plan(work: Work, count: int) -> list[list[int]]:
    """The prompts of each step: every epoch a new shuffle of them all."""
    size = min(work.settings.sampling.prompts_per_step, count)
    epochs = -(-work.settings.steps // -(-count // size))
    return order(count, batch_size=size, epochs=epochs, seed=work.seed)


def _resume(work: Work) -> int:
    saved = checkpoint.newest(work.folder)
    begin = int(checkpoint.restore(saved, work.trainee)["step"]) if saved else 0
    for name in _LOGS:
        metrics.cut(work.folder / name, after=begin)
    return begin


def _pause(work: Work, done: int, watched: Sequence[Asked], *, save: bool = False) -> None:
    """After a step: evaluates and saves if it is time; a checkpoint follows its evaluation."""
    settings, last = work.settings, done == work.settings.steps
    time_to_look = bool(watched) and (done % settings.validation.every == 0 or last)
    if time_to_look:
        _evaluate(work, done, watched)
    if time_to_look or last or save or done % settings.checkpoints.every == 0:
        pinned = candidates.best(work.folder, settings.validation.candidates)
        checkpoint.save(
            work.folder, done, work.trainee, keep=settings.checkpoints.keep, pinned=pinned
        )


def _step(work: Work, number: int, asked: Sequence[Asked]) -> dict[str, Any]:
    """Answer, score, learn; the step's row of metrics.jsonl."""
    how, clock = work.settings.sampling, [time.perf_counter()]
    seed = int(digest([work.seed, "rollouts", number], length=8), 16)
    draw = Draw(how.temperature, how.max_tokens, how.samples_per_prompt, seed, f"{MODEL}@{number}")
    rollouts = respond(work.actor, asked, draw)
    clock.append(time.perf_counter())
    scored = rewarded(rollouts, work.scorer, how)
    clock.append(time.perf_counter())
    known = [(rollout, value) for rollout, value in scored if value is not None]
    figures = _learn(work, number, known)
    clock.append(time.perf_counter())
    _show(work, number, scored)
    parts = dict(zip(("generate", "score", "learn"), pairwise(clock), strict=True))
    return {
        **_described(rollouts, [value for _, value in known]),
        **figures,
        "tokens_per_second": sum(len(r.logprobs) for r in rollouts) / (clock[-1] - clock[0]),
        **{f"seconds_{name}": round(after - before, 3) for name, (before, after) in parts.items()},
    }


def _learn(work: Work, number: int, scored: Sequence[tuple[Rollout, float]]) -> Figures:
    settings, actor, figures = work.settings, work.actor, Figures()
    algorithm, temperature = settings.algorithm, settings.sampling.temperature
    batch = Batch(scored, actor.loaded.device)
    if number == 0:
        learn.check_same_start(actor, batch, temperature)
    rollouts = learn.judged(actor, batch, algorithm, temperature)
    credit = algorithm.credit(rollouts)
    for epoch in range(algorithm.epochs):
        new, losses = learn.gradients(actor, batch, algorithm, credit, temperature)
        if epoch == 0:
            dtype = next(actor.model.parameters()).dtype
            figures["logprob_gap"] = learn.check_same_sampler(new, batch.old, dtype)
        moved = learn.move(
            work.trainee.optimizer,
            work.trainee.modules,
            settings.optimizer,
            step=number,
            total=settings.steps,
        )
        figures.update({**losses, **moved})
    count = len(scored)
    for name, estimate in (("kl", maths.k1), ("kl_k3", maths.k3)):
        tokens = estimate(rollouts.old, rollouts.reference)
        figures[name] = float(maths.per_sequence(tokens, rollouts.rows, count).mean())
    if rollouts.values is not None and credit.returns is not None:
        explained = maths.explained_variance(rollouts.values, credit.returns)
        figures["explained_variance"] = explained
    return figures


def _described(rollouts: Sequence[Rollout], rewards: Sequence[float]) -> Figures:
    """Of a batch of responses: their rewards, how long they are, how they ended."""
    return {
        "reward_mean": fmean(rewards) if rewards else None,
        "reward_std": pstdev(rewards) if rewards else None,
        "unscored_share": 1 - len(rewards) / len(rollouts),
        "length_mean": fmean(len(r.logprobs) for r in rollouts),
        "truncated_share": fmean(not r.ended for r in rollouts),
        "ended_share": fmean(r.ended for r in rollouts),
        **signs(rollouts),
    }


def _show(work: Work, number: int, scored: Sequence[tuple[Rollout, float | None]]) -> None:
    """Whole responses for the report: the first of a few prompts, and those that stand out."""
    firsts = [pair for pair in scored if pair[0].response.sample == 0]
    for rollout, value in firsts[:_SHOWN]:
        row = {"step": number + 1, "reward": value, **rollout.response.row()}
        metrics.append(work.folder / "samples.jsonl", row)
    for row in outliers(scored):
        metrics.append(work.folder / "outliers.jsonl", {"step": number + 1, **row})


def _evaluate(work: Work, done: int, asked: Sequence[Asked]) -> None:
    """Answers the validation prompts; keeps the responses and a row of validation.jsonl."""
    how, watch = work.settings.sampling, work.settings.validation
    seed = int(digest([work.seed, "validation"], length=8), 16)  # the same draws at every step
    draw = Draw(watch.temperature, how.max_tokens, 1, seed, f"{MODEL}@{done}")
    rollouts = respond(work.actor, asked, draw)
    scored = rewarded(rollouts, work.scorer, how)
    batch = Batch([(r, 0.0) for r in rollouts], work.actor.loaded.device)
    with torch.no_grad():
        new = batch.each(lambda part: work.actor.scores(part, how.temperature).logprobs)
    reference = batch.each(lambda part: work.actor.reference(part, how.temperature).logprobs)
    kl = maths.per_sequence(maths.k1(new, reference), batch.rows, len(rollouts)).mean()
    candidates.store(work.folder, done, [r.response for r in rollouts])
    row = {
        "step": done,
        **_described(rollouts, [value for _, value in scored if value is not None]),
        "kl": float(kl),
        "rewards": {rollout.response.prompt.id: value for rollout, value in scored},
    }
    metrics.append(work.folder / "validation.jsonl", row)
