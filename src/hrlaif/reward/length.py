"""Is the response longer than it needs to be? A penalty, to be weighed against another reward.

RLAIF (arXiv 2309.00267) corrects for length after the fact, and policies grew longer all the same;
this is a length term in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

from pydantic import Field

from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Score
from hrlaif.settings import Settings

_UNKNOWN = (
    "its number of tokens is not known: count characters, about four a token, with "
    '--reward "{kind: length, unit: characters, free: 256, per: 256}"'
)


@final
class Length(Settings):
    """0 up to a length that is free, then ever more negative: never a reward for being short."""

    free: int = Field(default=64, ge=0)
    """No penalty up to this length."""
    per: int = Field(default=64, ge=1)
    """Each so many beyond it cost 1."""
    most: float = Field(default=2.0, gt=0)
    """No response loses more than this."""
    unit: Literal["tokens", "characters"] = "tokens"
    """Tokens are the policy's own; rows of a file may not know theirs, as `tokens`."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; no value where its tokens are not known."""
        return [self._score(response) for response in responses]

    def _score(self, response: Response) -> Score:
        size = len(response.text) if self.unit == "characters" else response.tokens
        name = f"length/{self.unit}"
        if response.finish_reason == "error" or size is None:
            missing = response.finish_reason == "error"
            reason = "the response is missing" if missing else _UNKNOWN
            return Score(id=response.key, value=None, scorer=name, reason=reason)
        return Score(id=response.key, value=self.penalty(size), scorer=name)

    def penalty(self, size: int) -> float:
        """-min(most, max(0, size - free) / per)."""
        return -min(self.most, max(0, size - self.free) / self.per)
