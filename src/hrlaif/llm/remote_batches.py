"""How are many questions asked at half the price? In files, which a server answers within a day.

The interface is OpenAI's: a file is uploaded, a batch made of it, asked after until it has ended,
and its answers downloaded. They are the answers that single calls would have brought, under the
same keys. A batch goes on without us, so whoever stops, or is killed, collects it later.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, final

from filelock import FileLock, Timeout

from hrlaif.errors import BudgetReached, ModelError
from hrlaif.llm.batch_answers import Found
from hrlaif.llm.batch_book import Batch, BatchBook, Batched
from hrlaif.llm.batch_ended import Ended
from hrlaif.llm.call import lost
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.prices import dollars, in_a_batch
from hrlaif.llm.remote_files import Files, Full, Refused, Unsure
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
_SHORTEST_PAUSE, _LONGEST_PAUSE = 60.0, 600.0
"""Seconds to wait for room in a queue that holds no batch of ours."""
_WAITED_FOR: set[str] = set()
"""Tags of the batches that this process sends or waits for, in whichever thread."""


def awaits_money(ledger: Ledger) -> bool:
    """Whether calls or batches of this process, when they end, leave something of the maximum."""
    return ledger.has_set_aside or bool(_WAITED_FOR and BatchBook(ledger).tags() & _WAITED_FOR)


@final
class Batches:
    """Questions to one model that go to the server in files."""

    def __init__(
        self, endpoint: Endpoint, server: Server, ledger: Ledger, place: Place, refusals: Refusals
    ):
        self._endpoint, self._server, self._ledger = endpoint, server, ledger
        self._place, self._refusals = place, refusals
        self._book = BatchBook(ledger)
        self._files = Files(endpoint, place, refusals)
        self._price = in_a_batch(endpoint.price, endpoint.base_url)
        self._ended = Ended(self._price, self._files, self._book, place, refusals)
        self._room = _MOST_REQUESTS
        self._one_at_a_time = False
        self._pauses = 0
        self._sent_tags: set[str] = set()

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
            found |= await self._found(batch)
        return {k: a for k, a in found.items() if k in wanted and not isinstance(a, Again)}

    async def ask(self, questions: Sequence[Question]) -> dict[str, str | Unanswered]:
        """Answers to as many as the budget holds; a few that are left are for single calls.

        Those that a batch leaves open go into another. Raises ModelError where the server takes no
        batches, or where one was cancelled there.
        """
        try:
            return await self._ask(questions)
        finally:
            _WAITED_FOR.difference_update(self._sent_tags)

    async def _ask(self, questions: Sequence[Question]) -> dict[str, str | Unanswered]:
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
                awaited = awaits_money(self._ledger)
                sent, full = await self._sent(list(todo.values()))
            if not sent and not full:
                if len(todo) < FEWEST:
                    break
                if not awaited and not awaits_money(self._ledger):
                    self._say_that_they_go_singly(list(todo.values()))
                    break
                await asyncio.sleep(1.0)  # the budget is set aside for another judge
                continue
            answered = 0
            for batch in sent:
                found = await self._found(batch)
                full = max(full, sum(isinstance(a, Again) and a.busy for a in found.values()))
                answered += sum(isinstance(answer, str) for answer in found.values())
                answers |= self._final(found, tries)
            todo = {key: q for key, q in todo.items() if key not in answers}
            await self._make_room(full, answered)
        return answers

    def _say_that_they_go_singly(self, todo: list[Question]) -> None:
        fewest = sum(sorted(self._most(question) or 0.0 for question in todo)[:FEWEST])
        say(
            f"  {self._endpoint.name}: {len(todo):,} questions are asked one by one, at the price "
            f"of single calls: {FEWEST}, the fewest in a batch, could cost ${fewest:.4f}, and "
            f"--max-cost leaves ${self._ledger.left():.4f}"
        )

    def _final(self, found: Found, tries: Counter[str]) -> dict[str, str | Unanswered]:
        """The answers, and what is given up; the others go into another batch."""
        answers: dict[str, str | Unanswered] = {}
        for key, answer in found.items():
            if not isinstance(answer, Again):
                answers[key] = answer
                continue
            tries[key] += not answer.busy
            if tries[key] > self._endpoint.max_retries:
                self._refusals.failed(answer.reason)
                reason = f"{answer.reason}, in {tries[key]} batches"
                answers[key] = Unanswered(reason=reason)
        return answers

    async def _make_room(self, full: int, answered: int) -> None:
        """After a queue was too full for a batch of so many: smaller ones, one at a time."""
        if not full:
            self._room, self._pauses = min(_MOST_REQUESTS, 2 * self._room), 0
            return
        self._one_at_a_time = True
        name = self._endpoint.name
        if answered:
            return  # it was ours that filled it
        if full > FEWEST:
            self._room = max(FEWEST, full // 2)
            say(f"  {name}: the server's queue is full: going on with {self._room} at a time")
            return
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2.0 ** min(self._pauses, 4))
        self._pauses += 1
        say(f"  {name}: the server's queue is full: another try in {pause:.0f} s")
        await asyncio.sleep(pause)

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
                if parts and self._one_at_a_time:
                    break
                parts.append([])
                size = 0
            parts[-1].append(question)
            size += more
        taken = sum(map(len, parts))
        if taken < FEWEST:
            return []
        if taken < len(todo) and left < 0:
            say(f"  {taken} of {len(todo)} questions go first: more could pass --max-cost")
        return parts

    async def _sent(self, todo: list[Question]) -> tuple[list[Batch], int]:
        """The batches made of them, and how many were in the one that the queue had no room for."""
        sent: list[Batch] = []
        for part in self._parts(todo):
            what = {q.key: Batched(q.kind, q.body, self._most(q)) for q in part}
            try:
                batch = self._book.claim(self._place.address, self._endpoint.name, what)
            except BudgetReached:  # another judge was quicker
                break
            self._sent_tags.add(batch.tag)
            _WAITED_FOR.add(batch.tag)
            lines = b"".join(self._line(question.key, question.body) for question in part)
            try:
                file = await self._files.upload(f"hrlaif-{batch.tag[:8]}.jsonl", lines)
                batch = self._book.known(batch, file=file)
                id = await self._files.create(file, batch.tag, f"/v1{self._endpoint.path}")
            except Full:
                self._book.over(batch)
                return sent, len(part)
            except Refused as error:
                self._book.over(batch)
                raise ModelError(str(error)) from None
            sent.append(self._book.known(batch, id=id))
            say(f"  {self._endpoint.name}: batch {id} holds {len(part)} questions")
        return sent, 0

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
                id = await self._files.find(now.tag, now.file) if now.file else None
            except Unsure as error:
                most = sum(asked.most or 0.0 for asked in self._book.questions(now).values())
                say(f"  {error}: a batch that may have been sent is counted as lost")
                self._book.over(now, [lost(now.model, now.tag, "killed while it was sent", most)])
                return
            except Refused as error:
                raise ModelError(str(error)) from None
            if id:
                self._book.known(now, id=id)
            else:
                self._book.over(now)

    async def _found(self, batch: Batch) -> Found:
        _WAITED_FOR.add(batch.tag)
        try:
            return await self._ended.found(batch)
        except asyncio.CancelledError:
            say(
                f"  {self._endpoint.name}: batch {batch.id} goes on at the server; the same "
                "command collects it"
            )
            raise
        finally:
            _WAITED_FOR.discard(batch.tag)

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
