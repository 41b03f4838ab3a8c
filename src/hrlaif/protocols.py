"""The verbs: what a language model, a labeler, a check and a reward do.

All are synchronous, list in, list out: an answer per question, in order. A backend batches or runs
concurrently inside, so callers gather everything, ask once, and distribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hrlaif.records import (
    Abstention,
    Chat,
    Choice,
    Comparison,
    Completion,
    Preference,
    Response,
    Score,
    Unanswered,
    Verdict,
)
from hrlaif.settings import compute


@runtime_checkable
class LanguageModel(Protocol):
    """Text in, text out."""

    @property
    def name(self) -> str:
        """Stands in every row that this model made, such as `packaged:gemma-3-270m`."""

    @property
    def chunk(self) -> int:
        """How many chats to ask at once: work is saved after each such chunk."""

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """Writes one completion a chat. Temperature 0 is greedy."""

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """Probabilities of each choice as the whole answer to each chat.

        Climbs down the label ladder as far as it must: `logprobs`, `scored` (a forward pass over
        each label), `votes` (k samples), `hard`; the source says which rung it was.
        """


@runtime_checkable
class Labeler(Protocol):
    """Says which of two responses is better."""

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One preference, or one abstention with its reason, a comparison."""


@runtime_checkable
class Check(Protocol):
    """Says whether a response is right, or harmless."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; `passed=None` with a reason where it cannot tell."""


@runtime_checkable
class Reward(Protocol):
    """Says how good a response is."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; `value=None` with a reason where there is none."""


def pairs_at_once(judge: LanguageModel, labeler: Labeler) -> int:
    """How many comparisons to label before saving: two orders each, and progress twice a chunk.

    Rationales are written, and many texts are written side by side in the time of a few.
    """
    chunk = judge.chunk
    if compute().batch:  # of several judges the one whose batch takes a day
        chunk = max([chunk, *(other.chunk for other in getattr(labeler, "others", ()))])
    size = max(1, chunk // 4)
    return 8 * size if getattr(labeler, "rationale", False) else size


def texts_at_once(model: LanguageModel) -> int:
    """How many texts to have written before saving."""
    return 4 * model.chunk
