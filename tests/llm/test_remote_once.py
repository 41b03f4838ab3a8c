"""Is a question that is under way waited for by whoever asks it too, and paid once?"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from hrlaif.errors import ModelError
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_once import once
from hrlaif.records import Chat, Unanswered


def judge_of(server, **settings):
    return Remote(model="m", base_url=server.url, **{"max_retries": 0, "timeout": 5, **settings})


def write(judge):
    return judge.generate([Chat.user("the same")], temperature=0.0, max_tokens=20)[0]


def at_once(work, n):
    """As a service asks: each question by itself, in a thread of its own."""
    how = copy_context()
    with ThreadPoolExecutor(n) as threads:
        asked = [threads.submit(how.copy().run, work) for _ in range(n)]
        return [one.result() for one in asked]


def slowly(server, *replies):
    for reply in replies:
        reply.delay = 0.3
    server.script(*replies)


@pytest.mark.parametrize("kept", [True, False])
def test_the_same_question_from_many_threads_is_sent_once(server, tmp_path, kept):
    slowly(server, server.text("fine"))
    judge = judge_of(server)
    if kept:
        with Ledger(tmp_path / "l.sqlite") as ledger:
            answers = at_once(lambda: write(judge), 12)
            assert (ledger.hits, ledger.used.calls) == (11, 12)
    else:
        answers = at_once(lambda: write(judge), 12)
    assert [a.text for a in answers] == ["fine"] * 12
    assert len(server.calls) == 1


def test_where_the_first_gets_no_answer_another_asks_once_for_all_who_waited(server):
    slowly(server, server.error(500, "boom"), server.text("fine"))
    answers = at_once(lambda: write(judge_of(server)), 8)
    assert [getattr(a, "text", None) for a in answers].count("fine") == 7
    assert len(server.calls) == 2


def test_a_server_that_stays_broken_is_asked_twice_and_not_by_each_in_turn(server):
    slowly(server, server.error(500, "boom"))
    begun = time.monotonic()
    answers = at_once(lambda: write(judge_of(server)), 8)
    assert {a.reason for a in answers} == {"the server failed (500): boom, in 1 tries"}
    assert len(server.calls) == 2
    assert time.monotonic() - begun < 3


def test_what_the_first_raises_is_its_own_and_the_others_ask(server):
    slowly(server, server.error(401, "no"), server.text("fine"))

    def work():
        try:
            return write(judge_of(server)).text
        except ModelError:
            return "refused"

    assert sorted(at_once(work, 4)) == ["fine", "fine", "fine", "refused"]
    assert len(server.calls) == 2


def test_who_stops_waiting_does_not_end_the_call_and_who_is_called_off_wakes_the_others():
    begun, go_on = threading.Event(), threading.Event()

    async def slow():
        begun.set()
        await asyncio.to_thread(go_on.wait)
        return "first"

    async def quick():
        return "second"

    async def impatient():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(once(("", "k"), quick), 0.05)

    async def called_off():
        task = asyncio.create_task(once(("", "j"), asyncio.Event().wait))
        await asyncio.sleep(0)
        waits = asyncio.create_task(once(("", "j"), quick))
        await asyncio.sleep(0)
        task.cancel()
        return await waits

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(asyncio.run, once(("", "k"), slow))
        begun.wait()
        asyncio.run(impatient())
        go_on.set()
        assert first.result() == ("first", True)
    assert asyncio.run(called_off()) == ("second", True)


def test_no_answer_to_a_call_that_began_while_one_waited_is_taken_as_it_is():
    async def work():
        counts = []

        async def lost():
            counts.append(1)
            await asyncio.sleep(0.02)
            return Unanswered(reason=f"{len(counts)}")

        return await asyncio.gather(*(once(("", "k"), lost) for _ in range(20))), len(counts)

    found, asked = asyncio.run(work())
    assert asked == 2
    assert [answer.reason for answer, _ in found] == ["1"] + ["2"] * 19
