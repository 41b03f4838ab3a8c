"""How does a policy learn from labels alone? DPO: no reward model, no sampling while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from hrlaif.policy.algorithm import Credit, Rollouts
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


@final
class Dpo(Settings):
    """Raises the log-odds of what the labels prefer, as surely as they do (arXiv 2305.18290).

    Takes the run's preferences as they are: without a reward stage. A label of 0.7 is learnt as
    0.7: the loss is soft Bradley-Terry on beta log pi/pi_SFT.
    """

    beta: float = Field(default=0.1, gt=0)
    """How close to the SFT policy: the log-odds of a label are beta times a log-ratio."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs a step."""
    max_length: int = Field(default=1152, ge=8)
    """Tokens of prompt and response; a longer prompt is cut at its beginning."""
    probabilities: Literal["raw", "temperature", "isotonic"] = "raw"
    """What is learnt: what the judge said, or that after a calibration of labeling.calibrations."""
    heldout_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts held out when none is marked as validation."""

    uses_values: ClassVar[bool] = False
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    def credit(self, rollouts: Rollouts) -> Credit:
        """What the label says of each response; rewards are half the log-odds of the labels."""
        return pair_credit(rollouts)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        """Mean over pairs of -(p log sigma(m) + (1 - p) log sigma(-m))."""
        return pair_loss(new, rollouts, credit, self.beta)


def pair_credit(rollouts: Rollouts, odds: float = 1.0) -> Credit:
    """Of neighbours a, b that answer one prompt: sigma(odds (r_a - r_b)) for a's tokens, 1 - that
    for b's. A response without a neighbour has no weight."""
    from hrlaif.policy import maths

    first, second = maths.neighbours(rollouts.groups)
    prob_a = (odds * (rollouts.rewards[first] - rollouts.rewards[second])).sigmoid()
    better = rollouts.rewards.new_full(rollouts.rewards.shape, 0.5)
    better[first], better[second] = prob_a, 1 - prob_a
    shares = better.new_zeros(len(better))
    shares[first] = shares[second] = 1 / max(len(first), 1)
    return Credit(better[rollouts.rows], shares[rollouts.rows])


def pair_loss(new: Tensor, rollouts: Rollouts, credit: Credit, beta: float) -> Tensor:
    """The pairs' share of the mean `maths.dpo_loss`; 0, with a gradient of 0, where is no pair."""
    from hrlaif.policy import maths

    last = maths.last_tokens(rollouts.rows)
    first, _ = maths.neighbours(rollouts.groups)
    each = maths.dpo_loss(pair_margins(new, rollouts, beta), credit.advantages[last][first])
    return (credit.weights[last][first] * each).sum() + 0.0 * new.sum()


def pair_margins(new: Tensor, rollouts: Rollouts, beta: float) -> Tensor:
    """[P] beta (log pi/ref (a) - log pi/ref (b)) of neighbours: the policy's own log-odds."""
    from hrlaif.policy import maths

    first, second = maths.neighbours(rollouts.groups)
    ratios = maths.per_sequence(new - rollouts.reference, rollouts.rows, len(rollouts.rewards))
    return beta * (ratios[first] - ratios[second])
