"""How is the reward raised without a value model? RLOO: each response against its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pydantic import Field

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.policy.kl import Kl
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class Rloo(Settings):
    """REINFORCE on whole responses with the mean of the others as baseline (arXiv 2402.14740)."""

    kl: Kl = Kl()
    """How the policy is kept close to the SFT policy."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the responses of a step; 1 is the paper's."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps in one pass, each on as many of the prompts."""
    clip: float = Field(default=0.2, gt=0)
    """A response's probability ratio earns nothing beyond 1 - clip and 1 + clip; on the first
    optimizer step of each step the ratio is 1, in 16 bits too."""

    uses_values: ClassVar[bool] = False

    def credit(self, rollouts: Rollouts) -> Credit:
        """A = R - mean of the other R of the prompt, R the reward less the KL of the response."""
        from hrlaif.policy import maths

        rows, count = rollouts.rows, len(rollouts.rewards)
        kl = maths.per_sequence(self.kl.in_reward(rollouts), rows, count)
        advantages = maths.leave_one_out(rollouts.rewards + kl, rollouts.groups)
        return Credit(advantages[rows], maths.weights_by_sequence(rows, count))

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """- mean min(rho A, clamp(rho) A) of responses, and the KL where it is in the loss."""
        from hrlaif.policy import maths

        last, limits = maths.last_tokens(rollouts.rows), {"low": self.clip, "high": self.clip}
        ratios = maths.per_sequence(new - rollouts.old, rollouts.rows, len(last))
        loss = maths.clipped_loss(ratios, credit.advantages[last], credit.weights[last], **limits)
        return loss + self.kl.in_loss(new, rollouts, credit.weights)

    def clipped(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """[S] whether a response's ratio has passed its limit."""
        from hrlaif.policy import maths

        last, limits = maths.last_tokens(rollouts.rows), {"low": self.clip, "high": self.clip}
        ratios = maths.per_sequence(new - rollouts.old, rollouts.rows, len(last))
        return maths.is_clipped(ratios, credit.advantages[last], **limits)

    def adapted(self, kl: float) -> Rloo:
        """With the KL's weight of the next step."""
        return self.model_copy(update={"kl": self.kl.adapted(kl)})
