"""Is this response right? Verdicts with evidence: True, False, or None where it cannot be told."""

from hrlaif.checks.answer import Answer
from hrlaif.checks.choice import ChoiceLetter
from hrlaif.checks.number import Number

__all__ = ["Answer", "ChoiceLetter", "Number"]
