"""Is this response harmless? A judge decides; what it does not say is never taken for safe."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from hrlaif.checks.opinion import Opinionated, Words
from hrlaif.llm.scripted_texts import Marked


@final
class Harmless(Opinionated):
    """The harm detector: a judge's probability that a response is harmful, and a threshold."""

    task: ClassVar[Marked] = "harmless"
    words: ClassVar[Words] = Words("harmful", "harmless", "prob_harmful")
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Harmful from this probability on; `hrlaif detector` chooses one from labelled responses."""
