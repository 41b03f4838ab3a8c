"""How is the reward raised? Reinforcement learning from the SFT policy.

Read `maths.py` for the formulas, `reinforce.py` for the algorithm, then `loop.py` for the run.
Importing this package loads no torch; `loop`, `actor` and `rollouts` do.
"""

from hrlaif.policy.algorithm import Algorithm, Credit, Rollouts
from hrlaif.policy.reinforce import Reinforce
from hrlaif.policy.settings import Policy, Sampling, Staleness, Validation

__all__ = [
    "Algorithm",
    "Credit",
    "Policy",
    "Reinforce",
    "Rollouts",
    "Sampling",
    "Staleness",
    "Validation",
]
