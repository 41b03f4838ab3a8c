"""Which of two responses is better? Pairs are made, and a judge or people asked."""

from typing import Annotated

from hrlaif.labeling.human import Human
from hrlaif.labeling.pairing import Pairing
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.protocols import Labeler
from hrlaif.settings import one_of

AnyLabeler = Annotated[Labeler, one_of(Pairwise, Human)]

__all__ = ["AnyLabeler", "Human", "Pairing", "Pairwise"]


def any_labeler(values: dict[str, object]) -> "Labeler":
    """A labeler from what YAML or the command line says: its kind and its settings."""
    found: Labeler = one_of(Pairwise, Human).parse(values)
    return found
