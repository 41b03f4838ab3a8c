"""How does the policy learn to answer at all? By imitation, before RL. Read `train.py`."""

from hrlaif.sft.settings import Sft

__all__ = ["Sft"]
