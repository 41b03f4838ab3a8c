import json
from pathlib import Path

import pytest


@pytest.fixture
def sides(write):
    def side(name, ends):
        rows = [
            {
                "id": f"p{n}",
                "prompt": f"Tell me about {n}.",
                "response": f"{n} is {ends * (n % 6)}{n % 3}.",
            }
            for n in range(30)
        ]
        return write(f"{name}.jsonl", rows)

    return side("a", "odd "), side("b", "most certainly ")


def test_the_win_rate_is_raw_and_length_controlled(hrlaif, sides, tmp_path):
    judge = "scripted:length_bias=0.45"
    done = hrlaif("compare", *sides, "-o", tmp_path / "out", "--judge", judge, "--json")
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "out" / "compare.json").read_text())
    won = found["win_rate"]
    assert won["asked"] == 30
    assert won["overall"]["low"] <= won["overall"]["value"] <= won["overall"]["high"]
    # The judge likes the longer side, B; at equal length less of that is left.
    controlled = won["length_controlled"]["win_rate"]["value"]
    assert controlled < won["overall"]["value"]
    rows = (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()
    assert len(rows) == 30
    again = hrlaif.here("compare", *sides, "-o", tmp_path / "out", "--judge", judge)
    assert won["statement"] in again.stdout


def test_a_panel_compares_and_each_judge_s_word_is_kept(hrlaif, sides, tmp_path):
    judges = ("--judge", "scripted:length_bias=0.4", "--judge", "scripted:seed=2")
    hrlaif.here("compare", *sides, "-o", tmp_path / "out", *judges)
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["win_rate"]["labeler"].startswith("panel/")
    rows = (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()
    told = [row for row in map(json.loads, rows) if "prob_a" in row]
    assert [len(row["evidence"]["judges"]) for row in told] == [2] * 25  # 5 pairs are identical
    assert found["judge"] == "scripted:length_bias=0.4+scripted:seed=2"


def test_files_of_other_prompts_are_refused(hrlaif, sides, write, tmp_path):
    other = write("c.jsonl", [{"id": "x", "prompt": "?", "response": "!"}])
    out = tmp_path / "out"
    told = hrlaif.here("compare", sides[0], other, "-o", out, "--judge", "scripted:", code=1)
    assert "no prompt is in both lists, by its id or its text" in told.stderr


def test_the_text_says_b_versus_a_at_equal_length_and_what_is_missing(hrlaif, sides, tmp_path):
    judge = "scripted:length_bias=0.45,failure=0.05"
    done = hrlaif.here("compare", *sides, "-o", tmp_path / "out", "--judge", judge)
    won = json.loads((tmp_path / "out" / "compare.json").read_text())["win_rate"]
    head, verdict, equal, *rest, last = done.stdout.splitlines()
    assert head == f"B ({sides[1]}) versus A ({sides[0]}), 30 comparisons, judge {judge}:"
    assert verdict == won["statement"]
    assert verdict.startswith(f"B's win rate is {100 * won['overall']['value']:.1f} % (95 %")
    at_equal = 100 * won["length_controlled"]["win_rate"]["value"]
    assert equal.startswith(f"At equal length (lc_minimal) it is {at_equal:.1f} % (95 %")
    silent = won["abstentions"]["scripted failure"]
    assert "  5 of two identical texts: ties, no judge was asked" in rest
    assert f"  {silent} without a verdict: scripted failure" in rest
    assert last == str(tmp_path / "out" / "compare.html")
    assert "at most 50 calls to" in done.stderr  # of 25 pairs that are not identical


def test_the_estimate_is_the_same_whichever_file_is_named_first(hrlaif, write, tmp_path):
    rows = [{"id": f"p{n}", "prompt": "Why?"} for n in range(40)]
    short = write("short.jsonl", [{**row, "response": "So."} for row in rows])
    long = write("long.jsonl", [{**row, "response": "so " * 2000} for row in rows[:30]])
    given = ("-o", tmp_path / "o", "--judge", "scripted:", "--dry-run", "--json")
    found = [
        json.loads(hrlaif.here("compare", *files, *given).stdout)
        for files in ((short, long), (long, short))
    ]
    assert found[0] == found[1]
    assert found[0]["calls"] == 2 * 30  # ten of A's have no partner
    assert 1500 <= found[0]["prompt_tokens"] / 60 <= 1800


def test_a_judge_that_says_nothing_ends_with_3_and_states_no_win_rate(hrlaif, sides, tmp_path):
    silent = ("compare", *sides, "-o", tmp_path / "out", "--judge", "scripted:failure=1")
    told = hrlaif.here(*silent, code=3)
    assert "25 of 25 rows have no verdict, more than the 20% allowed" in told.stderr
    assert f"see {tmp_path / 'out' / 'comparisons.jsonl'}" in told.stderr
    assert "Too few verdicts to say anything." in told.stdout
    assert "%" not in told.stdout
    assert hrlaif.here(*silent, "--max-abstentions", "1").stdout == told.stdout


def test_ids_in_one_file_alone_are_no_matter_where_the_prompts_are_the_same(
    hrlaif, sides, write, tmp_path
):
    rows = [json.loads(row) for row in sides[1].read_text().splitlines()]
    bare = write("bare.jsonl", [{k: v for k, v in row.items() if k != "id"} for row in rows])
    judge = ("--judge", "scripted:")
    done = hrlaif.here("compare", sides[0], bare, "-o", tmp_path / "out", *judge)
    assert "no prompt id is in both lists: prompts of the same text" in done.stderr
    hrlaif.here("compare", *sides, "-o", tmp_path / "other", *judge)
    found, other = (
        json.loads((tmp_path / name / "compare.json").read_text())["win_rate"]
        for name in ("out", "other")
    )
    assert found == other


def test_two_comparisons_with_one_baseline_are_tested_prompt_by_prompt(
    hrlaif, sides, write, tmp_path
):
    a, b = sides
    row = {"prompt": "Tell me about {n}.", "response": "{n} is very long-winded, on and on {n}."}
    longer = [
        {"id": f"p{n}", **{key: text.format(n=n) * (1 + (key == "response"))
                           for key, text in row.items()}}
        for n in range(30)
    ]  # fmt: skip
    c, judge = write("c.jsonl", longer), ("--judge", "scripted:length_bias=0.45,position_bias=0")
    hrlaif.here("compare", a, b, "-o", tmp_path / "b", *judge)
    done = hrlaif.here(
        "compare", a, c, "-o", tmp_path / "c", *judge, "--against", tmp_path / "b", "--json"
    )
    found = json.loads(done.stdout)
    other = json.loads((tmp_path / "b" / "compare.json").read_text())
    gap = found["win_rate"]["overall"]["value"] - other["win_rate"]["overall"]["value"]
    assert found["against"]["difference"]["value"] == pytest.approx(gap)
    assert found["against"]["unmatched"] == 0
    assert 0 < found["against"]["p"] <= 1
    same = hrlaif.here("compare", a, b, "-o", tmp_path / "b", *judge, "--against", tmp_path / "b")
    assert "+0.0 points" in same.stdout
    assert "on 30 comparisons: not distinguishable from none." in same.stdout
    assert "Left out" not in same.stdout
    few = write("few.jsonl", [json.loads(row) for row in b.read_text().splitlines()[:10]])
    given = ("compare", a, few, "-o", tmp_path / "few", *judge, "--against", tmp_path / "b")
    some = hrlaif.here(*given).stdout
    assert "on 10 comparisons: not distinguishable from none." in some
    assert "Left out: 20 verdicts of one of the two alone." in some


def test_verdicts_of_two_judges_are_not_subtracted(hrlaif, sides, tmp_path):
    hrlaif.here("compare", *sides, "-o", tmp_path / "one", "--judge", "scripted:seed=1")
    other = ("-o", tmp_path / "two", "--judge", "scripted:seed=1", "--task", "helpful")
    told = hrlaif.here("compare", *sides, *other, "--against", tmp_path / "one", code=1)
    assert "only verdicts of one judge can be subtracted" in told.stderr
    assert not (tmp_path / "two").exists()  # and nothing was asked
    panel = ("--judge", "scripted:seed=1", "--judge", "scripted:seed=2", "--dry-run")
    told = hrlaif.here(
        "compare", *sides, "-o", tmp_path / "two", *panel, "--against", tmp_path / "one", code=1
    )
    assert "is judged by panel/" in told.stderr
    told = hrlaif.here("compare", *sides, *other, "--against", tmp_path / "none", code=1)
    assert "comparisons.jsonl is missing" in told.stderr


def test_another_baseline_is_refused_before_anything_is_asked(hrlaif, sides, write, tmp_path):
    a, b = sides
    hrlaif.here("compare", a, b, "-o", tmp_path / "one", "--judge", "scripted:")
    texts = ({"id": f"p{n}", "prompt": f"Tell me about {n}.", "response": "No."} for n in range(30))
    other = ("compare", write("c.jsonl", texts), b, "-o", tmp_path / "two", "--judge", "scripted:")
    told = hrlaif.here(*other, "--against", tmp_path / "one", code=1)
    assert "holds no verdict against these baseline responses" in told.stderr
    assert not (tmp_path / "two").exists()


def test_a_comparison_of_equal_texts_alone_is_refused_before_anything_is_asked(
    hrlaif, sides, write, tmp_path
):
    a, b = sides
    same = write("same.jsonl", [json.loads(row) for row in a.read_text().splitlines()])
    hrlaif.here("compare", a, same, "-o", tmp_path / "one", "--judge", "scripted:")
    other = ("compare", a, b, "-o", tmp_path / "two", "--judge", "scripted:")
    told = hrlaif.here(*other, "--against", tmp_path / "one", code=1)
    assert "holds no verdict against these baseline responses" in told.stderr
    assert not (tmp_path / "two").exists()


def test_an_answer_that_two_baselines_share_on_other_prompts_alone_is_none_in_common(
    hrlaif, sides, write, tmp_path
):
    a, b = sides
    rows = [json.loads(row) for row in a.read_text().splitlines()]
    hrlaif.here("compare", a, b, "-o", tmp_path / "one", "--judge", "scripted:")
    turned = [{**row, "response": f"{rows[-1 - n]['response']}"} for n, row in enumerate(rows)]
    other = ("compare", write("c.jsonl", turned), b, "-o", tmp_path / "two", "--judge", "scripted:")
    told = hrlaif.here(*other, "--against", tmp_path / "one", code=1)
    assert "holds no verdict against these baseline responses" in told.stderr
    assert not (tmp_path / "two").exists()


def test_a_comparison_of_several_models_is_not_subtracted_and_nothing_is_asked(
    hrlaif, sides, write, tmp_path
):
    a, b = sides
    rows = ({"id": f"p{n}", "prompt": f"Tell me about {n}.", "response": "No."} for n in range(30))
    c = write("c.jsonl", rows)
    hrlaif.here("compare", a, b, c, "-o", tmp_path / "three", "--judge", "scripted:")
    two = ("compare", a, b, "-o", tmp_path / "two", "--judge", "scripted:")
    told = hrlaif.here(*two, "--against", tmp_path / "three", code=1)
    assert f"{tmp_path / 'three'} compares several models: give the folder of one" in told.stderr
    assert not (tmp_path / "two").exists()


def test_a_comparison_of_others_in_the_same_folder_is_said(hrlaif, sides, tmp_path):
    a, b = sides
    given = ("-o", tmp_path / "out", "--judge", "scripted:")
    said = [hrlaif.here("compare", *files, *given).stderr for files in ((a, b), (a, b), (b, a))]
    assert ["which is replaced" in words for words in said] == [False, False, True]


def test_of_two_files_all_is_as_before_there_could_be_more(hrlaif, sides, tmp_path):
    """compared.json was written when the command took two files alone; since then the interval
    of a share reaches at least as far as Wilson's."""
    judge = "scripted:length_bias=0.45,failure=0.05"
    given = ("compare", *sides, "-o", tmp_path / "out", "--judge", judge)
    done = hrlaif.here(*given)
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert list(found) == ["judge", "models", "win_rate", "cost", "about"]
    assert found.pop("about")["files"] == [str(side) for side in sides]
    known = json.loads((Path(__file__).parent / "compared.json").read_text())
    ours, theirs = ([*leaves(one)] for one in ({**found, "cost": None}, {**known, "cost": None}))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (path, value), (_, before) in zip(ours, theirs, strict=True):
        assert value == pytest.approx(before, abs=1e-6), path
    assert done.stdout.splitlines() == [
        f"B ({sides[1]}) versus A ({sides[0]}), 30 comparisons, judge {judge}:",
        "B's win rate is 66.4 % (95 % interval 55.9 to 76.8): better than A in this judge's eyes.",
        "At equal length (lc_minimal) it is 51.9 % (95 % interval 40.3 to 68.0).",
        "  5 of two identical texts: ties, no judge was asked",
        "  2 without a verdict: scripted failure",
        str(tmp_path / "out" / "compare.json"),
        str(tmp_path / "out" / "compare.html"),
    ]


@pytest.fixture
def stopped(hrlaif, write, server, tmp_path):
    """A function that begins a comparison of a.jsonl with b.jsonl, and stops it half way.

    It returns one that calls the command again, with files and options as given.
    """
    for name in "ab":
        rows = ({"id": f"p{n}", "prompt": f"{n}?", "response": f"{name}, {n}"} for n in range(200))
        write(f"{name}.jsonl", rows)
    fine = server.top({"1": 0.7, "2": 0.2})

    def begin(*more, files=("a", "b"), **options):
        def again(*more, files=files, code=0, **options):
            named = [one if one == "-" else tmp_path / f"{one}.jsonl" for one in files]
            given = ("-o", tmp_path / "out", "--judge", "remote:m", "--base-url", server.url)
            run = hrlaif if options else hrlaif.here
            return run("compare", *named, *given, *more, code=code, **options)

        server.answer = lambda body, n: fine if n < 300 else server.error(401, "no")
        again(*more, code=1, **options)
        assert (tmp_path / "out" / "comparisons.jsonl.partial").stat().st_size
        server.answer = lambda body, n: fine
        return again

    return begin


def test_a_begun_comparison_goes_on_with_its_files_in_their_order_alone(stopped, tmp_path):
    again = stopped()
    a, b = (str(tmp_path / f"{name}.jsonl") for name in "ab")
    told = again(files=("b", "a"), code=1)
    assert f"begun with files = {[a, b]!r}, now {[b, a]!r}: set it back, delete" in told.stderr
    assert not (tmp_path / "out" / "comparisons.jsonl").exists()
    again()
    rows = (tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()
    assert {json.loads(row)["a"]["text"][0] for row in rows} == {"a"}


@pytest.mark.parametrize("name", ["kind.yaml", "kind.yml"])
def test_a_begun_comparison_is_not_continued_by_other_criteria(name, stopped, tmp_path):
    own = tmp_path / name
    own.write_text("preamble: Say which is kinder.\nreminder: Choose the kinder response.\n")
    again = stopped("--task", own)
    own.write_text("preamble: Say which is ruder.\nreminder: Choose the ruder response.\n")
    told = again("--task", own, code=1)
    assert f"compare was begun with another {own}" in told.stderr


def test_a_begun_comparison_of_standard_input_goes_on_with_the_same_rows_alone(stopped, tmp_path):
    rows = (tmp_path / "a.jsonl").read_text()
    again = stopped(files=("-", "b"), stdin=rows)
    told = again(stdin=rows.replace("a, ", "other, "), code=1)
    assert "compare was begun with another -" in told.stderr
    again(stdin=rows)
    assert len((tmp_path / "out" / "comparisons.jsonl").read_text().splitlines()) == 200


def leaves(value, path=""):
    """Every value that is no list and no object, in order, by its place."""
    if isinstance(value, dict | list):
        named = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in named:
            yield from leaves(inner, f"{path}/{name}")
    else:
        yield path, value
