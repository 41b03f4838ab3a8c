"""Is a maximum cost kept, whatever is lost on the way and whoever else spends from the ledger?"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from functools import partial

import pytest

from hrlaif.errors import BudgetReached, ModelError, UsageError
from hrlaif.llm import remote_refusals
from hrlaif.llm.calls import cost_table, export, list_calls, prune
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_loop import side_by_side
from hrlaif.records import Chat
from hrlaif.settings import Compute, using

WORST = (10 + 16 + 20) / 1000
"""US dollars of a call of `write` at most: a prompt of 10 bytes, its template, 20 tokens."""


def write(server, n, *, retries=0, timeout=5.0, model="m"):
    judge = Remote(
        model=model, base_url=server.url, max_retries=retries, timeout=timeout, price=(1000, 1000)
    )
    chats = [Chat.user(f"question {i}") for i in range(n)]
    return judge.generate(chats, temperature=0.0, max_tokens=20)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"body": "{}", "delay": 3.0}, "no answer within 0.3 s"),
        ({"body": '{"choices": [{"mess'}, "the server sent a body that is not JSON"),
        ({"body": ""}, "the server sent an empty body"),
        ({"body": "timed out", "status": 504}, "the server failed (504)"),
    ],
)
def test_a_call_that_was_sent_and_lost_is_booked_at_the_most_it_can_cost(
    server, tmp_path, reply, said
):
    server.script(server.reply(**reply))
    path = tmp_path / "l.sqlite"
    with Ledger(path, stage="label") as ledger:
        write(server, 1, retries=1, timeout=0.3)
        assert ledger.totals().calls == 0
        assert ledger.spent() == pytest.approx(2 * WORST)
    (row,) = cost_table(path)
    assert (row["calls"], row["lost"], row["failures"]) == (0, 2, 1)
    assert row["cost"] == pytest.approx(2 * WORST)
    assert [row["status"] for row in list_calls(path)] == ["lost", "lost"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT response FROM calls").fetchone()[0].startswith(said)
    assert export(path, tmp_path / "calls.jsonl") == 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_call_that_the_server_says_it_did_not_answer_costs_nothing(
    server, tmp_path, status, monkeypatch
):
    monkeypatch.setattr(remote_refusals, "_PATIENCE", 0.5)
    server.script(server.reply("{}", status, retry_after="0"))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        write(server, 1)
        assert ledger.spent() == 0


def test_a_call_that_never_went_out_costs_nothing(tmp_path):
    class Nobody:
        url = "http://127.0.0.1:9/v1"

    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match="cannot be reached"):
            write(Nobody, 3)
        assert ledger.spent() == 0


def test_calls_under_way_when_the_work_is_called_off_are_booked(server, tmp_path):
    def answer(body, n):
        if "question 0" in body["messages"][0]["content"]:
            while len(server.calls) < 4:
                time.sleep(0.01)
            return server.error(401, "no")
        return server.reply("{}", delay=3.0)

    server.answer = answer
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match="refused the key"):
            write(server, 4)
        assert ledger.spent() == pytest.approx(3 * WORST)


def test_lost_calls_end_the_budget_like_any_other(server, tmp_path):
    server.script(server.reply("{}", delay=2.0))
    with (
        using(Compute(concurrency=4)),
        Ledger(tmp_path / "l.sqlite", max_cost=0.3) as ledger,
    ):
        with pytest.raises(BudgetReached):
            write(server, 10, retries=3, timeout=0.2)
        assert len(server.calls) == 6  # of 0.046 each
        assert ledger.spent() == pytest.approx(6 * WORST)


def test_what_another_process_has_set_aside_is_not_spent_twice(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path, max_cost=1.0) as one, Ledger(path, max_cost=1.0) as two:
        one.reserve(0.6)
        with pytest.raises(BudgetReached, match=r"\$0.6000 set aside for calls or batches"):
            two.reserve(0.6)
        two.reserve(0.4)
        with pytest.raises(
            BudgetReached, match=r"\$1.0000 set aside for calls or batches under way"
        ):
            two.reserve(0.1)
        one.release(0.6)
        two.reserve(0.6)
    with Ledger(path, max_cost=1.0) as ledger:
        ledger.reserve(1.0)


RESERVING = """
import sys
from hrlaif.errors import BudgetReached
from hrlaif.llm.ledger import Ledger

with Ledger(sys.argv[1], max_cost=1.0) as ledger:
    got = 0
    try:
        while True:
            ledger.reserve(0.01)
            got += 1
    except BudgetReached:
        print(got, flush=True)
    sys.stdin.read()
"""


def test_processes_at_once_get_no_more_together_than_the_maximum_and_the_killed_count_on(tmp_path):
    path = str(tmp_path / "l.sqlite")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    each = [subprocess.Popen([sys.executable, "-c", RESERVING, path], **pipes) for _ in range(3)]
    got = [int(process.stdout.readline()) for process in each]
    assert sum(got) == pytest.approx(100, abs=1)
    for process in each:
        process.kill()
        process.communicate()
    with Ledger(path, max_cost=1.5) as ledger:
        ledger.reserve(0.4)
        with pytest.raises(BudgetReached, match="set aside for calls or batches"):
            ledger.reserve(0.4)


def test_an_hour_later_what_a_killed_process_had_set_aside_is_booked_as_lost(tmp_path):
    path = tmp_path / "l.sqlite"
    killed = Ledger(path, stage="label", max_cost=1.0)
    killed.__enter__().reserve(0.3)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE reserved SET at = at - 3601")
        db.commit()
    with Ledger(path, max_cost=1.0) as ledger:
        assert ledger.spent() == pytest.approx(0.3)
        with pytest.raises(BudgetReached):
            ledger.reserve(0.8)
    (row,) = cost_table(path)
    assert (row["stage"], row["lost"], row["calls"]) == ("label", 1, 0)
    assert prune(path, older_than=timedelta(days=-1)) == 1
    killed.__exit__()


def beside(server, first, second):
    """What two models come to, asked so many questions: the other once the one is under way."""
    with side_by_side(2) as submit:
        one = submit(write, server, first)
        while len(server.calls) < first:
            time.sleep(0.01)
        return one, submit(partial(write, server, second, model="k"))


@pytest.mark.parametrize("second", [2, 40])
def test_money_that_another_thread_has_set_aside_is_waited_for_and_no_more_is_spent(
    server, tmp_path, second
):
    def answer(body, n):
        return server.reply(server.text("fine").body, delay=1.0 if body["model"] == "m" else 0.0)

    server.answer = answer
    with using(Compute(concurrency=4)), Ledger(tmp_path / "l.sqlite", max_cost=4 * WORST) as ledger:
        one, other = beside(server, 4, second)
        assert [answer.text for answer in one.result()] == ["fine"] * 4
        if second == 2:
            assert [answer.text for answer in other.result()] == ["fine"] * 2
        else:
            with pytest.raises(BudgetReached):
                other.result()
        assert 0.06 <= ledger.spent() + 1e-9 <= 4 * WORST
        assert not ledger.has_set_aside


@pytest.mark.parametrize("most", [float("nan"), float("inf"), -1.0])
def test_a_maximum_that_bounds_nothing_is_refused(tmp_path, most):
    with pytest.raises(UsageError, match=r"a maximum cost of .* is none"):
        Ledger(tmp_path / "l.sqlite", max_cost=most)
    with pytest.raises(UsageError, match="max_cost: input should be"):
        Compute.parse({"max_cost": most})
