"""How is the reward raised by ranks within a prompt? GRPO, and what DAPO and Dr. GRPO changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field, model_validator

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.policy.kl import Kl
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class Grpo(Settings):
    """Each response against the mean of its prompt's, in its deviations (arXiv 2402.03300).

    As published by default. DAPO (arXiv 2503.14476): `average: token`, `clip_high: 0.28`. Dr. GRPO
    (arXiv 2503.20783): `scale: none`, `average: sum`.
    """

    kl: Kl = Kl(beta=0.04, place="loss", estimator="k3")
    """How the policy is kept close to the SFT policy; the paper's (but k1 with `place: reward`)."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the responses of a step; 1 is the paper's."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps in one pass, each on as many of the prompts."""
    clip: float = Field(default=0.2, gt=0)
    """A token's probability ratio earns nothing beyond 1 - clip and 1 + clip."""
    clip_high: float | None = Field(default=None, gt=0)
    """The upper limit is 1 + clip_high; empty: as the lower."""
    scale: Literal["group", "batch", "none"] = "group"
    """Divide advantages by the deviation of the prompt's rewards, of all, or not at all."""
    average: Literal["mean", "token", "sum"] = "mean"
    """Mean over responses of the mean over their tokens; mean over the tokens of the step; mean
    over responses of the sum over their tokens."""

    uses_values: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _k1_in_the_reward(cls, values: Any) -> Any:
        # k3 is the loss's: in the reward k1 alone has the KL's gradient.
        kl = values.get("kl") if isinstance(values, Mapping) else None
        if isinstance(kl, Mapping) and kl.get("place") == "reward":
            return {**values, "kl": {"estimator": "k1", **kl}}
        return values

    def credit(self, rollouts: Rollouts) -> Credit:
        """A = (R - mean R of the prompt) / deviation, the same for each token of a response."""
        from hrlaif.policy import maths

        rows, count = rollouts.rows, len(rollouts.rewards)
        rewards = rollouts.rewards
        rewards = rewards + maths.per_sequence(self.kl.in_reward(rollouts), rows, count)
        advantages = maths.group_relative(rewards, rollouts.groups, scale=self.scale)
        if self.average == "token":
            weights = maths.weights_by_token(rows)
        elif self.average == "sum":
            weights = maths.weights_by_sequence(rows, count)
        else:
            weights = maths.weights_within_sequence(rows, count)
        return Credit(advantages[rows], weights)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """- sum w min(rho A, clamp(rho) A) of tokens, and the KL where it is in the loss."""
        from hrlaif.policy import maths

        ratios, limits = new - rollouts.old, self._limits()
        loss = maths.clipped_loss(ratios, credit.advantages, credit.weights, **limits)
        return loss + self.kl.in_loss(new, rollouts, credit.weights)

    def clipped(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """[N] whether a token's ratio has passed its limit."""
        from hrlaif.policy import maths

        return maths.is_clipped(new - rollouts.old, credit.advantages, **self._limits())

    def adapted(self, kl: float) -> Grpo:
        """With the KL's weight of the next step."""
        return self.model_copy(update={"kl": self.kl.adapted(kl)})

    def _limits(self) -> dict[str, float]:
        return {"low": self.clip, "high": self.clip_high or self.clip}
