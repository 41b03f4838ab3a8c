"""Is what a server says when it says no understood, in the words of many servers?"""

from __future__ import annotations

import pytest

from hrlaif.errors import ModelError
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_ask import _SERVERS
from hrlaif.records import Chat, Unanswered
from hrlaif.settings import Compute, using


def chats(n):
    return [Chat.user(f"question {i}") for i in range(n)]


def model(server, **settings):
    return Remote(model="m", base_url=server.url, **{"max_retries": 1, "timeout": 5, **settings})


def write(judge, asked):
    return judge.generate(asked, temperature=0.0, max_tokens=20)


def after(server, n, reply):
    """Answers the first n questions, and says this to all others."""
    server.answer = lambda body, i: server.text("fine") if i < n else reply


ACCOUNTS = [
    {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"},
    {
        "message": "Your credit balance is too low to access the Anthropic API. Please go to "
        "Plans & Billing to upgrade or purchase credits.",
        "type": "invalid_request_error",
    },
    {
        "message": "Access denied, please make sure your account is in good standing.",
        "code": "Arrearage",
    },
    {"message": "API key expired. Please renew the API key.", "code": 400},
]


@pytest.mark.parametrize("error", ACCOUNTS)
@pytest.mark.parametrize("in_a_list", [False, True])
def test_an_account_that_gives_out_with_a_400_stops_the_work_at_once(
    server, tmp_path, error, in_a_list
):
    body = {"error": error}
    after(server, 20, server.reply([body] if in_a_list else body, 400))
    with using(Compute(concurrency=4)), Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match=error["message"][:30]):
            write(model(server), chats(200))
        assert ledger.totals().calls == 20
        assert ledger.failed == 0
    assert len(server.calls) < 50
    _SERVERS.clear()  # as in another process, whose ledger holds answers
    with Ledger(tmp_path / "l.sqlite"), pytest.raises(ModelError, match="OPENAI_API_KEY"):
        write(model(server), chats(200))


def test_the_same_rejection_fifty_times_in_a_row_stops_the_work_whatever_its_words(
    server, tmp_path
):
    def answer(body, n):
        if n < 20:
            return server.text("fine")
        return server.error(400, f"non licet (request id: 20260101-abc-{n:06})")

    server.answer = answer
    with using(Compute(concurrency=4)), Ledger(tmp_path / "l.sqlite"):
        with pytest.raises(ModelError, match=r"rejected 50 questions in a row .*non licet"):
            write(model(server), chats(200))
        assert len(server.calls) < 100
        _SERVERS.clear()
        with pytest.raises(ModelError, match="non licet"):
            write(model(server), chats(200))
    assert len(server.calls) < 200


def test_rejected_questions_between_answered_ones_stop_nothing(server, tmp_path):
    def answer(body, n):
        odd = int(body["messages"][0]["content"].split()[-1]) % 2
        return server.error(400, "non licet") if odd else server.text("fine")

    server.answer = answer
    with using(Compute(concurrency=1)), Ledger(tmp_path / "l.sqlite"):
        first = write(model(server), chats(110))
        assert sum(isinstance(answer, Unanswered) for answer in first) == 55
        _SERVERS.clear()  # the same command again, in chunks, asks the rejected ones alone
        for i in range(0, 110, 10):
            write(model(server), chats(110)[i : i + 10])


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "upstream failed", "code": 502}},
        {"error": {"message": "slow down", "code": 429}},
        {"error": "busy"},
        {"object": "error", "message": "busy", "code": 50001},
        {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_an_error_inside_a_200_costs_nothing_and_is_asked_again(
    server, batches, tmp_path, error, batch
):
    asked, paid = (25, 25 * 10 / 1e6) if batch else (1, 10 / 1e6)
    told = []

    def answer(body, n):
        if "question 0" in body["messages"][0]["content"] or len(told) >= 2:
            return server.text("fine")
        told.append(n)
        return server.reply(error)

    server.answer = answer
    judge = model(server, price=(1.0, 1.0), max_retries=3)
    with using(Compute(batch=batch)), Ledger(tmp_path / "l.sqlite") as ledger:
        answers = write(judge, chats(asked + 1)[1 - batch :][:asked])
        assert [answer.text for answer in answers] == ["fine"] * asked
        assert ledger.spent() == pytest.approx(paid)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "More credits are needed", "code": 402}}, "More credits"),
        ({"error": {"message": "No auth credentials found", "code": 401}}, "OPENAI_API_KEY"),
        (
            {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient bal"
             "ance"}},
            "insufficient balance",
        ),
    ],
)  # fmt: skip
def test_an_account_that_gives_out_inside_a_200_stops_the_work_at_once(
    server, tmp_path, body, said
):
    after(server, 1, server.reply(body))
    with using(Compute(concurrency=1)), Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match=said):
            write(model(server, price=(1.0, 8.0)), chats(100))
        assert ledger.spent() == pytest.approx((7 + 3 * 8) / 1e6)


def test_an_error_beside_tokens_that_were_counted_may_have_been_paid(server, tmp_path):
    body = {"error": {"message": "broke off"}, "usage": {"completion_tokens": 9}}
    server.script(server.reply(body), server.text("fine"))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        write(model(server, price=(1000.0, 1000.0)), chats(1))
        assert ledger.spent() == pytest.approx(0.046 + 0.01)
