"""What is a reward worth in units of the policy's own spread? Mean 0, deviation 1 before RL."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Self, final

from pydantic import Field

from hrlaif.errors import DataError, UsageError
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response, Score
from hrlaif.reward.checked import Checked
from hrlaif.reward.direct import Direct
from hrlaif.reward.ensemble import Ensemble
from hrlaif.reward.learned import Learned
from hrlaif.reward.length import Length
from hrlaif.settings import Settings, one_of


@final
class Scaled(Settings):
    """Another reward less its mean, over its deviation, both on samples of the SFT policy."""

    reward: Annotated[Reward, one_of(Direct, Learned, Checked, Length, Ensemble)] = Direct()
    """What is scaled; a learned reward already is."""
    mean: float | None = None
    """Empty: taken from the run's responses.jsonl before RL."""
    deviation: float | None = Field(default=None, gt=0)
    """Empty: taken from them too. A given one of the two stays."""
    samples: int = Field(default=512, ge=2)
    """Of how many responses they are taken, at most; the judge grades each, where one is asked."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; what has no score has none here."""
        if self.mean is None or self.deviation is None:
            raise UsageError(
                "scaled: its mean and deviation are not known; a run measures them before RL, "
                "elsewhere give both"
            )
        mean, deviation = self.mean, self.deviation
        return [
            s if s.value is None else s.model_copy(update={"value": (s.value - mean) / deviation})
            for s in self.reward.score(responses, judge)
        ]

    def fitted(self, responses: Sequence[Response], judge: LanguageModel | None) -> Self:
        """The same, what it has not of mean and deviation taken on these responses, evenly spread.
        Raises DataError where the reward does not vary."""
        if self.mean is not None and self.deviation is not None:
            return self
        count = min(self.samples, len(responses))
        shown = [responses[n * len(responses) // count] for n in range(count)]
        told = [s.value for s in self.reward.score(shown, judge) if s.value is not None]
        deviation = statistics.pstdev(told) if len(told) > 1 else 0.0
        if not deviation > 1e-9:
            raise DataError(
                f"scaled: {len(told)} of {len(shown)} responses of responses.jsonl have a reward, "
                "and it is the same for all: sample more, or use the reward unscaled"
            )
        taken = {"mean": statistics.fmean(told), "deviation": deviation}
        missing = {name: value for name, value in taken.items() if getattr(self, name) is None}
        return self.model_copy(update=missing)
