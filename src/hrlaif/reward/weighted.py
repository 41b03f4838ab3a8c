"""How good is a response, all things considered? A weighted sum of rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, final

from pydantic import Field

from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response, Score
from hrlaif.reward.checked import Checked
from hrlaif.reward.direct import Direct
from hrlaif.reward.ensemble import Ensemble
from hrlaif.reward.learned import Learned
from hrlaif.reward.length import Length
from hrlaif.reward.scaled import Scaled
from hrlaif.settings import Settings, kind_of, one_of


@final
class Part(Settings):
    """One term of the sum."""

    reward: Annotated[Reward, one_of(Learned, Direct, Checked, Length, Ensemble, Scaled)] = (
        Learned()
    )
    """What is weighed; `learned` and `scaled` have mean 0 and deviation 1 before RL."""
    weight: float = 1.0
    """What it is multiplied by."""


@final
class Weighted(Settings):
    """The weighted sum of several rewards. One without a score leaves the whole without one."""

    parts: tuple[Part, ...] = Field(min_length=1)
    """Its terms."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; `distribution` has the value of each part before its weight."""
        columns = [part.reward.score(responses, judge) for part in self.parts]
        return [self._sum(scores) for scores in zip(*columns, strict=True)]

    def _sum(self, scores: Sequence[Score]) -> Score:
        names = [f"{n} {kind_of(p.reward)}" for n, p in enumerate(self.parts, start=1)]
        scorer, key = "+".join(kind_of(p.reward) for p in self.parts), scores[0].id
        total, shown = 0.0, {}
        for part, name, score in zip(self.parts, names, scores, strict=True):
            if score.value is None:
                reason = f"part {name} has no score: {score.reason or 'no reason given'}"
                return Score(id=key, value=None, scorer=scorer, reason=reason)
            total += part.weight * score.value
            shown[name] = score.value
        return Score(id=key, value=total, scorer=scorer, distribution=shown)
