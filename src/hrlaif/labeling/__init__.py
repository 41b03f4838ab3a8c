"""Which of two responses is better? Pairs are made, and a judge, a check or people asked."""

from typing import Annotated

from hrlaif.labeling.human import Human
from hrlaif.labeling.hybrid import Hybrid
from hrlaif.labeling.pairing import Pairing
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.labeling.panel import Panel
from hrlaif.labeling.verified import Verified
from hrlaif.protocols import Labeler
from hrlaif.settings import one_of

_KINDS = one_of(Pairwise, Panel, Verified, Hybrid, Human)
AnyLabeler = Annotated[Labeler, _KINDS]

__all__ = ["AnyLabeler", "Human", "Hybrid", "Pairing", "Pairwise", "Panel", "Verified"]


def any_labeler(values: dict[str, object]) -> "Labeler":
    """A labeler from what YAML or the command line says: its kind and its settings."""
    found: Labeler = _KINDS.parse(values)
    return found
