"""How good is one response? Learned from preferences (`train.py`), graded by a judge (`direct.py`),
checked, penalised for length, or several of these together (`weighted.py`, `ensemble.py`)."""

from typing import Annotated

from hrlaif.protocols import Reward
from hrlaif.reward.checked import Checked
from hrlaif.reward.direct import Direct
from hrlaif.reward.ensemble import Ensemble
from hrlaif.reward.learned import Learned
from hrlaif.reward.length import Length
from hrlaif.reward.scaled import Scaled
from hrlaif.reward.settings import RewardTraining
from hrlaif.reward.weighted import Part, Weighted
from hrlaif.settings import one_of

_KINDS = one_of(Learned, Direct, Checked, Length, Ensemble, Scaled, Weighted)
AnyReward = Annotated[Reward, _KINDS]

__all__ = [
    "AnyReward",
    "Checked",
    "Direct",
    "Ensemble",
    "Learned",
    "Length",
    "Part",
    "RewardTraining",
    "Scaled",
    "Weighted",
    "any_reward",
]


def any_reward(values: object) -> Reward:
    """A reward from what YAML or the command line says: its kind, and its settings."""
    found: Reward = _KINDS.parse(values)
    return found
