"""What does an RL algorithm look at, and what does it say?

An algorithm knows no loop and the loop knows no algorithm: it gives `Rollouts`, gets `Credit`, and
asks for the loss of as many responses at a time as fit into memory. To add one: a frozen settings
class with these verbs in a file of its own, named in `one_of(...)` of settings.py, or any class
elsewhere as `kind: "module:Class"`; `examples/own_algorithm.py` is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rollouts:
    """S scored responses with N tokens in all, flat: no padding, and nothing without a score.

    All log-probabilities are of the sampling distribution: logits divided by the temperature.
    """

    rows: Tensor  # [N] which response a token belongs to, 0 .. S-1 in order
    groups: Tensor  # [S] which prompt a response answers
    rewards: Tensor  # [S] normalised rewards
    old: Tensor
    """[N] log-probabilities under the policy that sampled. In the loss they are the learner's own:
    on the first optimizer step exactly the new ones, so that each ratio is 1."""
    reference: Tensor  # [N] log-probabilities under the SFT policy
    values: Tensor | None = None  # [N] value of the state before each token, if `uses_values`

    def at(self, tokens: Tensor) -> Rollouts:
        """Some whole responses, numbered anew: [M] indices of their tokens in the batch."""
        own_rows: Any = self.rows[tokens]
        kept, rows = own_rows.unique_consecutive(return_inverse=True)
        values = None if self.values is None else self.values[tokens]
        own = (self.old[tokens], self.reference[tokens], values)
        return Rollouts(rows, self.groups[kept], self.rewards[kept], *own)


@dataclass(frozen=True)
class Credit:
    """What each token is credited with; the loss must be linear in the weights."""

    advantages: Tensor  # [N]
    weights: Tensor  # [N] share of each token in the loss; they do not depend on micro-batches
    returns: Tensor | None = None  # [N] what the value model should have said, if there is one
    value_clip: float | None = None  # how far the value model may move from what it said

    def at(self, tokens: Tensor) -> Credit:
        """The credit of some tokens: [M] indices into the batch."""
        returns = None if self.returns is None else self.returns[tokens]
        return Credit(self.advantages[tokens], self.weights[tokens], returns, self.value_clip)


@runtime_checkable
class Algorithm(Protocol):
    """Turns rewards into credit, and credit into a loss."""

    @property
    def uses_values(self) -> bool:
        """Whether a value model is trained and its estimates are given in the rollouts."""

    @property
    def epochs(self) -> int:
        """Passes over the same rollouts; 1 is on-policy."""

    @property
    def minibatches(self) -> int:
        """Optimizer steps in one pass, each on as many of the prompts."""

    def credit(self, rollouts: Rollouts) -> Credit:
        """Once a step, over the whole batch, without gradients."""

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """A scalar: new [M] with gradient, rollouts and credit of the same M tokens of the batch.

        They are whole responses, all that are left of a prompt. The losses of micro-batches add up
        to the loss of the batch.
        """


@runtime_checkable
class Adapts(Protocol):
    """An algorithm that changes from step to step."""

    def adapted(self, kl: float) -> Self:
        """The algorithm of the next step, from the KL (nats a response) of this one."""


@runtime_checkable
class Clips(Protocol):
    """An algorithm that stops where the policy has moved far from the one that sampled."""

    def clipped(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """[N] or [S] whether the loss of a token, or of a response, is cut off."""
