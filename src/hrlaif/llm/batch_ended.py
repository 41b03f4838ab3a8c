"""What came of a batch? Asked after until it has ended, read, and booked as a whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, final

from hrlaif.errors import ModelError
from hrlaif.llm.batch_answers import Found, answered, message, seconds
from hrlaif.llm.batch_book import Batch, BatchBook, Batched
from hrlaif.llm.call import Call, lost
from hrlaif.llm.prices import dollars
from hrlaif.llm.remote_files import GIVE_UP, Files
from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_parse import usage
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Again
from hrlaif.llm.remote_server import backoff
from hrlaif.progress import say

_LONGEST_POLL = 30.0
_QUIET = 60.0
"""Seconds between two lines about a batch."""
_ENDS = {
    "completed": "completed",
    "succeeded": "completed",
    "expired": "expired",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "failed": "failed",
    "error": "failed",
}
_SPEECHLESS = 10
"""Answers without a status after which a server does not say how a batch stands."""
_READINGS = 4


@final
class Ended:
    """Waits for the batches of one model, and books what they say."""

    def __init__(
        self,
        price: tuple[float, float] | None,
        files: Files,
        book: BatchBook,
        place: Place,
        refusals: Refusals,
    ):
        self._price, self._files, self._book = price, files, book
        self._place, self._refusals = place, refusals

    async def found(self, batch: Batch) -> Found:
        """What it says of each of its questions, with the answers booked.

        Raises ModelError where it was refused, or cancelled, or cannot be read.
        """
        waiting = self._book.questions(batch)
        state = await self._state(batch, len(waiting))
        status = _ENDS[_status(state)]
        if status == "failed" and not state.get("output_file_id"):
            return self._failed(batch, state, waiting)
        found, stop = await self._read(batch, state, status, waiting)
        left = Again("the batch expired" if status == "expired" else "the batch left it out")
        found = {key: found.get(key, left) for key in waiting}
        found |= self._book.over(batch, self._calls(batch, found, waiting, state))
        if stop:
            raise stop
        if status == "cancelled" and any(isinstance(answer, Again) for answer in found.values()):
            raise ModelError(
                f"{batch.model}: batch {batch.id} was cancelled at the server: what it had "
                "answered is kept, and the same command sends the rest again"
            )
        return found

    async def _state(self, batch: Batch, count: int) -> Mapping[str, Any]:
        polls, speechless, said, shown = 0, 0, time.monotonic(), ""
        while True:
            state = await self._files.batch(batch.id)
            status = _status(state)
            if status in _ENDS:
                return state
            speechless += not status
            if speechless == _SPEECHLESS:
                raise ModelError(
                    f"{batch.model}: the server does not say how batch {batch.id} stands: "
                    f"{redact(str(state)[:200], self._place.secret)}"
                )
            now = f"{status.replace('_', ' ')}, {_completed(state) or 0} of {count} answered"
            if now != shown and time.monotonic() - said >= _QUIET:
                said, shown = time.monotonic(), now
                say(f"  {batch.model}: batch {batch.id}: {now}")
            await asyncio.sleep(min(_LONGEST_POLL, 0.25 * 2.0 ** min(polls, 7)))
            polls += 1

    async def _read(
        self, batch: Batch, state: Mapping[str, Any], status: str, waiting: Mapping[str, Batched]
    ) -> tuple[Found, ModelError | None]:
        """What its files say, and what stops all further work; as often as they are not whole."""
        completed = _completed(state)
        for attempt in range(_READINGS):
            told: list[Found] = []
            stop: ModelError | None = None
            for name in ("error_file_id", "output_file_id"):
                told.append({})
                lines = (
                    await self._files.lines(str(state[name]), batch.id) if state.get(name) else ()
                )
                for line in lines:
                    try:
                        told[-1] |= answered(line, waiting, self._place, self._refusals)
                    except ModelError as error:
                        stop = error  # once the others are booked
            errors, answers = told
            found = errors | answers
            # Errors make up no number of answers, though a server may count them among those.
            wanted = min(completed or 0, len(waiting) - len(errors))
            nothing = completed is None and status == "completed" and not found
            if stop or (len(answers) >= wanted and not nothing):
                return found, stop
            await asyncio.sleep(backoff(attempt))
        raise ModelError(
            f"{batch.model}: batch {batch.id} has {wanted or 'some'} answers, and {len(answers)} "
            f"can be read: the same command reads it again; {GIVE_UP.format(batch.id)}"
        )

    def _failed(
        self, batch: Batch, state: Mapping[str, Any], waiting: Mapping[str, Batched]
    ) -> Found:
        """It was refused as a whole, and has cost nothing."""
        self._book.over(batch)
        said = redact(message(state.get("errors")), self._place.secret) or "without a reason"
        if "token_limit_exceeded" in str(state.get("errors")) or "nqueued token" in said:
            return dict.fromkeys(waiting, Again(said, busy=True))
        raise ModelError(f"{batch.model} refused a batch: {said}")

    def _calls(
        self,
        batch: Batch,
        found: Found,
        waiting: Mapping[str, Batched],
        state: Mapping[str, Any],
    ) -> list[Call]:
        """Those to book: the answers, and what was answered, and paid, for nothing."""
        raws = {key: raw for key, raw in found.items() if isinstance(raw, str)}
        took = round(seconds(state) / max(len(raws), 1), 3)
        calls = []
        for key, raw in raws.items():
            asked = waiting[key]
            prompt, completion = usage(raw)
            counted = prompt is not None and completion is not None
            cost = dollars(self._price, prompt or 0, completion or 0) if counted else asked.most
            calls.append(
                Call(
                    key=key,
                    model=batch.model,
                    kind=asked.kind,
                    request=asked.request,
                    response=raw,
                    prompt_tokens=prompt or 0,
                    completion_tokens=completion or 0,
                    cost=cost,
                    seconds=took,
                )
            )
        return calls + [
            lost(batch.model, key, answer.reason, most)
            for key, answer in found.items()
            if isinstance(answer, Again) and answer.lost and (most := waiting[key].most)
        ]


def _status(state: Mapping[str, Any]) -> str:
    return str(state.get("status") or "").lower()


def _completed(state: Mapping[str, Any]) -> int | None:
    counts = state.get("request_counts")
    done = counts.get("completed") if isinstance(counts, dict) else None
    return done if type(done) is int else None
