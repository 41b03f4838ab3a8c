"""Is this response right? Verdicts with evidence: True, False, or None where it cannot be told."""

from typing import Annotated

from hrlaif.checks.answer import Answer
from hrlaif.checks.choice import ChoiceLetter
from hrlaif.checks.harmless import Harmless
from hrlaif.checks.number import Number
from hrlaif.checks.responsive import Responsive
from hrlaif.checks.same_answer import SameAnswer
from hrlaif.protocols import Check
from hrlaif.settings import one_of

_KINDS = one_of(Number, ChoiceLetter, SameAnswer, Answer, Harmless, Responsive)
AnyCheck = Annotated[Check, _KINDS]

__all__ = [
    "Answer",
    "AnyCheck",
    "ChoiceLetter",
    "Harmless",
    "Number",
    "Responsive",
    "SameAnswer",
    "any_check",
]


def any_check(values: str | dict[str, object]) -> Check:
    """A check from what YAML or the command line says: its kind, and its settings."""
    found: Check = _KINDS.parse(values)
    return found
