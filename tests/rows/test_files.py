"""Are rows read whole from any file, and is bad input refused by file, row and next move?"""

from __future__ import annotations

import gzip
import io
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.errors import DataError, UsageError
from hrlaif.rows import read_rows, write_rows
from hrlaif.rows.files import line_of

ROWS = [{"id": 1, "prompt": "Wie geht's?", "text": "好\u2028的"}, {"id": 2, "prompt": "b\x00c"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def values(path: Path | str) -> list[dict]:
    return [row.values for row in read_rows(path)]


def refused(path: Path | str) -> str:
    with pytest.raises(DataError) as error:
        read_rows(path)
    return str(error.value)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_lines_gzipped_lines_arrays_and_standard_input_hold_the_same_rows(tmp_path, monkeypatch):
    assert values(put(tmp_path / "a.jsonl", LINES)) == ROWS
    assert values(put(tmp_path / "a.jsonl.gz", gzip.compress(LINES))) == ROWS
    assert values(put(tmp_path / "a.json", json.dumps(ROWS).encode())) == ROWS
    assert values(put(tmp_path / "a.json.gz", gzip.compress(json.dumps(ROWS).encode()))) == ROWS
    assert values(put(tmp_path / "bom.jsonl", b"\xef\xbb\xbf" + LINES)) == ROWS
    assert values(put(tmp_path / "crlf.jsonl", LINES.replace(b"\n", b"\r\n"))) == ROWS
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINES)))
    assert values("-") == ROWS


def test_rows_say_where_they_stand_and_blank_lines_count(tmp_path):
    path = put(tmp_path / "a.jsonl", b'{"a": 1}\n\n{"a": 2}\n')
    assert [row.where for row in read_rows(path)] == [f"{path}, line 1", f"{path}, line 3"]


def test_a_limit_reads_no_further_than_it_must(tmp_path):
    path = put(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": 2}\nnot json\n')
    assert len(read_rows(path, limit=2)) == 2
    assert read_rows(path, limit=0) == []


def test_csv_cells_are_text_and_lists_of_turns_are_turns(tmp_path):
    turns = '"[{""role"": ""user"", ""content"": ""hi""}]"'
    head = "prompt,responses,a,b,category\n"
    body = f'{turns},"[""x"", ""y""]","[1, 2, 3]","{{""k"": 1}}",\n'
    row = values(put(tmp_path / "a.csv", (head + body).encode()))[0]
    assert row["prompt"] == [{"role": "user", "content": "hi"}]
    assert row["responses"] == ["x", "y"]
    # Answers that look like JSON are what the model wrote, not structure.
    assert row["a"] == "[1, 2, 3]"
    assert row["b"] == '{"k": 1}'
    assert "category" not in row


def test_csv_keeps_line_breaks_in_quotes_and_empty_responses(tmp_path):
    path = put(tmp_path / "a.csv", b'prompt,a,b\n"one\ntwo",x,""\n')
    assert values(path) == [{"prompt": "one\ntwo", "a": "x", "b": ""}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b"", "is empty: it should hold one row a line"),
        ("blank.jsonl", b"\n\n", "is empty"),
        ("torn.jsonl", b'{"a": 1}\n{"a": ', "line 2: the line is cut off: mend or delete"),
        ("bad.jsonl", b'{"a": 1}\n{a: 1}\n', "line 2: not JSON"),
        ("list.jsonl", b"[1]\n", "line 1: a list, not an object with named fields: mend"),
        ("latin.jsonl", b'{"a": "ok"}\n{"a": "\xe9"}\n', "line 2: not UTF-8 (byte 7): save the"),
        ("utf16.jsonl", '{"a": 1}\n'.encode("utf-16"), "with `iconv -f utf-16 -t utf-8`"),
        ("be.csv", b"\xfe\xff\x00a", "with `iconv -f utf-16 -t utf-8`"),
        ("half.jsonl", b'{"a": "x"}\n{"a": "\\ud83d"}\n', "line 2: half a character"),
        ("half.json", b'[{"a": ["\\udc00"]}]', "row 1: half a character"),
        ("deep.jsonl", b"[" * 200_000 + b"\n", "line 1: not JSON"),
        ("scalar.json", b"3", "not a list of rows: save one row a line as .jsonl"),
        ("torn.json", b'[{"a": 1}', "not JSON"),
        ("inner.json", b'[{"a": 1}, 2]', "row 2: a int, not an object"),
        ("more.csv", b"a,b\n1,2\n1,2,3\n", "line 3: more cells than the header has columns: quote"),
        ("fewer.csv", b"a,b\n1,2\n1\n", "line 3: fewer cells than the header has columns: quote"),
        ("latin.csv", b"a,b\n\xe9,2\n", "with `iconv -f latin1 -t utf-8`"),
        ("header.csv", b"a,b\n", "is empty"),
        ("plain.jsonl.gz", LINES, "not a whole gzip file"),
        ("torn.jsonl.gz", gzip.compress(LINES * 99, mtime=0)[:-9], "not a whole gzip file"),
        ("torn.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "not a whole gzip file"),
        (
            "rot.jsonl.gz",
            gzip.compress(LINES, mtime=0)[:12] + b"\xff" * 40,
            "not a whole gzip file",
        ),
    ],
)
def test_bad_input_is_refused_with_file_row_and_next_move(tmp_path, name, content, said):
    message = refused(put(tmp_path / name, content))
    assert name in message
    assert said in message


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    assert "is a folder: name one of its files" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "none.jsonl")
    assert "no such file" in refused("someone/some-data")


@pytest.mark.parametrize("name", ["someone/Data2.5-alpha", "some.one/data", "someone/data.v2:test"])
def test_a_hub_id_may_hold_dots(name):
    assert "the hub" in refused(name) or "a hub data set" in refused(name)


@pytest.mark.parametrize(
    "name",
    ["data/pairs.jsonl", "data/pairs.CSV", "data/p.jsonl.gz", "./pairs", "../pairs", "/x/y", "~/x"],
)
def test_what_looks_like_a_file_is_not_asked_of_the_hub(name):
    assert refused(name) == f"{name}: no such file: check its name"


def test_semicolons_and_tabs_stand_between_cells_too(tmp_path):
    row = {"prompt": "Q, please", "a": "x; y", "b": "z"}
    semicolons = b'\xef\xbb\xbfprompt;a;b\r\nQ, please;"x; y";z\r\n'
    assert values(put(tmp_path / "a.csv", semicolons)) == [row]
    assert values(put(tmp_path / "b.csv", b"prompt\ta\tb\nQ, please\tx; y\tz\n")) == [row]
    tabs = b"prompt\ta\tb\nQ, please\tx; y\tz\n"
    assert values(put(tmp_path / "a.tsv", tabs)) == [row]
    assert values(put(tmp_path / "a.tsv.gz", gzip.compress(tabs))) == [row]
    # A header of commas is one of commas, whatever its names hold.
    commas = b'prompt,"a;b;c"\nQ,x\n'
    assert values(put(tmp_path / "c.csv", commas)) == [{"prompt": "Q", "a;b;c": "x"}]
    assert values(put(tmp_path / "one.csv", b"prompt\nQ\n")) == [{"prompt": "Q"}]


def test_a_torn_row_of_a_table_is_told_what_to_quote(tmp_path):
    said = refused(put(tmp_path / "a.csv", b"prompt;a\nQ;x;y\n"))
    assert (
        "line 2: more cells than the header has columns: quote texts that hold semicolons" in said
    )
    assert "hold tabs or line breaks" in refused(put(tmp_path / "a.tsv", b"prompt\ta\nQ\n"))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        # Nothing closes it, so that the rest of the file would be one cell.
        ("a.csv", b'id,text\n1,"x\ny"\n\n2,"the rest\n3,z\n4,z\n', 5),
        ("a.tsv", b'id\ttext\n1\t"Yes" is the answer\n2\tz\n', 2),
        ("a.tsv.gz", gzip.compress(b'id\ttext\n1\tz\n2\t"Yes" is the answer\n', mtime=0), 3),
        ("b.csv", b'id,"text\n1,x\n', 1),
    ],
)
def test_a_stray_quotation_mark_is_refused_where_its_row_begins(tmp_path, name, content, line):
    said = refused(put(tmp_path / name, content))
    assert f"{name}, line {line}: not CSV (" in said
    assert 'has those inside it twice, as """Yes"" is right"; write it so, or give the' in said


def test_quotation_marks_written_twice_and_those_within_a_plain_text_are_read(tmp_path):
    content = b'id,text\n1,"""Yes"" is right"\n2,He said "no".\n3,"two\nlines"\n4,x\n'
    rows = read_rows(put(tmp_path / "a.csv", content))
    texts = ['"Yes" is right', 'He said "no".', "two\nlines", "x"]
    assert [row.values["text"] for row in rows] == texts
    assert [row.where[-6:] for row in rows] == [f"line {n}" for n in (2, 3, 4, 6)]


@pytest.fixture
def piped(monkeypatch):
    def pipe(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return pipe


def test_standard_input_may_be_packed(piped):
    piped(gzip.compress(LINES))
    assert values("-") == ROWS
    piped(gzip.compress(LINES, mtime=0)[:-9])
    assert refused("-").startswith("standard input: not a whole gzip file")
    piped(b"")
    assert refused("-").startswith("standard input is empty")


def test_parquet_is_written_and_read_back_or_its_library_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [{"id": "1", "turns": [{"role": "user"}]}, {"id": "2", "prob": 0.5}]
    if find_spec("pyarrow"):
        assert write_rows(path, rows) == 2
        assert path.read_bytes()[:4] == b"PAR1"
        assert values(path) == rows
    else:
        with pytest.raises(UsageError, match=r"Parquet needs `.* pip install -e '.*\[hub\]'`"):
            write_rows(path, rows)
        assert list(tmp_path.iterdir()) == []


def test_a_megabyte_of_text_and_nul_pass_unchanged(tmp_path):
    row = {"a": "x\x00\n" * 350_000}
    path = tmp_path / "big.jsonl"
    assert write_rows(path, [row]) == 1
    assert values(path) == [row]


def test_writing_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.jsonl"
    write_rows(path, [{"a": 1}])

    def failing():
        yield {"a": 2}
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_rows(path, failing())
    assert values(path) == [{"a": 1}]


def test_a_lone_surrogate_can_be_written():
    assert line_of({"a": "\ud83d"}) == '{"a": "\\ud83d"}\n'


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1), min_size=1))
def test_any_text_survives_writing_and_reading(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    write_rows(path, rows)
    assert values(path) == rows
