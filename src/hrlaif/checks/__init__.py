"""Is this response right? Verdicts with evidence: True, False, or None where it cannot be told."""

from hrlaif.checks.answer import Answer
from hrlaif.checks.choice import ChoiceLetter
from hrlaif.checks.harmless import Harmless
from hrlaif.checks.number import Number
from hrlaif.checks.responsive import Responsive

__all__ = ["Answer", "ChoiceLetter", "Harmless", "Number", "Responsive"]
