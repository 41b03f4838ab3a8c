"""Is what a server says when it says no understood, in the words of many servers?"""

from __future__ import annotations

import json

import pytest

from hrlaif.errors import ModelError
from hrlaif.llm import remote_refusals
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
        with pytest.raises(ModelError, match=r"rejected 5[0-3] questions in a row .*non licet"):
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


def behind(server, said):
    """OpenRouter's error for one of a provider behind it."""
    error = {
        "message": "Provider returned error",
        "code": 400,
        "metadata": {"raw": said, "provider_name": "X"},
    }
    return server.reply({"error": error}, 400)


def test_log_probabilities_that_a_provider_behind_a_gateway_refuses_lead_to_votes(server):
    said = json.dumps({"error": {"message": "logprobs is not supported with this model"}})
    server.answer = lambda body, n: behind(server, said) if "logprobs" in body else server.text("1")
    found = model(server, votes=1).choose(chats(12), ["1", "2"])
    assert {choice.source for choice in found} == {"hard"}
    assert sum("logprobs" in call for call in server.calls) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("This model's maximum context length is 8 tokens", "too long for the model's context"),
        (
            "non licet",
            "the server rejected the request (400): Provider returned error: non licet",
        ),
        (
            json.dumps({"error": {"message": "no", "code": "content_filter"}}),
            "refused by the server's content filter",
        ),
        (
            json.dumps({"object": "error", "message": "no", "code": 400}),
            "the server rejected the request (400): Provider returned error: no",
        ),
    ],
)
def test_what_a_provider_behind_a_gateway_says_is_the_reason(server, said, reason):
    server.script(behind(server, said))
    assert write(model(server), chats(1)) == [Unanswered(reason=reason)]


@pytest.mark.parametrize(
    "error",
    [
        {
            "message": "Content Exists Risk",
            "type": "invalid_request_error",
            "code": "invalid_request_error",
        },
        {
            "message": "Input data may contain inappropriate content.",
            "code": "data_inspection_failed",
        },
        {"message": "The request was rejected, considered high risk", "type": "content_filter"},
        {"message": "系统检测到输入或生成内容可能包含不安全或敏感内容", "code": "1301"},
    ],
)
def test_filtered_questions_at_the_head_of_a_file_do_not_stop_the_work(server, error):
    def answer(body, n):
        harmful = int(body["messages"][0]["content"].split()[-1]) < 11
        return server.reply({"error": error}, 400) if harmful else server.text("1")

    server.answer = answer
    found = model(server, votes=1).choose(chats(21), ["1", "2"])
    assert found[:11] == [Unanswered(reason="refused by the server's content filter")] * 11
    assert {choice.source for choice in found[11:]} == {"hard"}


@pytest.mark.parametrize("begin", ["", "Provider returned error: "])
def test_more_tokens_than_the_server_writes_for_anybody_are_not_called_too_long(server, begin):
    said = (
        f"{begin}`max_tokens` must be less than or equal to `8192`, the maximum value for "
        "`max_tokens` is less than the `context_window` for this model"
    )
    server.answer = lambda body, n: (
        server.error(400, said, param="max_tokens")
        if body["max_tokens"] > 8192
        else server.text("1")
    )
    with pytest.raises(ModelError, match=r"rejected .*max_tokens.* must be .*8192"):
        model(server, votes=1, vote_tokens=10_000).choose(chats(200), ["1", "2"])
    assert sum(call["max_tokens"] > 8192 for call in server.calls) < 100


SPENT = [
    {"message": "您的账户已欠费，请充值后重试", "code": "1113"},
    {"message": "Your account is suspended", "type": "exceeded_current_quota_error"},
    {"message": "No more today", "type": "insufficient_quota", "code": None},
]


@pytest.mark.parametrize("error", SPENT)
@pytest.mark.parametrize("batch", [False, True])
def test_a_429_of_an_account_without_money_stops_the_work_at_once(
    server, batches, tmp_path, error, batch
):
    spent = server.reply({"error": error}, 429)
    server.answer = lambda body, n: (
        server.text("fine") if _asked(body) in ("question 0", "question 2") else spent
    )
    with using(Compute(batch=batch, concurrency=1)), Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match=error["message"]):
            write(model(server), chats(30))
        assert 1 + batch <= ledger.totals().calls <= 2
    assert len(server.calls) <= 30


def _asked(body):
    return body["messages"][-1]["content"]


def test_what_a_429_says_is_told_and_a_quota_of_a_minute_is_waited_for(server, monkeypatch, capsys):
    monkeypatch.setattr(remote_refusals, "_PATIENCE", 0.1)
    said = "You exceeded your current quota, please check your plan and billing details. Per minute"
    server.script(server.error(429, said, code=429), server.text("fine"))
    assert write(model(server), chats(1))[0].text == "fine"
    assert f"too many requests (429): {said[:40]}" in capsys.readouterr().err
    server.script(server.error(429, said, code=429))
    (answer,) = write(model(server, max_retries=0), [Chat.user("another")])
    assert answer.reason.startswith(f"too many requests (429): {said}, in ")
