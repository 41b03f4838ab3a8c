"""What can be set about supervised fine-tuning, and what is a good start?"""

from __future__ import annotations

from typing import Literal, Self, final

from pydantic import Field, model_validator

from hrlaif.settings import Settings
from hrlaif.training import Checkpoints, Lora, Optimizer


@final
class Sft(Settings):
    """Supervised fine-tuning, the policy before RL: cross-entropy on whole responses."""

    source: Literal["teacher", "references", "preferred"] = "teacher"
    """Whom to imitate: a teacher model's answers, the prompts' reference responses, or the side
    that people prefer in pairs."""
    at_most: int | None = Field(default=None, ge=1)
    """Use at most this many train prompts, the first ones; all when empty."""
    max_tokens: int = Field(default=256, ge=1)
    """A teacher's answer is cut after this many tokens, and then has no end token to learn;
    one that is still a thought (`<think>`) is not imitated."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the teacher; 0 takes its most probable answer."""
    best_of: int = Field(default=1, ge=1)
    """Rejection sampling: of so many answers of the teacher to each prompt, imitate the one that
    the judge grades best. With `teacher` set to `model` the policy imitates the best of itself."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the demonstrations. The paper takes 1."""
    batch_size: int = Field(default=16, ge=1)
    """Demonstrations a step."""
    max_length: int = Field(default=1152, ge=8)
    """Tokens of prompt and response. A longer prompt is cut at its beginning; a response that does
    not fit alone is cut at its end."""
    lora: Lora | None = Lora()
    """Adapters to train; null trains all weights."""
    optimizer: Optimizer = Optimizer(learning_rate=5e-4, warmup_steps=2)
    """How weights are moved."""
    checkpoints: Checkpoints = Checkpoints()
    """How often training is saved."""

    @model_validator(mode="after")
    def _several_answers_differ(self) -> Self:
        if self.best_of > 1 and (self.source != "teacher" or not self.temperature):
            raise ValueError("best_of above 1 needs source: teacher and a temperature above 0")
        return self
