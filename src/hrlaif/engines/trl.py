"""A reward function for TRL: RLOO and GRPO await it; Online DPO calls it.

    trainer = RLOOTrainer(model, reward_funcs=trl_reward(Direct(task="helpful"), judge), ...)

TRL hands over a whole generation batch, so everything is asked at once. What has no score is None,
which TRL leaves out of the baseline and of the loss.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

from hrlaif.engines.forms import response_of
from hrlaif.errors import UsageError
from hrlaif.llm.ledger import Ledger
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response, Row
from hrlaif.rows.names import plain
from hrlaif.settings import Settings, kind_of

Rewards = list[float | None]
# All others may say anything, of the data set's own answers too (`tokens`, `finish_reason`).
_COLUMNS = frozenset({"reference_answer", "choices", "category", "language"})


def trl_reward(
    reward: Reward,
    judge: LanguageModel | None = None,
    *,
    ledger: str | Path | None = None,
    max_cost: float | None = None,
    wait: bool = False,
    name: str | None = None,
) -> Callable[..., Any]:
    """A value for `reward_funcs`; `wait=True` for trainers that do not await (Online DPO).

    `ledger` keeps the judge's answers in that file, so that a run which goes on pays none twice,
    and `max_cost` bounds them in US dollars. Columns of the data set reach the reward by the names
    that rows have: `reference_answer`, `choices`, `category`, `language`. `name` is what TRL logs
    it under, rewards of one name as one; else its kind and those of its settings that are words
    and not as usual. Raises UsageError for a `max_cost` without a `ledger`, which counts what is
    spent.
    """
    if max_cost is not None and not ledger:
        raise UsageError("max_cost needs ledger=FILE, where what is spent is counted")
    kind = Waited if wait else Awaited
    return kind(reward, judge, ledger, max_cost, name or _name(reward))


def _name(reward: Reward) -> str:
    """`hrlaif_direct`; `hrlaif_direct_helpful` of another task than the usual."""
    told = [type(reward).__name__.lower()]
    if isinstance(reward, Settings):
        for field, about in type(reward).model_fields.items():
            value = getattr(reward, field)
            if value != about.default and isinstance(value, str | Settings):
                told.append(value if isinstance(value, str) else kind_of(value))
    return re.sub(r"\W+", "_", "_".join(["hrlaif", *told]))


class _Asks:
    """Picklable, since some trainers score in workers of their own."""

    def __init__(
        self,
        reward: Reward,
        judge: LanguageModel | None,
        ledger: str | Path | None,
        max_cost: float | None,
        name: str,
    ):
        self.reward, self.judge, self.ledger, self.max_cost = reward, judge, ledger, max_cost
        self.__name__ = name  # in TRL's logs

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

    # TRL 1.10 asks `inspect` alone what to await: with these it takes us for a function.
    __code__, __defaults__, __kwdefaults__ = __call__.__code__, None, None


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
        if plain(name) in _COLUMNS and isinstance(values, list) and len(values) == len(prompts)
    }
    values = {**own, "prompt": prompts[n], "response": _text(completions[n])}
    where = f"the data set's row of completion {n + 1}"
    return response_of(values, where).model_copy(update={"id": str(n)})


def _text(completion: Any) -> Any:
    """A text, or what the policy wrote last; nothing where a tool's turn is the last one."""
    if isinstance(completion, str):
        return completion
    last: Mapping[str, Any] = completion[-1] if completion else {}
    written = last.get("content") if last.get("role", "assistant") == "assistant" else None
    return [{"role": "assistant", "content": written or ""}]
