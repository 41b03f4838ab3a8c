"""How good is a response, by several reward models, and how far do they disagree?

Models trained on the same labels with other seeds agree where the labels say something and differ
where the policy has gone beyond them, which is where it can exploit one of them alone (Coste et
al., arXiv 2310.02743).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from pydantic import Field

from hrlaif.errors import ModelError
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Score
from hrlaif.reward.learned import RUN, Learned
from hrlaif.reward.maths import pessimistic
from hrlaif.settings import Settings


@final
class Ensemble(Settings):
    """The mean of several reward models, less `pessimism` times their standard deviation."""

    path: str = RUN
    """Folder or hub id of the first one; `reward_model` is the run's own."""
    others: tuple[str, ...] = ()
    """The other ones; empty: those that lie in the first one's folder, as reward.members left
    them."""
    pessimism: float = Field(default=0.0, ge=0)
    """How many standard deviations of the members are taken off their mean."""
    normalise: bool = True
    """As of `learned`, each member by its own mean and deviation."""

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response; no value where a member has none. `distribution` names each."""
        members = [Learned(path=path, normalise=self.normalise) for path in self.paths()]
        columns = zip(*(member.score(responses) for member in members), strict=True)
        return [self._combined(scores) for scores in columns]

    def paths(self) -> list[str]:
        """Of all members. Raises ModelError where there are fewer than two."""
        found = [self.path, *(self.others or self.inside())]
        if len(found) < 2:
            raise ModelError(
                f"{self.path} holds one reward model, an ensemble is of several: set "
                "reward.members to 3, say, or name the others"
            )
        return found

    def inside(self) -> list[str]:
        """The members that lie in the first one's folder."""
        return sorted(str(p.parent) for p in Path(self.path).glob("member_*/config.json"))

    def _combined(self, scores: Sequence[Score]) -> Score:
        name, key = f"ensemble:{self.path}", scores[0].id
        values = [s.value for s in scores if s.value is not None]
        if len(values) < len(scores):
            reason = next(s.reason for s in scores if s.value is None)
            return Score(id=key, value=None, scorer=name, reason=f"a member has no score: {reason}")
        value, deviation = pessimistic(values, self.pessimism)
        told = {f"member_{n}": v for n, v in enumerate(values, start=1)}
        shown = {**told, "deviation": deviation}
        return Score(id=key, value=value, scorer=name, distribution=shown)
