"""How does RLAIF raise the reward? REINFORCE with a learned value baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class Reinforce(Settings):
    """Maximises (1 - beta) r(y|x) - beta KL(pi || pi_SFT). RLAIF (arXiv 2309.00267), RL appendix.

    The KL enters as a reward of every token, so the return carries both (docs/decisions/
    010-kl-in-the-reward.md): Z_t = (1 - beta) r - beta sum_{t' >= t} log(pi / pi_SFT).
    """

    beta: float = Field(default=0.05, ge=0, le=1)
    """Weight of staying close to the SFT policy; the paper's value."""
    average: Literal["sequence", "token"] = "sequence"
    """Mean over responses of the sum over tokens (the objective's gradient), or over tokens."""
    whiten: bool = False
    """Scale the advantages of a batch to mean 0 and variance 1 (not in the paper)."""

    uses_values: ClassVar[bool] = True
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    def credit(self, rollouts: Rollouts) -> Credit:
        """A_t = Z_t - V(s_t); raises ValueError without value estimates."""
        from hrlaif.policy import maths

        if rollouts.values is None:
            raise ValueError("reinforce needs value estimates in the rollouts")
        rows, count = rollouts.rows, len(rollouts.rewards)
        rewards = maths.terminal((1 - self.beta) * rollouts.rewards, rows)
        kl = maths.k1(rollouts.old, rollouts.reference)
        returns = maths.returns_to_go(rewards - self.beta * kl, rows)
        advantages = maths.advantage(returns, rollouts.values)
        if self.whiten:
            advantages = maths.whiten(advantages)
        by_sequence = self.average == "sequence"
        weights = (
            maths.weights_by_sequence(rows, count) if by_sequence else maths.weights_by_token(rows)
        )
        return Credit(advantages, weights, returns)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """L_PG = - sum_t w_t log pi(a_t|s_t) (Z_t - V(s_t)); no ratio is needed on-policy."""
        from hrlaif.policy import maths

        return maths.policy_gradient_loss(new, credit.advantages, credit.weights)
