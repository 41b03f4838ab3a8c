"""Does a run folder know what it holds: resume without a trace, refuse what is stale?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hrlaif.errors import HrlaifError, StaleRunError
from hrlaif.records import Score
from hrlaif.run import (
    Receipt,
    begin,
    digests,
    finish,
    forget,
    map_rows,
    only_process,
    read_receipt,
    receipt_path,
    refuse_stale,
    sha256,
    sketch,
    texts_of,
    write_json,
    write_receipt,
)
from hrlaif.settings import flatten

ITEMS = [f"q{n}" for n in range(10)]


def scored(items):
    return [Score(id=item, value=len(item) / 10, scorer="好") for item in items]


def work_through(partial, items=ITEMS, work=scored, chunk=3):
    return map_rows(partial, items, work, chunk=chunk, key=str, what="score", unit="rows")


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.jsonl.partial"
    work_through(path)
    return path.read_bytes()


def test_there_is_one_row_an_item_in_order(tmp_path):
    rows = work_through(tmp_path / "a.partial")
    assert [row["id"] for row in rows] == ITEMS
    assert rows == [json.loads(line) for line in (tmp_path / "a.partial").read_text().splitlines()]


@pytest.mark.parametrize("kept", [0, 1, 30, 200, 250, 411, -1, -20])
def test_a_file_torn_anywhere_is_mended_to_the_same_bytes(tmp_path, whole, kept):
    path = tmp_path / "torn.partial"
    path.write_bytes(whole[:kept])
    asked = []

    def work(items):
        asked.append(list(items))
        return scored(items)

    assert [row["id"] for row in work_through(path, work=work)] == ITEMS
    assert path.read_bytes() == whole
    # The same batches as in an undisturbed run, whatever was torn.
    assert all(batch in ([*ITEMS[n : n + 3]] for n in (0, 3, 6, 9)) for batch in asked)


def test_a_line_that_rotted_is_asked_again_with_all_after_it(tmp_path, whole):
    lines = whole.splitlines(keepends=True)
    path = tmp_path / "rot.partial"
    path.write_bytes(b"".join([*lines[:4], b"\xff\xfe\n", *lines[5:]]))
    work_through(path)
    assert path.read_bytes() == whole


def test_finished_work_is_not_asked_again(tmp_path, whole):
    path = tmp_path / "done.partial"
    path.write_bytes(whole)
    rows = work_through(path, work=lambda items: pytest.fail("asked again"))
    assert len(rows) == 10


def test_other_rows_are_refused(tmp_path, whole):
    path = tmp_path / "a.partial"
    for items in (["other", *ITEMS[1:]], ITEMS[:5]):
        path.write_bytes(whole)
        with pytest.raises(StaleRunError, match=r"a\.partial was made of other rows: delete it"):
            work_through(path, items=items)
        assert path.read_bytes() == whole


def test_a_worker_that_loses_an_answer_is_caught(tmp_path):
    with pytest.raises(HrlaifError, match="score: 2 answers to 3 questions"):
        work_through(tmp_path / "a.partial", work=lambda items: scored(items)[1:])


SLOW = """
import sys, time
from pathlib import Path
from hrlaif.records import Score
from hrlaif.run import map_rows

def work(items):
    time.sleep(0.05)
    return [Score(id=item, value=len(item) / 10, scorer="好") for item in items]

items = [f"q{n}" for n in range(60)]
map_rows(Path(sys.argv[1]), items, work, chunk=3, key=str, what="score", unit="rows")
"""


def test_a_process_killed_in_the_middle_leaves_no_trace(tmp_path):
    path = tmp_path / "killed.partial"
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (not path.exists() or path.stat().st_size < 200) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 0 < path.read_bytes().count(b"\n") < 60
    again = [sys.executable, "-c", SLOW, str(path)]
    subprocess.run(again, check=True, stderr=subprocess.DEVNULL)
    undisturbed = tmp_path / "undisturbed.partial"
    work_through(undisturbed, items=[f"q{n}" for n in range(60)])
    assert path.read_bytes() == undisturbed.read_bytes()


def test_one_process_works_in_a_folder_at_a_time_and_the_other_is_told_which(tmp_path):
    code = f"""
from pathlib import Path
from hrlaif.errors import HrlaifError
from hrlaif.run import only_process
try:
    with only_process(Path({str(tmp_path)!r})):
        print("free")
except HrlaifError as error:
    print(error)
"""

    def other() -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with only_process(tmp_path):
        assert other().startswith(f"another process works in {tmp_path}: wait for it, or stop it")
        near = Path(os.path.relpath(tmp_path))
        for file, said in ((None, f"in {tmp_path}:"), (near / "o.jsonl", f"on {tmp_path}/o.jsonl")):
            with (
                pytest.raises(HrlaifError, match=f"another process works {said}"),
                only_process(near, file=file),
            ):
                pass
    assert other() == "free\n"


def receipt(**settings: object) -> Receipt:
    return Receipt(stage="label", settings=settings, inputs={})


def test_a_receipt_is_begun_and_then_finished(tmp_path):
    begun = begin(tmp_path, receipt(seed=1))
    assert begun.begun.endswith("Z")
    assert read_receipt(tmp_path, "label").finished is None
    assert {"python", "pydantic"} <= begun.versions.keys()
    (tmp_path / "out.jsonl").write_text("x")
    finish(tmp_path, begun, ["out.jsonl"], counts={"rows": 1}, seconds=2.5)
    done = read_receipt(tmp_path, "label")
    assert done.finished
    assert (done.counts, done.seconds) == ({"rows": 1}, 2.5)
    # echo -n x | sha256sum
    assert done.outputs["out.jsonl"].startswith("2d711642b726b04401627ca9fbac32f5")
    assert [p.name for p in receipt_path(tmp_path, "label").parent.iterdir()] == ["label.json"]


def go_on(folder, old, new):
    """As a stage that was begun as in one receipt, and is now asked for what stands in another."""
    begin(folder, old)
    refuse_stale(read_receipt(folder, "label"), new.settings, new.inputs)


def test_other_settings_are_refused_by_name(tmp_path):
    old = {"labeling": {"labeler": {"kind": "pairwise", "task": "general"}}}
    new = {"labeling": {"labeler": {"kind": "hybrid", "by_category": {"math": 1}}}}
    with pytest.raises(StaleRunError) as error:
        go_on(tmp_path, receipt(**old), receipt(**new))
    assert str(error.value) == (
        "label was begun with labeling.labeler.kind = 'pairwise', now 'hybrid': "
        "set it back, use a new run folder, or --redo label"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b = 1, now 2"),
        ({"a": {"b": 1}}, {"a": {}}, "a = None, now {}"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a = [1, 2], now [2, 1]"),
        ({}, {"sft": {"steps": 3}}, "sft.steps = None, now 3"),
    ],
)
def test_every_kind_of_change_is_noticed(tmp_path, old, new, said):
    with pytest.raises(StaleRunError) as error:
        go_on(tmp_path, receipt(**old), receipt(**new))
    assert said in str(error.value)


def test_the_outermost_kind_that_changed_is_named_first(tmp_path):
    inside = {"by_category": {"math": {"otherwise": {"kind": "pairwise"}}}}
    old = {"labeler": {"kind": "pairwise"}}
    new = {"labeler": {"kind": "hybrid", **inside}}
    with pytest.raises(StaleRunError, match=r"begun with labeler\.kind = 'pairwise', now 'hybrid'"):
        go_on(tmp_path, receipt(**old), receipt(**new))


def test_tuples_and_lists_are_the_same_setting(tmp_path):
    go_on(tmp_path, receipt(categories=["a", "b"]), receipt(categories=("a", "b")))


def test_other_inputs_are_refused_by_name(tmp_path):
    given = Receipt(stage="label", settings={}, inputs={"responses.jsonl": "1"})
    other = given.model_copy(update={"inputs": {"responses.jsonl": "2"}})
    with pytest.raises(StaleRunError, match=r"begun with another responses\.jsonl: use a new run"):
        go_on(tmp_path, given, other)


def test_a_folders_hash_knows_names_and_content_but_not_checkpoints(tmp_path):
    folder = tmp_path / "model"
    (folder / "step_000120").mkdir(parents=True)
    (folder / "weights").write_bytes(b"1")
    first = sha256(folder)
    (folder / "step_000120" / "optimizer").write_bytes(b"2")
    assert sha256(folder) == first
    (folder / "weights").rename(folder / "weight")
    assert sha256(folder) != first
    (folder / "weight").rename(folder / "weights")
    (folder / "weights").write_bytes(b"3")
    assert sha256(folder) != first


def test_a_sketch_of_weights_tells_their_ends_apart_and_reads_no_times(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = bytearray(3 << 20)
    (folder / "config.json").write_text("{}")

    def after(place):
        weights[place] ^= 1
        (folder / "model.safetensors").write_bytes(weights)
        os.utime(folder / "model.safetensors", (place, place))
        return sketch(folder)

    assert len({after(place) for place in (0, 1, -1)}) == 3
    assert after(1) == after(len(weights) // 2)  # the middle is not read
    assert sketch(folder / "model.safetensors") != sketch(folder)


def test_files_of_criteria_are_found_wherever_settings_name_them(tmp_path):
    names = [str(tmp_path / name) for name in ("a.yaml", "b.yml", "c.yaml", "d.txt")]
    for name in names:
        Path(name).write_text(name)
    a, b, c, d = names
    settings = {"task": a, "parts": [{"reward": {"task": b}}, {"reward": {"task": c}}], "x": d}
    settings |= {"of": {"gone": str(tmp_path / "gone.yaml"), "more": None, "shots": 1}}
    assert texts_of(settings) == {name: sha256(Path(name)) for name in (a, b, c)}


def test_digests_take_folders_from_receipts_and_name_what_is_missing(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_bytes(b"1")
    done = finish(tmp_path, begin(tmp_path, receipt()), ["model"])
    assert digests(tmp_path, ["model"]) == done.outputs
    with pytest.raises(HrlaifError, match=r"none\.jsonl is missing: run the stage that makes it"):
        digests(tmp_path, ["none.jsonl"])


def test_forgetting_a_stage_removes_its_work_whole(tmp_path):
    finish(tmp_path, begin(tmp_path, receipt()), [])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_bytes(b"1")
    for name in ("out.jsonl", "out.jsonl.partial", "kept.jsonl"):
        (tmp_path / name).write_text("x")
    forget(tmp_path, "label", ["model", "out.jsonl", "never.jsonl"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.jsonl", "receipts"]
    assert read_receipt(tmp_path, "label") is None


def test_a_small_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": "好"})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text("utf-8")) == {"a": "好"}
    assert os.listdir(tmp_path) == ["a.json"]


def test_nested_settings_become_dotted_names():
    assert flatten({"a": {"b": {"c": 1}}, "d": {}}) == {"a.b.c": 1, "d": {}}


def test_the_partial_file_is_in_the_folder_it_is_told(tmp_path):
    work_through(Path(tmp_path / "deep" / "er" / "a.partial"))
    assert (tmp_path / "deep" / "er" / "a.partial").exists()


def test_what_a_stage_wrote_with_earlier_settings_is_forgotten_too(tmp_path):
    """A hybrid labeler writes verdicts, and the pairwise one that follows it does not."""
    for name in ("preferences.jsonl", "verdicts.jsonl", "prompts.jsonl"):
        (tmp_path / name).write_text("{}\n")
    outputs = {"preferences.jsonl": "x", "verdicts.jsonl": "y"}
    earlier = Receipt(stage="label", settings={}, inputs={}, outputs=outputs)
    write_receipt(tmp_path, earlier)
    forget(tmp_path, "label", ("preferences.jsonl",))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["prompts.jsonl"]
    assert read_receipt(tmp_path, "label") is None
