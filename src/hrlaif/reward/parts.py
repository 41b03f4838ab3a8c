"""What does a reward consist of, and what must a run make before it can be asked?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response
from hrlaif.reward.ensemble import Ensemble
from hrlaif.reward.learned import RUN, Learned
from hrlaif.reward.scaled import Scaled
from hrlaif.settings import Settings


def changed(reward: Any, change: Callable[[Any], Any]) -> Any:
    """A reward with each part of it replaced by what `change` makes of it, the innermost first."""
    new: dict[str, Any] = {}
    for name in type(reward).model_fields:
        value = getattr(reward, name)
        if isinstance(value, Settings):
            new[name] = changed(value, change)
        elif isinstance(value, tuple) and any(isinstance(item, Settings) for item in value):
            new[name] = tuple(
                changed(item, change) if isinstance(item, Settings) else item for item in value
            )
    return change(reward.model_copy(update=new) if new else reward)


def parts(reward: Reward) -> list[Any]:
    """The reward and everything in it."""
    found: list[Any] = []

    def keep(part: Any) -> Any:
        found.append(part)
        return part

    changed(reward, keep)
    return found


def of_the_run(reward: Reward) -> bool:
    """Whether it asks the reward model that the run trains, so that labels are needed."""
    return any(isinstance(p, (Learned, Ensemble)) and p.path == RUN for p in parts(reward))


def of_samples(reward: Reward) -> int:
    """By how many answers of the SFT policy it is scaled, at most; 0 where none are needed."""
    scaled = [p for p in parts(reward) if isinstance(p, Scaled)]
    return max((p.samples for p in scaled if None in (p.mean, p.deviation)), default=0)


def models(reward: Reward) -> list[str]:
    """Folders or hub ids of reward models that were trained elsewhere."""
    named: list[str] = []
    for part in parts(reward):
        if isinstance(part, Learned):
            named.append(part.path)
        elif isinstance(part, Ensemble):
            named += [part.path, *part.others]
    return [name for name in named if name != RUN]


def members(reward: Reward) -> dict[str, list[str]]:
    """By its first one's folder the members that ensembles trained elsewhere find in it."""
    found = [p for p in parts(reward) if isinstance(p, Ensemble) and p.path != RUN]
    return {part.path: part.inside() for part in found if not part.others and part.inside()}


def moved(reward: Reward, old: str, new: str) -> Reward:
    """The same with its reward models looked for in another place."""

    def move(part: Any) -> Any:
        if isinstance(part, (Learned, Ensemble)) and part.path == old:
            return part.model_copy(update={"path": new})
        return part

    found: Reward = changed(reward, move)
    return found


def fitted(reward: Reward, responses: Sequence[Response], judge: LanguageModel | None) -> Reward:
    """The same with everything scaled on these responses of the SFT policy."""

    def fit(part: Any) -> Any:
        return part.fitted(responses, judge) if isinstance(part, Scaled) else part

    found: Reward = changed(reward, fit)
    return found
