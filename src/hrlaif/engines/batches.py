"""How do many small requests become few large questions? They wait together, and are asked at once.

Trainers ask for one response at a time, from many workers. A local model is quick with many, so
what arrives while it works is its next batch.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import NamedTuple, final

from hrlaif.errors import HrlaifError, ModelError
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Response, Score

_WITHOUT_A_JUDGE = 64
_MOMENT = 0.005  # seconds in which more may arrive before a first batch is asked
_MOST_WAITING = 20_000


class Busy(HrlaifError):
    """More waits already than is ever answered in time."""


class _Waiting(NamedTuple):
    response: Response
    score: asyncio.Future[Score]


@final
class Batches:
    """A reward that answers many requests; `counts` says how much was asked and left unanswered.

    With `apart` each response is asked on its own, that many at once: where all time is spent
    waiting for a server elsewhere, no response then waits for the slowest of a batch.
    """

    def __init__(self, reward: Reward, judge: LanguageModel | None, *, apart: int = 0):
        self.reward, self.judge = reward, judge
        self.workers = apart or 1
        self.size = 1 if apart else (judge.chunk if judge else _WITHOUT_A_JUDGE)
        self.counts = {"scored": 0, "missing": 0, "batches": 0}
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._number = 0

    @property
    def waiting(self) -> int:
        """Responses that no batch has taken yet."""
        return self._waiting.qsize()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answers while the block lasts; a batch under way at its end is still booked."""
        # The loop's own pool has a few threads more than there are processors, and no more.
        with ThreadPoolExecutor(self.workers) as threads:
            tasks = [asyncio.create_task(self._work(threads)) for _ in range(self.workers)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def score(self, responses: Sequence[Response]) -> list[Score]:
        """A score a response, in their order; raises what the reward raised, and Busy."""
        if self.waiting + len(responses) > _MOST_WAITING:
            raise Busy(f"{self.waiting} responses are waiting already: ask again later")
        loop = asyncio.get_running_loop()
        asked = []
        for response in responses:
            self._number += 1  # many requests may have the same ids
            renamed = response.model_copy(update={"id": str(self._number)})
            asked.append(_Waiting(renamed, loop.create_future()))
            self._waiting.put_nowait(asked[-1])
        scores = await asyncio.gather(*(one.score for one in asked))
        return [
            score.model_copy(update={"id": response.key})
            for score, response in zip(scores, responses, strict=True)
        ]

    async def _work(self, threads: ThreadPoolExecutor) -> None:
        while True:
            batch = [await self._waiting.get()]
            if self.size > 1 and not self.waiting:
                await asyncio.sleep(_MOMENT)
            while self.waiting and len(batch) < self.size:
                batch.append(self._waiting.get_nowait())
            # Of a client that has gone, nothing is asked for nobody.
            if batch := [one for one in batch if not one.score.done()]:
                await self._answer(batch, threads)

    async def _answer(self, batch: list[_Waiting], threads: ThreadPoolExecutor) -> None:
        asked = [one.response for one in batch]
        self.counts["batches"] += 1
        try:
            score = partial(copy_context().run, self.reward.score, asked, self.judge)
            loop = asyncio.get_running_loop()
            scores: Sequence[Score] = await loop.run_in_executor(threads, score)
            if len(scores) != len(batch):
                raise ModelError(
                    f"the reward gave {len(scores)} scores of {len(batch)} responses: it must give "
                    "each one, of value None where there is none"
                )
            scores = [_finite(score) for score in scores]
        except Exception as error:  # whatever it was, the trainer must hear of it, and soon
            for one in batch:
                if not one.score.done():
                    one.score.set_exception(error)
            return
        self.counts["scored"] += len(scores)
        self.counts["missing"] += sum(score.value is None for score in scores)
        for one, found in zip(batch, scores, strict=True):
            if not one.score.done():
                one.score.set_result(found)


def _finite(score: Score) -> Score:
    """A value that is no number, for which JSON has no word, is a missing one."""
    if score.value is None or math.isfinite(score.value):
        return score
    reason = f"the reward is {score.value}"
    return score.model_copy(update={"value": None, "distribution": None, "reason": reason})
