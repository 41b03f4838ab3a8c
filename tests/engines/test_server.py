"""Does `hrlaif serve` answer each trainer in its own words, and never with a number of nobody's?"""

import asyncio
import json
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from hrlaif import Checked, Direct, Remote, Score, Scripted, Weighted
from hrlaif.engines.batches import Batches
from hrlaif.engines.forms import FORMS, rows_read
from hrlaif.engines.server import Served, application
from hrlaif.errors import DataError, ModelError
from hrlaif.llm.ledger import Ledger

PROMPT = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
GOOD, BAD = "Because air scatters blue light. It does so more than red.", "No"
TEXTS = [PROMPT + text + "<|im_end|>" for text in (GOOD, BAD)]
JUDGE = ("--judge", "scripted:length_bias=0.4")


def graded(server, *texts):
    """What `/score` says, which the other forms must agree with."""
    rows = [{"prompt": "Why?", "response": text} for text in texts]
    return [s["value"] for s in server.post("/score", {"responses": rows}).json()["scores"]]


def test_every_form_gives_the_scores_of_the_rows(serving):
    with serving(*JUDGE) as server:
        values = graded(server, GOOD, BAD)
        assert values[0] > values[1]
        asked = {"query": TEXTS, "prompts": [PROMPT] * 2, "labels": [None, None]}
        told = server.post("/get_reward", asked).json()
        assert told["rewards"] == values
        assert told["scores"] == pytest.approx([(v + 1) / 2 for v in values], abs=1e-6)
        assert told["extra_logs"] == {"missing": [0.0, 0.0]}
        told = server.post("/v1/score/evaluation", {"model": "model", "messages": TEXTS}).json()
        assert told["scores"] == values
        told = server.post("/rewards", {"prompts": [PROMPT] * 2, "responses": [GOOD, BAD]}).json()
        assert told["rewards"] == values
        told = server.post("/classify", {"model": "m", "input": TEXTS, "activation": False}).json()
        assert [row["probs"] for row in told["data"]] == [[v] for v in values]
        alone = server.post("/classify", {"model": "m", "input": TEXTS[0]}).json()
        assert [row["probs"] for row in alone["data"]] == [values[:1]]


def test_one_answer_at_a_time_from_many_workers_is_few_batches_each_paid_once(serving, tmp_path):
    with serving("--judge", "scripted:latency=0.02") as server:

        def ask(n):
            query = f"{PROMPT}answer {n % 50}"
            body = {"query": [query], "prompts": [PROMPT], "labels": ["x"]}
            return server.post("/get_reward", body).json()["rewards"][0]

        with ThreadPoolExecutor(32) as pool:
            values = list(pool.map(ask, range(200)))
        assert values[:50] * 4 == values
        told = httpx2.get(server.url + "/health").json()
        assert (told["scored"], told["missing"], told["waiting"]) == (200, 0, 0)
        assert told["batches"] < 100
    with sqlite3.connect(tmp_path / "serve.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM calls").fetchone() == (50,)


ROW = {"prompt": "Why?", "response": GOOD}


class Inside:
    """The same application without a process or a port."""

    def __init__(self, reward, judge=None, **more):
        self.reward, self.judge, self.more = reward, judge, more

    def post(self, path, body, **headers):
        return asyncio.run(self.sent(("POST", path), json=body, headers=headers))[0]

    async def sent(self, *requests, pause=0.0, **what):
        served = Served(Batches(self.reward, self.judge), **self.more)
        inside = httpx2.ASGITransport(application(served, lambda: None), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=inside, base_url="http://inside")
        async with served.batches.open(), client:
            under_way = []
            for method, path in requests:
                more = what if method == "POST" else {}
                under_way.append(asyncio.create_task(client.request(method, path, **more)))
                await asyncio.sleep(pause)
            return await asyncio.gather(*under_way)


GRADES = Inside(Direct(), Scripted())
CHECKS = Inside(Checked())


def test_empty_lists_are_answered_since_openrlhf_sends_them():
    told = GRADES.post("/get_reward", {"query": [], "prompts": [], "labels": []})
    assert (told.status_code, told.json()["rewards"]) == (200, [])
    assert GRADES.post("/score", {"responses": []}).json() == {"scores": []}


def test_a_label_is_the_right_answer_of_a_reward_that_checks():
    body = {"query": ["6x7?It is 42.", "6x7?It is 41."], "prompts": ["6x7?"] * 2}
    told = CHECKS.post("/get_reward", body | {"labels": ["42", "42"]}).json()
    assert told["rewards"] == [1.0, -1.0]
    assert "scores" not in told


@pytest.mark.parametrize(
    ("path", "end", "reason"),
    [
        ("/get_reward", "", "length"),
        ("/get_reward", "<|im_end|>\n", "stop"),
        ("/get_reward", "<|unknown_end|>", None),
        ("/v1/score/evaluation", "", "length"),
        ("/v1/score/evaluation", "<|im_end|>", "stop"),
        ("/classify", "", None),
        ("/rewards", "", None),
    ],
)
def test_a_response_that_nothing_ended_was_cut_where_clients_send_what_ends_it(path, end, reason):
    response = "First 6x7 = 42, and then I add" + end
    query = PROMPT + response
    body = {
        "/get_reward": {"query": [query], "prompts": [PROMPT]},
        "/v1/score/evaluation": {"messages": [query]},
        "/classify": {"input": query},
        "/rewards": {"prompts": [PROMPT], "responses": [response]},
    }
    (found,) = FORMS[path].read(body[path])
    assert found.finish_reason == reason


def test_of_a_prompt_without_a_template_nobody_knows_what_ends_its_response():
    (found,) = FORMS["/get_reward"].read({"query": ["6x7?It is 42"], "prompts": ["6x7?"]})
    assert found.finish_reason is None


def test_an_answer_that_was_cut_on_the_way_is_not_taken_for_its_last_number():
    def asked(end):
        query = f"{PROMPT}First 6x7 = 42, and then I add{end}"
        body = {"query": [query], "prompts": [PROMPT], "labels": ["42"]}
        return Inside(Checked(), missing=-0.25).post("/get_reward", body).json()["rewards"]

    assert (asked("<|im_end|>"), asked("")) == ([1.0], [-0.25])


SHORT = {"reward": {"kind": "length", "unit": "characters"}}


@pytest.mark.parametrize("parts", [[SHORT], [SHORT, {"reward": {"kind": "checked"}}]])
def test_what_is_weighed_together_is_no_grade_and_sends_no_scores(parts):
    weighted = Weighted.parse({"parts": parts}, where="score")
    body = {"query": ["6x7?It is 42."], "prompts": ["6x7?"], "labels": ["42"]}
    told = Inside(weighted).post("/get_reward", body)
    assert told.status_code == 200, told.json()
    assert set(told.json()) == {"rewards", "extra_logs"}


def test_members_of_an_ensemble_are_no_grades_and_grades_of_another_length_are():
    class Told:
        def __init__(self, distribution):
            self.distribution = distribution

        def score(self, responses, judge):
            given = {"scorer": "s", "value": 1.0, "distribution": self.distribution}
            return [Score(id=r.key, **given) for r in responses]

    body = {"query": ["Why?So."], "prompts": ["Why?"]}
    members = Told({"member_1": 0.9, "member_2": 1.4, "deviation": 0.25})
    assert "scores" not in Inside(members).post("/get_reward", body).json()
    levels = Told({"1": 0.0, "2": 0.25, "3": 0.75})
    assert Inside(levels).post("/get_reward", body).json()["scores"] == [0.875]


def test_where_there_is_no_score_the_request_is_refused_with_the_reason():
    body = {"query": ["6x7?None."], "prompts": ["6x7?"], "labels": ["42"]}
    row = {"prompt": "6x7?", "response": "None.", "reference_answer": "42"}
    told = CHECKS.post("/get_reward", body)
    assert told.status_code == 503
    assert told.headers["retry-after"] == "1"
    assert "no number in the response" in told.json()["error"]
    (score,) = CHECKS.post("/score", {"responses": [row]}).json()["scores"]
    assert score["value"] is None
    assert "no number in the response" in score["reason"]


def test_a_number_for_the_missing_is_a_choice_and_is_counted():
    body = {"query": ["6x7?None.", "6x7?42"], "prompts": ["6x7?"] * 2, "labels": ["42"] * 2}
    told = Inside(Checked(), missing=-0.25).post("/get_reward", body).json()
    assert told["rewards"] == [-0.25, 1.0]
    assert told["extra_logs"] == {"missing": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/get_reward", {"prompts": []}, "`query` is no list of texts"),
        ("/get_reward", {"query": ["a"], "prompts": []}, "`prompts` has 0 texts where there are 1"),
        ("/get_reward", {"query": ["b"], "prompts": ["a"]}, "does not begin with its prompt"),
        ("/get_reward", {"query": ["a"], "prompts": ["a"], "labels": [1, 2]}, "2 labels of 1"),
        ("/get_reward", {"query": ["a"], "prompts": ["a"], "labels": 5}, "`labels` is no list"),
        ("/v1/score/evaluation", {"messages": ["plain"]}, "nothing tells the response"),
        ("/score", {"responses": [{"prompt": "a"}]}, "response 1: no response"),
        ("/score", {"responses": "a"}, "no list of rows"),
        ("/score", ["a"], "no JSON object"),
    ],
)
def test_what_cannot_be_read_says_so(path, body, says):
    told = GRADES.post(path, body)
    assert told.status_code == 422
    assert says in told.json()["error"]


def sent(content, kind):
    what = {"content": content, "headers": {"content-type": kind}}
    return asyncio.run(GRADES.sent(("POST", "/score"), **what))[0]


def test_a_page_in_a_browser_cannot_make_it_spend():
    told = sent(b"{}", "text/plain")
    assert told.status_code == 415
    assert "access-control-allow-origin" not in told.headers


def test_without_a_key_it_is_asked_under_the_names_of_this_machine_alone(
    serving, hrlaif, monkeypatch
):
    def status(host):
        return httpx2.post(f"{server.url}/score", json=body, headers={"host": host}).status_code

    body, mine = {"responses": [ROW]}, ("localhost:9", "127.0.0.1", "[::1]:5000", "LOCALHOST")
    with serving(*JUDGE) as server:
        for host in ("evil.example", "evil.example:5000", "localhost.evil.example", "[", "@", ""):
            assert status(host) == 421, host
        told = httpx2.post(f"{server.url}/score", json=body, headers={"host": "evil.example"})
        assert "set HRLAIF_SERVE_KEY to be asked under others" in told.json()["error"]
        assert httpx2.get(f"{server.url}/health").json()["scored"] == 0
        assert [status(host) for host in mine] == [200] * 4
    monkeypatch.setitem(hrlaif.environment, "HRLAIF_SERVE_KEY", "s3cret")
    with serving(*JUDGE) as server:
        assert [status("evil.example"), status("localhost")] == [401, 401]
        told = httpx2.post(
            f"{server.url}/score?key=s3cret", json=body, headers={"host": "trainer.example"}
        )
        assert told.status_code == 200


def test_too_large_a_request_is_refused():
    assert sent(b" " * (64 * 2**20 + 1), "application/json").status_code == 413


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_broken_json_is_refused(content):
    assert sent(content, "application/json").status_code == 422


def test_with_a_key_only_those_who_bring_it_are_answered():
    locked, body = Inside(Checked(), key="s3cret"), {"responses": []}
    assert locked.post("/score", body).status_code == 401
    assert locked.post("/score?key=wrong", body).status_code == 401
    assert locked.post("/score?key=s3cret", body).status_code == 200
    assert locked.post("/score", body, authorization="Bearer s3cret").status_code == 200


@pytest.mark.parametrize(("error", "code"), [(ModelError, 503), (DataError, 503), (KeyError, 500)])
def test_a_judge_that_cannot_be_asked_is_told_and_the_next_is_answered(error, code):
    class Lost:
        def score(self, responses, judge):
            raise error("the server is gone")

    told = Inside(Lost()).post("/score", {"responses": [{"prompt": "Why?", "response": GOOD}]})
    assert told.status_code == code
    assert "the server is gone" in told.json()["error"]


def raw(path, body):
    what = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    return asyncio.run(GRADES.sent(("POST", path), **what))[0]


def test_half_a_character_in_an_id_is_refused_and_elsewhere_comes_back_as_a_question_mark():
    told = raw("/score", {"responses": [ROW, {"id": "\ud83d", **ROW}]})
    assert told.status_code == 422
    assert "response 2: its id holds half a character" in told.json()["error"]
    told = raw("/v1/score/evaluation", {"model": "a\ud83d", "messages": [PROMPT + GOOD]})
    assert (told.status_code, told.json()["model"]) == (200, "a?")


def test_a_large_request_is_read_while_others_are_answered(monkeypatch):
    def slow(body):
        time.sleep(1)
        return []

    monkeypatch.setitem(FORMS, "/rewards", FORMS["/rewards"]._replace(read=slow))
    requests = ("POST", "/rewards"), ("GET", "/health")

    async def both():
        begun = time.monotonic()
        await Inside(Checked()).sent(*requests, pause=0.2, json={})
        return time.monotonic() - begun

    assert asyncio.run(both()) < 1.15


def test_where_answers_cannot_be_kept_it_says_so_and_buys_no_more(server, tmp_path):
    reply = server.top({"2": 0.6, "3": 0.4})
    reply.body["more"] = "x" * 20_000  # than the pages at hand hold
    server.script(reply)
    inside = Inside(Direct(), Remote(model="m", base_url=server.url))
    rows = [{"prompt": "Why?", "response": f"{n} {GOOD}"} for n in range(4)]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with ledger.file() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages}")
        for row in rows:
            told = inside.post("/score", {"responses": [row]})
            assert told.status_code == 503
            assert "cannot be written (database or disk is full)" in told.json()["error"]
        assert len(server.calls) == 1
        with ledger.file() as db:
            db.execute("PRAGMA max_page_count = 100000")
        assert inside.post("/score", {"responses": rows}).status_code == 200
        assert len(server.calls) == 4  # the first was kept, and found


def test_the_same_response_at_the_same_time_is_paid_once(server, tmp_path):
    reply = server.top({"2": 0.6, "3": 0.4})
    reply.delay = 0.3
    server.script(reply)
    judge = Remote(model="m", base_url=server.url)

    async def ask():
        batches = Batches(Direct(), judge, apart=8)
        async with batches.open():
            responses = rows_read({"responses": [ROW]}) * 4
            return await asyncio.gather(*(batches.score(responses) for _ in range(2)))

    with Ledger(tmp_path / "l.sqlite"):
        found = asyncio.run(ask())
    assert len({score.value for scores in found for score in scores}) == 1
    assert len(server.calls) == 1


def test_a_slow_answer_does_not_hold_up_the_health_page():
    class Slow:
        def score(self, responses, judge):
            time.sleep(1)
            return Checked().score(responses, judge)

    body = {"responses": [{"prompt": "Why?", "response": GOOD, "reference_answer": "1"}]}
    requests = ("POST", "/score"), ("GET", "/health")
    answer, health = asyncio.run(Inside(Slow()).sent(*requests, pause=0.2, json=body))
    assert (answer.status_code, health.status_code) == (200, 200)
    assert health.json()["scored"] == 0  # told while the answer was under way


def test_for_a_client_that_has_gone_nothing_more_is_computed(monkeypatch):
    monkeypatch.setattr("hrlaif.engines.server._LOOK", 0.01)
    gate, asked = threading.Event(), []

    class Slow:
        def score(self, responses, judge):
            asked.extend(r.text for r in responses)
            assert gate.wait(30)
            return Checked().score(responses, judge)

    async def sent(app, text, *then):
        """Posts one response; `then` is what the client does next."""
        body = json.dumps({"responses": [{"prompt": "Why?", "response": text}]}).encode()
        told, messages = [], [{"type": "http.request", "body": body}, *then]
        headers = [(b"content-type", b"application/json"), (b"host", b"inside")]
        scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}

        async def receive():
            return messages.pop(0) if messages else await asyncio.Event().wait()

        async def send(message):
            told.append(message)

        await app(scope | {"query_string": b""}, receive, send)
        return told[0]["status"]

    async def work():
        served = Served(Batches(Slow(), None))
        app = application(served, lambda: None)
        async with served.batches.open():
            first = asyncio.create_task(sent(app, "first"))
            while not asked:
                await asyncio.sleep(0.01)
            assert await sent(app, "gone", {"type": "http.disconnect"}) == 499
            last = asyncio.create_task(sent(app, "last"))
            while not served.batches.waiting:
                await asyncio.sleep(0.01)
            gate.set()
            assert (await first, await last) == (200, 200)

    asyncio.run(asyncio.wait_for(work(), 30))
    assert asked == ["first", "last"]


def test_a_reward_that_is_no_number_is_null_to_rows_and_missing_to_the_others():
    class Broken:
        def score(self, responses, judge):
            return [Score(id=r.key, value=float("nan"), scorer="s") for r in responses]

    (score,) = Inside(Broken()).post("/score", {"responses": [ROW]}).json()["scores"]
    assert (score["value"], score["reason"]) == (None, "the reward is nan")
    body = {"query": ["Why?So."], "prompts": ["Why?"]}
    assert "no score: the reward is nan" in Inside(Broken()).post("/get_reward", body).text
    assert Inside(Broken(), missing=0.5).post("/get_reward", body).json()["rewards"] == [0.5]


def test_open_to_all_without_a_key_is_said_and_a_polite_kill_ends_it(hrlaif, tmp_path):
    given = ("serve", *JUDGE, "--host", "0.0.0.0", "--port", "0", "--ledger", tmp_path / "l.sqlite")
    process = hrlaif.start(*given)
    assert "HRLAIF_SERVE_KEY" in process.stderr.readline()
    while "Ctrl-C" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "give either --judge or --reward-model"),
        (("--reward", "direct"), 2, "direct grades need a judge"),
        ((*JUDGE, "--port", "99999"), 2, "give another --port"),
    ],
)
def test_what_cannot_be_served_is_told_before_anybody_asks(arguments, code, says, hrlaif, tmp_path):
    told = hrlaif.here("serve", "--ledger", tmp_path / "l.sqlite", *arguments, code=code)
    assert says in told.stderr
