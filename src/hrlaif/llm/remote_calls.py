"""How do many questions get to a server, and each answer to disk, whatever goes wrong between?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, final

import httpx2

from hrlaif.errors import DataError, ModelError, UsageError
from hrlaif.llm import ledger as book
from hrlaif.llm.call import Call, lost
from hrlaif.llm.prices import dollars
from hrlaif.llm.remote_batches import FEWEST, Batches, awaits_money
from hrlaif.llm.remote_complaint import complaint, is_spent, refusal_inside
from hrlaif.llm.remote_key import redact, without
from hrlaif.llm.remote_loop import Writer, run
from hrlaif.llm.remote_once import once
from hrlaif.llm.remote_parse import is_answer, usage
from hrlaif.llm.remote_places import Place, Places, places_of
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Again, Sent
from hrlaif.llm.remote_server import (
    NO_LOGPROBS,
    Endpoint,
    Question,
    Server,
    backoff,
    retry_after,
)
from hrlaif.progress import say
from hrlaif.records import Unanswered
from hrlaif.settings import compute

_MOST_ADAPTATIONS = 8
_GRACE = 10.0
"""Seconds in which calls under way may end, when the work stops."""
_QUIET = 60.0


def ask(endpoint: Endpoint, server: Server, questions: Sequence[Question]) -> dict[str, Any]:
    """Key to raw answer, or to Unanswered; equal keys are sent once, known answers never.

    Nor is a question sent that another thread has under way. Raises ModelError when the server
    refuses the key or the model, or cannot be reached at all, BudgetReached, and DataError where
    answers cannot be kept; what was answered until then is in the ledger.
    """
    ledger = book.current()
    if ledger is None and compute().max_cost is not None:
        raise UsageError(
            "a maximum cost needs a ledger: ask inside `with Ledger(path, max_cost=...)`"
        )
    if ledger:
        ledger.keep()
    known: dict[str, str | Unanswered] = {}
    waiting: dict[str, Question] = {}
    for question in questions:
        if question.key in known or question.key in waiting:
            continue
        found = ledger.find(question.key, is_answer) if ledger else None
        if found is None:
            waiting[question.key] = question
        else:
            known[question.key] = found
    if known:
        server.proven, server.rejections = True, 0
    if waiting:
        batch = _Batch(endpoint, server, ledger)
        known |= run(batch.ask(list(waiting.values())))
    return known


@final
class _Batch:
    """One list of questions on their way through one connection pool."""

    def __init__(self, endpoint: Endpoint, server: Server, ledger: book.Ledger | None):
        self._endpoint = endpoint
        self._server = server
        self._ledger = ledger
        self._writer = Writer(ledger) if ledger else None
        self._socket = endpoint.start() if endpoint.start else None
        self._refusals = Refusals(endpoint, server, ledger)

    async def ask(self, questions: list[Question]) -> dict[str, str | Unanswered]:
        """Asks all; on an error, or Ctrl-C, calls off what is still under way."""
        never_answered = self._server.answered_at == float("-inf") and not self._server.proven
        async with places_of(self._endpoint, self._server, self._socket) as places:
            tasks: list[asyncio.Task[str | Unanswered]] = []
            try:
                found = await self._in_batches(places, questions)
                rest = [question for question in questions if question.key not in found]
                tasks += [asyncio.create_task(self._once(places, q)) for q in rest]
                answers = await _all_of(tasks)
            except BaseException:
                await places.drain(_GRACE)
                raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                if self._writer:
                    await self._writer.finish()
        if never_answered and len(questions) > 1:
            self._stop_where_all_are_rejected(len(questions))
        return found | dict(zip((q.key for q in rest), answers, strict=True))

    def _stop_where_all_are_rejected(self, count: int) -> None:
        rejected = self._refusals.rejected
        if len(rejected) == count:
            raise ModelError(f"{self._endpoint.name} refuses every request: {rejected[0]}")

    async def _in_batches(
        self, places: Places, questions: list[Question]
    ) -> dict[str, str | Unanswered]:
        """Answers of batches: of those under way, and of new ones where that is wanted."""
        if self._ledger is None:
            if self._endpoint.batch:
                raise UsageError("batches need a ledger: ask inside `with Ledger(path)`")
            return {}
        batches = Batches(self._endpoint, self._server, self._ledger, places.first, self._refusals)
        found = await batches.collect(questions)
        rest = [question for question in questions if question.key not in found]
        if not self._endpoint.batch or len(rest) < FEWEST:
            return found
        # One goes ahead, and another where it is refused: that is learned at once, not in a day.
        self._refusals.rejected.clear()  # of those that a batch brought
        for _ in range(2):
            if self._server.answered_at == float("-inf"):
                first = rest.pop(0)
                found[first.key] = await self._once(places, first)
        if not self._server.proven:
            self._stop_where_all_are_rejected(2)
        if self._server.logprobs is False:
            given = [question for question in rest if question.body.get("logprobs")]
            found |= dict.fromkeys((question.key for question in given), NO_LOGPROBS)
            rest = [question for question in rest if question.key not in found]
        return found | await batches.ask(rest)

    async def _once(self, places: Places, question: Question) -> str | Unanswered:
        """Asked here, unless another thread asks it, or has asked it since it was looked up."""
        ledger = self._ledger

        async def ask() -> str | Unanswered:
            found = ledger.find(question.key, is_answer) if ledger else None
            return found or await self._one(places, question)

        where = str(ledger.path.absolute()) if ledger else ""
        answer, ours = await once((where, question.key), ask)
        if ours or not ledger or isinstance(answer, Unanswered):
            return answer
        return ledger.find(question.key) or answer

    async def _one(self, places: Places, question: Question) -> str | Unanswered:
        begun = time.monotonic()
        adaptations = attempt = 0
        while True:
            if question.body.get("logprobs") and self._server.logprobs is False:
                return NO_LOGPROBS
            outcome = await self._guarded(places, question)
            if not isinstance(outcome, Again):
                return outcome
            if outcome.elsewhere:
                continue
            if outcome.adapted and adaptations < _MOST_ADAPTATIONS:
                adaptations += 1
                continue
            if attempt >= self._endpoint.max_retries and not self._refusals.is_patient(
                outcome, begun
            ):
                return self._refusals.given_up(outcome, begun, attempt + 1)
            await asyncio.sleep(backoff(attempt) if outcome.wait is None else outcome.wait)
            attempt += 1

    async def _guarded(self, places: Places, question: Question) -> str | Unanswered | Again:
        """One try in its place, with the most that it can cost set aside."""
        most, ledger = self._most(question), self._ledger
        place = await places.enter(
            lambda: ledger.reserve(most) if ledger else None,
            lambda: ledger is not None and awaits_money(ledger),
        )
        try:
            outcome = await self._try(places, place, question)
            if isinstance(outcome, Again) and outcome.lost and self._writer and most:
                name = self._endpoint.name
                await self._writer.record(lost(name, question.key, outcome.reason, most))
        finally:
            if ledger:
                ledger.release(most)
            await places.leave(place)
        if isinstance(outcome, Again) and not (outcome.adapted or outcome.busy):
            known = place.known.alone_until > float("-inf")
            if places.failed(place, unreachable=outcome.unreachable):
                if not known:
                    say(f"  {self._endpoint.name}: {place.address} is left out: {outcome.reason}")
                return replace(outcome, elsewhere=True)
        return outcome

    async def _try(
        self, places: Places, place: Place, question: Question
    ) -> str | Unanswered | Again:
        begun = time.monotonic()
        body = self._server.adapt(question.body)
        sent = Sent()
        try:
            # The client's own timeout starts again with every byte.
            async with asyncio.timeout(self._endpoint.timeout):
                await sent.post(place.client, place.url, body)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            return self._unanswered(place, sent, error)
        except asyncio.CancelledError:
            self._called_off(sent, question)
            raise
        if sent.ok and (broken := sent.broken(place.secret)):
            if (status := refusal_inside(sent.text)) is None:
                return Again(f"the server sent {broken}", lost=True)
            sent.status = status
        elif sent.ok:
            places.answered(place)
            raw = without(sent.text, place.secret)
            return await self._booked(question, raw, time.monotonic() - begun)
        raw = redact(sent.text, place.secret)
        if sent.status == 429:
            return self._busy(places, place, sent, begun)
        return self._refusals.counted(self._refusals.read(place, sent, raw, body))

    def _busy(self, places: Places, place: Place, sent: Sent, begun: float) -> Again:
        """A 429 asks for patience; raises ModelError where it says that no patience helps."""
        wait, raw = retry_after(sent.headers.get("retry-after")), redact(sent.text, place.secret)
        if is_spent(raw):
            raise ModelError(self._refusals.refused(place, sent.status, sent, raw))
        places.too_many(place, begun, wait)
        why = ": ".join(filter(None, ("too many requests (429)", complaint(raw)[:120])))
        if time.monotonic() - self._server.busy_at > _QUIET:
            self._server.busy_at = time.monotonic()
            say(f"  {self._endpoint.name}: {why}; {int(place.limit)} at once from now on")
        return Again(why, wait, busy=True, elsewhere=bool(wait) and places.another(place))

    def _unanswered(self, place: Place, sent: Sent, error: Exception) -> Again:
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            reason = f"no answer within {self._endpoint.timeout:g} s"
        else:
            said = redact(str(error), place.secret) or type(error).__name__
            reason = f"the connection failed: {said}"
        gone = isinstance(error, TimeoutError | httpx2.ConnectTimeout | httpx2.ConnectError)
        return Again(reason, unreachable=gone and not sent.out, lost=sent.out)

    def _called_off(self, sent: Sent, question: Question) -> None:
        """At once, since the batch ends: a call under way may still be charged for."""
        most = self._most(question)
        if self._ledger and sent.out and most:
            with suppress(DataError):
                self._ledger.record(lost(self._endpoint.name, question.key, "called off", most))

    def _most(self, question: Question) -> float | None:
        """What a call can cost at most; None where its price is not known."""
        return dollars(self._endpoint.price, question.longest_prompt, question.max_tokens)

    async def _booked(self, question: Question, raw: str, seconds: float) -> str:
        if self._writer is None:
            return raw
        prompt, completion = usage(raw)
        # An answer without a count is booked at the most it can have cost.
        cost = dollars(
            self._endpoint.price,
            question.longest_prompt if prompt is None else prompt,
            question.max_tokens if completion is None else completion,
        )
        call = Call(
            key=question.key,
            model=self._endpoint.name,
            kind=question.kind,
            request=question.body,
            response=raw,
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            cost=cost,
            seconds=round(seconds, 3),
        )
        return await self._writer.record(call)


async def _all_of(tasks: Sequence[asyncio.Task[str | Unanswered]]) -> list[str | Unanswered]:
    """What they give, or what the first that failed raised: the others go on, unlike `gather`'s."""
    if not tasks:
        return []
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in ended:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    return [task.result() for task in tasks]
