"""What does an RL algorithm look at, and what does it say?

An algorithm knows no loop and the loop knows no algorithm: it gives `Rollouts`, gets `Credit`, and
asks for the loss of as many tokens at a time as fit into memory. To add one: a frozen settings
class with these verbs in a file of its own, named in `one_of(...)` of settings.py, or any class
elsewhere as `kind: "module:Class"`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
    old: Tensor  # [N] log-probabilities under the policy that sampled
    reference: Tensor  # [N] log-probabilities under the SFT policy
    values: Tensor | None = None  # [N] value of the state before each token, if `uses_values`


@dataclass(frozen=True)
class Credit:
    """What each token is credited with; the loss must be linear in the weights."""

    advantages: Tensor  # [N]
    weights: Tensor  # [N] share of each token in the loss; they do not depend on micro-batches
    returns: Tensor | None = None  # [N] what the value model should have said, if there is one

    def at(self, tokens: Tensor) -> Credit:
        """The credit of some tokens: [M] indices into the batch."""
        returns = None if self.returns is None else self.returns[tokens]
        return Credit(self.advantages[tokens], self.weights[tokens], returns)


@runtime_checkable
class Algorithm(Protocol):
    """Turns rewards into credit, and credit into a loss."""

    @property
    def uses_values(self) -> bool:
        """Whether a value model is trained and its estimates are given in the rollouts."""

    @property
    def epochs(self) -> int:
        """Optimizer steps on the same rollouts; 1 is on-policy."""

    def credit(self, rollouts: Rollouts) -> Credit:
        """Once a step, over the whole batch, without gradients."""

    def loss(self, new: Tensor, old: Tensor, credit: Credit) -> Tensor:
        """A scalar: new [M] with gradient, old [M], credit of the same M tokens of the batch.

        The losses of micro-batches add up to the loss of the batch.
        """
