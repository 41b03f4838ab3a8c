"""Is a ledger that is damaged, foreign or badly filled named, with what to do?"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from hrlaif.errors import DataError
from hrlaif.llm.call import Call
from hrlaif.llm.calls import cost_table, export, list_calls, prune, take
from hrlaif.llm.ledger import Ledger


def call(key, **changes):
    known = {"key": key, "model": "m", "kind": "generate", "request": {}, "response": "{}"}
    return Call(**{**known, "cost": 0.25, **changes})


def filled(path, n=200):
    with Ledger(path) as ledger:
        ledger.record_many(
            call(f"{i}", response=json.dumps({"text": "x" * 2000})) for i in range(n)
        )
    return path


def test_a_damaged_ledger_is_told_by_every_operation(tmp_path):
    path = filled(tmp_path / "l.sqlite")
    raw = bytearray(path.read_bytes())
    raw[8 * 4096 :] = b"\xa5" * (len(raw) - 8 * 4096)
    path.write_bytes(raw)
    said = r"l\.sqlite .*(malformed|not a database).*: move it away to begin a new ledger"
    for look in (cost_table, list_calls, lambda p: export(p, tmp_path / "o.jsonl")):
        with pytest.raises(DataError, match=said):
            look(path)
    with pytest.raises(DataError, match=said):
        prune(path, model="m")
    with pytest.raises(DataError, match=said), Ledger(path) as ledger:
        ledger.totals()
    with pytest.raises(DataError, match=said), Ledger(path) as ledger:
        ledger.spent()
    with pytest.raises(DataError, match=said), Ledger(path, max_cost=1.0) as ledger:
        ledger.reserve(0.1)
    with pytest.raises(DataError, match=said), Ledger(path) as ledger:
        any(ledger.find(f"{i}") == "" for i in range(200))


@pytest.mark.parametrize(
    "table",
    [
        "calls (key TEXT PRIMARY KEY, cost REAL, at TEXT)",
        "failures (stage TEXT, why TEXT)",
    ],
)
def test_a_file_with_other_columns_is_refused_and_left_alone(tmp_path, table):
    path = tmp_path / "l.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE {table}")
    with pytest.raises(DataError, match=r"l.sqlite cannot be used \(no such column.*move it away"):
        Ledger(path).__enter__()


def test_a_file_of_another_program_is_no_ledger_and_is_not_written_to(tmp_path):
    path = tmp_path / "mlflow.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE runs (name TEXT)")
    before = path.read_bytes()
    for look in (cost_table, list_calls, lambda p: prune(p, model="m")):
        with pytest.raises(DataError, match=r"mlflow.sqlite is no ledger: give a folder"):
            look(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("key", None, "key: Input should be a valid string"),
        ("key", "", "key: String should have at least 1"),
        ("kind", "x", "kind: Input should be"),
        ("request", "q", "request: Input should be a valid dictionary"),
        ("response", "not json", "its response is no JSON object"),
        ("response", '{"cut', "its response is no JSON object"),
        ("response", 5, "response: Input should be a valid string"),
        ("prompt_tokens", 10**30, "prompt_tokens: "),
        ("prompt_tokens", -5, "prompt_tokens: "),
        ("cost", "abc", "cost: Input should be a valid number"),
        ("cost", -100, "cost: Input should be greater than or equal to 0"),
        ("cost", float("nan"), "cost: Input should be a finite number"),
        ("seconds", None, "seconds: Input should be a valid number"),
        ("at", "yesterday", "at: String should match"),
    ],
)
def test_a_row_that_would_break_the_ledger_is_not_let_in(tmp_path, column, value, said):
    source = tmp_path / "rows.jsonl"
    export(filled(tmp_path / "there.sqlite", 2), source)
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    rows[1][column] = value
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=rf"rows.jsonl, line 2: {said}"):
        take(tmp_path / "here.sqlite", str(source))
    assert not (tmp_path / "here.sqlite").exists()


def test_counts_beyond_all_numbers_do_not_stop_the_sums(tmp_path):
    path = filled(tmp_path / "l.sqlite", 3)
    with closing(sqlite3.connect(path)) as db:  # as a server once said, before counts were bounded
        db.execute("UPDATE calls SET prompt_tokens = ?", (2**62,))
        db.commit()
    with Ledger(path) as ledger:
        assert ledger.totals().calls == 3
    assert cost_table(path)[0]["calls"] == 3
