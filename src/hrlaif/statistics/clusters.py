"""Which rows are of one prompt? Those of the same turns, whatever their ids are."""

from __future__ import annotations

from collections.abc import Iterable

from hrlaif.messages import Message
from hrlaif.records import Prompt


def clusters(prompts: Iterable[Prompt]) -> list[str]:
    """A name for each, by which intervals draw whole prompts: the id of the first with its turns.

    Samples of one prompt may each have an id of their own, and are no independent rows.
    """
    first: dict[tuple[Message, ...], str] = {}
    return [first.setdefault(prompt.messages, prompt.id) for prompt in prompts]
