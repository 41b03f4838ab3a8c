"""How are weights trained so that a crash loses nothing? Tools that every training stage shares.

Read `loop.py` first: `for step in steps(...)` is the whole of a training stage.
"""

from hrlaif.training.checkpoint import Checkpoints
from hrlaif.training.lora import Lora
from hrlaif.training.optimizer import Optimizer

__all__ = ["Checkpoints", "Lora", "Optimizer"]
