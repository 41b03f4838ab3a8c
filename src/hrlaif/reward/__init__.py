"""How good is one response? Learned from preferences (`train.py`), or graded (`direct.py`)."""

from hrlaif.reward.direct import Direct
from hrlaif.reward.learned import Learned
from hrlaif.reward.settings import RewardTraining

__all__ = ["Direct", "Learned", "RewardTraining"]
