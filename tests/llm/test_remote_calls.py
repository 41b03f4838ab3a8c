"""What becomes of calls to a server that is slow, broken, strict, or gone?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hrlaif.errors import BudgetReached, ModelError, UsageError
from hrlaif.llm import prices
from hrlaif.llm.calls import cost_table
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_ask import _SERVERS
from hrlaif.llm.remote_key import key_for, redact
from hrlaif.llm.remote_server import backoff, retry_after
from hrlaif.records import Chat, Unanswered
from hrlaif.settings import Compute, using


def chats(n):
    return [Chat.user(f"question {i}") for i in range(n)]


def model(server, **settings):
    return Remote(model="m", base_url=server.url, **{"max_retries": 1, "timeout": 5, **settings})


def write(judge, asked, *, temperature=0.0):
    return judge.generate(asked, temperature=temperature, max_tokens=20)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html><body>502</body></html>", 200),
        ('{"choices": [{"mess', 200),
        ("", 200),
        ('{"choices": []}', 200),
        ('{"error": {"message": "overloaded"}}', 200),
        ('{"error": {"message": "boom"}}', 500),
        ("upstream timed out", 504),
    ],
)
def test_a_body_that_is_no_answer_is_asked_again(server, body, status):
    server.script(server.reply(body, status), server.text("fine"))
    assert write(model(server), chats(1))[0].text == "fine"
    assert len(server.calls) == 2


def test_when_the_tries_are_spent_the_row_is_unanswered_and_the_others_are_not(server, tmp_path):
    def answer(body, n):
        lost = "question 1" in body["messages"][0]["content"]
        return server.error(500, "boom") if lost else server.text("fine")

    server.answer = answer
    with Ledger(tmp_path / "l.sqlite") as ledger:
        answers = write(model(server), chats(3))
        assert ledger.totals().calls == 2
        assert ledger.failed == 1
        assert answers[1] == Unanswered(reason="the server failed (500): boom, in 2 tries")
        assert [a.text for a in (answers[0], answers[2])] == ["fine", "fine"]
        server.script(server.text("late"))
        assert write(model(server), chats(3))[1].text == "late"


def test_retry_after_is_waited_for(server):
    server.script(server.reply("{}", 429, retry_after="1"), server.text("fine"))
    begun = time.monotonic()
    assert write(model(server), chats(1))[0].text == "fine"
    assert time.monotonic() - begun >= 1.0


def test_retry_after_is_read_as_seconds_or_date_and_bounded():
    in_20_s = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    a_week = str(7 * 24 * 3600)
    assert retry_after(in_20_s) == pytest.approx(20, abs=2)
    asked = [retry_after(h) for h in ("7", a_week, "-5", "nan", "soon", None)]
    assert asked == [7.0, 60.0, None, None, None, None]


@pytest.mark.parametrize("wait", ["0", "Wed, 01 Jan 2020 00:00:00 GMT"])
def test_a_wait_of_nothing_is_as_long_as_where_the_server_says_none(server, wait):
    reply = server.reply("{}", 503, retry_after=wait)
    server.script(reply, reply, reply, server.text("fine"))
    begun = time.monotonic()
    assert write(model(server, max_retries=3), chats(1))[0].text == "fine"
    assert time.monotonic() - begun >= (0.5 + 1.0 + 2.0) / 2
    assert backoff(10**6) <= 60.0


def test_a_storm_of_429_shrinks_the_calls_at_once_and_loses_no_row(server):
    def answer(body, n):
        busy = server._at_once > 2
        reply = server.reply("{}", 429, retry_after="0.2") if busy else server.text("fine")
        reply.delay = 0.02
        return reply

    server.answer = answer
    with using(Compute(concurrency=16)):
        answers = write(model(server, max_retries=8), chats(24))
    assert [a.text for a in answers] == ["fine"] * 24
    assert len(server.calls) < 96


@pytest.mark.parametrize("batch", [False, True])
def test_a_command_that_has_only_refused_questions_left_is_no_bad_server(
    server, batches, tmp_path, batch
):
    n, refused = (60, 30) if batch else (6, 2)

    def answer(body, _):
        asked = body["messages"][-1]["content"]
        odd = int(asked.split()[-1]) >= n - refused
        return server.error(400, "odd") if odd else server.text("fine")

    server.answer = answer
    with using(Compute(batch=batch)), Ledger(tmp_path / "l.sqlite"):
        first = write(model(server), chats(n))
        _SERVERS.clear()  # as in another process
        assert write(model(server), chats(n)) == first
    reason = "the server rejected the request (400): odd"
    assert first[n - refused :] == [Unanswered(reason=reason)] * refused
    assert [a.text for a in first[: n - refused]] == ["fine"] * (n - refused)


def test_a_prompt_that_openai_flags_is_filtered(server):
    flagged = "Invalid prompt: your prompt was flagged as potentially violating our usage policy."
    server.answer = lambda body, n: server.error(400, flagged, code="invalid_prompt")
    reason = "refused by the server's content filter"
    assert write(model(server), chats(2)) == [Unanswered(reason=reason)] * 2


FLAGGED = 'The model requires moderation. Your input was flagged for "violence".'


def test_an_input_that_a_gateway_flags_with_a_403_is_filtered_and_the_others_are_not(server):
    def answer(body, n):
        odd = "question 1" in body["messages"][0]["content"]
        return server.error(403, FLAGGED, code=403) if odd else server.text("fine")

    server.answer = answer
    answers = write(model(server), chats(3))
    assert answers[1] == Unanswered(reason="refused by the server's content filter")
    assert [a.text for a in (answers[0], answers[2])] == ["fine", "fine"]


def test_an_input_that_xai_stops_is_filtered_and_the_key_is_not_blamed(server):
    said = (
        "Content violates usage guidelines. Team: t-1, API key ID: k-1, Model: grok-4-0709, "
        "Failed check: SAFETY_CHECK_TYPE_BIO"
    )
    body = {"code": "The caller does not have permission to execute it", "error": said}
    server.answer = lambda asked, n: (
        server.reply(body, 403)
        if "question 1" in asked["messages"][0]["content"]
        else server.text("fine")
    )
    answers = write(model(server), chats(3))
    assert answers[1] == Unanswered(reason="refused by the server's content filter")
    assert [a.text for a in (answers[0], answers[2])] == ["fine", "fine"]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "This key may not use the model"}},
        {"error": {"message": "Your account was flagged for unusual activity"}},
        "<html>Blocked by the content filter of this network</html>",
    ],
)
def test_a_403_that_is_about_no_input_stops_the_run(server, body):
    server.script(server.reply(body, 403))
    with pytest.raises(ModelError, match="refused the key"):
        write(model(server), chats(3))


def test_a_slow_server_is_given_up_after_the_timeout(server):
    server.script(server.reply("{}", delay=5.0))
    begun = time.monotonic()
    answer = write(model(server, timeout=0.1, max_retries=1), chats(1))[0]
    assert answer == Unanswered(reason="no answer within 0.1 s, in 2 tries")
    assert time.monotonic() - begun < 4.0


def test_an_unreachable_server_stops_the_run_in_bounded_time():
    judge = Remote(model="m", base_url="http://127.0.0.1:9/v1", max_retries=1)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"cannot be reached at .* is the server running"):
        write(judge, chats(500))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("status", "move"),
    [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "is the model among"), (402, "402")],
)
def test_a_refused_key_or_model_stops_at_once(server, status, move):
    server.script(server.error(status, "no"))
    with pytest.raises(ModelError, match=move):
        write(model(server), chats(1))
    assert len(server.calls) == 1


def test_a_spent_quota_is_not_retried(server):
    server.script(server.error(429, "You exceeded your quota", code="insufficient_quota"))
    with pytest.raises(ModelError, match="exceeded your quota"):
        write(model(server), chats(1))
    assert len(server.calls) == 1


def test_a_redirect_is_not_followed_with_the_key(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    server.script(server.reply("", 307, location="http://127.0.0.2:1/v1"))
    with pytest.raises(ModelError, match=r"redirects to http://127.0.0.2:1/v1: if you trust it"):
        write(model(server), chats(1))
    assert server.keys == ["Bearer sk-secret-0123456789"]


def test_the_key_is_in_no_error_and_in_no_ledger(server, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-0123456789")
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        server.script(server.text("your key is hush-0123456789"))
        assert write(model(server), chats(1))[0].text == "your key is ***"
        server.script(server.error(401, "bad key hush-0123456789"))
        with pytest.raises(ModelError) as caught:
            write(model(server), [Chat.user("b")])
        assert "hush" not in str(caught.value)
        assert ledger.totals().calls == 1
    files = [file.read_bytes() for file in tmp_path.iterdir()]
    assert not any(b"hush" in content for content in files)
    assert redact("Bearer abcdefghijk and sk-abcdefghijk", "") == "Bearer *** and sk-***"


def test_a_key_over_plain_http_to_another_machine_is_warned_of(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-0123456789")
    key_for("http://example.org/v1")
    assert "travels unencrypted" in capsys.readouterr().err
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        key_for(prices.OPENAI)


@pytest.mark.parametrize("key", ["“sk-0123456789”", "sk-01234\u200b56789", "sk-0123\n456789"])
def test_a_key_that_can_be_none_is_named_and_not_shown(server, monkeypatch, key):
    monkeypatch.setenv("OTHER_KEY", key)
    with pytest.raises(ModelError, match="OTHER_KEY holds characters that no key has") as told:
        write(model(server, key_variable="OTHER_KEY"), chats(1))
    assert "01234" not in str(told.value)
    assert not server.calls


@pytest.mark.parametrize(
    ("proxy", "move"),
    [
        ("socks5://me:hush@127.0.0.1:7890", "pip install socksio"),
        ("socks://me:hush@127.0.0.1:7890", "give http://HOST:PORT"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_with_the_move(monkeypatch, proxy, move):
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setitem(sys.modules, "socksio", None)
    judge = Remote(model="m", base_url="https://x.invalid/v1", max_retries=0)
    with pytest.raises(ModelError, match=f"proxy in ALL_PROXY, .* cannot be used .*{move}") as told:
        write(judge, chats(1))
    assert "hush" not in str(told.value)


def test_a_local_server_gets_a_dummy_key(server):
    write(model(server), chats(1))
    assert server.keys == ["Bearer none"]


def test_an_address_with_a_password_is_refused():
    with pytest.raises(UsageError, match="holds a password"):
        Remote.parse({"model": "m", "base_url": "https://me:pw@example.org/v1"})


def test_it_works_inside_a_running_loop(server):
    async def notebook():
        return write(model(server), chats(2))

    assert [a.text for a in asyncio.run(notebook())] == ["1", "1"]


def test_a_lone_surrogate_in_a_prompt_is_no_crash(server, tmp_path):
    with Ledger(tmp_path / "l.sqlite"):
        assert write(model(server), [Chat.user("broken \ud83d emoji")])[0].text == "1"


def test_the_budget_is_never_exceeded_and_what_was_bought_is_kept(server, tmp_path):
    judge = model(server, price=(1000.0, 1000.0))
    with (
        using(Compute(concurrency=8)),
        Ledger(tmp_path / "l.sqlite", max_cost=0.2) as ledger,
        pytest.raises(BudgetReached, match="higher --max-cost"),
    ):
        write(judge, chats(100))
    with Ledger(tmp_path / "l.sqlite", max_cost=None) as ledger:
        # A call costs (7 + 3) / 1000 = 0.01, and at most (10 + 16 + 20) / 1000 = 0.046 or so.
        assert 0.14 < ledger.totals().cost <= 0.2
        paid = ledger.totals().calls
        write(judge, chats(100))
    assert len(server.calls) == 100
    assert ledger.hits == paid


def test_an_unknown_price_is_not_zero(server, tmp_path):
    judge = Remote(model="m", base_url="http://example.invalid/v1")
    with (
        Ledger(tmp_path / "l.sqlite", max_cost=1.0),
        pytest.raises(UsageError, match="price of this model is not known"),
    ):
        write(judge, chats(1))


def test_a_maximum_cost_without_a_ledger_is_refused(server):
    with using(Compute(max_cost=1.0)), pytest.raises(UsageError, match="needs a ledger"):
        write(model(server), chats(1))


@pytest.mark.parametrize("price", [[-100, 1], [1, -0.01], ["nan", 1], [1, "inf"], [1]])
def test_a_price_is_two_numbers_of_zero_or_more(price):
    with pytest.raises(UsageError, match="price"):
        Remote.parse({"model": "m", "price": price})
    assert Remote.parse({"model": "m", "price": [0, 2.5]}).price == (0, 2.5)


def test_prices_are_per_million_zero_here_and_unknown_elsewhere():
    mini = prices.price("gpt-4o-mini")
    assert prices.dollars(mini, 1_000_000, 100_000) == pytest.approx(0.15 + 0.06)
    assert prices.price("gpt-4o-2024-08-06") == (2.5, 10.0)
    assert prices.price("gpt-4o-2024-05-13") == (5.0, 15.0)  # dearer than later builds
    assert prices.price("gpt-4o", "https://example.org/v1") is None
    assert prices.dollars(None, 5, 5) is None
    assert prices.price("anything", "http://[::1]:8000/v1") == (0.0, 0.0)


KILLED = """
import sys
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.records import Chat
from hrlaif.settings import Compute, using

with using(Compute(concurrency=4)), Ledger(sys.argv[2], stage="label") as ledger:
    judge = Remote(model="m", base_url=sys.argv[1])
    chats = [Chat.user(f"question {i}") for i in range(40)]
    answers = judge.generate(chats, temperature=0, max_tokens=5)
    print(len(answers), ledger.hits)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_only_calls_under_way_are_made_again(server, tmp_path, how):
    def answer(body, n):
        reply = server.text("fine")
        reply.delay = 0.05
        return reply

    server.answer = answer
    command = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "l.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(server.calls) < 14:
            time.sleep(0.005)
        os.kill(process.pid, how)
        process.wait(timeout=5)
    before = len(server.calls)
    assert before < 30
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    found = int(again.stdout.split()[1])
    lost = 0 if how == signal.SIGINT else 4  # Ctrl-C waits for those under way
    assert found >= before - lost
    times = Counter(json.dumps(call["messages"]) for call in server.calls)
    assert len(times) == 40
    assert sum(count - 1 for count in times.values()) <= lost


def test_where_the_budget_ends_no_call_under_way_is_called_off(server, tmp_path):
    def answer(body, n):
        reply = server.text("fine")
        reply.delay = 0.02
        return reply

    server.answer = answer
    asked = [
        Chat.user("x" * (10 + 37 * i % 400)) for i in range(60)
    ]  # some fit where others do not
    judge = model(server, price=(100.0, 100.0))
    with Ledger(tmp_path / "l.sqlite", max_cost=0.05) as ledger:
        for _ in range(3):
            with pytest.raises(BudgetReached):
                write(judge, asked)
        assert [row["lost"] for row in cost_table(ledger.path)] == [0]
        assert ledger.totals().calls == len(server.calls)


def test_a_server_that_asks_for_patience_while_it_answers_others_costs_no_verdict(server, capsys):
    """Two answers at a time, each for a tenth of a second: all others are told 429, without end."""
    busy = []

    def answer(body, n):
        if len(busy) >= 2:
            return server.reply("{}", 429)
        busy.append(n)
        time.sleep(0.1)
        busy.remove(n)
        return server.text("fine")

    server.answer = answer
    with using(Compute(concurrency=16)):
        answers = write(model(server, max_retries=0), chats(40))
    assert [a.text for a in answers] == ["fine"] * 40
    assert capsys.readouterr().err.count("too many requests (429)") == 1


def test_fifty_failures_in_a_row_stop_the_work(server):
    server.answer = lambda body, n: server.error(500, "boom")
    with pytest.raises(ModelError, match=r"none of [56][0-9] questions in a row .*boom"):
        write(model(server, max_retries=0), chats(500))
    assert len(server.calls) < 100
