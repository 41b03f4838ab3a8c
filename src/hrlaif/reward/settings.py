"""What can be set about reward-model training, and what is a good start?"""

from __future__ import annotations

from typing import final

from pydantic import Field

from hrlaif.reward.labels import Probabilities
from hrlaif.settings import Settings
from hrlaif.training import Checkpoints, Lora, Optimizer


@final
class RewardTraining(Settings):
    """A reward model from preferences, RLAIF section 2.2 (arXiv 2309.00267)."""

    probabilities: Probabilities = "raw"
    """Learn from what the judge said, or from its labels after the `temperature` or `isotonic`
    calibration that labeling.calibrations put beside them."""
    base: str | None = None
    """The model it starts from; the SFT policy when empty."""
    members: int = Field(default=1, ge=1)
    """How many reward models are trained, each with a seed of its own; `score: ensemble` asks them
    all, `learned` the first."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the training pairs. The paper takes 2 to 3; more than one overfits small sets."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs a step."""
    max_length: int = Field(default=1152, ge=8)
    """Tokens of prompt and response; a longer prompt is cut at its beginning."""
    lora: Lora | None = Lora()
    """Adapters to train beside the head; null trains all weights."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-4, warmup_steps=5)
    """How weights are moved."""
    heldout_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the prompts held out when none is marked as validation; 0 holds none out."""
    accuracy_threshold: float = Field(default=0.0, ge=0, lt=0.5)
    """Labels within this distance of 0.5 are ties, left out of the accuracy."""
    reference_samples: int = Field(default=512, ge=2)
    """How many responses of the SFT policy the reward's mean and deviation are taken from."""
    checkpoints: Checkpoints = Checkpoints()
    """How often training is saved."""
