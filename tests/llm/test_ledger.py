"""Is every answer kept, found again, and counted once?"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from hrlaif.errors import BudgetReached, DataError, UsageError
from hrlaif.llm.call import Call, call_key
from hrlaif.llm.calls import cost_table, export, list_calls, prune, take
from hrlaif.llm.ledger import Ledger, current


def call(key, **changes):
    return Call(
        **{
            "key": key,
            "model": "m",
            "kind": "generate",
            "request": {"prompt": "Größe \ud83d"},
            "response": f'{{"answer": "{key}"}}',
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "cost": 0.25,
            "seconds": 0.5,
            **changes,
        }
    )


def test_an_answer_is_found_by_another_ledger_of_the_same_file(tmp_path):
    path = tmp_path / "deep" / "ledger.sqlite"
    with Ledger(path, stage="label") as ledger:
        assert current() is ledger
        assert ledger.find("k") is None
        ledger.record(call("k"))
    assert current() is None
    with Ledger(path, stage="another") as ledger:
        assert ledger.find("k") == '{"answer": "k"}'
        assert ledger.hits == 1


def test_totals_are_sums_and_an_unknown_cost_is_not_zero(tmp_path):
    with Ledger(tmp_path / "l.sqlite", stage="label") as ledger:
        ledger.record_many([call("a"), call("b", cost=None)])
        totals = ledger.totals()
        assert (totals.calls, totals.prompt_tokens, totals.completion_tokens) == (2, 20, 4)
        assert (totals.cost, totals.unpriced_calls, totals.seconds) == (0.25, 1, 1.0)
        told = {"calls": 2, "prompt_tokens": 20, "completion_tokens": 4, "seconds": 1.0}
        assert totals.row() == {**told, "usd": None, "unpriced_calls": 1}
        assert ledger.paid() == "$0.2500"
        assert ledger.totals("label").calls == 2
        assert ledger.totals("score").calls == 0
        assert ledger.totals("score").row()["usd"] == 0.0


def test_a_stage_begun_anew_counts_what_it_asks_in_all_its_sittings_and_nothing_else(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path, stage="label") as ledger:
        ledger.record_many([call("a"), call("b"), call("c", status="lost")])
    with Ledger(path) as ledger:
        ledger.begin_anew("label")
        assert (ledger.totals("label").calls, ledger.totals().calls, ledger.spent()) == (0, 2, 0.75)
    for again in range(2):  # the second sitting finds what the first was told
        with Ledger(path, stage="label") as ledger:
            assert ledger.find("a") == '{"answer": "a"}'
            if not again:
                ledger.record(call("new"))
        with Ledger(path, stage="evaluate") as ledger:
            assert ledger.find("b")  # asked by another stage, it is not of this one again
    with Ledger(path) as ledger:
        found = ledger.totals("label")
        assert (found.calls, found.cost, ledger.spent()) == (2, 0.5, 1.0)
    listed = {row["stage"]: row["calls"] for row in cost_table(path)}
    assert listed == {"label": 2, "label, before --redo": 1}


def test_the_first_answer_stands_and_both_payments_count(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record(call("k"))
        assert ledger.record(call("k", response="another")) == '{"answer": "k"}'
        assert ledger.totals().calls == 1
        assert ledger.totals().cost == 0.5


def test_the_key_depends_on_every_part_and_not_on_their_order():
    assert call_key(model="m", seed=1) == call_key(seed=1, model="m")
    assert call_key(model="m", seed=1) != call_key(model="m", seed=2)
    assert call_key(model="m") != call_key(model="m", seed=None)


def test_a_reservation_that_could_lead_beyond_the_maximum_is_refused(tmp_path):
    with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as ledger:
        ledger.reserve(0.6)
        with pytest.raises(BudgetReached, match=r"\$0.0000 of at most \$1.0000 is spent"):
            ledger.reserve(0.6)
        ledger.record(call("k", cost=0.1))
        ledger.release(0.6)
        ledger.reserve(0.9)
        ledger.release(0.9)
        with pytest.raises(BudgetReached):
            ledger.reserve(0.91)


def test_the_maximum_counts_earlier_runs_and_other_processes(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record(call("k", cost=0.5))
    with Ledger(path, max_cost=1.0) as ledger:
        ledger.reserve(0.4)
        ledger.release(0.4)
        with Ledger(path) as other:
            other.record(call("l", cost=0.4))
        with pytest.raises(BudgetReached):
            ledger.reserve(0.2)


def test_an_unknown_price_with_a_maximum_is_refused_and_without_one_is_not(tmp_path):
    with Ledger(tmp_path / "l.sqlite", max_cost=1.0) as ledger, pytest.raises(UsageError):
        ledger.reserve(None)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.reserve(None)


def test_calls_of_unknown_price_are_told_once_where_there_is_a_maximum(tmp_path, capsys):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record_many([call("a", cost=None), call("b", cost=None), call("c")])
        ledger.spent()
    assert capsys.readouterr().err == ""
    with Ledger(path, max_cost=1.0) as ledger:
        for _ in range(2):
            ledger.reserve(0.1)
            with Ledger(path) as other:
                other.record(call("d"))
    said = capsys.readouterr().err
    assert said.count("2 calls of unknown price count for nothing towards --max-cost: ") == 1


def test_of_a_known_and_an_unknown_price_of_one_call_the_known_one_counts(tmp_path):
    for first, second, known in ((None, 0.5, 0.5), (0.5, None, 0.5), (0.25, 0.5, 0.75)):
        with Ledger(tmp_path / f"{first}-{second}.sqlite") as ledger:
            ledger.record(call("k", cost=first))
            before = ledger.spent()
            ledger.record(call("k", cost=second))
            assert (before, ledger.spent()) == (first or 0.0, known)
            assert (ledger.totals().cost, ledger.totals().unpriced_calls) == (known, 0)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record_many([call("k", cost=None), call("k", cost=None)])
        assert ledger.totals().unpriced_calls == 1


def test_a_file_that_is_no_ledger_is_named_and_left_alone(tmp_path):
    path = tmp_path / "l.sqlite"
    path.write_text("not a database, and long enough to have a header of its own " * 40)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"l.sqlite cannot be used .* move it away"):
        Ledger(path).__enter__()
    assert path.read_bytes() == before


def test_a_ledger_of_another_version_is_refused(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path):
        pass
    db = sqlite3.connect(path)
    db.execute("UPDATE ledger SET version = 99")
    db.commit()
    db.close()
    with pytest.raises(DataError, match="version 99, not 1"):
        Ledger(path).__enter__()


def test_a_closed_ledger_says_so(tmp_path):
    with pytest.raises(UsageError, match="inside its `with` block"):
        Ledger(tmp_path / "l.sqlite").find("k")


def test_threads_share_one_ledger(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:

        def work(n):
            for i in range(20):
                ledger.record(call(f"{n}-{i}"))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.totals().calls == 80


WRITER = """
import sys
from hrlaif.llm.call import Call
from hrlaif.llm.ledger import Ledger

with Ledger(sys.argv[1], stage=sys.argv[2]) as ledger:
    for i in range(100):
        key = f"{sys.argv[2]}-{i}"
        ledger.record(Call(key=key, model="m", kind="choose", request={}, response=""))
"""


def test_two_processes_at_once_lose_nothing(tmp_path):
    path = str(tmp_path / "l.sqlite")
    both = [subprocess.Popen([sys.executable, "-c", WRITER, path, stage]) for stage in "ab"]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    with Ledger(path) as ledger:
        assert ledger.totals().calls == 200
        assert ledger.totals("b").calls == 100


def pragma(ledger, text):
    with ledger.file() as db:
        db.execute(f"PRAGMA {text}")


def test_a_ledger_that_cannot_be_written_says_so(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        pragma(ledger, "query_only = ON")
        with pytest.raises(DataError, match=r"cannot be written .* is the disk full"):
            ledger.record(call("k"))
        with pytest.raises(DataError, match=r"cannot be written .* is the disk full"):
            ledger.record_failure("m", "timeout")
        pragma(ledger, "query_only = OFF")
        ledger.record(call("l"))
        assert ledger.totals().calls == 2


def test_while_answers_cannot_be_kept_none_is_bought_and_those_paid_are_kept_later(
    tmp_path,
):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.reserve(0.1)
        pragma(ledger, "query_only = ON")
        with pytest.raises(DataError, match="cannot be written"):
            ledger.record(call("k"))
        with pytest.raises(DataError, match="cannot be written"):
            ledger.reserve(0.1)
        pragma(ledger, "query_only = OFF")
        ledger.reserve(0.1)
        assert ledger.find("k") == '{"answer": "k"}'


def test_an_answer_that_was_cut_is_asked_for_again_and_its_cost_stays(tmp_path, capsys):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record(call("k", response='{"ans'))
        assert ledger.find("k", lambda text: text.endswith("}")) is None
        assert ledger.hits == 0
        ledger.record(call("k"))
        assert ledger.find("k", lambda text: text.endswith("}")) == '{"answer": "k"}'
        assert (ledger.totals().calls, ledger.totals().cost) == (1, 0.5)
    assert "cannot be read: it is asked for again" in capsys.readouterr().err


def test_failures_are_counted_and_are_no_answers(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path, stage="label") as ledger:
        ledger.record(call("k"))
        ledger.record_failure("m", "timeout")
        ledger.record_failure("m", "timeout")
        assert ledger.failed == 2
        assert ledger.totals().calls == 1
    assert [row["failures"] for row in cost_table(path)] == [2]


def test_the_cost_table_has_a_row_per_stage_and_model(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path, stage="label") as ledger:
        ledger.record_many([call("a"), call("b"), call("c", model="n", cost=None)])
    with Ledger(path, stage="score") as ledger:
        ledger.record_failure("m", "timeout")
    rows = {(row["stage"], row["model"]): row for row in cost_table(path)}
    assert rows["label", "m"]["calls"] == 2
    assert rows["label", "m"]["cost"] == 0.5
    assert rows["label", "n"]["unpriced_calls"] == 1
    assert rows["score", "m"]["failures"] == 1
    assert rows["score", "m"]["calls"] == 0


def test_calls_are_listed_without_and_exported_with_their_texts(tmp_path):
    path, out = tmp_path / "l.sqlite", tmp_path / "calls.jsonl"
    with Ledger(path, stage="label") as ledger:
        ledger.record_many([call(key) for key in "abc"])
    assert [row["key"] for row in list_calls(path, limit=2)] == ["a", "b"]
    assert list_calls(path, stage="score") == []
    assert "response" not in list_calls(path)[0]
    assert export(path, out) == 3
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert rows[0]["request"] == {"prompt": "Größe ?"}
    assert rows[2]["response"] == '{"answer": "c"}'


def test_the_newest_call_is_listed_first(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path, stage="label") as ledger:
        for key in "bca":
            ledger.record(call(key))
            time.sleep(0.005)  # the book tells milliseconds apart
    assert [row["key"] for row in list_calls(path)] == ["a", "c", "b"]


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.jsonl.gz"])
@pytest.mark.parametrize("answers_only", [True, False])
def test_what_another_machine_was_told_is_not_asked_again(tmp_path, name, answers_only):
    there, here, out = tmp_path / "there.sqlite", tmp_path / "here.sqlite", tmp_path / name
    with Ledger(there, stage="label") as ledger:
        ledger.record_many([call("a"), call("b", cost=None)])
    with Ledger(here) as ledger:
        ledger.record(call("a", response='{"answer": "here first"}'))
    assert export(there, out, answers_only=answers_only) == 2
    assert (take(here, str(out)), take(here, str(out))) == (1, 0)
    with Ledger(here) as ledger:
        assert ledger.find("a") == '{"answer": "here first"}'
        assert ledger.find("b") == '{"answer": "b"}'
        assert (ledger.totals().cost, ledger.totals().unpriced_calls) == (0.25, 1)
    export(here, tmp_path / "again.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    kept = {} if answers_only else {"prompt": "Größe ?"}
    assert next(row["request"] for row in rows if row["key"] == "b") == kept


def test_equal_calls_are_exported_to_equal_bytes(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record_many([call("a"), call("b")])
    files = [tmp_path / "one" / "c.jsonl.gz", tmp_path / "two" / "c.jsonl.gz"]
    for file in files:
        file.parent.mkdir()
        export(tmp_path / "l.sqlite", file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_rows_that_are_no_calls_are_refused_by_line_and_nothing_is_booked(tmp_path):
    source = tmp_path / "rows.jsonl"
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record(call("a"))
    export(tmp_path / "l.sqlite", source)
    source.write_text(source.read_text() + '{"key": "b"}\n')
    with pytest.raises(DataError, match=r"rows.jsonl, line 2: no 'stage'"):
        take(tmp_path / "new.sqlite", str(source))
    assert not (tmp_path / "new.sqlite").exists()


def test_prune_forgets_by_age_and_model_and_never_all_by_accident(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.record_many([call("a"), call("b", model="n")])
    with pytest.raises(UsageError, match="--older-than-days 30"):
        prune(path)
    assert prune(path, older_than=timedelta(days=1)) == 0
    assert prune(path, model="n") == 1
    assert prune(path, older_than=timedelta(days=-1)) == 1


def test_a_ledger_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(DataError, match="there is no ledger"):
        cost_table(tmp_path / "l.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_what_answers_cost_is_told_of_each_use_whoever_paid(tmp_path):
    from hrlaif.llm.call import NO_CALLS

    def paid(key, cost):
        return Call(
            key=key, model="m", kind="choose", request={}, response="1",
            prompt_tokens=10, completion_tokens=1, seconds=0.5, cost=cost,
        )  # fmt: skip

    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.record_many([paid("a", 0.25), paid("b", None)])
        assert (ledger.used.calls, ledger.used.cost, ledger.used.unpriced_calls) == (2, 0.25, 1)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.used == NO_CALLS
        ledger.find("a")
        before = ledger.used
        ledger.find("a")
        assert ledger.find("c") is None
        since = ledger.used.plus(before, -1)
        assert (since.calls, since.prompt_tokens, since.seconds, since.cost) == (1, 10, 0.5, 0.25)
        assert ledger.totals().calls == 2
