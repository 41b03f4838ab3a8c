"""Does `hrlaif serve` answer each trainer in its own words, and never with a number of nobody's?"""

import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

PROMPT = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
GOOD, BAD = "Because air scatters blue light. It does so more than red.", "No"
TEXTS = [PROMPT + text + "<|im_end|>" for text in (GOOD, BAD)]
JUDGE = SERVED = ("--judge", "scripted:length_bias=0.4")


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


def test_empty_lists_are_answered_since_openrlhf_sends_them(serving):
    with serving(*JUDGE) as server:
        told = server.post("/get_reward", {"query": [], "prompts": [], "labels": []})
        assert (told.status_code, told.json()["rewards"]) == (200, [])
        assert server.post("/score", {"responses": []}).json() == {"scores": []}


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


def test_a_label_is_the_right_answer_of_a_reward_that_checks(serving):
    body = {"query": ["6x7?It is 42.", "6x7?It is 41."], "prompts": ["6x7?"] * 2}
    with serving("--reward", "checked") as server:
        told = server.post("/get_reward", body | {"labels": ["42", "42"]}).json()
        assert told["rewards"] == [1.0, -1.0]
        assert "scores" not in told


def test_where_there_is_no_score_the_request_is_refused_with_the_reason(serving):
    body = {"query": ["6x7?None."], "prompts": ["6x7?"], "labels": ["42"]}
    row = {"prompt": "6x7?", "response": "None.", "reference_answer": "42"}
    with serving("--reward", "checked") as server:
        told = server.post("/get_reward", body)
        assert told.status_code == 503
        assert told.headers["retry-after"] == "1"
        assert "no number in the response" in told.json()["error"]
        (score,) = server.post("/score", {"responses": [row]}).json()["scores"]
        assert score["value"] is None
        assert "no number in the response" in score["reason"]


def test_a_number_for_the_missing_is_a_choice_and_is_counted(serving):
    body = {"query": ["6x7?None.", "6x7?42"], "prompts": ["6x7?"] * 2, "labels": ["42"] * 2}
    with serving("--reward", "checked", "--missing", "-0.25") as server:
        told = server.post("/get_reward", body).json()
        assert told["rewards"] == [-0.25, 1.0]
        assert told["extra_logs"] == {"missing": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/get_reward", {"prompts": []}, "`query` is no list of texts"),
        ("/get_reward", {"query": ["a"], "prompts": []}, "`prompts` has 0 texts where there are 1"),
        ("/get_reward", {"query": ["b"], "prompts": ["a"]}, "does not begin with its prompt"),
        ("/get_reward", {"query": ["a"], "prompts": ["a"], "labels": [1, 2]}, "2 labels of 1"),
        ("/v1/score/evaluation", {"messages": ["plain"]}, "nothing tells the response"),
        ("/score", {"responses": [{"prompt": "a"}]}, "response 1: no response"),
        ("/score", {"responses": "a"}, "no list of rows"),
        ("/score", ["a"], "no JSON object"),
    ],
)
def test_what_cannot_be_read_says_so(path, body, says, one_server):
    told = one_server.post(path, body)
    assert told.status_code == 422
    assert says in told.json()["error"]


def test_a_page_in_a_browser_cannot_make_it_spend(one_server):
    plain = {"content-type": "text/plain"}
    told = httpx2.post(one_server.url + "/get_reward", content=b"{}", headers=plain)
    assert told.status_code == 415
    assert "access-control-allow-origin" not in told.headers


def test_too_large_a_request_is_refused(one_server):
    text = "x" * (64 * 2**20)
    assert one_server.post("/score", {"responses": [text]}).status_code == 413


def test_broken_json_is_refused(one_server):
    kind = {"content-type": "application/json"}
    for content in (b"{", b"\xff", b"[" * 100_000):
        told = httpx2.post(one_server.url + "/score", content=content, headers=kind)
        assert told.status_code == 422


def test_with_a_key_only_those_who_bring_it_are_answered(serving):
    body = {"responses": []}
    with serving(*JUDGE, "--host", "0.0.0.0", HRLAIF_SERVE_KEY="s3cret") as server:
        assert server.post("/score", body).status_code == 401
        assert server.post("/score?key=wrong", body).status_code == 401
        assert server.post("/score?key=s3cret", body).status_code == 200
        assert server.post("/score", body, authorization="Bearer s3cret").status_code == 200


def test_open_to_all_without_a_key_is_said(hrlaif, tmp_path):
    given = ("serve", *JUDGE, "--host", "0.0.0.0", "--port", "0", "--ledger", tmp_path / "l.sqlite")
    process = hrlaif.start(*given)
    assert "HRLAIF_SERVE_KEY" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_after_a_kill_the_answers_are_there(serving, hrlaif, tmp_path):
    with serving(*JUDGE) as server:
        before = graded(server, GOOD, BAD)
        os.kill(server.process.pid, signal.SIGSTOP)
        rows = sqlite3.connect(tmp_path / "serve.sqlite").execute("SELECT COUNT(*) FROM calls")
        assert rows.fetchone() == (2,)
        os.kill(server.process.pid, signal.SIGCONT)
    with serving(*JUDGE) as server:
        assert graded(server, GOOD, BAD) == before
    told = json.loads(hrlaif("calls", tmp_path / "serve.sqlite", "--json").stdout)
    assert [row["calls"] for row in told] == [2]


def test_a_judge_that_cannot_be_asked_is_told_and_the_server_stays(serving):
    row = {"prompt": "Why?", "response": GOOD}
    with serving("--judge", "remote:gone", "--base-url", "http://127.0.0.1:9/v1") as server:
        told = server.post("/score", {"responses": [row]})
        assert told.status_code == 503
        assert "is the server running" in told.json()["error"]
        assert httpx2.get(server.url + "/health").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "give either --judge or --reward-model"),
        (("--reward", "direct"), 2, "direct grades need a judge"),
        (("--reward-model", "/not/here"), 1, "/not/here holds no reward model"),
        (("--judge", "local:/not/here"), 1, "/not/here"),
        ((*JUDGE, "--port", "99999"), 2, "give another --port"),
    ],
)
def test_what_cannot_be_served_is_told_before_anybody_asks(arguments, code, says, hrlaif, tmp_path):
    told = hrlaif("serve", "--ledger", tmp_path / "l.sqlite", *arguments, code=code)
    assert says in told.stderr


def test_a_slow_answer_does_not_hold_up_the_health_page(serving):
    with serving("--judge", "scripted:latency=1") as server, ThreadPoolExecutor(1) as pool:
        body = {"responses": [{"prompt": "Why?", "response": GOOD}]}
        answer = pool.submit(server.post, "/score", body)
        time.sleep(0.2)
        begun = time.monotonic()
        assert httpx2.get(server.url + "/health").status_code == 200
        assert time.monotonic() - begun < 0.7
        assert answer.result().status_code == 200
