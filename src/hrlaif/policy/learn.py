"""How does one batch of scored responses move the weights?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from hrlaif.errors import ModelError
from hrlaif.policy import maths
from hrlaif.policy.actor import Actor
from hrlaif.policy.algorithm import Algorithm, Clips, Credit, Rollouts
from hrlaif.policy.rollouts import Batch
from hrlaif.training import optimizer
from hrlaif.training.masters import master_of
from hrlaif.training.optimizer import Optimizer

_GAP = 1e-3  # nats between sampler and learner; more in float32 is an error, not rounding

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Lesson:
    """What one step learns from, and how its failure is named."""

    batch: Batch
    rollouts: Rollouts
    credit: Credit
    algorithm: Algorithm
    temperature: float
    names: Sequence[str]
    """Of each response, such as its key."""
    where: str
    """Such as `step 3 of 20`."""


def judged(actor: Actor, batch: Batch, algorithm: Algorithm, temperature: float) -> Rollouts:
    """What the algorithm may look at: rewards, log-probabilities, and values if it wants them."""
    reference = torch.empty(len(batch.rows), device=batch.device)
    values = torch.empty_like(reference)
    for part in batch.parts():
        said = actor.reference(part.sequences, temperature)
        reference[part.tokens] = said.logprobs
        if actor.value == "frozen":
            if batch.states is None:
                batch.states = said.states.new_empty(len(reference), said.states.shape[-1])
            batch.states[part.tokens] = said.states
        if algorithm.uses_values:
            with torch.no_grad():
                values[part.tokens] = actor.values(part.sequences, said.states)
    return Rollouts(
        rows=batch.rows,
        groups=batch.groups,
        rewards=batch.rewards,
        old=reference if batch.old is None else batch.old,
        reference=reference,
        values=values if algorithm.uses_values else None,
    )


def passes(actor: Actor, lesson: Lesson, splits: Sequence[Sequence[Sequence[int]]]) -> list[Lesson]:
    """The lesson of each pass over its minibatches: `old` is what the policy says there now.

    In 16 bits a product rounds by its shape, so the same weights say other things in generation, in
    other micro-batches, and without a gradient; the sum of a response's differences would be a
    ratio of its own. In float32 they agree, and nothing is computed; nor for one step alone.
    """
    several = len(splits) > 1 or len(splits[0]) > 1
    if not several or lesson.batch.old is None or dtype_of(actor) == torch.float32:
        return [lesson] * len(splits)
    known: dict[str, Lesson] = {}
    for split in splits:
        if str(split) not in known:
            rollouts = replace(lesson.rollouts, old=_said(actor, lesson, split))
            known[str(split)] = replace(lesson, rollouts=rollouts)
    return [known[str(split)] for split in splits]


def _said(actor: Actor, lesson: Lesson, split: Sequence[Sequence[int]]) -> Tensor:
    """[N] log-probabilities of the policy as it is, in the micro-batches of these minibatches."""
    found = torch.empty_like(lesson.rollouts.old)
    for part in (part for responses in split for part in lesson.batch.parts(responses)):
        scores = actor.scores(part.sequences, lesson.temperature)
        found[part.tokens] = scores.logprobs.detach()
    return found


def dtype_of(actor: Actor) -> torch.dtype:
    """What the policy computes in."""
    return next(actor.model.parameters()).dtype  # type: ignore[no-any-return]


def gradients(
    actor: Actor, lesson: Lesson, responses: Sequence[int] | None = None, *, first: bool = False
) -> tuple[Tensor, Figures]:
    """Adds up the gradients of these responses (all when empty), a micro-batch at a time.

    Returns the new log-probabilities [N], NaN where not asked. The loss of a minibatch is scaled up
    to the size of the batch, as if it were all of it. With `first` the policy is still the one that
    sampled: the new log-probabilities are the old ones, and every ratio is exactly 1.
    """
    batch, algorithm, found = lesson.batch, lesson.algorithm, _Sums()
    new = torch.full((len(batch.rows),), math.nan, device=batch.device)
    scale = 1.0 if responses is None else len(batch.rewards) / len(responses)
    for part in batch.parts(responses):
        names = [lesson.names[i] for i in part.responses]
        own, credit = lesson.rollouts.at(part.tokens), lesson.credit.at(part.tokens)
        scores = actor.scores(part.sequences, lesson.temperature)
        if first:
            own = replace(own, old=scores.logprobs.detach())
        loss = scale * algorithm.loss(scores.logprobs, own, credit)
        found.add("policy_loss", _backward(loss, "policy", lesson.where, names))
        new[part.tokens] = scores.logprobs.detach()
        found.mean("entropy", scores.entropies)
        if isinstance(algorithm, Clips):
            found.mean("clip_share", algorithm.clipped(new[part.tokens], own, credit))
        if algorithm.uses_values:
            states = None if batch.states is None else batch.states[part.tokens]
            loss = scale * _value_loss(actor.values(part.sequences, states), own, credit)
            found.add("value_loss", _backward(loss, "value", lesson.where, names))
    return new, found.figures()


def _value_loss(values: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
    if credit.returns is None or rollouts.values is None:
        raise ModelError("the algorithm uses values, but credits no returns")
    if credit.value_clip is None:
        return maths.value_loss(values, credit.returns, credit.weights)
    old, clip = rollouts.values, credit.value_clip
    return maths.clipped_value_loss(values, old, credit.returns, credit.weights, clip=clip)


class _Sums:
    """Sums and means over micro-batches."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value

    def mean(self, name: str, values: Tensor) -> None:
        self.add(name, float(values.detach().float().sum()))
        self.counts[name] = self.counts.get(name, 0) + len(values)

    def figures(self) -> Figures:
        return {name: value / self.counts.get(name, 1) for name, value in self.sums.items()}


def means(rows: Sequence[Figures]) -> Figures:
    """The mean of each figure over the updates of a step."""
    known = {k: [v for row in rows if (v := row[k]) is not None] for k in rows[0]}
    return {name: fmean(values) if values else None for name, values in known.items()}


def _backward(loss: Tensor, what: str, where: str, names: Sequence[str]) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ModelError(
            f"{where}: the {what} loss is {value} on {', '.join(names):.400}; the last checkpoint "
            f"is whole: {optimizer.ADVICE}"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    return value


def move(
    adamw: torch.optim.AdamW,
    modules: Mapping[str, nn.Module],
    settings: Optimizer,
    *,
    step: int,
    total: int,
) -> Figures:
    """One optimizer step; the gradient of each module is clipped on its own."""
    norms: Figures = {}
    for name, module in modules.items():
        moved = [master_of(parameter) for parameter in module.parameters()]
        norm = nn.utils.clip_grad_norm_(moved, settings.max_grad_norm)
        norms["grad_norm" if name == "policy" else f"{name}_grad_norm"] = float(norm)
    # Clipped above: the value model's gradient must not shorten the policy's.
    unclipped = settings.model_copy(update={"max_grad_norm": 1e30})
    figures = optimizer.update(adamw, unclipped, step=step, total=total)
    return {**norms, "learning_rate": figures["learning_rate"]}


def check_same_start(actor: Actor, batch: Batch, temperature: float) -> None:
    """Raises ModelError unless the KL is exactly 0 before the first step.

    Log-probabilities of the same micro-batch, computed alike, with the adapters on and off.
    """
    sequences = batch.parts()[0].sequences
    with torch.no_grad():
        policy = actor.scores(sequences, temperature).logprobs
    if not torch.equal(policy, actor.reference(sequences, temperature).logprobs):
        raise ModelError(
            "the policy is not its reference before the first step: the adapters do not start at "
            "zero, or the model is not deterministic; start from a plain (merged) SFT model"
        )


def check_same_sampler(new: Tensor, old: Tensor, dtype: Any) -> float:
    """The largest gap between what sampler and learner say; an error above 1e-3 in float32.

    `new` is NaN where it was not computed.
    """
    gap = float((new - old).nan_to_num().abs().max())
    if dtype == torch.float32 and not gap <= _GAP:
        raise ModelError(
            f"the learner's log-probabilities are up to {gap:.2g} off the sampler's: this model's "
            "cached generation is not its forward pass; please report the model's name"
        )
    return gap
