"""Is one model asked at several addresses as if it were at one, also when some of them fail?"""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

import pytest

from hrlaif.errors import ModelError, UsageError
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.records import Chat
from hrlaif.settings import Compute, using

NOBODY = "http://127.0.0.1:9/v1"


@contextmanager
def at(*addresses, concurrency=4, **settings):
    """A model at these addresses, the first of which names it."""
    with using(Compute(concurrency=concurrency, endpoints=(addresses,))):
        yield Remote(
            model="m", base_url=addresses[0], **{"max_retries": 1, "timeout": 5, **settings}
        )


def write(judge, n, name="question"):
    chats = [Chat.user(f"{name} {i}") for i in range(n)]
    return [a.text for a in judge.generate(chats, temperature=0.0, max_tokens=20)]


def echo(server, delay=0.0):
    def answer(body, n):
        reply = server.text(body["messages"][0]["content"].upper())
        reply.delay = delay
        return reply

    server.answer = answer


def sent(servers):
    return Counter(json.dumps(call["messages"]) for s in servers for call in s.calls)


def test_each_call_goes_to_one_address_and_each_address_has_its_own_calls_at_once(servers):
    for server in servers:
        echo(server, delay=0.03)
    with at(*(s.url for s in servers), concurrency=2) as judge:
        assert judge.chunk == 8 * 6
        assert write(judge, 30) == [f"QUESTION {i}" for i in range(30)]
    assert set(sent(servers).values()) == {1}
    assert all(s.most_at_once <= 2 for s in servers)
    assert all(6 <= len(s.calls) <= 14 for s in servers)


def test_a_quicker_server_answers_more(servers):
    slow, quick, _ = servers
    echo(slow, delay=0.2)
    echo(quick, delay=0.01)
    with at(slow.url, quick.url, concurrency=2) as judge:
        write(judge, 40)
    assert len(quick.calls) > 3 * len(slow.calls)


def test_an_address_where_nobody_is_is_left_out_and_costs_no_try(servers, capsys):
    echo(servers[0])
    with at(NOBODY, servers[0].url, max_retries=0) as judge:
        assert write(judge, 20) == [f"QUESTION {i}" for i in range(20)]
        assert write(judge, 20, "another") == [f"ANOTHER {i}" for i in range(20)]
    said = capsys.readouterr().err
    assert said.count(f"{NOBODY} is left out: the connection failed") == 1


def test_a_server_that_keeps_failing_is_left_out_and_no_row_is_lost(servers):
    broken, well, _ = servers
    broken.script(broken.error(500, "boom"))
    echo(well, delay=0.02)
    with at(broken.url, well.url, max_retries=4, concurrency=1) as judge:
        assert write(judge, 30) == [f"QUESTION {i}" for i in range(30)]
    assert len(broken.calls) == 3


def test_a_server_that_asks_for_patience_gets_it_while_another_works(servers):
    busy, well, _ = servers
    busy.script(busy.reply("{}", 429, retry_after="30"))
    echo(well)
    begun = time.monotonic()
    with at(busy.url, well.url, max_retries=0) as judge:
        assert write(judge, 20) == [f"QUESTION {i}" for i in range(20)]
    assert time.monotonic() - begun < 5
    assert len(busy.calls) <= 4


def test_when_all_are_gone_all_are_named_and_the_next_batch_tries_them_at_once():
    other = "http://127.0.0.1:10/v1"
    begun = time.monotonic()
    for addresses in ((NOBODY, other), (NOBODY,)):
        with at(*addresses) as judge, pytest.raises(ModelError) as caught:
            write(judge, 20)
        where = ", ".join(addresses)
        assert f"cannot be reached at {where} in 2 tries" in str(caught.value)
    assert time.monotonic() - begun < 5


def test_answers_are_kept_as_of_the_first_address_whichever_gave_them(servers, tmp_path):
    one, two, three = servers
    with Ledger(tmp_path / "l.sqlite"), at(one.url, two.url) as judge:
        first = write(judge, 20)
    with Ledger(tmp_path / "l.sqlite") as ledger, at(one.url, three.url) as judge:
        assert write(judge, 20) == first
        assert ledger.hits == 20
    assert len(one.calls) + len(two.calls) == 20
    with Ledger(tmp_path / "l.sqlite") as ledger, at(three.url) as judge:
        write(judge, 20)
        assert ledger.hits == 0


def at_once(judge, n):
    """As a service asks: each question by itself, in a thread of its own."""
    how = copy_context()
    with ThreadPoolExecutor(n) as threads:
        asked = [threads.submit(how.copy().run, write, judge, 1, f"thread {i}") for i in range(n)]
        return [one.result() for one in asked]


def test_questions_asked_by_themselves_at_the_same_time_are_spread_too(servers):
    for server in servers:
        echo(server, delay=0.5)
    with at(*(s.url for s in servers), concurrency=4) as judge:
        assert at_once(judge, 12) == [[f"THREAD {i} 0"] for i in range(12)]
    assert all(2 <= len(s.calls) <= 6 for s in servers)


def test_a_failure_is_known_to_questions_asked_by_themselves_later(servers):
    broken, well, _ = servers
    broken.script(broken.error(500, "boom"))
    echo(well)
    with at(broken.url, well.url, max_retries=4) as judge:
        answers = [write(judge, 1, f"turn {i}") for i in range(10)]
    assert answers == [[f"TURN {i} 0"] for i in range(10)]
    assert len(broken.calls) == 1  # a second try goes where the last one did not fail


def test_any_of_the_addresses_may_be_the_one_that_names_the_model(servers):
    one, two, three = (s.url for s in servers)
    with using(Compute(concurrency=2, endpoints=((one, two), (one, three)))):
        assert Remote(model="m", base_url=two).at_once == 4
        assert Remote(model="m", base_url=NOBODY).at_once == 2


def test_the_command_takes_several_addresses(servers, hrlaif, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"id": i, "prompt": f"p{i}", "responses": ["x", f"y{i}"]} for i in range(12)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for server in servers:
        reply = server.top({"1": 0.6, "2": 0.4})
        reply.delay = 0.03
        server.script(reply)
    urls = [part for s in servers[:2] for part in ("--base-url", s.url + "/")]
    out = tmp_path / "labels.jsonl"
    hrlaif.here("label", pairs, "-o", out, "--judge", "remote:m", *urls, "--concurrency", 2)
    labels = [json.loads(line) for line in out.read_text().splitlines()]
    assert [label["id"] for label in labels] == [str(i) for i in range(12)]
    assert {label["labeler"] for label in labels} == {"pairwise/remote:m/general-base-0shot"}
    assert all(s.calls and s.most_at_once <= 2 for s in servers[:2])
    assert not servers[2].calls


def test_what_is_no_address_is_refused():
    for given in ([["http://a/v1", "node2"]], [["node1", "http://b/v1"]]):
        with pytest.raises(UsageError, match=r"'node.' is no address such as") as told:
            Compute.parse({"endpoints": given})
        assert str(told.value).endswith("begin it with http:// or https://")
        assert str(told.value).count("node") == 1
