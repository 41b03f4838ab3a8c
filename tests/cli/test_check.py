import json
import signal
import sqlite3
import time
from contextlib import closing

import pytest

TEXTS = ["The answer is 72.", "The answer is 71.", "It is 71 or 72.", "It is 72."]


@pytest.fixture
def responses(write):
    rows = [
        {"id": f"r{n}", "prompt": "48 + 24?", "response": text, "reference_answer": "72"}
        for n, text in enumerate(TEXTS)
    ]
    return write("responses.jsonl", rows)


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_response_gets_a_verdict_and_null_is_one(hrlaif, responses, tmp_path):
    out = tmp_path / "verdicts.jsonl"
    done = hrlaif(
        *("check", responses, "-o", out, "--check", "number", "--json"),
        *("--max-abstentions", "0.25"),
    )
    rows = read(out)
    assert [(row["id"], row["passed"], row["answer"]) for row in rows] == [
        ("r0", True, "72"), ("r1", False, "71"), ("r2", None, None), ("r3", True, "72"),
    ]  # fmt: skip
    assert set(rows[0]) == {"id", "check", "passed", "answer", "reason", "evidence"}
    summary = json.loads(done.stdout)
    assert (summary["passed"], summary["failed"]) == (2, 1)
    assert summary["unverifiable"] == {"more than one answer": 1}
    assert [path.name for path in tmp_path.glob("verdicts*.partial*")] == []


def test_too_many_without_a_verdict_is_exit_3_and_the_file_is_whole(hrlaif, responses, tmp_path):
    out = tmp_path / "verdicts.jsonl"
    done = hrlaif.here("check", responses, "-o", out, "--check", "number", code=3)
    assert len(read(out)) == 4
    assert "1 of 4 responses could not be checked, more than the 20% allowed" in done.stderr


@pytest.mark.parametrize("given", ["{kind: number, percent: hundredths}", "file"])
def test_a_check_is_given_with_its_settings_in_yaml_or_a_file_of_them(
    given, hrlaif, write, tmp_path
):
    said = {"prompt": "Which share?", "response": "It is 42%.", "reference_answer": "0.42"}
    if given == "file":
        given = tmp_path / "shares.yaml"
        given.write_text("kind: number\npercent: hundredths\n")
    passed = []
    for check in (given, "number"):
        out = tmp_path / f"{len(passed)}.jsonl"
        hrlaif.here("check", write("r.jsonl", [said]), "-o", out, "--check", check)
        passed += [row["passed"] for row in read(out)]
    assert passed == [True, False]


def test_a_judge_decides_where_no_rule_can(hrlaif, responses, tmp_path):
    out = tmp_path / "verdicts.jsonl"
    judge = ("--judge", "scripted:accuracy=1")
    hrlaif.here("check", responses, "-o", out, "--check", "same_answer", *judge)
    assert [row["passed"] for row in read(out)] == [True, False, True, True]


def calls(ledger):
    try:
        with closing(sqlite3.connect(ledger)) as db:
            return db.execute("SELECT COUNT(*) FROM calls").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_killed_anywhere_it_goes_on_to_the_same_bytes_and_no_call_is_made_twice(
    hrlaif, write, tmp_path
):
    rows = [
        {"id": f"r{n}", "prompt": "48 + 24?", "response": f"It is {n}.", "reference_answer": "72"}
        for n in range(90)
    ]
    responses = write("many.jsonl", rows)
    judge, outs = "scripted:accuracy=1", (tmp_path / "whole.jsonl", tmp_path / "killed.jsonl")

    def command(out, judge):
        return ("check", responses, "-o", out, "--check", "same_answer", "--judge", judge)

    hrlaif.here(*command(outs[0], judge))
    ledger = tmp_path / "killed.ledger.sqlite"
    asked = calls(tmp_path / "whole.ledger.sqlite")
    assert asked > 100
    for after in (2, asked // 2):
        process = hrlaif.start(*command(outs[1], f"{judge},latency=0.02"))
        while process.poll() is None:
            time.sleep(0.02)
            if calls(ledger) >= after:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"the kill after {after} came too late"
        assert not outs[1].exists()
    hrlaif.here(*command(outs[1], f"{judge},latency=0.02"))
    assert outs[1].read_bytes() == outs[0].read_bytes()
    assert calls(ledger) == asked


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--check", "numbr"], 2, "did you mean 'number'?"),
        (["--check", "{kind: number, percnt: unit}"], 2, "did you mean 'percent'?"),
        (["--check", "{kind: number"], 2, "--check is not YAML"),
        (["--check", "gone.yaml"], 2, "--check gone.yaml: there is no such file"),
        (["--check", "same_answer"], 2, "same_answer needs a judge"),
        ([], 2, "Missing option '--check'"),
    ],
)
def test_what_cannot_check_is_told(more, code, says, hrlaif, responses, tmp_path):
    told = hrlaif.here("check", responses, "-o", tmp_path / "v.jsonl", *more, code=code)
    assert says in told.stderr


def test_rows_come_back_from_people_and_correct_the_share_that_passed(hrlaif, write, tmp_path):
    rows = [
        {"id": f"r{n}", "prompt": f"Question {n // 2}?", "response": f"Some answer {n}."}
        for n in range(120)
    ]
    out = tmp_path / "v.jsonl"
    asked = ("--check", "harmless", "--judge", "scripted:accuracy=0.8")
    done = hrlaif.here("check", write("r.jsonl", rows), "-o", out, *asked, "--to-check", 40)
    drawn = read(tmp_path / "v.to_check.jsonl")
    assert "40 rows for a person" in done.stdout
    assert len(drawn) == 40
    assert not any({"passed", "evidence"} & set(row) for row in drawn)
    said = {row["id"]: row["passed"] for row in read(out)}
    # People say that every fifth verdict is wrong.
    back = {
        row["id"]: {**row, "human_passed": said[row["id"]] != (n % 5 == 0)}
        for n, row in enumerate(drawn)
    }
    both = [back.get(row["id"], row) for row in rows]
    done = hrlaif.here("check", write("b.jsonl", both), "-o", out, *asked, "--json")
    share = json.loads(done.stdout)["passed_share"]
    assert (share["checked"], share["checked_agreed"]) == (40, 32)
    assert share["judged"]["value"] == pytest.approx(sum(said.values()) / 120)
    assert share["corrected"]["low"] < share["corrected"]["value"] < share["corrected"]["high"]
    # A scripted judge is as sure of each: the check was random.
    assert share["rogan_gladen"]["value"] is not None
    done = hrlaif.here("check", write("b.jsonl", both), "-o", out, *asked)
    assert "as people correct it, by whom 32 of 40 verdicts stand: 0." in done.stdout
    assert "the same by Rogan-Gladen: 0." in done.stdout
    told = hrlaif.here(
        *("check", write("c.jsonl", [{**rows[0], "human_passed": "maybe"}]), "-o", out, *asked),
        code=1,
    )
    assert "neither true nor false" in told.stderr


def test_the_rows_for_people_never_replace_what_is_read(hrlaif, write, tmp_path):
    rows = [{"id": "r", "prompt": "48 + 24?", "response": "72", "reference_answer": "72"}]
    path = write("v.to_check.jsonl", rows)
    out = path.with_name("v.jsonl")
    told = hrlaif.here("check", path, "-o", out, "--check", "number", "--to-check", 1, code=2)
    assert "would be replaced" in told.stderr
    assert read(path) == rows


def test_another_result_in_the_same_place_is_said_and_the_same_one_is_not(
    hrlaif, responses, tmp_path
):
    out = tmp_path / "verdicts.jsonl"
    given = ("check", responses, "-o", out, "--max-abstentions", 1, "--check")
    replaced = f"{out} held the result of other inputs or settings, which is replaced"
    said = [hrlaif.here(*given, kind).stderr for kind in ("number", "number", "choice")]
    assert [replaced in words for words in said] == [False, False, True]


def test_what_people_said_is_never_replaced(hrlaif, responses, tmp_path):
    out = tmp_path / "verdicts.jsonl"
    given = ("check", responses, "-o", out, "--check", "number", "--max-abstentions", 1)
    hrlaif.here(*given, "--to-check", 2)
    hrlaif.here(*given, "--to-check", 2)
    path = tmp_path / "verdicts.to_check.jsonl"
    rows = [{**row, "human_passed": n == 0} for n, row in enumerate(read(path))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = hrlaif.here(*given, "--to-check", 3, code=2).stderr
    assert f"{path} holds what people said in human_passed: move it" in told
    assert [row["human_passed"] for row in read(path)] == [True, False]


def test_the_rows_for_people_are_drawn_at_random_where_that_is_asked_for(hrlaif, write, tmp_path):
    # Of texts that are the same there is no doubt; of the others the judge says 0.88 or 0.12.
    rows = [
        {"id": f"r{n}", "prompt": "48 + 24?", "response": text, "reference_answer": "72"}
        for n in range(40)
        for text in ["72" if n % 2 else f"It is {n}."]
    ]
    path, out = write("r.jsonl", rows), tmp_path / "v.jsonl"
    asked = ("--check", "same_answer", "--judge", "scripted:accuracy=1", "--to-check", 10)
    drawn = {}
    for by in ("random", "doubt"):
        hrlaif.here("check", path, "-o", out, *asked, "--check-by", by)
        drawn[by] = read(tmp_path / "v.to_check.jsonl")
    assert {row["chance"] for row in drawn["random"]} == {0.25}
    assert {row["chance"] for row in drawn["doubt"]} <= {0.05, 0.45}
    hrlaif.here("check", path, "-o", out, *asked)
    assert read(tmp_path / "v.to_check.jsonl") == drawn["doubt"]
    told = hrlaif.here("check", path, "-o", out, *asked, "--check-by", "lot", code=2).stderr
    assert "'lot' is not one of 'doubt', 'random'" in told
