import json
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest

from hrlaif.run import only_process

STAGES = ("prompts", "sft", "responses", "label", "reward", "policy", "evaluate", "report")
WRITES = {
    "prompts": ("prompts.jsonl",),
    "sft": ("sft/demonstrations.jsonl", "sft/model.safetensors"),
    "responses": ("responses.jsonl",),
    "label": ("preferences.jsonl", "abstentions.jsonl"),
    "reward": ("reward_model/model.safetensors", "reward_model/heldout_predictions.jsonl"),
    "policy": ("policy/model.safetensors", "policy/choice.json", "policy/samples.jsonl"),
    "evaluate": ("evaluation/comparisons.jsonl", "evaluation/policy_responses.jsonl"),
    "report": ("report.html",),
}
MIDDLE = {
    "sft": "sft/demonstrations.jsonl",
    "responses": "responses.jsonl.partial",
    "label": "preferences.jsonl.partial",
    "reward": "reward_model/metrics.jsonl",
    "policy": "policy/metrics.jsonl",
    "evaluate": "evaluation/sft_responses.jsonl",
}
"""What exists when a stage is half done; the receipt where nothing else does."""


@pytest.fixture
def again(finished, tmp_path):
    """A copy of the finished run."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    return folder


def receipt(folder, stage):
    try:  # a run beside this test may be deleting it
        return json.loads((folder / "receipts" / f"{stage}.json").read_text("utf-8"))
    except FileNotFoundError:
        return None


def wait_for(condition, process=None, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def half_done(folder, stage):
    """Whether the stage's receipt is there without `finished`, and its first work too."""
    begun = receipt(folder, stage)
    return (
        begun is not None
        and begun["finished"] is None
        and (folder / MIDDLE.get(stage, "receipts")).exists()
    )


def begin(hrlaif, folder, stage, *more):
    """The run under way, in the middle of a stage."""
    process = hrlaif.start("run", folder, *more)
    assert wait_for(lambda: half_done(folder, stage), process), process.communicate()
    return process


@pytest.mark.timeout(900)
def test_a_run_killed_in_the_middle_of_every_stage_ends_as_if_undisturbed(
    finished, tmp_path, hrlaif
):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(finished.config, folder / "config.yaml")
    slow = ["--set", "compute.concurrency=2"]
    for stage in STAGES:
        process = begin(hrlaif, folder, stage, *finished.set, *slow)
        family = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert family
        wait_for(lambda: not any(map(alive, family)), seconds=20)  # noqa: B023
        if stage != "prompts":  # it takes no time that could be cut in two
            assert receipt(folder, stage)["finished"] is None, stage

    hrlaif("run", folder, *finished.set)

    for stage in STAGES[:-1]:  # the report shows the time that each stage took
        assert receipt(folder, stage)["finished"]
        for name in WRITES[stage]:
            assert (folder / name).read_bytes() == (finished.folder / name).read_bytes(), name
    assert not list(folder.rglob("*.partial"))


def test_a_second_call_does_nothing(finished, again, hrlaif):
    before = {p: p.stat().st_mtime_ns for p in again.rglob("*") if p.is_file()}
    done = hrlaif("run", again, *finished.set)
    assert done.stdout.strip() == str(again / "report.html")
    assert done.stderr.count(": done (") == len(STAGES)
    assert before == {p: p.stat().st_mtime_ns for p in again.rglob("*") if p.is_file()}


REDO = ["--redo", "label", "--until", "label", "--set", "compute.concurrency=1"]


def label_anew(hrlaif, folder, finished):
    return begin(hrlaif, folder, "label", *finished.set, *REDO)


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(finished, again, hrlaif):
    process = label_anew(hrlaif, again, finished)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in shown
    assert "Traceback" not in shown
    more = hrlaif("run", again, *finished.set, *REDO)
    assert "--redo label: goes on with what this command began" in more.stderr
    for name in WRITES["label"]:
        assert (again / name).read_bytes() == (finished.folder / name).read_bytes()
    assert "goes on" not in hrlaif("run", again, *finished.set, *REDO).stderr


def test_a_second_process_in_the_folder_is_refused(finished, again, hrlaif):
    with only_process(again):
        refused = hrlaif("run", again, *finished.set, code=1)
    assert f"another process works in {again}" in refused.stderr


def test_a_stage_killed_alone_is_told_with_its_signal(finished, again, hrlaif):
    process = label_anew(hrlaif, again, finished)
    for pid in descendants(process.pid):
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "label: its process was ended by signal 9" in shown


def test_changed_settings_are_refused_by_name(finished, again, hrlaif):
    refused = hrlaif("run", again, *finished.set, "--set", "reward.epochs=3", code=1)
    assert "reward was begun with reward.epochs = 1, now 3" in refused.stderr
    assert "--redo reward" in refused.stderr


def test_changed_inputs_are_refused_by_name(finished, again, hrlaif):
    with (again / "prompts.jsonl").open("a") as stream:
        stream.write("\n")
    refused = hrlaif("run", again, *finished.set, code=1)
    assert "sft was begun with another prompts.jsonl" in refused.stderr


def test_a_missing_output_is_named(finished, again, hrlaif):
    (again / "responses.jsonl").unlink()
    refused = hrlaif("run", again, *finished.set, code=1)
    assert "responses.jsonl is gone: put it back, or --redo responses" in refused.stderr


def test_a_half_written_receipt_is_named_and_redone(finished, again, hrlaif):
    path = again / "receipts" / "report.json"
    path.write_bytes(path.read_bytes()[:50])
    refused = hrlaif("run", again, *finished.set, code=1)
    assert f"{path} is damaged" in refused.stderr
    assert "--redo report" in refused.stderr
    hrlaif("run", again, "--redo", "report", *finished.set)
    assert receipt(again, "report")["finished"]


def test_too_many_abstentions_end_with_3_and_the_files_are_written(finished, again, hrlaif):
    rows = (again / "sft" / "teacher_answers.jsonl").read_text().splitlines()
    assert "scripted failure" in {json.loads(row)["reason"] for row in rows}
    strict = ["--set", "max_abstentions=0.01", "--until", "label", *finished.set]
    shown = hrlaif("run", again, *strict, code=3)
    assert "of the prompts have no answer of the teacher, more than the 1% allowed" in shown.stderr
    assert str(again / "sft" / "teacher_answers.jsonl") in shown.stderr


def test_a_full_disk_is_told_and_the_same_command_goes_on(finished, write, tmp_path, hrlaif):
    def small_files(size):
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    prompts = write("asked.jsonl", [{"prompt": f"{n} {'a' * 3000}"} for n in range(100)])
    base = ["run", tmp_path / "run", "--config", finished.config, "--until", "prompts"]
    base += ["--set", f"prompts.source={prompts}", "--set", "prompts.train=70"]
    for size in (4096, 100_000):  # too small for the ledger, then for the prompts
        full = hrlaif(*base, code=1, preexec_fn=small_files(size))
        assert "disk" in full.stderr
        assert "full" in full.stderr
        assert "the same command goes on" in full.stderr.lower()
    hrlaif(*base)
    assert len((tmp_path / "run" / "prompts.jsonl").read_text().splitlines()) == 82


def test_no_completed_call_of_a_killed_run_is_made_again(finished, server, write, hrlaif, tmp_path):
    rows = [
        {"id": f"q{n}", "prompt": f"say {n}", "responses": [f"{n}.", f"not {n}."]}
        for n in range(40)
    ]
    folder, pairs = tmp_path / "run", write("pairs.jsonl", rows)
    fine = server.top({"1": 0.7, "2": 0.2})
    fine.delay = 0.05
    server.answer = lambda body, n: fine
    settings = f"labeling.pairs={pairs}", "compute.concurrency=4", "compute.max_cost=1"
    judge = f"judge={{kind: remote, model: m, base_url: '{server.url}', price: [1, 1]}}"
    base = ["run", folder, "--until", "label"]
    base += [part for change in (*settings, judge) for part in ("--set", change)]
    shutil.copytree(finished.folder, folder)
    # Only the label stage is of this judge, so only its receipt counts here.
    for stage in STAGES:
        (folder / "receipts" / f"{stage}.json").unlink()
    only = ["run", folder, "--only", "label", *base[4:]]
    (folder / "ledger.sqlite").unlink()
    process = hrlaif.start(*only)
    assert wait_for(lambda: len(server.calls) > 30, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(server.calls)
    assert before < 80
    hrlaif(*only)
    assert 80 <= len(server.calls) <= 80 + 4
    rows = [json.loads(line) for line in (folder / "preferences.jsonl").read_text().splitlines()]
    assert len(rows) == 40


def test_a_spent_budget_ends_with_4_and_a_higher_one_goes_on(server, write, hrlaif, tmp_path):
    rows = [{"id": f"q{n}", "prompt": f"say {n}", "responses": ["a", "b"]} for n in range(20)]
    folder = tmp_path / "run"
    folder.mkdir()
    pairs = write("pairs.jsonl", rows)
    judge = f"{{kind: remote, model: m, base_url: '{server.url}', price: [1000, 1000]}}"
    (folder / "config.yaml").write_text(f"judge: {judge}\nlabeling: {{pairs: '{pairs}'}}\n")
    reply = server.top({"1": 0.7, "2": 0.2})
    reply.body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 1}  # a dollar a call
    server.answer = lambda body, n: reply
    hrlaif("run", folder, "--only", "prompts")
    spent = hrlaif("run", folder, "--only", "label", "--max-cost", "9", code=4)
    assert "run the same command with a higher --max-cost to go on" in spent.stderr
    before = len(server.calls)
    assert 0 < before < 40
    hrlaif("run", folder, "--only", "label", "--max-cost", "100")
    assert len(server.calls) == 40
