"""How sure is a label that a check made?"""

from __future__ import annotations


def prob_right_is_better(right: float, wrong: float) -> float:
    """Probability that the response found right is the better, from how sure both verdicts are.

    With independent verdicts that hold with probability p (found right) and q (found wrong), it is
    better with p q, worse with (1 - p)(1 - q), and a coin decides where one verdict errs:

        p q + (p (1 - q) + (1 - p) q) / 2 = (p + q) / 2.
    """
    return (right + wrong) / 2
