"""`hrlaif compare` of three files and more, by judges whose faults are known."""

import json
import random
import signal
import time
from dataclasses import replace
from itertools import combinations

import pytest

LONGER = "scripted:accuracy=0.5,length_bias=0.45"


@pytest.fixture
def side(write):
    """A file of a model that writes about so many words, on 40 prompts."""

    def rows(name, words, prompts=40, **more):
        rng = random.Random(name)
        texts = [
            {
                "id": f"p{n}",
                "prompt": f"Tell me about {n}.",
                "response": f"{name} says {n} is "
                + "so " * int(words * rng.lognormvariate(0, 0.8)),
                **more,
            }
            for n in range(prompts)
        ]
        return write(f"{name}.jsonl", texts)

    return rows


def compared(hrlaif, *given, code=0):
    done = hrlaif.here("compare", *given, "--json", code=code)
    return json.loads(done.stdout)


def test_three_models_are_ranked_by_length_as_judged_and_not_at_equal_length(
    hrlaif, side, tmp_path
):
    files = side("short", 10), side("long", 60), side("middling", 25)
    given = (*files, "-o", tmp_path / "out", "--judge", LONGER)
    found = compared(hrlaif, *given)
    assert found == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert list(found["models"]) == ["short", "long", "middling"]
    judged = found["ranking"]["as_judged"]["win_rate"]
    assert sorted(judged, key=lambda m: -judged[m]["value"]) == ["long", "middling", "short"]
    assert judged["long"]["low"] > 0.5 > judged["short"]["high"]
    equal = found["ranking"]["at_equal_style"]
    assert list(equal["style"]) == ["length"]
    assert equal["style"]["length"]["low"] > 0
    for figure in equal["win_rate"].values():
        assert figure["low"] < 0.5 < figure["high"]
    assert [(p["a"], p["b"]) for p in found["pairs"]] == [
        ("short", "long"), ("short", "middling"), ("long", "middling"),
    ]  # fmt: skip
    first = found["pairs"][0]["win_rate"]
    assert first["overall"]["low"] > 0.5
    assert first["length_controlled"]["estimator"] == "lc_minimal"
    assert found["with_difficulty"]["reason"].endswith("takes 3 models beside the first, not 2")
    head, title, *rows = hrlaif.here("compare", *given).stdout.splitlines()
    assert head == f"3 models, 120 comparisons, judge {LONGER} (95 % intervals):"
    columns = [cell.strip() for cell in title.split("  ") if cell]
    assert columns == ["model", "mean win rate", "at equal length", "characters"]
    best = judged["long"]
    shown = f"{100 * best['value']:.1f} % ({100 * best['low']:.1f} to {100 * best['high']:.1f})"
    assert rows[0].startswith(f"  long      {shown}  ")


def test_a_pair_of_several_is_told_as_the_same_two_files_are(hrlaif, side, tmp_path):
    a, b, c = (side(name, 10 * n) for n, name in enumerate("abc", start=1))
    judge = ("--judge", "scripted:length_bias=0.3,failure=0.05", "--max-abstentions", "1")
    several = compared(hrlaif, a, b, c, "-o", tmp_path / "several", *judge)
    two = compared(hrlaif, a, c, "-o", tmp_path / "two", *judge)
    theirs, ours = two["win_rate"], several["pairs"][1]["win_rate"]
    assert ours.pop("statement").startswith("c's win rate is ")
    assert theirs.pop("statement").startswith("B's win rate is ")
    assert ours == theirs
    assert several["abstentions"]["scripted failure"] == sum(
        p["win_rate"]["abstentions"]["scripted failure"] for p in several["pairs"]
    )


def test_the_calls_said_are_the_calls_made_and_one_baseline_takes_fewer(hrlaif, side, tmp_path):
    files = [side(name, 10) for name in "abcd"]
    out = ("-o", tmp_path / "out", "--judge", "scripted:")
    for more, calls in (((), 6 * 40 * 2), (("--first-only",), 3 * 40 * 2)):
        said = hrlaif.here("compare", *files, *out, *more, "--dry-run", "--json")
        assert json.loads(said.stdout)["calls"] == calls
        assert f"at most {calls} calls to scripted" in said.stderr
    assert not (tmp_path / "out").exists()
    few = compared(hrlaif, *files, *out, "--first-only")
    assert (few["asked"], few["cost"]["calls"], few["cost"]["found_again"]) == (120, 240, 0)
    assert list(few["with_difficulty"]["models"]) == ["b", "c", "d"]
    all_of_them = compared(hrlaif, *files, *out)
    assert (all_of_them["asked"], all_of_them["cost"]["calls"]) == (240, 480)
    assert all_of_them["cost"]["found_again"] == 240


def test_what_was_killed_goes_on_and_asks_nothing_twice(hrlaif, side, server, tmp_path):
    server.answer = lambda body, n: replace(server.top({"1": 0.6, "2": 0.4}), delay=0.05)
    files = [side(name, 10, prompts=8) for name in "abc"]
    given = ("compare", *files, "-o", tmp_path / "out", "--judge", "remote:m")
    given = (*given, "--base-url", server.url, "--concurrency", "1")
    process = hrlaif.start(*given)
    end = time.monotonic() + 60
    while len(server.calls) < 10:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    begun = len(server.calls)
    assert begun < 48
    found = json.loads(hrlaif(*given, "--json").stdout)
    assert (found["asked"], found["abstentions"]) == (24, {})
    questions = [json.dumps(call["messages"]) for call in server.calls]
    assert len(set(questions)) == 2 * 3 * 8
    assert len(questions) <= 48 + 1  # the call under way when it was killed
    again = json.loads(hrlaif(*given, "--json").stdout)
    assert len(server.calls) == len(questions)
    assert again | {"cost": 0, "about": 0} == found | {"cost": 0, "about": 0}


def test_names_come_from_the_rows_or_the_file_and_a_clash_names_both_files(
    hrlaif, side, write, tmp_path
):
    out = ("-o", tmp_path / "out", "--judge", "scripted:")
    a, b, c = side("a", 5), side("b", 5, model="mine"), side("c", 5, model="mine")
    told = hrlaif.here("compare", a, b, c, *out, code=1)
    assert f"{b} and {c} are both mine: give their rows different `model`s" in told.stderr
    rows = [json.loads(row) for row in b.read_text().splitlines()]
    mixed = write("mixed.jsonl", [{**row, "model": "xy"[n % 2]} for n, row in enumerate(rows)])
    told = hrlaif.here("compare", a, b, mixed, *out, code=1)
    assert f"{mixed} holds responses of x and y: give a file a model" in told.stderr
    assert not (tmp_path / "out").exists()
    found = compared(hrlaif, a, b, side("d", 5), *out)
    assert list(found["models"]) == ["a", "mine", "d"]
    row = json.loads((tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()[0])
    assert (row["id"], row["a"]["model"], row["b"]["model"]) == ("p0/a/mine", "a", "mine")


def test_what_cannot_be_compared_is_refused_before_anything_is_asked(hrlaif, side, write, tmp_path):
    out = ("-o", tmp_path / "out", "--judge", "scripted:")
    a, b, c = side("a", 5), side("b", 5), side("c", 5)
    told = hrlaif.here("compare", a, *out, code=2)
    assert "alone cannot be compared: name a second file of responses" in told.stderr
    other = write("other.jsonl", [{"id": "x", "prompt": "?", "response": "!"}])
    told = hrlaif.here("compare", a, other, b, *out, code=1)
    assert "a and other answered no common prompt, by its id or its text" in told.stderr
    twice = [{"id": "p0", "prompt": "Tell me about 0.", "response": text} for text in ("x", "y")]
    told = hrlaif.here("compare", a, b, write("twice.jsonl", twice), *out, code=1)
    assert "line 2: id 'p0' stands on" in told.stderr
    for option, value in (("--against", tmp_path), ("--difficulty", a), ("--gamed", a)):
        told = hrlaif.here("compare", a, b, c, *out, option, value, code=2)
        assert f"{option} goes with two files, A and B" in told.stderr
    assert not (tmp_path / "out").exists()


def test_prompts_of_the_same_text_are_one_prompt_where_some_file_has_no_ids(
    hrlaif, side, write, tmp_path
):
    files = [side(name, 5) for name in "abc"]
    (tmp_path / "bare").mkdir()
    bare = [
        write(f"bare/{name}.jsonl", [
            {k: v for k, v in json.loads(row).items() if k != "id"}
            for row in file.read_text().splitlines()
        ])
        for name, file in zip("bc", files[1:], strict=True)
    ]  # fmt: skip
    judge = ("--judge", "scripted:")
    found = compared(hrlaif, files[0], *bare, "-o", tmp_path / "out", *judge)
    same = compared(hrlaif, *files, "-o", tmp_path / "same", *judge)
    assert found["ranking"] == same["ranking"]
    assert found["pairs"] == same["pairs"]


@pytest.mark.parametrize("ids", [True, False])
def test_what_one_file_knows_of_a_prompt_holds_in_every_pair_of_models(
    ids, hrlaif, side, write, tmp_path
):
    known = {"category": "harmful", "language": "zh", "choices": ["yes", "no"]}
    files = [side("a", 2, prompts=8, **known), side("b", 20, prompts=8), side("c", 60, prompts=8)]
    if not ids:
        rows = map(json.loads, files[2].read_text().splitlines())
        files[2] = write("c.jsonl", [{k: v for k, v in row.items() if k != "id"} for row in rows])
    out = tmp_path / "out"
    compared(hrlaif, *files, "-o", out, "--judge", LONGER)
    rows = [json.loads(row) for row in (out / "comparisons.jsonl").read_text().splitlines()]
    assert {(row["a"]["model"], row["b"]["model"]) for row in rows} == set(combinations("abc", 2))
    for row in rows:
        assert {name: row[name] for name in known} == known
    page = (out / "compare.html").read_text("utf-8")
    _, *shown = page.split('<article class="pair">')
    assert shown
    for article in shown:
        assert "c says" in article
        assert "Harmful category: show the texts" in article.split("says")[0]


def test_one_id_for_two_prompts_is_still_refused_where_a_third_file_knows_more(
    hrlaif, side, write, tmp_path
):
    rows = [json.loads(row) for row in side("a", 2).read_text().splitlines()]
    other = write("c.jsonl", [{**row, "prompt": f"Another {row['prompt']}"} for row in rows])
    files = side("a", 2, category="chat"), side("b", 5), other
    given = (*files, "-o", tmp_path / "out", "--judge", "scripted:")
    told = hrlaif.here("compare", *given, code=1)
    assert "is a different prompt in the two lists" in told.stderr


def test_a_silent_judge_ranks_nobody_and_ends_with_3(hrlaif, side, tmp_path):
    files = [side(name, 5) for name in "abc"]
    silent = ("compare", *files, "-o", tmp_path / "out", "--judge", "scripted:failure=1")
    told = hrlaif.here(*silent, code=3)
    assert "120 of 120 rows have no verdict" in told.stderr
    assert "no ranking: no verdicts" in told.stdout
    assert "%" not in told.stdout.replace("95 % intervals", "")
    assert hrlaif.here(*silent, "--max-abstentions", "1").stdout == told.stdout
