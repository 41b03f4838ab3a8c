"""How does HRLAIF raise the reward? PPO: several bounded steps on the same responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.policy.kl import Kl
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class Ppo(Settings):
    """Clipped ratios and generalised advantages of a value model (arXiv 1707.06347, 1506.02438).

    HRLAIF (arXiv 2403.08309) trains its policy by PPO; its settings are not published.
    """

    kl: Kl = Kl()
    """How the policy is kept close to the SFT policy."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the responses of a step."""
    minibatches: int = Field(default=2, ge=1)
    """Optimizer steps in one pass, each on as many of the prompts."""
    clip: float = Field(default=0.2, gt=0)
    """A token's probability ratio earns nothing beyond 1 - clip and 1 + clip."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """How far a value may move in one step, in units of the normalised reward; empty: freely."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Worth of a reward one token later."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """1 believes what was rewarded, 0 the value model."""
    whiten: bool = True
    """Scale the advantages of a step to mean 0 and variance 1, over all its tokens."""
    average: Literal["token", "sequence"] = "token"
    """Mean over the tokens of the step, or over responses of the sum over their tokens."""

    uses_values: ClassVar[bool] = True

    def credit(self, rollouts: Rollouts) -> Credit:
        """GAE of the reward on the last token and the KL on each; returns are A + V."""
        from hrlaif.policy import maths

        if rollouts.values is None:
            raise ValueError("ppo needs value estimates in the rollouts")
        rows, values = rollouts.rows, rollouts.values
        rewards = maths.terminal(rollouts.rewards, rows) + self.kl.in_reward(rollouts)
        advantages = maths.gae(rewards, values, rows, self.gamma, self.lam)
        returns = advantages + values
        if self.whiten:
            advantages = maths.whiten(advantages)
        if self.average == "token":
            weights = maths.weights_by_token(rows)
        else:
            weights = maths.weights_by_sequence(rows, len(rollouts.rewards))
        return Credit(advantages, weights, returns, self.value_clip)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """- sum w min(rho A, clamp(rho) A) of tokens, and the KL where it is in the loss."""
        from hrlaif.policy import maths

        ratios, limits = new - rollouts.old, {"low": self.clip, "high": self.clip}
        loss = maths.clipped_loss(ratios, credit.advantages, credit.weights, **limits)
        return loss + self.kl.in_loss(new, rollouts, credit.weights)

    def clipped(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """[N] whether a token's ratio has passed its limit."""
        from hrlaif.policy import maths

        limits = {"low": self.clip, "high": self.clip}
        return maths.is_clipped(new - rollouts.old, credit.advantages, **limits)

    def adapted(self, kl: float) -> Ppo:
        """With the KL's weight of the next step."""
        return self.model_copy(update={"kl": self.kl.adapted(kl)})
