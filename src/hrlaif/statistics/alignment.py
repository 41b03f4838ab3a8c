"""Does a label name the response that is known to be better?"""

from __future__ import annotations


def right(prob_a: float, truth: float) -> float:
    """1 when the label names the preferred response, 0.5 when it names none, else 0.

    `truth` is the probability that a is preferred, and not 0.5: a tie decides nothing.
    """
    if prob_a == 0.5:
        return 0.5
    return float((prob_a > 0.5) == (truth > 0.5))


def right_for_one_rater(prob_a: float, share_a: float) -> float:
    """Chance that one rater, drawn from those of whom `share_a` prefer a, prefers what is named.

    A rater's tie counts as half.
    """
    if prob_a == 0.5:
        return 0.5
    return share_a if prob_a > 0.5 else 1.0 - share_a
