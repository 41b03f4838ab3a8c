"""What is said of calls, tokens and dollars before anything is asked."""

import json
from dataclasses import replace

import pytest

from hrlaif.config import Config
from hrlaif.estimates import Work, longest, of_pairs, size_of, size_of_responses, tokens
from hrlaif.labeling import Hybrid, Pairwise, Panel, Verified
from hrlaif.llm import Remote, Scripted
from hrlaif.llm.calls import cost_table
from hrlaif.planning import expectations
from hrlaif.pricing import as_row, by_votes, in_words, price_of, too_little
from hrlaif.records import Candidate, Comparison, Message, Prompt, Response
from hrlaif.settings import Compute, using

URL = "https://judge.example/v1"
JUDGE = Remote(model="m", base_url=URL, price=(2.0, 8.0))
LABELS = Work.of_labels(2000, 1_000_000)


def pair(size, prompt=40):
    sides = (Candidate(text=letter * size) for letter in "xy")
    return Comparison(
        id="q",
        prompt=Prompt(id="p", messages=(Message(role="user", content="p" * prompt),)),
        **dict(zip("ab", sides, strict=True)),
    )


def test_the_price_is_said_with_log_probabilities_and_by_votes():
    # Five votes each of 2,000 questions and one trial; 5 x 2 + 10,000 x 4 x 8 / 1e6 dollars and,
    # at most, 256 tokens a vote.
    assert in_words([(LABELS, JUDGE)]) == (
        "at most 2,000 calls to remote:m, about $2.00; where the server gives no log-probabilities "
        "10,001 calls, about $10.32, and at most $30.48 where answers take all their vote_tokens"
    )


def test_models_that_give_probabilities_have_one_price():
    assert in_words([(LABELS, Scripted()), (LABELS, Scripted(seed=2))]) == (
        "at most 4,000 calls to scripted and scripted:seed=2"
    )
    assert in_words([(Work(20, 1_000_000, 0), JUDGE)]) == (
        "at most 20 calls to remote:m, about $2.00"
    )
    assert in_words([(Work(), Scripted()), (LABELS, None)]) == ""


def test_what_costs_next_to_nothing_has_no_more_at_most():
    few = Work.of_labels(2, 1000)
    assert in_words([(few, JUDGE.model_copy(update={"price": (0.1, 0.1)}))]) == (
        "at most 2 calls to remote:m, less than $0.01; "
        "where the server gives no log-probabilities 11 calls, less than $0.01"
    )
    local = Remote(model="m", base_url="http://127.0.0.1:9/v1")
    assert in_words([(few, local)]) == (
        "at most 2 calls to remote:m; where the server gives no log-probabilities 11 calls"
    )


def test_tokens_are_said_where_the_price_is_not_known():
    unpriced = JUDGE.model_copy(update={"price": None})
    assert in_words([(LABELS, unpriced)]) == (
        "at most 2,000 calls to remote:m, whose price is not known, "
        "about 1,000,000 tokens read and 0 written; "
        "where the server gives no log-probabilities 10,001 calls, "
        "about 5,000,500 tokens read and 40,000 written, and at most 2,560,000 written"
    )


def test_a_question_is_tried_once_for_each_model_and_reasons_are_written_once():
    mixed = replace(LABELS, calls=4000, read=2_000_000, written=30_000)
    usual, most = by_votes([(mixed, JUDGE), (LABELS, JUDGE), (LABELS, Scripted())])
    assert usual.calls == (2000 + 10_000 + 1) + 10_000 + 2000
    assert usual.written == 30_000 + 2 * 10_000 * 4
    assert most.written == 30_000 + 2 * 10_000 * 256
    one = JUDGE.model_copy(update={"votes": 1})
    assert by_votes([(LABELS, one)])[0].calls == 2001


def test_batches_and_what_a_maximum_cost_allows_are_said():
    openai = Remote(model="gpt-4.1", base_url="https://api.openai.com/v1", price=(2.0, 8.0))
    with using(Compute(batch=True)):
        assert "about $1.00 at the price of batches" in in_words([(LABELS, openai)])
        assert "$2.00 (no lower price of batches is known)" in in_words([(LABELS, JUDGE)])
    for most, told in ((1.0, "$1 will not suffice: the"), (3.0, "$3 will not suffice where the")):
        with using(Compute(max_cost=most)):
            assert told in too_little([(LABELS, JUDGE)])
            assert as_row([(LABELS, JUDGE)])["max_cost_suffices"] is (most > 2)
    with using(Compute(max_cost=11.0)):
        assert too_little([(LABELS, JUDGE)]) == ""
    assert too_little([(LABELS, JUDGE)]) == ""


def test_long_texts_are_counted_as_they_are_cut():
    short, long = (size_of([pair(size, prompt=size)], 8000) for size in (8000, 2_000_000))
    assert short == long
    assert long.response == 2000
    said = [Response(prompt=pair(1).prompt, text="x" * size, id="r") for size in (8000, 2_000_000)]
    assert size_of_responses(said[:1], 8000) == size_of_responses(said[1:], 8000)
    (work, _), (cut, _) = (
        of_pairs(Pairwise(max_chars=most), JUDGE, [pair(2_000_000)])[0] for most in (8000, 100)
    )
    assert work.read - cut.read == 2 * 2 * (2000 - 25)


def test_the_longest_text_of_several_ways_of_asking_counts():
    panel = Panel(others=(Scripted(),), labeler=Pairwise(max_chars=500))
    assert longest(panel) == 500
    checked = Verified(between_right_ones=Pairwise(max_chars=900), otherwise=panel)
    assert longest(checked) == 900
    assert longest(Hybrid(by_category={"math": checked, "talk": "human"}, otherwise=panel)) == 900
    assert longest(object()) is None


def test_a_judge_without_log_probabilities_takes_the_calls_that_are_said(
    hrlaif, server, write, tmp_path
):
    server.answer = lambda body, n: server.text("1")
    rows = [{"prompt": f"p{n}", "responses": ["yes", f"no {n}"]} for n in range(6)]
    judge = ("--judge", f"{{kind: remote, model: m, base_url: '{server.url}', price: [2, 8]}}")
    command = ("label", write("pairs.jsonl", rows), "-o", tmp_path / "o.jsonl", *judge)
    planned = json.loads(hrlaif.here(*command, "--dry-run", "--json").stdout)
    assert planned["calls"] == 12
    hrlaif.here(*command)
    (booked,) = cost_table(tmp_path / "o.ledger.sqlite")
    assert planned["without_logprobs"]["calls"] == booked["calls"] == 61


def test_a_plan_of_a_run_has_both_prices_too(tmp_path):
    judge = {"kind": "remote", "model": "m", "base_url": URL, "price": [2.0, 8.0]}
    prompts = {"train": 20, "validation": 5, "test": 10}
    config = Config.parse({"prompts": prompts, "judge": judge})
    *stages, whole = expectations(tmp_path, config)
    label = next(line for line in stages if line.name == "label")
    assert label.by_votes[0].calls == 5 * label.work.calls + 1
    told = [line.by_votes[0] if line.by_votes else None for line in stages]
    calls = [v.calls if v else line.work.calls for v, line in zip(told, stages, strict=True)]
    assert whole.by_votes[0].calls == sum(calls)
    assert whole.by_votes[0].usd > 4 * price_of([(label.work, JUDGE)]).usd
    assert whole.by_votes[1].usd > whole.by_votes[0].usd
    plain = Config.parse(
        {"prompts": {"train": 20, "validation": 5, "test": 10}, "judge": "scripted:"}
    )
    assert [line.by_votes for line in expectations(tmp_path, plain)][-1] is None


@pytest.mark.parametrize("command", ["label", "score", "compare"])
def test_a_dry_run_gives_its_figures_as_json(hrlaif, write, tmp_path, command):
    rows = [{"id": f"r{n}", "prompt": f"p{n}", "responses": ["yes", "no"]} for n in range(6)]
    one = [{"prompt": f"p{n}", "response": f"text {n}"} for n in range(6)]
    texts = write("texts.jsonl", one)
    others = write("others.jsonl", [{**row, "response": "another"} for row in one])
    files = {
        "label": [write("pairs.jsonl", rows)], "score": [texts], "compare": [texts, others],
    }[command]  # fmt: skip
    judge = ("--judge", "remote:gpt-4.1", "--base-url", "https://api.openai.com/v1")
    out = tmp_path / ("c" if command == "compare" else "o.jsonl")
    more = ("--dry-run", "--json", "--batch", "--max-cost", "0.0001")
    done = hrlaif.here(command, *files, "-o", out, *judge, *more)
    found = json.loads(done.stdout)
    calls = 6 if command == "score" else 12
    assert (found["calls"], found["models"]) == (calls, ["remote:gpt-4.1"])
    assert found["without_logprobs"]["calls"] == 5 * calls + 1
    assert found["without_logprobs"]["most_usd"] > found["without_logprobs"]["usd"] > found["usd"]
    assert (found["batch"], found["max_cost_suffices"]) == (True, False)
    assert "at the price of batches" in done.stderr
    assert "a --max-cost of $0.0001 will not suffice" in done.stderr
    assert "nothing was sent" in done.stderr


@pytest.mark.parametrize("text", ["绿茶，水。", "ひらがなと", "안녕하세요"])
def test_characters_of_east_asia_are_more_tokens_each(text):
    assert tokens(text * 3) == pytest.approx(10)
    assert tokens("x’" * 6) == 3
    assert tokens(text * 3 + "x" * 12) == pytest.approx(13)


def test_chinese_is_priced_alike_with_and_without_its_language(hrlaif, write, tmp_path):
    row = {"prompt": "绿茶用多热的水泡？", "responses": ["八十度的水。" * 40, "开水。" * 40]}
    rows = [{"id": f"c{n}", **row} for n in range(20)]
    told = [[{**r, "language": "zh-CN"} for r in rows], rows]
    given = ("-o", tmp_path / "l.jsonl", "--judge", "scripted:", "--dry-run", "--json")
    found = [hrlaif.here("label", write(f"{n}.jsonl", r), *given) for n, r in enumerate(told)]
    assert found[0].stdout == found[1].stdout
