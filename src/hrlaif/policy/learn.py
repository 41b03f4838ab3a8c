"""How does one batch of scored rollouts move the weights?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hrlaif.errors import ModelError
from hrlaif.policy import maths
from hrlaif.policy.actor import Actor
from hrlaif.policy.algorithm import Algorithm, Credit, Rollouts
from hrlaif.policy.rollouts import Batch
from hrlaif.training import optimizer
from hrlaif.training.optimizer import Optimizer
from hrlaif.transformer import forward

_GAP = 1e-3  # nats between sampler and learner; more in float32 is an error, not rounding

Figures = dict[str, float | None]


def judged(actor: Actor, batch: Batch, algorithm: Algorithm, temperature: float) -> Rollouts:
    """What the algorithm may look at: rewards, log-probabilities, and values if it wants them."""
    reference, values = torch.empty_like(batch.old), torch.empty_like(batch.old)
    batch.states.clear()
    for sequences, tokens in batch.parts():
        said = actor.reference(sequences, temperature)
        reference[tokens] = said.logprobs
        batch.states.append(said.states if actor.value == "frozen" else None)
        if algorithm.uses_values:
            with torch.no_grad():
                values[tokens] = actor.values(sequences, batch.states[-1])
    return Rollouts(
        rows=batch.rows,
        groups=batch.groups,
        rewards=batch.rewards,
        old=batch.old,
        reference=reference,
        values=values if algorithm.uses_values else None,
    )


def gradients(
    actor: Actor, batch: Batch, algorithm: Algorithm, credit: Credit, temperature: float
) -> tuple[Tensor, Figures]:
    """Adds up the gradients of all micro-batches; returns the new log-probabilities [N]."""
    new, entropies = torch.empty_like(batch.old), torch.empty_like(batch.old)
    losses = {"policy_loss": 0.0, "value_loss": 0.0}
    for (sequences, tokens), states in zip(batch.parts(), batch.states, strict=True):
        part = credit.at(tokens)
        scores = actor.scores(sequences, temperature)
        loss = algorithm.loss(scores.logprobs, batch.old[tokens], part)
        losses["policy_loss"] += _backward(loss, "policy", sequences)
        new[tokens], entropies[tokens] = scores.logprobs.detach(), scores.entropies.detach()
        if algorithm.uses_values:
            if part.returns is None:
                raise ModelError(f"{type(algorithm).__name__} uses values, but credits no returns")
            loss = maths.value_loss(actor.values(sequences, states), part.returns, part.weights)
            losses["value_loss"] += _backward(loss, "value", sequences)
    figures: Figures = {"policy_loss": losses["policy_loss"], "entropy": float(entropies.mean())}
    if algorithm.uses_values:
        figures["value_loss"] = losses["value_loss"]
    return new, figures


def _backward(loss: Tensor, what: str, sequences: Sequence[forward.Sequence]) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ModelError(
            f"the {what} loss is {value} on a micro-batch of {len(sequences)} responses: lower the "
            "learning rate, or train in float32 (compute.precision)"
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
        norm = nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)
        norms["grad_norm" if name == "policy" else f"{name}_grad_norm"] = float(norm)
    # Clipped above: the value model's gradient must not shorten the policy's.
    unclipped = settings.model_copy(update={"max_grad_norm": 1e30})
    moved = optimizer.update(adamw, unclipped, step=step, total=total)
    return {**norms, "learning_rate": moved["learning_rate"]}


def check_same_start(actor: Actor, batch: Batch, temperature: float) -> None:
    """Raises ModelError unless the KL is exactly 0 before the first step.

    Log-probabilities of the same micro-batch, computed alike, with the adapters on and off.
    """
    sequences, _ = batch.parts()[0]
    with torch.no_grad():
        policy = actor.scores(sequences, temperature).logprobs
    if not torch.equal(policy, actor.reference(sequences, temperature).logprobs):
        raise ModelError(
            "the policy is not its reference before the first step: the adapters do not start at "
            "zero, or the model is not deterministic; start from a plain (merged) SFT model"
        )


def check_same_sampler(new: Tensor, old: Tensor, dtype: Any) -> float:
    """The largest gap between what sampler and learner say; an error above 1e-3 in float32."""
    gap = float((new - old).abs().max())
    if dtype == torch.float32 and not gap <= _GAP:
        raise ModelError(
            f"the learner's log-probabilities are up to {gap:.2g} off the sampler's: this model's "
            "cached generation is not its forward pass; please report the model's name"
        )
    return gap
