"""Does this response offer something, or does it merely refuse? A judge decides.

Lists of refusing phrases are wrong in both directions: many refusals use none of them, and an
answer may begin with "I'm sorry to hear that".
"""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from hrlaif.checks.opinion import Opinionated, Words
from hrlaif.llm.scripted_texts import Marked


@final
class Responsive(Opinionated):
    """The refusal detector: declining a part and helping with another is not a mere refusal."""

    task: ClassVar[Marked] = "responsive"
    words: ClassVar[Words] = Words("refusal", "answer", "prob_refusal")
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """A mere refusal from this probability on."""
