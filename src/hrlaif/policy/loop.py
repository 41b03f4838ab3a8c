"""The RL run: answer, score, learn; evaluate and save now and then; continue where it stopped.

Everything random is a function of the seed, the number of the step, the prompt and the sample, so
a run that was killed and continued is bit for bit the run that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hrlaif.errors import DataError, UsageError
from hrlaif.policy import candidates, learn, maths
from hrlaif.policy.actor import Actor
from hrlaif.policy.algorithm import Adapts, Algorithm
from hrlaif.policy.learn import Figures, Lesson
from hrlaif.policy.rollouts import MODEL, Asked, Batch, Draw, Rollout, Scorer, respond, rewarded
from hrlaif.policy.settings import Policy
from hrlaif.policy.signs import described, show
from hrlaif.policy.staleness import Seen, Watch
from hrlaif.progress import say, track
from hrlaif.records import Prompt, digest
from hrlaif.training import checkpoint, metrics, optimizer
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.loop import order
from hrlaif.training.trackers import tracking
from hrlaif.transformer.load import Loaded, load_causal

_SHOWN_LIVE = ("reward_mean", "kl", "length_mean", "entropy", "truncated_share")
_LOGS = ("metrics.jsonl", "samples.jsonl", "outliers.jsonl", "validation.jsonl")


@dataclass
class Work:
    """What a run works with; only the algorithm may change, from step to step."""

    settings: Policy
    actor: Actor
    trainee: Trainee
    folder: Path
    seed: int
    algorithm: Algorithm


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
) -> dict[str, int]:
    """Trains the policy from `start`, the SFT policy, into checkpoints and logs in `folder`.

    The same call continues a run that was cut short. Rewards should have mean 0 and standard
    deviation 1 on responses of `start`. Without validation prompts only the last step is kept.
    A `watch` compares the reward with a judge on the way; it then is the scorer's reward.
    Returns how many prompts were left out, too long for the model's context with an answer.
    """
    if not prompts:
        raise UsageError("there are no prompts to train the policy on")
    work = begin(settings, start, folder, seed)
    asked, watched = prepared(work, prompts), prepared(work, validation)
    size = min(settings.sampling.prompts_per_step, len(asked))
    plan = schedule(work, len(asked), size)

    def step(number: int) -> dict[str, Any]:
        return _step(work, scorer, number, [asked[i] for i in plan[number]])

    seen = Seen(work.actor, settings, watched[: settings.validation.prompts], asked)
    run(
        work,
        step,
        lambda done: evaluate(work, done, watched, scorer),
        watched=bool(watched),
        watch=(watch, seen) if watch else None,
    )
    return {"too_long_prompts": len(prompts) - len(asked)}


def begin(settings: Policy, start: str | Path | Loaded, folder: Path, seed: int) -> Work:
    """The models and the optimizer before the first step."""
    loaded = start if isinstance(start, Loaded) else load_causal(start, train=True)
    algorithm = settings.algorithm
    trunk = settings.value_trunk if algorithm.uses_values else "none"
    actor = Actor(loaded, settings.lora, value=trunk, seed=seed)
    modules = actor.modules()
    ratio = settings.value_learning_rate / settings.optimizer.learning_rate
    heads = ("value.head", *optimizer.heads_of("policy", actor.model))
    adamw = optimizer.build(settings.optimizer, modules, heads=heads, rates={"value": ratio})
    trainee = Trainee(modules=modules, optimizer=adamw)
    return Work(settings, actor, trainee, folder, seed, algorithm)


def run(
    work: Work,
    step: Callable[[int], dict[str, Any]],
    look: Callable[[int], None],
    *,
    watched: bool,
    watch: tuple[Watch, Seen] | None = None,
) -> None:
    """Every step that is not done yet; `look` evaluates after so many steps, if `watched`."""
    steps, done = work.settings.steps, _resume(work)
    if watch is not None:
        watch[0].resume(done)
        watch[0].look(watch[1], done)
    if done == 0 and watched and not metrics.read(work.folder / "validation.jsonl"):
        look(0)
    with (
        tracking(work.folder) as log,
        track("policy", steps, unit="steps", done=done, shown=_SHOWN_LIVE) as bar,
    ):
        for number in range(done, steps):
            row = step(number)
            metrics.append(work.folder / "metrics.jsonl", {"step": number + 1, **row})
            looked = watch is not None and watch[0].look(watch[1], number + 1)
            _pause(work, number + 1, look if watched else None, save=looked)
            log(number + 1, row)
            bar.advance(note=_note(row), figures=row)


def _note(row: dict[str, Any]) -> str:
    if "kl" not in row:
        return f"loss {row['policy_loss']:.4f}"
    return f"reward {row['reward_mean']:+.2f} KL {row['kl']:.2f}"


def prepared(work: Work, prompts: Sequence[Prompt]) -> list[Asked]:
    """Prompts in tokens, but for those that a whole answer would not fit behind in the context.

    Says how many were left out; raises DataError where none is left.
    """
    from hrlaif.llm.chat import prompt_ids

    loaded, answer = work.actor.loaded, work.settings.sampling.max_tokens
    asked = [Asked(p, prompt_ids(loaded.tokenizer, p.messages)) for p in prompts]
    fitting = [a for a in asked if len(a.tokens) + answer == loaded.within(len(a.tokens) + answer)]
    if left_out := len(asked) - len(fitting):
        told = (
            f"{left_out} of {len(asked)} prompts do not fit into the model's context of "
            f"{loaded.context} tokens with an answer of {answer} (policy.sampling.max_tokens)"
        )
        if not fitting:
            raise DataError(f"{told}: shorten them, lower max_tokens, or take another model")
        say(f"  {told}, and are left out")
    return fitting


def schedule(work: Work, count: int, size: int) -> list[list[int]]:
    """The prompts, or pairs, of each step: every epoch a new shuffle of them all."""
    epochs = -(-work.settings.steps // -(-count // size))
    return order(count, batch_size=size, epochs=epochs, seed=work.seed)


def _resume(work: Work) -> int:
    saved = checkpoint.newest(work.folder)
    kept = checkpoint.restore(saved, work.trainee) if saved else {"step": 0}
    if "algorithm" in kept:
        algorithm: Any = type(work.algorithm)
        work.algorithm = algorithm.model_validate(kept["algorithm"])
    done = int(kept["step"])
    for name in _LOGS:
        metrics.cut(work.folder / name, after=done)
    return done


def _pause(
    work: Work, done: int, look: Callable[[int], None] | None, *, save: bool = False
) -> None:
    """After a step: evaluates and saves if it is time; a checkpoint follows its evaluation."""
    settings, last = work.settings, done == work.settings.steps
    time_to_look = look is not None and (done % settings.validation.every == 0 or last)
    if look is not None and time_to_look:
        look(done)
    if time_to_look or last or save or done % settings.checkpoints.every == 0:
        algorithm: Any = work.algorithm  # with the KL's weight of the next step
        adapts = isinstance(algorithm, Adapts)
        checkpoint.save(
            work.folder,
            done,
            work.trainee,
            extra={"algorithm": algorithm.model_dump(mode="json")} if adapts else {},
            keep=settings.checkpoints.keep,
            pinned=candidates.best(work.folder, settings.validation.candidates),
        )


def _step(work: Work, scorer: Scorer, number: int, asked: Sequence[Asked]) -> dict[str, Any]:
    """Answer, score, learn; the step's row of metrics.jsonl."""
    how, clock = work.settings.sampling, [time.perf_counter()]
    seed = int(digest([work.seed, "rollouts", number], length=8), 16)
    draw = Draw(how.temperature, how.max_tokens, how.samples_per_prompt, seed, f"{MODEL}@{number}")
    rollouts = respond(work.actor, asked, draw)
    clock.append(time.perf_counter())
    scored = rewarded(rollouts, scorer, how)
    clock.append(time.perf_counter())
    known = [(rollout, value) for rollout, value in scored if value is not None]
    figures = _learn(work, number, known)
    clock.append(time.perf_counter())
    show(work.folder, number + 1, scored)
    parts = dict(zip(("generate", "score", "learn"), pairwise(clock), strict=True))
    return {
        **described(rollouts, [value for _, value in known]),
        **figures,
        "tokens_per_second": sum(len(r.logprobs) for r in rollouts) / (clock[-1] - clock[0]),
        **{f"seconds_{name}": round(after - before, 3) for name, (before, after) in parts.items()},
    }


def _learn(work: Work, number: int, scored: Sequence[tuple[Rollout, float]]) -> Figures:
    actor, algorithm, temperature = work.actor, work.algorithm, work.settings.sampling.temperature
    batch = Batch.of(scored, actor.loaded.device)
    if number == 0:
        learn.check_same_start(actor, batch, temperature)
    rollouts = learn.judged(actor, batch, algorithm, temperature)
    credit, names = algorithm.credit(rollouts), [r.response.key for r, _ in scored]
    where = f"step {number + 1} of {work.settings.steps}"
    lesson = Lesson(batch, rollouts, credit, algorithm, temperature, names, where)
    figures = update(work, number, lesson)
    count = len(scored)
    for name, estimate in (("kl", maths.k1), ("kl_k3", maths.k3)):
        tokens = estimate(rollouts.old, rollouts.reference)
        figures[name] = float(maths.per_sequence(tokens, rollouts.rows, count).mean())
    figures["tied_share"] = maths.tied_share(rollouts.rewards, rollouts.groups)
    if rollouts.values is not None and credit.returns is not None:
        explained = maths.explained_variance(rollouts.values, credit.returns)
        figures["explained_variance"] = explained
    if isinstance(algorithm, Adapts):
        work.algorithm = algorithm.adapted(figures["kl"] or 0.0)
    return figures


def update(work: Work, number: int, lesson: Lesson) -> Figures:
    """All optimizer steps on one batch; the mean of their figures."""
    algorithm, batch = lesson.algorithm, lesson.batch
    whole, gap = algorithm.minibatches == 1, Figures()
    rows: list[Figures] = []
    seeds = [
        digest([work.seed, "minibatches", number, n], length=8) for n in range(algorithm.epochs)
    ]
    splits = [batch.minibatches(algorithm.minibatches, int(seed, 16)) for seed in seeds]
    for own, split in zip(learn.passes(work.actor, lesson, splits), splits, strict=True):
        for responses in split:
            asked, first = None if whole else responses, not rows and batch.old is not None
            new, losses = learn.gradients(work.actor, own, asked, first=first)
            if first and batch.old is not None:
                dtype = learn.dtype_of(work.actor)
                gap = {"logprob_gap": learn.check_same_sampler(new, batch.old, dtype)}
            moved = learn.move(
                work.trainee.optimizer,
                work.trainee.modules,
                work.settings.optimizer,
                step=number,
                total=work.settings.steps,
            )
            rows.append({**losses, **moved})
    return gap | learn.means(rows)


def evaluate(
    work: Work,
    done: int,
    asked: Sequence[Asked],
    scorer: Scorer | None,
    more: Figures | None = None,
) -> None:
    """Answers the validation prompts; keeps the responses and a row of validation.jsonl."""
    how, watch, asked = work.settings.sampling, work.settings.validation, list(asked)
    seed = int(digest([work.seed, "validation"], length=8), 16)  # the same draws at every step
    draw = Draw(watch.temperature, how.max_tokens, 1, seed, f"{MODEL}@{done}")
    rollouts = respond(work.actor, asked[: watch.prompts], draw)
    scored = rewarded(rollouts, scorer, how) if scorer else [(r, None) for r in rollouts]
    batch = Batch.of([(r, 0.0) for r in rollouts], work.actor.loaded.device)
    # Greedy answers are no sample of the policy, so log pi / pi_SFT of their tokens is no estimate.
    gaps = batch.each(lambda part: work.actor.divergence(part, how.temperature))
    kl = maths.per_sequence(gaps, batch.rows, len(rollouts)).mean()
    candidates.store(work.folder, done, [r.response for r in rollouts])
    row = {
        "step": done,
        **described(rollouts, [value for _, value in scored if value is not None]),
        "kl": float(kl),
        **(more or {}),
        "rewards": {rollout.response.prompt.id: value for rollout, value in scored},
    }
    metrics.append(work.folder / "validation.jsonl", row)
