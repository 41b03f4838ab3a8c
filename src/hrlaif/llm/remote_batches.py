"""How are many questions asked at half the price? In files, which a server answers within a day.

The interface is OpenAI's: a file is uploaded, a batch made of it, asked after until it has ended,
and its answers downloaded. They are the answers that single calls would have brought, under the
same keys. A batch goes on without us, so whoever stops, or is killed, collects it later.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, final

from filelock import FileLock, Timeout

from hrlaif.errors import ModelError
from hrlaif.llm import ledger as book
from hrlaif.llm.batch_answers import Found, answered, seconds
from hrlaif.llm.batch_book import Batch, BatchBook, Batched
from hrlaif.llm.prices import dollars, in_a_batch
from hrlaif.llm.remote_files import Files, Refused
from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_parse import usage
from hrlaif.llm.remote_places import Place
from hrlaif.llm.remote_refusals import Refusals
from hrlaif.llm.remote_sent import Again
from hrlaif.llm.remote_server import Endpoint, Question, Server
from hrlaif.progress import say
from hrlaif.records import Unanswered

FEWEST = 20
"""Questions that are worth a batch: fewer are asked one by one, at once."""
_MOST_REQUESTS = 50_000
_MOST_BYTES = 90 * 2**20
"""What providers take in one file."""
_LONGEST_POLL = 30.0
_QUIET = 60.0
"""Seconds between two lines about a batch."""
_ENDED = {"completed", "failed", "expired", "cancelled"}


@final
class Batches:
    """Questions to one model that go to the server in files."""

    def __init__(
        self,
        endpoint: Endpoint,
        server: Server,
        ledger: book.Ledger,
        place: Place,
        refusals: Refusals,
    ):
        self._endpoint, self._server, self._ledger = endpoint, server, ledger
        self._place, self._refusals = place, refusals
        self._book = BatchBook(ledger)
        self._files = Files(endpoint, place, refusals)
        self._price = in_a_batch(endpoint.price, endpoint.base_url)
        self._room = _MOST_REQUESTS

    async def collect(self, questions: Sequence[Question]) -> dict[str, str | Unanswered]:
        """Answers of batches that hold some of these questions, whichever process sent them."""
        wanted = {question.key for question in questions}
        found: Found = {}
        while under_way := self._book.under_way(sorted(wanted - found.keys())):
            batch = under_way[0]
            if not batch.id:
                await self._settle(batch)
                continue
            say(f"  {self._endpoint.name}: batch {batch.id} of {batch.at[:16]} is waited for")
            found |= await self._collected(batch)
        return {k: a for k, a in found.items() if k in wanted and not isinstance(a, Again)}

    async def ask(self, questions: Sequence[Question]) -> dict[str, str | Unanswered]:
        """Answers to as many as the budget holds; a few that are left are for single calls.

        Those that a batch leaves open go into another. Raises ModelError where the server takes no
        batches, or where one was cancelled there.
        """
        todo = {question.key: question for question in questions}
        answers: dict[str, str | Unanswered] = {}
        tries: Counter[str] = Counter()
        while todo:
            answers |= await self.collect(list(todo.values()))
            async with self._alone():
                answers |= self._book.booked(list(todo))  # another process may have been quicker
                todo = {key: q for key, q in todo.items() if key not in answers}
                if self._book.under_way(list(todo)):
                    continue
                sent = [await self._sent(part) for part in self._parts(list(todo.values()))]
            if not sent:
                break
            for batch in sent:
                for key, found in (await self._collected(batch)).items():
                    if isinstance(found, Again):
                        tries[key] += not found.busy
                        if tries[key] <= self._endpoint.max_retries:
                            continue
                        self._refusals.failed(found.reason)
                        found = Unanswered(reason=f"{found.reason}, in {tries[key]} batches")
                    answers[key] = found
                    del todo[key]
        return answers

    def _parts(self, todo: list[Question]) -> list[list[Question]]:
        """Files within what the server takes, together within what the budget leaves."""
        left, size = self._ledger.left(), 0
        parts: list[list[Question]] = []
        for question in todo:
            left -= self._most(question) or 0.0
            if left < 0:
                break
            more = len(self._line(question.key, question.body))
            if not parts or len(parts[-1]) >= self._room or size + more > _MOST_BYTES:
                parts.append([])
                size = 0
            parts[-1].append(question)
            size += more
        taken = sum(map(len, parts))
        if taken < FEWEST:
            return []
        if taken < len(todo):
            say(f"  {taken} of {len(todo)} questions go first: more could pass --max-cost")
        return parts

    async def _sent(self, questions: list[Question]) -> Batch:
        what = {q.key: Batched(q.kind, q.body, self._most(q)) for q in questions}
        batch = self._book.claim(self._place.address, self._endpoint.name, what)
        lines = b"".join(self._line(question.key, question.body) for question in questions)
        try:
            file = await self._files.upload(f"hrlaif-{batch.tag[:8]}.jsonl", lines)
            id = await self._files.create(file, batch.tag, f"/v1{self._endpoint.path}")
        except Refused as error:
            self._book.over(batch)
            raise ModelError(str(error)) from None
        say(f"  {self._endpoint.name}: batch {id} holds {len(questions)} questions")
        return self._book.taken(batch, id)

    def _line(self, key: str, body: Mapping[str, Any]) -> bytes:
        row = {
            "custom_id": key,
            "method": "POST",
            "url": f"/v1{self._endpoint.path}",
            "body": self._server.adapt(dict(body)),
        }
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    def _most(self, question: Question) -> float | None:
        return dollars(self._price, question.longest_prompt, question.max_tokens)

    async def _settle(self, batch: Batch) -> None:
        """Of a process that was killed while it sent one: the server knows whether it has it."""
        async with self._alone():
            now = self._book.batch(batch.tag)
            if now is None or now.id:
                return
            try:
                id = await self._files.find(batch.tag)
            except Refused:
                id, most = None, [asked.most or 0.0 for asked in self._book.questions(now).values()]
                self._ledger.record(book.lost(now.model, now.tag, "killed", sum(most)))
            if id:
                self._book.taken(now, id)
            else:
                self._book.over(now)

    async def _collected(self, batch: Batch) -> Found:
        """What it says of each of its questions, with the answers booked."""
        waiting = self._book.questions(batch)
        try:
            ended = await self._ended(batch, len(waiting))
        except asyncio.CancelledError:
            say(
                f"  {self._endpoint.name}: batch {batch.id} goes on at the server; the same "
                "command collects it"
            )
            raise
        status = str(ended["status"]).lower()
        if status == "failed":
            return self._failed(batch, ended, waiting)
        found: Found = {}
        stop: ModelError | None = None
        for name in ("output_file_id", "error_file_id"):
            if file := ended.get(name):
                async for line in self._files.lines(str(file)):
                    try:
                        found |= answered(line, waiting, self._place, self._refusals)
                    except ModelError as error:
                        stop = error  # once the others are booked
        left = Again("the batch expired" if status == "expired" else "the batch left it out")
        found = {key: found.get(key, left) for key in waiting}
        found |= self._booked(found, waiting, ended)
        self._book.over(batch)
        if stop:
            raise stop
        if status == "cancelled" and any(isinstance(a, Again) for a in found.values()):
            raise ModelError(
                f"{self._endpoint.name}: batch {batch.id} was cancelled at the server: what it had "
                "answered is kept, and the same command sends the rest again"
            )
        return found

    async def _ended(self, batch: Batch, count: int) -> Mapping[str, Any]:
        polls, said, shown = 0, time.monotonic(), ""
        while True:
            state = await self._files.batch(batch.id)
            status = str(state.get("status", "")).lower()
            if status in _ENDED:
                return state
            counts = state.get("request_counts")
            done = counts.get("completed", 0) if isinstance(counts, dict) else 0
            now = f"batch {batch.id}: {status.replace('_', ' ')}, {done} of {count} answered"
            if now != shown and time.monotonic() - said >= _QUIET:
                said, shown = time.monotonic(), now
                say(f"  {self._endpoint.name}: {now}")
            await asyncio.sleep(min(_LONGEST_POLL, 0.25 * 2.0**polls))
            polls += 1

    def _failed(
        self, batch: Batch, ended: Mapping[str, Any], waiting: Mapping[str, Batched]
    ) -> Found:
        """It was refused as a whole, and has cost nothing."""
        self._book.over(batch)
        errors = ended.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else errors
        first = listed[0] if isinstance(listed, list) and listed else {}
        code, message = (str(first.get(name) or "") for name in ("code", "message"))
        full = code == "token_limit_exceeded" or "nqueued token" in message
        if full and len(waiting) > FEWEST:
            self._room = len(waiting) // 2
            say(f"  {self._endpoint.name}: {message}: going on with {self._room} at a time")
            return dict.fromkeys(waiting, Again(message, busy=True))
        raise ModelError(
            f"{self._endpoint.name} refused a batch: {redact(message, self._place.secret) or code}"
        )

    def _booked(
        self, found: Found, waiting: Mapping[str, Batched], ended: Mapping[str, Any]
    ) -> dict[str, str]:
        """Puts the answers on disk; those that are there, from a reading cut short, stand."""
        stands = self._book.booked(list(found))
        new = {key: answer for key, answer in found.items() if key not in stands}
        raws = {key: raw for key, raw in new.items() if isinstance(raw, str)}
        took = seconds(ended) / max(len(raws), 1)
        calls = [self._call(key, raw, waiting[key], took) for key, raw in raws.items()]
        name = self._endpoint.name
        for key, answer in new.items():
            most = waiting[key].most
            if isinstance(answer, Again) and answer.lost and most:
                calls.append(book.lost(name, key, answer.reason, most))
        self._ledger.record_many(calls)
        return stands

    def _call(self, key: str, raw: str, asked: Batched, seconds: float) -> book.Call:
        prompt, completion = usage(raw)
        counted = prompt is not None and completion is not None
        cost = dollars(self._price, prompt or 0, completion or 0) if counted else asked.most
        return book.Call(
            key=key,
            model=self._endpoint.name,
            kind=asked.kind,
            request=asked.request,
            response=raw,
            prompt_tokens=prompt or 0,
            completion_tokens=completion or 0,
            cost=cost,
            seconds=round(seconds, 3),
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One process sends at a time: a batch without an id is then one whose sender is gone."""
        path = self._ledger.path
        lock = FileLock(path.with_name(f".{path.name}.batches.lock"), thread_local=False)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                await asyncio.sleep(0.2)
        try:
            yield
        finally:
            lock.release()
