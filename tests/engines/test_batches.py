"""Do requests that come together wait for one answer, each for its own score?"""

import asyncio
import math
import threading

import pytest

from hrlaif.engines.batches import Batches, Busy
from hrlaif.errors import BudgetReached, ModelError
from hrlaif.llm import ledger
from hrlaif.records import Message, Prompt, Response, Score

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Hi"),))


def response(text, key="the same id"):
    return Response(prompt=PROMPT, text=text, id=key)


class Lengths:
    """The length of a text; remembers its batches."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def score(self, responses, judge):
        assert self.gate.wait(30)
        self.batches.append([r.text for r in responses])
        if any(r.text == "poor" for r in responses):
            raise BudgetReached("no money is left")
        if any(r.text == "broken" for r in responses):
            raise ZeroDivisionError("a bug")
        keys = [r.key for r in responses]
        assert len(set(keys)) == len(keys)
        return [
            Score(id=r.key, value=None if r.text == "?" else len(r.text), scorer="length")
            for r in responses
        ]


def together(reward, texts, **settings):
    async def work():
        batches = Batches(reward, None, **settings)
        async with batches.open():
            asked = [batches.score([response(text)]) for text in texts]
            found = await asyncio.gather(*asked, return_exceptions=True)
        return batches, found

    return asyncio.run(work())


def test_many_requests_are_few_batches_and_each_gets_its_own_score():
    reward = Lengths()
    texts = ["x" * (n % 7) for n in range(200)]
    batches, found = together(reward, texts)
    assert [scores[0].value for scores in found] == [len(text) for text in texts]
    assert {scores[0].id for scores in found} == {"the same id"}
    assert [len(batch) for batch in reward.batches] == [64, 64, 64, 8]
    assert batches.counts == {"scored": 200, "missing": 0, "batches": 4}


class Meeting:
    """Nobody gets a score before so many have come."""

    def __init__(self, many):
        self.all = threading.Barrier(many)

    def score(self, responses, judge):
        self.all.wait(timeout=10)
        return [Score(id=r.key, value=len(r.text), scorer="length") for r in responses]


def test_apart_each_is_asked_alone_and_all_at_once_whatever_the_number_of_processors():
    _, found = together(Meeting(40), ["x" * n for n in range(1, 41)], apart=40)
    assert [scores[0].value for scores in found] == list(range(1, 41))


def test_what_a_reward_raises_reaches_those_who_asked_and_the_next_are_answered():
    async def work():
        batches = Batches(Lengths(), None)
        async with batches.open():
            with pytest.raises(BudgetReached, match="no money"):
                await batches.score([response("poor")])
            with pytest.raises(ZeroDivisionError):
                await batches.score([response("broken")])
            (found,) = await batches.score([response("abc")])
            assert found.value == 3
            assert await batches.score([]) == []
            assert (await batches.score([response("?")]))[0].value is None
            assert batches.counts["missing"] == 1

    asyncio.run(work())


def test_a_reward_that_skips_a_response_is_an_error_and_the_next_are_answered():
    class Skips:
        def score(self, responses, judge):
            told = [r for r in responses if r.text]
            return [Score(id=r.key, value=1.0, scorer="s") for r in told]

    async def work():
        batches = Batches(Skips(), None)
        async with batches.open():
            with pytest.raises(ModelError, match="gave 1 scores of 2 responses"):
                await batches.score([response(""), response("abc")])
            assert [s.value for s in await batches.score([response("abc")])] == [1.0]

    asyncio.run(asyncio.wait_for(work(), 30))


def test_what_is_no_score_at_all_is_an_error_and_the_next_are_answered():
    class Numbers:
        def score(self, responses, judge):
            return [1.0 if r.text else Score(id=r.key, value=2.0, scorer="s") for r in responses]

    async def work():
        batches = Batches(Numbers(), None)
        async with batches.open():
            with pytest.raises(AttributeError):
                await batches.score([response("abc")])
            assert [s.value for s in await batches.score([response("")])] == [2.0]

    asyncio.run(asyncio.wait_for(work(), 30))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_missing_and_its_reason_says_so(value):
    class Broken:
        def score(self, responses, judge):
            return [
                Score(id=r.key, value=value, scorer="s", distribution={"part": value})
                for r in responses
            ]

    batches, [[score]] = together(Broken(), ["a"])
    told = (score.value, score.distribution, score.reason)
    assert told == (None, None, f"the reward is {value}")
    assert batches.counts["missing"] == 1


def test_what_nobody_waits_for_any_more_is_not_computed():
    async def work():
        reward = Lengths()
        reward.gate.clear()
        batches = Batches(reward, None)
        async with batches.open():
            first = asyncio.create_task(batches.score([response("a")]))
            while batches.waiting or not batches.counts["batches"]:
                await asyncio.sleep(0.01)
            gone, stays = (
                asyncio.create_task(batches.score([response(text)])) for text in ("gone", "abc")
            )
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            reward.gate.set()
            assert [s.value for s in [*await first, *await stays]] == [1, 3]
            assert reward.batches == [["a"], ["abc"]]

    asyncio.run(asyncio.wait_for(work(), 30))


def test_the_ledger_in_force_is_that_of_the_answers_too(tmp_path):
    class Booked:
        def score(self, responses, judge):
            assert ledger.current() is book
            return [Score(id=r.key, value=0.0, scorer="s") for r in responses]

    with ledger.Ledger(tmp_path / "l.sqlite") as book:
        _, found = together(Booked(), ["a"])
    assert found[0][0].value == 0.0


def test_too_many_are_refused_and_what_waits_is_still_answered(monkeypatch):
    monkeypatch.setattr("hrlaif.engines.batches._MOST_WAITING", 3)

    async def work():
        reward = Lengths()
        reward.gate.clear()
        batches = Batches(reward, None)
        async with batches.open():
            first = asyncio.create_task(batches.score([response("a")]))
            while batches.waiting or not batches.counts["batches"]:
                await asyncio.sleep(0.01)
            rest = asyncio.create_task(batches.score([response("b"), response("c")]))
            await asyncio.sleep(0)
            with pytest.raises(Busy, match="2 responses are waiting"):
                await batches.score([response("d"), response("e")])
            reward.gate.set()
            assert [s.value for s in [*await first, *await rest]] == [1, 1, 1]

    asyncio.run(work())
