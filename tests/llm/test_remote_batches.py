"""Are many questions asked in batches, once each, whatever becomes of a batch or a process?"""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

import pytest

from hrlaif.errors import BudgetReached, ModelError, UsageError
from hrlaif.labeling import Pairwise, Panel
from hrlaif.llm import batch_ended, prices
from hrlaif.llm.batch_book import BatchBook, Batched
from hrlaif.llm.call import Call
from hrlaif.llm.calls import batches as list_batches
from hrlaif.llm.calls import list_calls
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_batches import FEWEST
from hrlaif.llm.remote_loop import side_by_side
from hrlaif.llm.scripted import Scripted
from hrlaif.protocols import pairs_at_once
from hrlaif.records import Chat, Unanswered
from hrlaif.settings import Compute, using

N = 30


@pytest.fixture(autouse=True)
def _in_batches():
    with using(Compute(batch=True)):
        yield


def chats(n=N, about="question"):
    return [Chat.user(f"{about} {i}") for i in range(n)]


def model(server, **settings):
    known = {"model": "m", "max_retries": 2, "timeout": 5}
    return Remote(base_url=server.url, **{**known, **settings})


def write(judge, asked):
    return judge.generate(asked, temperature=0.0, max_tokens=20)


def texts(answers):
    return [getattr(answer, "text", answer) for answer in answers]


WANTED = [f"to question {i}" for i in range(N)]


def test_one_question_goes_ahead_and_the_others_in_one_file(server, batches, tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert texts(write(model(server), chats())) == WANTED
        assert len(server.calls) == 1
        assert len(batches.made) == 1
        assert len(batches.lines()) == N - 1
        assert ledger.totals().calls == N
        assert (ledger.hits, ledger.used.calls) == (0, N)
        assert batches.made[0]["endpoint"] == "/v1/chat/completions"


def test_answers_are_found_again_by_single_calls(server, batches, tmp_path):
    with Ledger(tmp_path / "l.sqlite"):
        write(model(server), chats())
        with using(Compute(batch=False)):
            assert texts(write(model(server), chats())) == WANTED
    assert len(server.calls) == 1
    assert len(batches.made) == 1


def test_few_questions_are_asked_at_once(server, batches, tmp_path):
    with Ledger(tmp_path / "l.sqlite"):
        write(model(server), chats(FEWEST - 1))
    assert len(server.calls) == FEWEST - 1
    assert not batches.made


def test_labels_come_with_their_probabilities(server, batches, tmp_path):
    server.answer = lambda body, n: server.top({"1": 0.75, "2": 0.25})
    with Ledger(tmp_path / "l.sqlite"):
        found = model(server).choose(chats(), ["1", "2"])
    assert [f.probabilities[0] for f in found] == [pytest.approx(0.75)] * N
    assert {f.source for f in found} == {"logprobs"}
    assert len(batches.made) == 1


def test_where_there_are_no_log_probabilities_the_votes_go_in_a_batch_too(
    server, batches, tmp_path
):
    server.answer = lambda body, n: server.text("2")
    with Ledger(tmp_path / "l.sqlite"):
        found = model(server, votes=3).choose(chats(), ["1", "2"])
    assert {f.source for f in found} == {"votes"}
    # One tells that there are none, ten votes that votes say something, and all others go in one.
    assert len(server.calls) == 1 + 10
    assert [len(batches.lines(i)) for i in range(len(batches.made))] == [3 * N - 10]


def test_where_log_probabilities_are_forbidden_the_votes_go_in_a_batch_too(
    server, batches, tmp_path
):
    forbidden = "You are not allowed to request logprobs from this model"
    server.answer = lambda body, n: (
        server.error(403, forbidden) if "logprobs" in body else server.text("2")
    )
    with Ledger(tmp_path / "l.sqlite"):
        found = model(server, votes=3).choose(chats(), ["1", "2"])
    assert {f.source for f in found} == {"votes"}
    assert len(server.calls) == 1 + 10
    assert [len(batches.lines(i)) for i in range(len(batches.made))] == [3 * N - 10]


def test_without_a_ledger_a_batch_could_be_lost_so_none_is_sent(server, batches):
    with pytest.raises(UsageError, match="batches need a ledger"):
        write(model(server), chats())


def test_a_server_without_batches_is_named_with_the_way_out(server, tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match=r"/files is not there \(404\): without --batch"):
            write(model(server), chats())
        assert BatchBook(ledger).under_way(["x"]) == []
        with using(Compute(batch=False)):
            assert len(write(model(server), chats())) == N


def test_a_line_that_was_refused_is_unanswered_and_the_others_are_not(server, batches, tmp_path):
    def answer(body, n):
        asked = body["messages"][-1]["content"]
        if asked == "question 7":
            return server.error(400, "filtered", code="content_filter")
        return server.text(f"to {asked}")

    server.answer = answer
    with Ledger(tmp_path / "l.sqlite") as ledger:
        found = texts(write(model(server), chats()))
        assert found[7] == Unanswered(reason="refused by the server's content filter")
        assert found[:7] + found[8:] == WANTED[:7] + WANTED[8:]
        assert ledger.failed == 1
    assert len(batches.made) == 1


def test_a_model_that_is_gone_stops_the_work_and_keeps_what_it_answered(server, batches, tmp_path):
    def answer(body, n):
        asked = body["messages"][-1]["content"]
        gone = int(asked.split()[-1]) >= 20
        return server.error(404, "no such model") if gone else server.text(f"to {asked}")

    server.answer = answer
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match="was not found: is the model among"):
            write(model(server), chats())
        assert ledger.totals().calls == 20
    assert list_batches(tmp_path / "l.sqlite") == []


def test_what_another_process_collected_meanwhile_is_not_sent_again(server, batches, tmp_path):
    batches.polls_before_the_end = 3
    path, judge = tmp_path / "l.sqlite", model(server)

    def one(_):
        with using(Compute(batch=True)), Ledger(path):
            return texts(write(judge, chats()))

    with Ledger(path):
        write(judge, chats(1))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [WANTED] * 4
    assert [len(batches.lines(i)) for i in range(len(batches.made))] == [N - 1]
    with Ledger(path) as ledger:
        assert ledger.totals().calls == N


def test_lines_that_failed_or_came_late_go_into_another_batch(server, batches, tmp_path):
    def answer(body, n):
        batches.answered, batches.status = 1.0, "completed"  # from the second batch on
        return server.text(f"to {body['messages'][-1]['content']}")

    with Ledger(tmp_path / "l.sqlite") as ledger:
        write(model(server), chats(1))
        batches.answered, batches.status, server.answer = 0.25, "expired", answer
        assert texts(write(model(server), chats())) == WANTED
        assert ledger.totals().calls == N
    assert [len(batches.lines(i)) for i in range(2)] == [N - 1, 22]


def test_a_few_that_a_batch_left_are_asked_at_once(server, batches, tmp_path):
    batches.answered, batches.status = 0.9, "expired"
    with Ledger(tmp_path / "l.sqlite"):
        assert texts(write(model(server), chats())) == WANTED
    assert (len(batches.made), len(server.calls)) == (1, 1 + 3)


def test_what_no_batch_answers_is_given_up_and_asked_again_by_the_next_command(
    server, batches, tmp_path
):
    batches.answered, batches.status = 0.5, "expired"
    with Ledger(tmp_path / "l.sqlite") as ledger:
        found = write(model(server, max_retries=0), chats())
        silent = [f for f in found if isinstance(f, Unanswered)]
        assert len(silent) == 15
        assert silent[0].reason.startswith("no answer in the batch: This request could not be")
        assert ledger.failed == 15
        batches.answered = 1.0
        assert texts(write(model(server), chats())) == WANTED


def test_a_full_queue_halves_the_batches(server, batches, tmp_path, capsys):
    batches.room = 40
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert texts(write(model(server), chats(100))) == [f"to question {i}" for i in range(100)]
        assert ledger.totals().calls == 100
    assert "the server's queue is full: going on with 49 at a time" in capsys.readouterr().err
    assert (
        sum(len(batches.lines(i)) for i, b in enumerate(batches.made) if "output_file_id" in b) > 80
    )


def test_too_many_batches_429_halve_them_too(server, batches, tmp_path):
    create = batches._create

    def strict(body):
        lines = batches.files[body["input_file_id"]].count("\n")
        return create(body) if lines <= 40 else server.error(429, "too many")

    batches._create = strict
    with Ledger(tmp_path / "l.sqlite"):
        assert texts(write(model(server), chats(100))) == [f"to question {i}" for i in range(100)]


@pytest.mark.parametrize(
    "errors",
    [
        {"data": [{"code": "billing_hard_limit_reached", "message": "Billing hard limit"}]},
        ["Billing hard limit"],
        {"data": ["Billing hard limit"]},
        "Billing hard limit",
    ],
)
def test_a_batch_that_is_refused_stops_the_work_and_keeps_nothing_back(
    server, batches, tmp_path, errors
):
    batches.refusal = errors
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match="refused a batch: Billing hard limit"):
            write(model(server), chats())
        batches.refusal = None
        assert texts(write(model(server), chats())) == WANTED
        assert ledger.totals().calls == N


def test_a_cancelled_batch_keeps_what_it_answered(server, batches, tmp_path):
    batches.status, batches.answered = "cancelled", 0.5
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(ModelError, match="batch batch_0 was cancelled at the server"):
            write(model(server), chats())
        assert ledger.totals().calls == 15
        batches.status, batches.answered = "completed", 1.0
        assert texts(write(model(server), chats())) == WANTED


def test_an_answer_that_is_none_may_have_been_paid_and_is_asked_again(server, batches, tmp_path):
    broken = {"n": 0}

    def answer(body, n):
        broken["n"] += 1
        if broken["n"] == 5:
            return server.reply({"choices": []})
        return server.text(f"to {body['messages'][-1]['content']}")

    server.answer = answer
    judge = model(server, price=(1.0, 1.0))
    with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as ledger:
        assert texts(write(judge, chats())) == WANTED
        # Thirty answers of ten tokens, and one of at most 42.
        assert ledger.totals().cost == pytest.approx((N * 10 + 10 + 16 + 20 + 1) / 1e6, abs=2e-6)


def test_a_batch_costs_half_at_openai_and_the_whole_price_elsewhere():
    assert prices.in_a_batch((2.0, 8.0), prices.OPENAI) == (1.0, 4.0)
    assert prices.in_a_batch((2.0, 8.0), "https://gateway.example/v1") == (2.0, 8.0)
    assert prices.in_a_batch(None, prices.OPENAI) is None


def test_a_maximum_cost_bounds_what_batches_can_cost(server, batches, tmp_path, capsys):
    judge = model(server, price=(1.0, 1.0))  # a question costs 10 millionths, and at most 47
    with Ledger(tmp_path / "l.sqlite", max_cost=0.0015) as ledger:
        assert len(write(judge, chats(100))) == 100
        assert ledger.totals().cost == pytest.approx(100 * 10 / 1e6)
    sizes = [len(batches.lines(i)) for i in range(len(batches.made))]
    assert sizes[0] < 40
    assert "questions go first: more could pass --max-cost" in capsys.readouterr().err


def test_the_maximum_cost_is_reached_before_it_is_passed(server, batches, tmp_path):
    judge = model(server, price=(1.0, 1.0))
    with Ledger(tmp_path / "l.sqlite", max_cost=0.0005) as ledger:
        with pytest.raises(BudgetReached):
            write(judge, chats(100))
        assert 0.0004 < ledger.totals().cost <= 0.0005
        # Nothing is set aside any more.
        assert ledger.left() == pytest.approx(0.0005 - ledger.totals().cost)


def test_a_batch_under_way_counts_for_other_processes(server, batches, tmp_path):
    with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as ledger:
        batch = BatchBook(ledger).claim("a", "m", {"k": Batched("generate", {}, 0.75)})
        with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as other:
            assert other.left() == pytest.approx(0.25)
            with pytest.raises(BudgetReached, match=r"\$0.7500 set aside for calls or batches"):
                other.reserve(0.3)
        BatchBook(ledger).over(batch)
        assert ledger.left() == 1.0


def _killed(hrlaif, server, tmp_path, until, **options):
    """`hrlaif score` in batches, killed once `until` holds."""
    rows = [{"id": str(i), "prompt": f"p{i}", "response": f"r{i}"} for i in range(N)]
    source = tmp_path / "responses.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    command = (
        *("score", source, "-o", tmp_path / "scores.jsonl", "--judge", "remote:m"),
        *("--base-url", server.url, "--batch"),
    )
    process = hrlaif.start(*command)
    begun = time.monotonic()
    while not until() and process.poll() is None and time.monotonic() - begun < 60:
        time.sleep(0.02)
    process.send_signal(options.get("with_", signal.SIGKILL))
    _, err = process.communicate(timeout=60)
    return command, process.returncode, err


def _grades(server):
    server.answer = lambda body, n: server.top({"7": 0.75, "5": 0.25})


def test_a_killed_command_collects_its_batch_and_sends_no_second(hrlaif, server, batches, tmp_path):
    _grades(server)
    batches.polls_before_the_end = 10**6
    command, code, _ = _killed(hrlaif, server, tmp_path, lambda: len(batches.said) > 4)
    assert code == -signal.SIGKILL
    batches.polls_before_the_end = 0
    done = hrlaif(*command, "--json")
    assert json.loads(done.stdout)["cost"]["calls"] == N
    assert "is waited for" in done.stderr
    assert (len(batches.made), len(server.calls)) == (1, 1)


def test_ctrl_c_leaves_the_batch_at_work_and_says_so(hrlaif, server, batches, tmp_path):
    _grades(server)
    batches.polls_before_the_end = 10**6
    _, code, err = _killed(
        hrlaif, server, tmp_path, lambda: len(batches.said) > 4, with_=signal.SIGINT
    )
    assert code == 130
    assert "batch batch_0 goes on at the server; the same command collects it" in err
    assert not any(method == "POST" and "cancel" in path for method, path in batches.said)


def test_a_command_killed_while_it_sent_a_batch_finds_it_by_its_tag(
    hrlaif, server, batches, tmp_path
):
    _grades(server)
    create = batches._create

    def slow(body):
        return replace(create(body), delay=30.0)

    batches._create = slow
    command, code, _ = _killed(hrlaif, server, tmp_path, lambda: bool(batches.made))
    assert code == -signal.SIGKILL
    batches._create = create
    assert json.loads(hrlaif(*command, "--json").stdout)["cost"]["calls"] == N
    assert (len(batches.made), len(server.calls)) == (1, 1)


def test_a_batch_that_the_server_never_took_is_sent_again(hrlaif, server, batches, tmp_path):
    _grades(server)
    create = batches._create
    batches._create = lambda body: server.reply({}, delay=30.0)
    command, *_ = _killed(hrlaif, server, tmp_path, lambda: ("POST", "/batches") in batches.said)
    batches._create = create
    assert json.loads(hrlaif(*command, "--json").stdout)["cost"]["calls"] == N
    # The second process, too, sends one ahead.
    assert (len(batches.made), len(server.calls)) == (1, 2)


def test_a_batch_of_a_server_that_lists_none_is_booked_as_lost(server, batches, tmp_path):
    judge = model(server, price=(1.0, 1.0))
    with Ledger(tmp_path / "other.sqlite"):
        write(judge, chats(1))
    (call,) = list_calls(tmp_path / "other.sqlite")
    with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as ledger:
        held = {call["key"]: Batched("generate", {}, 0.25)}
        book = BatchBook(ledger)
        book.known(book.claim(server.url, judge.name, held), file="file-9")  # and was killed
        batches.lists = False
        assert texts(write(judge, chats(1))) == ["to question 0"]
        assert ledger.totals().cost == pytest.approx(0.25 + 10 / 1e6)


def test_a_server_that_is_away_while_a_batch_is_at_work_is_waited_for(server, batches, tmp_path):
    batches.polls_before_the_end = 1
    handle, seen = batches.handle, []

    def away(method, path, raw):
        if path.startswith("/v1/batches/") and len(seen) < 4:
            seen.append(path)
            return server.error(503, "away")
        return handle(method, path, raw)

    server.files = away
    with Ledger(tmp_path / "l.sqlite"):
        assert texts(write(model(server, max_retries=0), chats())) == WANTED
    assert len(seen) == 4


def test_the_labels_of_a_file_come_in_one_batch(hrlaif, server, batches, tmp_path):
    server.answer = lambda body, n: server.top({"1": 0.75, "2": 0.25})
    rows = [{"id": str(i), "prompt": f"p{i}", "responses": ["a", f"b{i}"]} for i in range(300)]
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    command = ("label", source, "-o", tmp_path / "out.jsonl", "--judge", "remote:m", "--batch")
    done = hrlaif(*command, "--base-url", server.url, "--json")
    assert json.loads(done.stdout)["labelled"] == 300
    assert [len(batches.lines(i)) for i in range(len(batches.made))] == [599]


def test_an_estimate_in_batches_is_half_of_one_without(hrlaif, tmp_path):
    pairs = [{"prompt": "p " * 5000, "responses": ["a", f"b{i}"]} for i in range(100)]
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in pairs), "utf-8")
    command = ("label", source, "-o", tmp_path / "o.jsonl", "--judge", "remote:gpt-4.1")

    def dollars(*more):
        return json.loads(hrlaif.here(*command, "--dry-run", "--json", *more).stdout)["usd"]

    assert dollars("--batch") == pytest.approx(dollars() / 2)


def test_a_batch_that_the_server_does_not_know_is_waited_for_until_it_is_given_up(
    hrlaif, server, batches, tmp_path
):
    judge = model(server, price=(1.0, 1.0))
    with Ledger(tmp_path / "other.sqlite"):
        write(judge, chats(1))
    (call,) = list_calls(tmp_path / "other.sqlite")
    path = tmp_path / "l.sqlite"
    with Ledger(path, max_cost=1.0) as ledger:
        book = BatchBook(ledger)
        held = {call["key"]: Batched("generate", {}, 0.25)}
        book.known(book.claim(server.url, judge.name, held), id="batch_of_another_key")
        with pytest.raises(ModelError, match="forget --batch batch_of_another_key"):
            write(judge, chats(1))
    assert "batch_of_another_key" in hrlaif.here("calls", path, "batches").stdout
    assert (
        "knows no batch 'x'" in hrlaif.here("calls", path, "forget", "--batch", "x", code=2).stderr
    )
    hrlaif.here("calls", path, "forget", "--batch", "batch_of_another_key")
    assert hrlaif.here("calls", path, "batches", "--json").stdout.strip() == "[]"
    with Ledger(path, max_cost=1.0) as ledger:
        assert texts(write(judge, chats(1))) == ["to question 0"]
        assert ledger.totals().cost == pytest.approx(0.25 + 10 / 1e6)


def test_the_policy_stage_asks_one_by_one():
    from hrlaif.config import Config
    from hrlaif.pipeline import stages

    config = Config.parse({"compute": {"batch": True}}, where="config")
    used = {stage.name: stage.compute(config).batch for stage in stages(config)}
    assert used["label"] is True
    assert used["policy"] is False


def test_a_wrong_key_gives_no_batch_up(hrlaif, server, batches, tmp_path):
    _grades(server)
    create, handle = batches._create, batches.handle
    batches._create = lambda body: replace(create(body), delay=30.0)
    command, *_ = _killed(hrlaif, server, tmp_path, lambda: bool(batches.made))
    batches._create = create
    server.files = lambda *_: server.error(401, "no such key")
    assert "refused the key (401)" in hrlaif(*command, code=1).stderr
    server.files = handle
    assert json.loads(hrlaif(*command, "--json").stdout)["cost"]["calls"] == N
    assert len(batches.made) == 1


def test_a_batch_is_found_by_its_file_where_the_list_shows_no_tags(
    hrlaif, server, batches, tmp_path
):
    _grades(server)
    create = batches._create
    batches._create = lambda body: replace(create(body), delay=30.0)
    command, *_ = _killed(hrlaif, server, tmp_path, lambda: bool(batches.made))
    batches._create, batches.metadata = create, False
    assert json.loads(hrlaif(*command, "--json").stdout)["cost"]["calls"] == N
    assert len(batches.made) == 1


def test_a_batch_whose_making_went_unanswered_is_not_made_twice(server, batches, tmp_path):
    create, made = batches._create, []

    def unanswered(body):
        reply = create(body)
        made.append(body)
        return server.error(502, "bad gateway") if len(made) == 1 else reply

    batches._create = unanswered
    with Ledger(tmp_path / "l.sqlite"):
        assert texts(write(model(server), chats())) == WANTED
    assert len(made) == 1


@pytest.mark.parametrize("status", [400, 403])
def test_a_batch_whose_making_went_unanswered_is_kept_where_the_list_is_refused(
    server, batches, tmp_path, status
):
    create, handle = batches._create, batches.handle

    def unanswered(body):
        create(body)
        return server.error(504, "gateway timeout")

    def unlisted(method, path, raw):
        listed = method == "GET" and path.split("?")[0].endswith("/batches")
        return server.error(status, "you may not list") if listed else handle(method, path, raw)

    batches._create, server.files = unanswered, unlisted
    path = tmp_path / "l.sqlite"
    for _ in range(2):  # the second finds it unsettled, and sends none
        with Ledger(path), pytest.raises(ModelError, match=r"504|you may not list"):
            write(model(server), chats())
        assert len(list_batches(path)) == 1
    batches._create, server.files = create, handle
    with Ledger(path) as ledger:
        assert texts(write(model(server), chats())) == WANTED
        assert ledger.totals().calls == N
    assert (len(batches.made), len(server.calls)) == (1, 1)


@pytest.mark.parametrize("body", ["", "<html>busy</html>"])
def test_an_answer_file_that_is_not_whole_is_read_again(server, batches, tmp_path, body):
    handle, read = batches.handle, []

    def torn(method, path, raw):
        if path.endswith("/content") and not read:
            read.append(path)
            return server.reply(body)
        return handle(method, path, raw)

    server.files = torn
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert texts(write(model(server), chats())) == WANTED
        assert ledger.totals().calls == N
    assert (len(batches.made), len(read)) == (1, 1)


def test_errors_do_not_make_up_for_answers_that_a_torn_file_lacks(server, batches, tmp_path):
    def answer(body, n):
        asked = body["messages"][-1]["content"]
        odd = int(asked.split()[-1]) >= N - 10
        return server.error(400, "odd") if odd else server.text(f"to {asked}")

    handle, read = batches.handle, []

    def torn(method, path, raw):
        reply = handle(method, path, raw)
        if path.endswith("/content") and "to question" in reply.body and not read:
            read.append(path)
            lines = reply.body.splitlines(keepends=True)
            return replace(reply, body="".join(lines[:-10]))
        return reply

    server.answer, server.files = answer, torn
    with Ledger(tmp_path / "l.sqlite") as ledger:
        found = texts(write(model(server), chats()))
        assert ledger.totals().calls == N - 10
        assert found[: N - 10] == WANTED[: N - 10]
        assert all(isinstance(answer, Unanswered) for answer in found[N - 10 :])
    assert (len(batches.made), len(server.calls), len(read)) == (1, 1, 1)


@pytest.mark.parametrize("counted", [{"completed": N - 1}, {}])
def test_a_server_that_counts_its_errors_as_completed_is_read_once(
    server, batches, tmp_path, counted
):
    server.answer = lambda body, n: (
        server.error(400, "odd") if n < 0 else server.text("fine")  # all but the one ahead
    )
    ended = batches._ended
    batches._ended = lambda batch: ended(batch) | {"request_counts": counted}
    with Ledger(tmp_path / "l.sqlite"):
        found = write(model(server), chats())
    assert sum(isinstance(answer, Unanswered) for answer in found) == N - 1
    assert len([path for _, path in batches.said if path.endswith("/content")]) == 1


def test_an_answer_file_that_is_gone_names_the_way_out(server, batches, tmp_path):
    handle = batches.handle

    def gone(method, path, raw):
        if path.endswith("/content"):
            return server.error(404, "no such file")
        return handle(method, path, raw)

    server.files = gone
    with Ledger(tmp_path / "l.sqlite"):
        for _ in range(2):
            with pytest.raises(ModelError, match="forget --batch batch_0"):
                write(model(server), chats())
    assert len(batches.made) == 1


def test_what_was_paid_twice_is_counted_twice_and_what_was_not_once(server, batches, tmp_path):
    judge = model(server, price=(1.0, 1.0))
    batches.polls_before_the_end = 4
    path = tmp_path / "l.sqlite"

    def one(_):
        with using(Compute(batch=True)), Ledger(path, max_cost=1.0):
            write(judge, chats())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, range(3)))
    with Ledger(path, max_cost=1.0) as ledger:
        # Each of the three may have sent one ahead, equal to the others'.
        assert ledger.totals().cost == pytest.approx(len(batches.lines()) * 1e-5, abs=3.1e-5)
        key = list_calls(path)[0]["key"]
        book, calls = BatchBook(ledger), ledger.totals().cost
        batch = book.claim("a", "m", {key: Batched("generate", {}, 0.25)})
        answer = Call(key=key, model="m", kind="generate", request={}, response="{}", cost=0.5)
        assert book.over(batch, [answer]) != {key: "{}"}
        assert ledger.totals().cost == pytest.approx(calls + 0.5)
        assert book.over(batch, [answer]) == book.booked([key])
        assert ledger.totals().cost == pytest.approx(calls + 0.5)


def test_the_key_is_in_no_reason_and_no_row(server, batches, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "gsk_verysecretkey")
    batches.answered, batches.late = 0.0, "bad key gsk_verysecretkey"
    with Ledger(tmp_path / "l.sqlite"):
        found = write(model(server, max_retries=0), chats())
    assert found[-1].reason == "no answer in the batch: bad key ***, in 1 batches"
    assert "verysecret" not in str(found) + capsys.readouterr().err


@pytest.mark.parametrize(("said", "meant"), [("SUCCEEDED", "completed"), ("canceled", "cancelled")])
def test_other_words_for_an_end_are_understood(server, batches, tmp_path, said, meant):
    batches.status, batches.answered = said, 1.0 if meant == "completed" else 0.5
    with Ledger(tmp_path / "l.sqlite"):
        if meant == "completed":
            assert texts(write(model(server), chats())) == WANTED
        else:
            with pytest.raises(ModelError, match="was cancelled at the server"):
                write(model(server), chats())


def test_answers_are_utf_8_whatever_the_header_says(server, batches, tmp_path):
    handle = batches.handle

    def latin(method, path, raw):
        reply = handle(method, path, raw)
        return replace(reply, headers={"content-type": "text/plain; charset=iso-8859-1"})

    server.files = latin
    server.answer = lambda body, n: server.text("für Ümit 😀")
    with Ledger(tmp_path / "l.sqlite"):
        assert set(texts(write(model(server), chats()))) == {"für Ümit 😀"}


def test_where_the_first_two_are_rejected_nothing_is_sent(server, batches, tmp_path):
    server.answer = lambda body, n: server.error(400, "no such thing as a prompt")
    with Ledger(tmp_path / "l.sqlite"), pytest.raises(ModelError, match="refuses every request"):
        write(model(server), chats())
    assert (len(batches.made), len(server.calls)) == (0, 2)


def test_of_several_judges_the_one_in_batches_says_how_many_pairs_go_at_once(server):
    asked = Panel(others=(model(server),), labeler=Pairwise())
    judge = Scripted()
    assert pairs_at_once(judge, asked) > 10_000
    with using(Compute(batch=False)):
        assert pairs_at_once(judge, asked) < 100


def test_a_study_sends_its_ways_of_asking_side_by_side(hrlaif, server, batches, tmp_path):
    server.answer = lambda body, n: server.top({"1": 0.75, "2": 0.25})
    source = _pairs(tmp_path, 40)
    batches.polls_before_the_end = 4
    command = ("study", source, "-o", tmp_path / "s", "--judge", "remote:m", "--batch")
    command += ("--base-url", server.url, "--variants", "base,detailed,base-single")
    hrlaif(*command, "--probes", 0, "--disagreements", 0)
    first_end = next(i for i, (_, what) in enumerate(batches.said) if what.endswith("/content"))
    assert batches.said[:first_end].count(("POST", "/batches")) >= 2
    # One order alone asks nothing new, whichever way came first; one of each way goes ahead.
    sizes = [len(batches.lines(i)) for i in range(len(batches.made))]
    assert 157 <= sum(sizes) <= 160


def test_a_judge_beside_one_whose_batch_holds_all_the_money_waits_for_it(
    server, batches, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch_ended, "_LONGEST_POLL", 0.5)
    batches.polls_before_the_end = 4

    def other():
        while not batches.made:
            time.sleep(0.01)
        return write(model(server, model="k", price=(1.0, 1.0)), chats())

    # A question costs 10 millionths, and at most 47.
    with Ledger(tmp_path / "l.sqlite", max_cost=N * 47e-6) as ledger:
        with side_by_side(2) as submit:
            judges = submit(write, model(server, price=(1.0, 1.0)), chats()), submit(other)
        assert [texts(judge.result()) for judge in judges] == [WANTED, WANTED]
        assert ledger.totals().cost == pytest.approx(2 * N * 10 / 1e6)
    assert len(batches.made) >= 2


def test_a_judge_waits_no_longer_than_the_batch_that_holds_the_money_is_waited_for(
    server, batches, tmp_path
):
    batches.polls_before_the_end = 4

    def other():
        while not batches.made:
            time.sleep(0.01)
        return write(model(server, model="k", price=(1.0, 1.0)), chats())

    batches.status, batches.answered = "cancelled", 0.0  # which ends the one with an error
    with Ledger(tmp_path / "l.sqlite", max_cost=N * 47e-6), ThreadPoolExecutor(2) as pool:
        how = copy_context(), copy_context()
        one = pool.submit(how[0].run, write, model(server, price=(1.0, 1.0)), chats())
        two = pool.submit(how[1].run, other)
        for judge in (one, two):
            with pytest.raises(ModelError, match="was cancelled at the server"):
                judge.result(timeout=60)


def test_many_questions_that_go_singly_for_want_of_money_are_told_of(
    server, batches, tmp_path, capsys
):
    judge = model(server, price=(1.0, 1.0))
    with Ledger(tmp_path / "l.sqlite", max_cost=0.0005), pytest.raises(BudgetReached):
        write(judge, chats(100))
    said = capsys.readouterr().err
    assert said.count("99 questions are asked one by one, at the price of single calls") == 1
    assert "20, the fewest in a batch, could cost $0.0009, and --max-cost leaves $0.0005" in said
    assert not batches.made


def test_ctrl_c_ends_a_panel_whose_judges_wait_for_batches(hrlaif, server, batches, tmp_path):
    server.answer = lambda body, n: server.top({"1": 0.75, "2": 0.25})
    batches.polls_before_the_end = 10**6
    command = ["label", _pairs(tmp_path, 40), "-o", tmp_path / "o.jsonl", "--batch"]
    for name in ("m", "n"):
        command += ["--judge", f"{{kind: remote, model: {name}, base_url: '{server.url}'}}"]
    process = hrlaif.start(*command)
    begun = time.monotonic()
    while len(batches.made) < 2 and time.monotonic() - begun < 60:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.count("goes on at the server; the same command collects it") == 2


def _pairs(folder, count):
    source = folder / "pairs.jsonl"
    rows = (
        {"prompt": f"p{i}", "responses": ["a", f"b{i}"], "human_preference": i % 2}
        for i in range(count)
    )
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return source


def test_two_rejected_lines_of_an_older_batch_stop_nothing(server, batches, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_ended, "_LONGEST_POLL", 0.1)

    def answer(body, n):
        asked = body["messages"][-1]["content"]
        odd = asked in ("question 7", "question 8")
        return server.error(400, "odd") if odd else server.text(f"to {asked}")

    path, judge = tmp_path / "l.sqlite", model(server)
    server.answer = answer
    ended, batches._ended = batches._ended, lambda batch: {}
    with Ledger(path), pytest.raises(ModelError, match="does not say how batch batch_0 stands"):
        write(judge, chats())
    batches._ended = ended
    with Ledger(path):
        found = texts(write(judge, [*chats(), *chats(about="other")]))
    assert sum(isinstance(answer, Unanswered) for answer in found) == 2
    assert len(batches.made) == 2
