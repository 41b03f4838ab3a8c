"""Does another tool get what was said, how sure it was, and a count of what it cannot hold?"""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest

from hrlaif.errors import DataError, UsageError
from hrlaif.rows import comparisons_from, read_rows
from hrlaif.rows.exports import FORMS, exported, refuse_name, write_export
from hrlaif.rows.files import SourceRow
from hrlaif.rows.imports import brought

PAIR = {"prompt": "Q", "a": {"text": "x"}, "b": {"text": "y"}, "labeler": "ai"}


def labels(*probabilities: object, **more: str) -> list[SourceRow]:
    rows = [{**PAIR, "id": str(n), "prob_a": p, **more} for n, p in enumerate(probabilities)]
    return [SourceRow(f"p.jsonl, line {n}", row) for n, row in enumerate(rows, start=1)]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_trl_gets_ids_and_how_sure_each_label_is():
    found = exported(labels(0.9, 0.5, 0.2), "trl")
    kept = [
        (r["id"], r["chosen"][0]["content"], r["prob_chosen"], list(r)) for r in lines(found.text)
    ]
    columns = ["id", "prompt", "chosen", "rejected", "prob_chosen"]
    assert kept == [("0", "x", 0.9, columns), ("2", "y", 0.8, columns)]
    assert (found.rows, found.left_out) == (2, {"ties, which TRL has no form for": 1})


def test_labels_close_to_one_half_are_left_out_where_a_margin_is_asked_for():
    rows = labels(0.5016, 0.45, 0.4, 0.6, 0.5, 1.0)
    assert exported(rows, "trl").rows == 5
    found = exported(rows, "trl", min_margin=0.1)
    # Exactly the margin is kept, though 0.6 - 0.5 is a little less than 0.1.
    assert [row["id"] for row in lines(found.text)] == ["2", "3", "5"]
    assert found.left_out["closer to one half than 0.1"] == 2
    assert found.left_out["ties, which TRL has no form for"] == 1
    with pytest.raises(UsageError, match=r"--min-margin 0\.6 is not from 0 to"):
        exported(rows, "trl", min_margin=0.6)
    with pytest.raises(UsageError, match="--to csv keeps every label"):
        exported(rows, "csv", min_margin=0.1)


def test_people_in_other_tools_read_no_thoughts_and_trainers_get_the_whole_text():
    thought = {**PAIR, "id": "0", "prob_a": 0.9, "a": {"text": "<think>psst</think>x"}}
    row = [SourceRow("p.jsonl, line 1", thought)]
    for form in ("argilla", "label-studio", "potato", "csv"):
        text = exported(row, form).text
        assert "psst" not in text
        assert "x" in text
    assert lines(exported(row, "trl").text)[0]["chosen"][0]["content"] == thought["a"]["text"]


@pytest.mark.parametrize(
    "wrong", [math.nan, "nan", -0.5, "-0.5", -math.inf, 1.5, [0.5], Decimal("NaN")], ids=repr
)
def test_what_is_no_probability_is_no_verdict_for_either_side(wrong):
    rows = [*labels(0.9), *labels(0.5, wrong, labeler="human/ann")[1:]]
    for read in (lambda: exported(rows, "trl"), lambda: brought(rows)):
        with pytest.raises(DataError, match=r"p\.jsonl, line 2: prob_a: .* is no probability from"):
            read()


def test_what_says_nothing_of_the_better_response_is_left_out_and_the_ends_are_certain():
    rows = labels(None, "", 0, 1, "0", "a", Decimal("0.25"))
    found = exported(rows, "trl")
    assert found.left_out == {"rows without a verdict": 2}
    kept = [(row["chosen"][0]["content"], row["prob_chosen"]) for row in lines(found.text)]
    assert kept == [("y", 1.0), ("x", 1.0), ("y", 1.0), ("x", 1.0), ("y", 0.75)]


def test_unpaired_rows_have_ids_too():
    row = {"id": "r", "prompt": "Q", "response": "x", "satisfaction": 5, "rater": "human/ada"}
    [found] = lines(exported([SourceRow("r.jsonl, line 1", row)], "trl").text)
    assert (found["id"], found["completion"][0]["content"], found["label"]) == ("r", "x", True)


def test_a_table_of_verdicts_says_true_and_false_in_words(tmp_path):
    path = tmp_path / "verdicts.csv"
    path.write_text(
        "id,prompt,response,passed\n1,Q,x,False\n2,Q,x,true\n3,Q,x,FALSE\n4,Q,x,\n", "utf-8"
    )
    found = exported(read_rows(path), "trl")
    assert [row["label"] for row in lines(found.text)] == [False, True, False]
    assert found.left_out == {"rows without a verdict": 1}
    path.write_text("id,prompt,response,passed\n1,Q,x,no idea\n", "utf-8")
    with pytest.raises(DataError, match=r"verdicts\.csv, line 2: passed 'no idea' is neither"):
        exported(read_rows(path), "trl")


@pytest.mark.parametrize("form", FORMS)
def test_a_verdict_of_another_check_is_no_answer_about_harm(form):
    of = {"prompt": "Q", "response": "x"}
    checks = [{"check": "number"}, {"check": "harmless"}, {}, {"check": "", "passed": False}]
    people = [{"evidence": {"rater": "human/ann"}}, {"check": "number", "passed": None}]
    rows = [
        SourceRow(f"v.jsonl, line {n}", {**of, "id": str(n), "passed": True, **more})
        for n, more in enumerate((*checks, *people))
    ]
    found = exported(rows, form)
    left = {"rows without a verdict": 1, "verdicts of other checks": 1}
    if form == "trl":
        del left["verdicts of other checks"]
    assert (found.rows, found.left_out) == (5 if form == "trl" else 4, left)
    assert [(a.item, a.said.by) for a in brought(rows)] == [("4", "human/ann")]


def test_chosen_stays_chosen_on_the_way_through(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": n, "prompt": "Q", "chosen": "x", "rejected": "y"}) + "\n"
            for n in range(20)
        )
    )
    found = lines(exported(read_rows(path), "trl").text)
    assert {row["chosen"][0]["content"] for row in found} == {"x"}
    answers = [
        row["responses"]["preference"][0]["value"]
        for row in json.loads(exported(read_rows(path), "argilla").text)
    ]
    assert {"a", "b"} == set(answers)


def test_labels_exported_to_trl_do_not_come_back_as_people_s_word(tmp_path):
    path = tmp_path / "trl.jsonl"
    write_export(path, exported(labels(0.9, 0.2), "trl"))
    assert [pair.human_preference for pair in comparisons_from(read_rows(path))] == [None, None]
    again = exported(read_rows(path), "csv")
    assert (again.rows, again.left_out) == (0, {"rows without a verdict": 2})


def test_votes_exported_to_trl_come_back_as_people_s_word(tmp_path):
    path = tmp_path / "trl.jsonl"
    write_export(path, exported(labels(0.9, 0.2, labeler="human/ann"), "trl"))
    found = comparisons_from(read_rows(path))
    assert {(p.id, p.human_preference > 0.5, p.a.text) for p in found} <= {
        *(("0", True, "x"), ("0", False, "y"), ("1", True, "y"), ("1", False, "x")),
    }
    assert {max(p.human_preference, 1 - p.human_preference) for p in found} == {0.9, 0.8}


def test_a_table_of_labels_and_a_winner_are_exported_as_numbers(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,Prompt,Response A,Response B,prob_a,winner\n1,Q,x,y,0.25,\n2,Q,x,y,,b\n")
    found = lines(exported(read_rows(path), "trl").text)
    assert [row["prob_chosen"] for row in found] == [0.75, 1.0]
    assert [row["chosen"][0]["content"] for row in found] == ["y", "y"]


def test_a_file_is_what_its_name_says(tmp_path):
    rows = labels(0.9, 0.2)
    found = exported(rows, "trl")
    write_export(tmp_path / "o.jsonl", found)
    assert (tmp_path / "o.jsonl").read_text() == found.text
    write_export(tmp_path / "o.jsonl.gz", found)
    assert gzip.decompress((tmp_path / "o.jsonl.gz").read_bytes()).decode() == found.text
    write_export(tmp_path / "o.csv.gz", exported(rows, "csv"))
    assert gzip.decompress((tmp_path / "o.csv.gz").read_bytes())[:3] == b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("form", "right"),
    [
        ("trl", [".jsonl", ".parquet"]), ("argilla", [".json"]), ("label-studio", [".json"]),
        ("potato", [".jsonl"]), ("csv", [".csv"]),
    ],
)  # fmt: skip
def test_a_name_that_says_another_format_is_refused_and_the_right_one_named(form, right):
    for end in (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".CSV"):
        if end.lower() in right:
            refuse_name(Path(f"o{end}"), form)
            refuse_name(Path(f"o{end}.gz"), form)
        else:
            said = f"--to {form} writes {' or '.join(right)}: name the file d/o{right[0]}"
            for packed in ("", ".gz"):
                with pytest.raises(UsageError, match=re.escape(said)):
                    refuse_name(Path(f"d/o{end}{packed}"), form)
    refuse_name(Path("o"), form)
    refuse_name(Path("o.txt"), form)


@pytest.mark.parametrize("form", ["csv", "potato"])
def test_of_a_judge_and_a_person_the_person_alone_comes_back_as_people(form, tmp_path):
    judges = ["pairwise/gpt-4/helpful", "ai", ""]
    rows = [row for by in (*judges, "human/ann") for row in labels(0.9, 0.2, labeler=by)]
    check = {"id": "c", "check": "harmless", "passed": True, "prompt": "Q", "response": "x"}
    rows.append(SourceRow("p.jsonl, line 9", check))
    path = tmp_path / ("o.csv" if form == "csv" else "o.jsonl")
    found = exported(rows, form)
    write_export(path, found)
    assert [(a.item, a.said.by, a.said.value) for a in brought(read_rows(path))] == [
        ("0", "human/ann", "a"), ("1", "human/ann", "b"),
    ]  # fmt: skip


def test_argilla_shows_the_first_judge_and_the_others_are_counted():
    rows = [*labels(0.9, 0.2), *labels(0.4, labeler="second"), *labels(0.3, labeler="human/ann")]
    found = exported([*rows, *labels(0.1, labeler="third")], "argilla")
    shown = [record["suggestions"]["preference"]["agent"] for record in json.loads(found.text)]
    assert shown == ["ai", "ai"]
    assert found.left_out == {"further judges, of which Argilla shows one": 2}


RATED = {"id": "r", "prompt": "Q", "response": "x", "rater": "human/ada"}


def test_levels_of_satisfaction_are_numbers_in_any_spelling_and_empty_says_nothing():
    levels = ["4", "4.0", 4, "4.5", 4.5, "", None]
    rows = [SourceRow("r.jsonl, line 1", {**RATED, "satisfaction": level}) for level in levels]
    [task] = json.loads(exported(rows, "label-studio").text)
    given = [made["result"][0]["value"]["rating"] for made in task["annotations"]]
    assert given == [4, 4, 4, 4.5, 4.5]
    assert all(isinstance(level, int) for level in given[:3])
    assert exported(rows, "trl").left_out == {"rows without a verdict": 2}
    assert [answer.said.value for answer in brought([*rows[:3], *rows[5:]])] == [4, 4, 4]
    with pytest.raises(DataError, match=r"line 1: satisfaction 4\.5 is not whole, as people's"):
        brought(rows[3:4])
    judges = [SourceRow(row.where, {**row.values, "rater": "rater/ai"}) for row in rows]
    assert brought(judges) == []


def test_a_judges_satisfaction_is_a_level_to_argilla_and_exact_beside_it():
    levels = [3.873421, 1.0, 4.5, 5]
    rows = [
        SourceRow(f"r.jsonl, line {n}", {**RATED, "id": n, "rater": "rater/ai", "satisfaction": v})
        for n, v in enumerate(levels)
    ]
    records = json.loads(exported(rows, "argilla").text)
    told = [record["suggestions"]["satisfaction"]["value"] for record in records]
    assert told == [4, 1, 4, 5]
    assert all(isinstance(level, int) for level in told)
    kept = [record["metadata"].get("satisfaction") for record in records]
    assert kept == [3.873421, None, 4.5, None]


@pytest.mark.parametrize("level", ["high", math.nan, "nan", 0, 7, [4], True, 10**400], ids=str)
def test_what_is_no_level_of_satisfaction_is_refused_by_row(level):
    row = SourceRow("r.jsonl, line 1", {**RATED, "satisfaction": level})
    for read in (lambda: exported([row], "trl"), lambda: brought([row])):
        with pytest.raises(
            DataError, match=r"r\.jsonl, line 1: satisfaction .* is no level from 1"
        ):
            read()


def test_evidence_of_a_table_is_json_and_names_the_rater(tmp_path):
    def said_by(evidence):
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "check", "prompt", "response", "passed", "evidence"])
            table.writerow(["1", "harmless", "Q", "x", "false", evidence])
        return [(made.said.by, made.said.value) for made in brought(read_rows(path))]

    path = tmp_path / "verdicts.csv"
    assert said_by('{"rater": "human/ann"}') == [("human/ann", "no")]
    assert said_by("{}") == said_by("null") == said_by("") == []
    for wrong in ("{'rater': 'human/ann'}", '["human/ann"]', "because"):
        with pytest.raises(
            DataError, match=r"verdicts\.csv, line 2: evidence .* is no JSON object"
        ):
            said_by(wrong)


def test_trl_is_written_as_parquet_or_the_extra_is_named(tmp_path: Path):
    path = tmp_path / "o.parquet"
    found = exported(labels(0.9, 0.2), "trl")
    if find_spec("pyarrow"):
        write_export(path, found)
        assert [row.values for row in read_rows(path)] == found.records
    else:
        with pytest.raises(UsageError, match=r"pip install -e '.*\[hub\]'"):
            write_export(path, found)
    assert path.exists() == bool(find_spec("pyarrow"))


def test_one_id_for_two_pairs_is_refused_and_not_exported_as_one():
    first, second = labels(0.9), labels(0.8)
    other = SourceRow("q.jsonl, line 1", {**second[0].values, "a": {"text": "another"}})
    with pytest.raises(DataError, match=r"q\.jsonl, line 1: id '0' stands in an earlier row with"):
        exported([*first, other], "trl")
    assert exported([*first, *second], "csv").rows == 2
