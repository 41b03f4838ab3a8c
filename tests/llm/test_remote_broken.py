"""What becomes of answers that are malformed, endless, in the wrong letters, or booked and cut?"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hrlaif.errors import DataError
from hrlaif.llm import remote_sent
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.local import Local
from hrlaif.llm.remote import Remote
from hrlaif.llm.remote_parse import Position, label_probabilities, read
from hrlaif.llm.scripted import Scripted
from hrlaif.records import Chat, Completion, Unanswered


def chats(n):
    return [Chat.user(f"question {i}") for i in range(n)]


def model(url, **settings):
    return Remote(model="m", base_url=url, **{"max_retries": 0, "timeout": 5, **settings})


def write(judge, n=1):
    return judge.generate(chats(n), temperature=0.0, max_tokens=20)


@pytest.mark.parametrize("usage", [10**30, 2**62, -1, True, "7", 7.5, None, {}])
def test_a_count_that_is_none_is_unknown_and_never_ends_the_command(server, tmp_path, usage):
    reply = server.text("fine")
    reply.body["usage"] = {"prompt_tokens": usage, "completion_tokens": usage}
    server.script(reply)
    for _ in range(2):
        with Ledger(tmp_path / "l.sqlite") as ledger:
            assert write(model(server.url, price=(1000, 1000)), 3)[2] == Completion(text="fine")
            assert ledger.totals().prompt_tokens == 0
            assert ledger.spent() == pytest.approx(3 * 0.046)  # the most that it can have cost
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    "digits", ["-" + "9" * 400, "5.0", "NaN", "Infinity", "null", '"x"', "true"]
)
def test_a_label_whose_log_probability_is_no_number_makes_the_other_no_certainty(
    server, tmp_path, digits
):
    listed = json.dumps(server.top({"1": 0.7, "2": 0.2, "x": 0.05}).body)
    broken = listed.replace(json.dumps(math.log(0.7)), digits)

    def answer(body, n):
        return server.reply(broken) if body.get("logprobs") else server.text("1")

    server.answer = answer
    for _ in range(2):
        with Ledger(tmp_path / "l.sqlite"):
            (choice,) = model(server.url).choose(chats(1), ["1", "2"])
        assert choice.source == "votes"
        assert choice.probabilities == pytest.approx((5.5 / 6, 0.5 / 6))


def test_what_is_no_number_beside_the_labels_is_overlooked_and_minus_infinity_is_zero():
    nan, listed = math.nan, {"1": 0.6, "2": 0.2}
    assert label_probabilities([Position("1", {**listed, "x": nan, "\n": nan})], "12") == (0.6, 0.2)
    assert label_probabilities([Position("1", {"1": 0.6, "x": nan})], "12") is None
    grades = ["1", "10"]
    assert label_probabilities([Position("10", {"10": 0.6, "1": nan, "x": 0.1})], grades) is None
    tops = [{"token": t, "logprob": p} for t, p in (("1", -0.5), ("2", -math.inf))]
    body = {"message": {}, "logprobs": {"content": [{"token": "1", "top_logprobs": tops}]}}
    (position,) = read(json.dumps({"choices": [body]})).positions
    assert position.probabilities == {"1": math.exp(-0.5), "2": 0.0}


def test_thousands_of_blank_tokens_are_no_label():
    blank = Position("\n", {"\n": 0.9, "x": 0.1})
    assert label_probabilities([blank] * 5000, "12") == (0.0, 0.0)


def test_votes_that_named_no_label_are_missing_in_the_mass(server):
    refused = server.text(None, refusal="I will not judge")

    def answer(body, n):
        if body.get("logprobs"):
            return server.error(400, "logprobs is not supported with this model")
        return server.text("1") if n == 1 else refused

    server.answer = answer
    (choice,) = model(server.url).choose(chats(1), ["1", "2"])
    assert choice.source == "votes"
    assert choice.mass == pytest.approx(1 / 5)


@pytest.mark.parametrize("text", ['{"choices": [{"mess', "", "[" * 100_000, "null"])
def test_a_booked_answer_that_cannot_be_read_is_asked_for_again(server, tmp_path, text, capsys):
    path = tmp_path / "l.sqlite"
    with Ledger(path):
        write(model(server.url), 2)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE calls SET response = ? WHERE rowid = 1", (text,))
        db.commit()
    with Ledger(path) as ledger:
        assert [a.text for a in write(model(server.url), 2)] == ["1", "1"]
        assert (ledger.hits, ledger.totals().calls) == (1, 2)
    assert len(server.calls) == 3
    assert "cannot be read: it is asked for again" in capsys.readouterr().err
    with Ledger(path) as ledger:
        write(model(server.url), 2)
        assert ledger.hits == 2


@pytest.mark.parametrize("kind", ["scripted", "local"])
def test_so_is_one_of_a_model_in_this_process(tmp_path, tiny_model, kind):
    path = tmp_path / "l.sqlite"
    judge = Scripted() if kind == "scripted" else Local(path=tiny_model)

    def ask():
        return judge.choose(chats(1), ["1", "2"])

    with Ledger(path):
        first = ask()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE calls SET response = substr(response, 1, 9)")
        db.commit()
    with Ledger(path) as ledger:
        assert ask() == first
        assert ask() == first
        assert ledger.hits == 1


@pytest.mark.parametrize("kind", ["scripted", "local"])
def test_while_answers_cannot_be_kept_a_model_in_this_process_computes_none(
    tmp_path, tiny_model, kind
):
    judge = Scripted() if kind == "scripted" else Local(path=tiny_model)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with ledger.file() as db:
            db.execute("PRAGMA query_only = ON")
        for n in (1, 2):  # the second has one chat more, which is not answered
            with pytest.raises(DataError, match="cannot be written"):
                judge.choose(chats(n), ["1", "2"])
        with ledger.file() as db:
            db.execute("PRAGMA query_only = OFF")
        assert ledger.totals().calls == 0
        judge.choose(chats(1), ["1", "2"])
        assert (ledger.hits, ledger.totals().calls) == (1, 1)


@pytest.mark.parametrize("finish", ["abort", "error", "Cancelled", "insufficient_system_resource"])
def test_an_answer_that_the_server_broke_off_is_asked_again(server, tmp_path, finish):
    server.script(server.text("half an ans", finish=finish), server.text("a whole answer"))
    judge = model(server.url, max_retries=1, price=(1000, 1000))
    for _ in range(2):
        with Ledger(tmp_path / "l.sqlite") as ledger:
            assert write(judge)[0].text == "a whole answer"
            assert ledger.totals().calls == 1
            assert ledger.spent() == pytest.approx(0.046 + 0.01)  # the first may be charged for
    assert len(server.calls) == 2


def test_an_answer_that_cannot_be_read_is_none():
    assert read('{"choices": [').broken.startswith("a body that is not JSON")
    assert read('{"choices": [').text == ""


@pytest.mark.parametrize(
    "kind",
    ["json; charset=utf-16", "json; charset=rot13", "json; charset=base64", "x; charset=idna"],
)
def test_json_is_utf_8_whatever_the_header_says(server, kind):
    reply = server.text("Grüße")
    reply.body = json.dumps(reply.body, ensure_ascii=False)
    reply.headers["content-type"] = f"application/{kind}"
    server.script(reply)
    assert write(model(server.url))[0].text == "Grüße"


def test_an_answer_is_booked_as_it_came_but_for_the_key(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hush-0123456789")
    said = "Send Bearer credentials, see sk-learn-contrib; yours is hush-0123456789"
    server.script(server.text(said), server.error(500, said))
    with Ledger(tmp_path / "l.sqlite"):
        kept, lost = write(model(server.url), 1)[0], write(model(server.url), 2)[1]
    assert kept.text == said.replace("hush-0123456789", "***")
    assert "Bearer ***, see sk-***; yours is ***" in lost.reason


@contextmanager
def pouring(size):
    """A server whose answers are that long, or never end."""

    class Pours(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            sent = 0
            try:
                while sent < size:
                    self.wfile.write(b" " * 2**20)
                    sent += 2**20
            except OSError:
                return

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pours)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endless_answer_is_no_answer(tmp_path):
    with pouring(math.inf) as url, Ledger(tmp_path / "l.sqlite") as ledger:
        (answer,) = write(model(url, timeout=60, price=(1000, 1000)))
        assert answer == Unanswered(reason="the server sent more than 32 MiB, in 1 tries")
        assert ledger.spent() == pytest.approx(0.046)
    assert remote_sent._LARGEST == 32 * 2**20
