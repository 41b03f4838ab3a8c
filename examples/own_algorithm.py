"""An algorithm of your own: REINFORCE against the mean reward of the step.

In a configuration, with this folder on PYTHONPATH:
`policy: {algorithm: {kind: "own_algorithm:AgainstTheBatch", beta: 0.1}}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hrlaif import Settings
from hrlaif.policy import Credit, Rollouts

if TYPE_CHECKING:
    from torch import Tensor


class AgainstTheBatch(Settings):
    """A response is as good as its reward is above the mean of its step; a KL penalty beside it."""

    beta: float = 0.05
    """Weight of the KL to the SFT policy."""
    uses_values: ClassVar[bool] = False
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    def credit(self, rollouts: Rollouts) -> Credit:
        """The reward above the mean, less the KL still to come; every token weighs alike."""
        from hrlaif.policy import maths

        rows, above = rollouts.rows, rollouts.rewards - rollouts.rewards.mean()
        kl = maths.returns_to_go(maths.k1(rollouts.old, rollouts.reference), rows)
        return Credit(above[rows] - self.beta * kl, maths.weights_by_token(rows))

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """Raises the log-probability of tokens with credit."""
        return -(credit.weights * credit.advantages * new).sum()
