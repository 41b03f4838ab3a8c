"""How is the reward raised? Reinforcement learning from the SFT policy.

Read `maths.py` for the formulas, `reinforce.py` for the paper's algorithm, then `loop.py` for the
run. `ppo.py`, `rloo.py`, `grpo.py`, `online_dpo.py` and `dpo.py` are the other algorithms.
Importing this package loads no torch; `loop`, `actor` and `rollouts` do.
"""

from hrlaif.policy.algorithm import Algorithm, Credit, Rollouts
from hrlaif.policy.dpo import Dpo
from hrlaif.policy.grpo import Grpo
from hrlaif.policy.kl import Kl
from hrlaif.policy.online_dpo import OnlineDpo
from hrlaif.policy.ppo import Ppo
from hrlaif.policy.reinforce import Reinforce
from hrlaif.policy.rloo import Rloo
from hrlaif.policy.settings import Policy, Sampling, Staleness, Validation

__all__ = [
    "Algorithm",
    "Credit",
    "Dpo",
    "Grpo",
    "Kl",
    "OnlineDpo",
    "Policy",
    "Ppo",
    "Reinforce",
    "Rloo",
    "Rollouts",
    "Sampling",
    "Staleness",
    "Validation",
]
