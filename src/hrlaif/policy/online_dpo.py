"""How does a policy learn from labels of what it says now? DPO on fresh pairs at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.policy.dpo import pair_credit, pair_loss
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class OnlineDpo(Settings):
    """Samples two responses (or four, ...) to each prompt, has each pair labelled, and takes a step
    of DPO with the soft label (direct AI feedback, arXiv 2402.04792)."""

    beta: float = Field(default=0.1, gt=0)
    """How close to the SFT policy: the log-odds of a label are beta times a log-ratio."""
    labels: Literal["reward", "judge"] = "reward"
    """`reward`: the difference of the rewards; `judge`: the run's labeler compares each pair, and
    no reward model is trained."""
    odds: float = Field(default=1.0, gt=0)
    """Log-odds that one unit of reward makes; of no effect on a judge's labels."""

    uses_values: ClassVar[bool] = False
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    def credit(self, rollouts: Rollouts) -> Credit:
        """The probability that each response is the better of its pair."""
        return pair_credit(rollouts, 1.0 if self.labels == "judge" else self.odds)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """Mean over pairs of -(p log sigma(m) + (1 - p) log sigma(-m))."""
        return pair_loss(new, rollouts, credit, self.beta)
