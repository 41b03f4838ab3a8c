"""The reward model's formulas, each with its source."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def soft_bradley_terry(difference: Tensor, prob_a: Tensor) -> Tensor:
    """-(p log sigma(d) + (1 - p) log sigma(-d)) for each pair [B], d = r(a) - r(b), in float32.

    Cross-entropy between the label and softmax(r(a), r(b)) (RLAIF, arXiv 2309.00267, section 2.2);
    with p = 1 it is Bradley-Terry's -log sigma(d), and with p = 0.5 it pulls d to zero.
    """
    from torch.nn.functional import logsigmoid

    difference, prob_a = difference.float(), prob_a.float()
    return -(prob_a * logsigmoid(difference) + (1 - prob_a) * logsigmoid(-difference))


def entropy(prob_a: float) -> float:
    """H(p) in nats: no reward model can have a lower loss on this label."""
    return -sum(p * math.log(p) for p in (prob_a, 1 - prob_a) if p > 0)


def pair_loss(difference: float, prob_a: float) -> float:
    """`soft_bradley_terry` of one pair of plain numbers: softplus(d) - p d."""
    softplus = max(difference, 0.0) + math.log1p(math.exp(-abs(difference)))
    return softplus - prob_a * difference


def is_right(difference: float, prob_a: float, threshold: float = 0.0) -> bool | None:
    """Whether the reward's order is the label's; None for labels within `threshold` of a tie.

    Equal rewards are never right.
    """
    if abs(prob_a - 0.5) <= threshold:
        return None
    return difference > 0 if prob_a > 0.5 else difference < 0


def pessimistic(values: Sequence[float], k: float) -> tuple[float, float]:
    """Mean less k standard deviations of what several models say, and that deviation.

    The population's deviation: the members are all there are. Coste et al., arXiv 2310.02743, take
    off their variance; a deviation has the reward's own unit.
    """
    deviation = statistics.pstdev(values)
    return statistics.fmean(values) - k * deviation, deviation
