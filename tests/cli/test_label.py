import csv
import json
import pkgutil

import pytest

SCRIPTED = "scripted:accuracy=0.8,position_bias=0.2"


def pair(number, **fields):
    """People prefer the first response of the even ones."""
    return {
        "id": f"q{number}",
        "prompt": f"What is {number} plus {number}?",
        "responses": [f"It is {2 * number}.", f"I would say that it is {2 * number + 1}."],
        "human_preference": 1.0 - number % 2,
        **fields,
    }


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def pairs(write):
    return write("pairs.jsonl", [pair(n) for n in range(12)])


@pytest.fixture
def label(hrlaif, tmp_path):
    """A function that labels a file into OUT; arguments come after, `code` is expected."""

    def call(source, *arguments, judge=SCRIPTED, out="out.jsonl", **options):
        path = tmp_path / out
        # What needs a process of its own (its input, its environment) gets one.
        run = hrlaif if options.keys() - {"code"} else hrlaif.here
        return run("label", source, "-o", path, "--judge", judge, *arguments, **options), path

    return call


def test_labels_say_what_they_are_and_twice_is_the_same_file(label, pairs, tmp_path):
    done, out = label(pairs)
    first = out.read_bytes()
    assert len(read(out)) == 12
    row = read(out)[0]
    assert row["id"] == "q0"
    assert row["a"]["text"] == "It is 0."
    both = (row["evidence"]["prob_a_first"] + row["evidence"]["prob_a_second"]) / 2
    assert row["prob_a"] == pytest.approx(both, abs=1e-6)
    assert (tmp_path / "out.abstentions.jsonl").read_bytes() == b""
    assert "12 labels in" in done.stdout
    assert "agreement with the known preference" in done.stdout
    label(pairs)
    assert out.read_bytes() == first
    assert not list(tmp_path.glob("*.partial*"))


def test_a_dry_run_says_what_would_be_asked_and_sends_and_writes_nothing(
    hrlaif, pairs, write, tmp_path
):
    texts = write("r.jsonl", [{"prompt": f"What is {n}?", "response": "4"} for n in range(12)])
    before = sorted(tmp_path.iterdir())
    paid = ("--judge", "remote:gpt-4o-mini", "--base-url", "http://127.0.0.1:9/v1")
    done = hrlaif.here("label", pairs, "-o", tmp_path / "o.jsonl", *paid, "--dry-run")
    assert "at most 24 calls to remote:gpt-4o-mini" in done.stdout
    assert done.stderr.splitlines() == ["nothing was sent; figures are estimates"]
    done = hrlaif.here("score", texts, "-o", tmp_path / "o.jsonl", *paid, "--dry-run")
    assert "at most 12 calls" in done.stdout
    done = hrlaif.here("compare", texts, texts, "-o", tmp_path / "c", *paid, "--dry-run")
    assert "nothing was sent" in done.stderr
    checked = ("check", texts, "-o", tmp_path / "o.jsonl", "--check")
    done = hrlaif.here(*checked, "same_answer", *paid, "--dry-run")
    assert "at most 24 calls to remote:gpt-4o-mini" in done.stdout
    assert hrlaif.here(*checked, "number", "--dry-run").stdout == "no model is asked\n"
    harm = write(
        "h.jsonl",
        [{"prompt": f"{n}?", "response": "4", "harmful_response": n < 2} for n in range(5)],
    )
    done = hrlaif.here("detector", harm, "-o", tmp_path / "d", *paid, "--dry-run")
    assert "at most 10 calls to remote:gpt-4o-mini" in done.stdout
    harm.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_check_asks_is_said_before_it_asks(hrlaif, write, tmp_path):
    rows = [{"prompt": f"{n}?", "response": f"{n}", "reference_answer": "4"} for n in range(3)]
    given = ("-o", tmp_path / "o.jsonl", "--check", "same_answer", "--judge", "scripted:")
    done = hrlaif.here("check", write("r.jsonl", rows), *given, "--max-abstentions", 1)
    assert "at most 6 calls to scripted" in done.stderr


def test_the_rows_of_which_people_s_word_is_0_or_1_are_told_apart_where_some_are_not(
    label, write, pairs
):
    done, _ = label(pairs)
    assert "people's word" not in done.stdout
    split = [pair(n, human_preference=(0.7, 1.0, 0.0)[n % 3]) for n in range(12)]
    done, _ = label(write("split.jsonl", split), out="split_out.jsonl")
    assert "people's word 0 or 1" in done.stdout


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_pairs_of_one_prompt_have_no_interval_and_the_work_ends_well(more, label, write):
    rows = [{**pair(n), "prompt": "Which?", "prompt_id": "one"} for n in range(6)]
    done, _ = label(write("one.jsonl", rows), *more, judge="scripted:accuracy=0.5,seed=2")
    assert '"low": null' in done.stdout if more else "(n 6)" in done.stdout


def test_agreement_is_the_judge_s_accuracy(label, write):
    many = write("many.jsonl", [pair(n) for n in range(300)])
    done, _ = label(many, "--json")
    found = json.loads(done.stdout)["agreement"]["overall"]
    assert found["low"] <= 0.8 <= found["high"]
    assert found["n"] == 300


def test_json_is_all_that_is_on_standard_output(label, pairs):
    done, out = label(pairs, "--json")
    summary = json.loads(done.stdout)
    assert (summary["labelled"], summary["abstentions"], summary["out"]) == (12, {}, str(out))
    assert summary["cost"]["calls"] == 24
    assert "12/12 pairs" in done.stderr


def test_swapped_responses_swap_the_label(label, pairs, write):
    _, out = label(pairs)
    turned = [{**row, "responses": row["responses"][::-1]} for row in read(pairs)]
    turned = [{**row, "human_preference": 1 - row["human_preference"]} for row in turned]
    _, other = label(write("turned.jsonl", turned), out="other.jsonl")
    for one, two in zip(read(out), read(other), strict=True):
        assert two["prob_a"] == pytest.approx(1 - one["prob_a"], abs=1e-6)


def test_standard_input_and_csv_give_the_same_labels(label, pairs, tmp_path):
    _, out = label(pairs)
    _, piped = label("-", stdin=pairs.read_bytes(), out="piped.jsonl")
    assert piped.read_bytes() == out.read_bytes()
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "prompt", "response_a", "response_b", "human_preference"])
        for row in read(pairs):
            writer.writerow([row["id"], row["prompt"], *row["responses"], row["human_preference"]])
    _, of_table = label(table, out="table.jsonl")
    assert [r["prob_a"] for r in read(of_table)] == [r["prob_a"] for r in read(out)]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "bad.jsonl is empty"),
        ("torn", "bad.jsonl, line 12: the line is cut off"),
        ("latin", "bad.jsonl, line 13: not UTF-8"),
        (b'{"prompt": "x", "responses": ["a", "b", "c"]}\n', "line 1: 3 responses, where a pair"),
        (b'{"prompt": "x"}\n', "bad.jsonl, line 1: no responses"),
        (b'{"responses": ["a", "b"]}\n', "bad.jsonl, line 1: no prompt"),
        (b"[1]\n", "bad.jsonl, line 1: a list, not an object"),
    ],
)
def test_a_bad_file_is_named_with_its_row_and_the_next_move(raw, says, label, pairs, tmp_path):
    good = pairs.read_bytes()
    bad = tmp_path / "bad.jsonl"
    given = {"torn": good[:-20], "latin": good + b'{"prompt": "caf\xe9"}\n'}
    bad.write_bytes(raw if isinstance(raw, bytes) else given[raw])
    done, out = label(bad, code=1)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"judge": "scriptd:"}, 2, "'scriptd:' is no model: give local:PATH"),
        ({"judge": "scripted:acuracy=1"}, 2, "did you mean 'accuracy'?"),
        ({"judge": "packaged:nothere"}, 1, "'nothere' is none of"),
        ({"judge": "local:/not/here"}, 1, "check the name"),
        ({"arguments": ["--task", "sumarize"]}, 2, "'helpful', 'reasoning', 'summarization'"),
        ({"arguments": ["--labeler", "debate"]}, 2, "kind 'debate' is none of"),
        ({"arguments": ["--samples", "0"]}, 2, "greater than or equal to 1"),
        ({"arguments": ["--base-url", "http://localhost/v1"]}, 2, "goes with remote:MODEL"),
        ({"out": "out.txt"}, 2, "name a .jsonl file"),
        ({"source": "gone.jsonl"}, 1, "gone.jsonl: no such file"),
    ],
)
def test_what_cannot_be_is_told_and_the_next_try_is_free(change, code, says, label, pairs):
    source, more = change.pop("source", pairs), change.pop("arguments", [])
    done, _ = label(source, *more, code=code, **change)
    assert says in done.stderr
    label(pairs)


def test_what_the_judge_does_not_say_is_an_abstention_and_too_many_end_with_3(label, pairs):
    done, out = label(pairs, judge="scripted:failure=0.3", code=3)
    silent = read(out.with_name("out.abstentions.jsonl"))
    assert len(silent) + len(read(out)) == 12
    assert {row["reason"] for row in silent} == {"scripted failure"}
    assert f"{len(silent)} of 12 rows have no verdict, more than the 20% allowed" in done.stderr
    label(pairs, "--max-abstentions", "1", judge="scripted:failure=0.3")


def test_a_begun_file_is_not_continued_with_another_judge(label, pairs, tmp_path, server):
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps(pair(n)) + "\n" for n in range(200)))
    server.answer = lambda body, n: (
        server.top({"1": 0.7, "2": 0.2}) if n < 300 else server.error(401, "no")
    )
    begun = ["--base-url", server.url]
    label(many, *begun, judge="remote:m", code=1)
    done, _ = label(many, code=1)
    assert "label was begun with judge.kind = 'remote', now 'scripted'" in done.stderr
    server.answer = lambda body, n: server.top({"1": 0.7, "2": 0.2})
    calls = len(server.calls)
    _, out = label(many, *begun, judge="remote:m")
    assert len(read(out)) == 200
    # 300 answers are not asked again, the refused ones are.
    assert len(server.calls) - calls == 100


def test_standard_input_is_only_continued_with_the_same_rows(label, tmp_path, server):
    rows = [pair(n) for n in range(200)]
    other = [{**row, "responses": row["responses"][::-1]} for row in rows]
    one, two = ("".join(json.dumps(row) + "\n" for row in some) for some in (rows, other))
    server.answer = lambda body, n: (
        server.top({"1": 0.7, "2": 0.2}) if n < 300 else server.error(401, "no")
    )
    remote(label, server, "-", code=1, stdin=one)
    server.answer = lambda body, n: server.top({"1": 0.7, "2": 0.2})
    done, _ = remote(label, server, "-", code=1, stdin=two)
    assert "label was begun with another -" in done.stderr
    _, out = remote(label, server, "-", stdin=one)
    assert len(read(out)) == 200


def test_a_file_is_never_written_over_the_one_that_is_read(label, pairs, tmp_path):
    source = tmp_path / "own.jsonl"
    source.write_bytes(pairs.read_bytes())
    done, _ = label(source, out="own.jsonl", code=2)
    assert "would be replaced, and it is what is read" in done.stderr
    _, out = label(pairs, judge="scripted:failure=0.3", code=3)
    before = out.read_bytes()
    aside = out.with_name("out.abstentions.jsonl")
    done, _ = label(aside, out="out.jsonl", code=2)
    assert "out.abstentions.jsonl would be replaced" in done.stderr
    assert out.read_bytes() == before
    assert source.read_bytes() == pairs.read_bytes()


@pytest.mark.parametrize(
    ("command", "writes"),
    [
        ("label pairs.jsonl -o out.jsonl", "jobs.write_rows"),
        ("score a.jsonl -o out.jsonl", "jobs.write_rows"),
        ("check a.jsonl -o out.jsonl --check same_answer", "jobs.write_rows"),
        ("compare a.jsonl b.jsonl -o out", "compare.write_json"),
    ],
)
def test_another_process_is_refused_until_the_last_file_is_written(
    command, writes, hrlaif, write, tmp_path, monkeypatch
):
    rows = [pair(n, reference_answer=str(2 * n)) for n in range(4)]
    write("pairs.jsonl", rows)
    for n, name in enumerate("ab"):
        write(f"{name}.jsonl", [{**row, "response": row["responses"][n]} for row in rows])
    monkeypatch.chdir(tmp_path)
    place = f"hrlaif.cli.{writes}"
    as_before, told = pkgutil.resolve_name(place), []

    def writing(*given):
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(place, as_before)
            other = hrlaif.here(*command.split(), "--judge", "scripted:seed=7", code=1)
        told.append(other.stderr)
        as_before(*given)

    monkeypatch.setattr(place, writing)
    hrlaif.here(*command.split(), "--judge", "scripted:")
    assert told
    assert all("another process works" in words for words in told)
    assert not [*tmp_path.rglob("*.partial*")]


def test_a_folder_is_no_output_and_that_is_told_before_anything_is_asked(label, pairs, tmp_path):
    (tmp_path / "out.jsonl").mkdir()
    done, out = label(pairs, code=2)
    assert f"{out} is a folder: name a file" in done.stderr
    assert not (tmp_path / "out.ledger.sqlite").exists()


@pytest.mark.parametrize("name", ["kind.yaml", "kind.yml"])
def test_criteria_of_one_s_own_are_asked_and_named_and_their_file_is_remembered(
    name, label, pairs, server, tmp_path
):
    own = tmp_path / name
    own.write_text("preamble: Say which is kinder.\nreminder: Choose the kinder response.\n")
    server.answer = lambda body, n: server.top({"1": 0.7, "2": 0.2})
    _, out = remote(label, server, pairs, arguments=["--task", own])
    asked = server.calls[0]["messages"][0]["content"]
    assert asked.startswith("Say which is kinder.\nAnswer only with 1 or 2.")
    assert asked.endswith("Choose the kinder response.\nPreferred Response=")
    assert "kind@" in read(out)[0]["labeler"]
    # Half done, and then other words: refused.
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps(pair(n)) + "\n" for n in range(200)))
    begun = len(server.calls)
    server.answer = lambda body, n: (
        server.top({"1": 0.7, "2": 0.2}) if n < begun + 300 else server.error(401, "no")
    )
    remote(label, server, many, arguments=["--task", own], code=1)
    own.write_text("preamble: Say which is ruder.\nreminder: Choose the ruder response.\n")
    done, _ = remote(label, server, many, arguments=["--task", own], code=1)
    assert f"label was begun with another {own}" in done.stderr


def remote(label, server, source, arguments=(), **options):
    return label(source, "--base-url", server.url, *arguments, judge="remote:m", **options)


@pytest.mark.parametrize("trouble", ["429", "500", "html", "half", "nothing"])
def test_a_server_in_trouble_is_asked_again(trouble, label, pairs, server):
    fine = server.top({"1": 0.7, "2": 0.2})
    first = {
        "429": server.reply("{}", 429, retry_after="0"),
        "500": server.reply("{}", 500, retry_after="0"),
        "html": server.reply("<html>busy</html>"),
        "half": server.reply('{"choices": [{"mess'),
        "nothing": server.reply(""),
    }[trouble]
    server.script(fine, first, fine)
    done, out = remote(label, server, pairs)
    assert len(read(out)) == 12
    assert len(server.calls) == 25
    assert "Traceback" not in done.stderr


def test_a_server_that_always_fails_gives_abstentions_and_keeps_what_was_done(label, pairs, server):
    fine = server.top({"1": 0.7, "2": 0.2})
    down = server.reply("{}", 500, retry_after="0")
    server.answer = lambda body, n: fine if "0 plus 0" in str(body) else down
    done, out = remote(label, server, pairs, code=3)
    assert [row["id"] for row in read(out)] == ["q0"]
    assert "the server failed (500)" in done.stdout
    server.answer = lambda body, n: fine
    calls = len(server.calls)
    remote(label, server, pairs)
    assert len(read(out)) == 12
    assert len(server.calls) - calls == 22


def test_a_judge_without_log_probabilities_votes(label, pairs, server):
    server.answer = lambda body, n: server.text("1")
    _, out = remote(label, server, pairs)
    assert {row["evidence"]["source"] for row in read(out)} == {"votes"}
    assert {row["prob_a"] for row in read(out)} == {0.5}


def test_a_refused_key_is_told_at_once(label, pairs, server):
    server.answer = lambda body, n: server.error(401, "bad key")
    done, _ = remote(label, server, pairs, code=1)
    assert "refused the key (401): is OPENAI_API_KEY set" in done.stderr


def test_no_server_is_told(label, pairs, server):
    server.answer = lambda body, n: server.error(404, "no such model")
    done, _ = remote(label, server, pairs, code=1)
    assert "was not found: is the model among those of" in done.stderr
