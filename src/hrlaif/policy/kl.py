"""How is the policy kept close to the SFT policy? A penalty on the KL between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, final

from pydantic import Field, model_validator

from hrlaif.policy.algorithm import Rollouts
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

_GAIN = 0.1  # of the adaptive weight, Ziegler et al.


@final
class Kl(Settings):
    """The penalty beta KL(pi || pi_SFT), with an estimator of docs/decisions/041."""

    beta: float = Field(default=0.05, ge=0)
    """Weight of the KL beside the normalised reward."""
    place: Literal["reward", "loss"] = "reward"
    """`reward`: a reward of every token, so that a token answers for the KL after it; `loss`: a
    term of the loss, each token for its own."""
    estimator: Literal["k1", "k2", "k3"] = "k1"
    """`k1`: log pi/ref; `k2`: half its square; `k3`: ref/pi - 1 - log ref/pi. In the reward only
    `k1` has the KL's gradient; in the loss `k2` and `k3` have it, weighted by pi/pi_old, and `k1`
    has none and is refused."""
    target: float | None = Field(default=None, gt=0)
    """Nats a response: beta grows while the KL is above and shrinks while it is below, by at most
    2 % a step (arXiv 1909.08593, section 2.2), so it begins above 0; empty: beta stays."""

    @model_validator(mode="after")
    def _has_a_gradient(self) -> Self:
        if self.place == "loss" and self.estimator == "k1":
            raise ValueError(
                "k1 in the loss has no gradient on average: take k2, or k3, or place: reward"
            )
        return self

    @model_validator(mode="after")
    def _can_adapt(self) -> Self:
        if self.target is not None and not self.beta:
            raise ValueError("target changes beta by shares of itself: begin above 0")
        return self

    def in_reward(self, rollouts: Rollouts) -> Tensor:
        """[N] what the KL adds to each token's reward: -beta k, or nothing."""
        from hrlaif.policy import maths

        if self.place == "loss":
            return rollouts.old.new_zeros(len(rollouts.old))
        estimate = {"k1": maths.k1, "k2": maths.k2, "k3": maths.k3}[self.estimator]
        return -self.beta * estimate(rollouts.old, rollouts.reference)

    def in_loss(self, new: Tensor, rollouts: Rollouts, weights: Tensor) -> Tensor:
        """What the KL adds to the loss of M tokens: beta sum_t w_t k_t, or nothing."""
        from hrlaif.policy import maths

        if self.place == "reward" or self.estimator == "k1":
            return new.new_zeros(())
        each = maths.kl_surrogate(self.estimator, new, rollouts.old, rollouts.reference)
        return self.beta * (weights * each).sum()

    def adapted(self, kl: float) -> Kl:
        """The penalty of the next step: beta (1 + 0.1 clamp(kl / target - 1, -0.2, 0.2))."""
        if self.target is None:
            return self
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        return self.model_copy(update={"beta": self.beta * (1 + _GAIN * error)})
