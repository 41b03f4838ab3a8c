"""A reward function for TRL: RLOO and GRPO await it; Online DPO calls it.

    trainer = RLOOTrainer(model, reward_funcs=trl_reward(Direct(task="helpful"), judge), ...)

TRL hands over a whole generation batch, so everything is asked at once. What has no score is None,
which TRL leaves out of the baseline and of the loss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

from hrlaif.engines.forms import response_of
from hrlaif.errors import UsageError
from hrlaif.llm.ledger import Ledger
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response, Row

Rewards = list[float | None]
_NO_COLUMNS = frozenset(
    {
        "completion_ids",
        "trainer_state",
        "log_extra",
        "log_metric",
        "environments",
        "id",
        "prompt_id",
    }
)


def trl_reward(
    reward: Reward,
    judge: LanguageModel | None = None,
    *,
    ledger: str | Path | None = None,
    max_cost: float | None = None,
    wait: bool = False,
) -> Callable[..., Any]:
    """A value for `reward_funcs`; `wait=True` for trainers that do not await (Online DPO).

    `ledger` keeps the judge's answers in that file, so that a run which goes on pays none twice,
    and `max_cost` bounds them in US dollars. Columns of the data set reach the reward by the names
    that rows have: `reference_answer`, `choices`, `category`. Raises UsageError for a `max_cost`
    without a `ledger`, which counts what is spent.
    """
    if max_cost is not None and not ledger:
        raise UsageError("max_cost needs ledger=FILE, where what is spent is counted")
    kind = Waited if wait else Awaited
    return kind(reward, judge, ledger, max_cost)


class _Asks:
    """Picklable, since some trainers score in workers of their own."""

    def __init__(
        self,
        reward: Reward,
        judge: LanguageModel | None,
        ledger: str | Path | None,
        max_cost: float | None,
    ):
        self.reward, self.judge, self.ledger, self.max_cost = reward, judge, ledger, max_cost
        self.__name__ = f"hrlaif_{type(reward).__name__.lower()}"  # in TRL's logs

    def rewards(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: dict[str, Any]
    ) -> Rewards:
        """A number a completion, or None; how many are missing is logged where TRL lets us."""
        responses = [_response(n, prompts, completions, columns) for n in range(len(prompts))]
        book = (
            Ledger(self.ledger, stage="trl", max_cost=self.max_cost)
            if self.ledger
            else nullcontext()
        )
        with book:
            values = [score.value for score in self.reward.score(responses, self.judge)]
        log = columns.get("log_metric")
        if callable(log) and values:
            log(f"{self.__name__}/missing", sum(v is None for v in values) / len(values))
        return values


@final
class Awaited(_Asks):
    """Beside whatever else the trainer awaits."""

    async def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> Rewards:
        """As TRL calls it: with keywords, and every column repeated for each sample."""
        return await asyncio.to_thread(self.rewards, prompts, completions, columns)


@final
class Waited(_Asks):
    """While the trainer waits."""

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> Rewards:
        """As `Awaited`."""
        return self.rewards(prompts, completions, columns)


def _response(
    n: int, prompts: Sequence[Any], completions: Sequence[Any], columns: dict[str, Any]
) -> Response:
    own: Row = {
        name: values[n]
        for name, values in columns.items()
        if name not in _NO_COLUMNS and isinstance(values, list) and len(values) == len(prompts)
    }
    values = {**own, "prompt": prompts[n], "response": _text(completions[n])}
    return response_of(values, f"completion {n + 1}").model_copy(update={"id": str(n)})


def _text(completion: Any) -> str:
    """A text, or the turns of a conversational data set, of which the last is meant."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
