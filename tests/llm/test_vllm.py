"""Is vLLM started when it is asked, known by what changes its answers, and ended with the work?"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hrlaif.errors import ModelError, UsageError
from hrlaif.llm import Vllm, open_model, vllm_server
from hrlaif.llm.ledger import Ledger
from hrlaif.records import Chat

FAKE = Path(__file__).with_name("fake_vllm.py")
PAIRS = Path(__file__).parents[2] / "examples" / "pairs.jsonl"
CHATS = [Chat.user(f"question {n}") for n in range(20)]


class Notes:
    """What the fake noted: its starts, and its calls."""

    def __init__(self, path):
        self.path = path

    def all(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    @property
    def starts(self):
        return [row for row in self.all() if "start" in row] if self.path.exists() else []

    @property
    def calls(self):
        return [row for row in self.all() if "path" in row] if self.path.exists() else []


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    """A `vllm` command, with what changes only its speed; what it noted."""
    notes = tmp_path / "notes.jsonl"
    command = [sys.executable, str(FAKE)]
    script = tmp_path / "vllm"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("HRLAIF_VLLM", f"{script} --tensor-parallel-size 2")
    monkeypatch.setenv("FAKE_VLLM_NOTES", str(notes))
    yield Notes(notes)
    for served in vllm_server._RUNNING.values():
        served.end()
        shutil.rmtree(served._folder, ignore_errors=True)  # stays where it ended by itself
    vllm_server._RUNNING.clear()


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid, seconds=15):
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def test_it_is_started_at_the_first_question_and_asked_over_a_socket_of_ours(vllm, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-for-somebody-else")
    judge = open_model("vllm:some/model")
    assert judge.name == "vllm:some/model"
    assert not vllm.starts
    for _ in range(2):
        choices = judge.choose(CHATS, ("1", "2"))
    assert [choice.source for choice in choices] == ["logprobs"] * 20
    assert choices[0].probabilities == pytest.approx((7 / 9, 2 / 9))
    assert choices[0].mass == pytest.approx(0.9)
    [start] = vllm.starts
    given = start["start"]
    assert given[:4] == ["serve", "some/model", "--tensor-parallel-size", "2"]
    socket = Path(given[given.index("--uds") + 1])
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert start["secret"] is None
    assert {call["key"] for call in vllm.calls} == {"Bearer none"}
    assert {call["path"] for call in vllm.calls} == {"/v1/chat/completions"}


def test_what_was_answered_is_found_without_starting_it(vllm, tmp_path):
    judge = Vllm(model="m")
    with Ledger(tmp_path / "l.sqlite", stage="label", max_cost=1.0) as ledger:
        first = judge.generate(CHATS, temperature=0, max_tokens=5)
        assert ledger.spent() == 0
    vllm_server._RUNNING.popitem()[1].end()
    with Ledger(tmp_path / "l.sqlite", stage="label") as ledger:
        assert judge.generate(CHATS, temperature=0, max_tokens=5) == first
        assert ledger.hits == 20
    assert len(vllm.starts) == 1


def test_answers_are_known_by_weights_and_arguments_and_not_by_what_changes_speed(
    vllm, tmp_path, monkeypatch
):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1")

    def key(**settings):
        return Vllm(model=str(folder), **settings)._asker().endpoint.known_as

    before = key()
    assert key(arguments=("--quantization=fp8",)) != before
    monkeypatch.setenv("HRLAIF_VLLM", "vllm --tensor-parallel-size 8")
    assert key() == before
    (folder / "model.safetensors").write_bytes(b"22")
    assert key() != before


def test_texts_are_sampled_by_the_settings_unless_the_arguments_say_otherwise(vllm, monkeypatch):
    Vllm(model="a").start()
    Vllm(model="b", arguments=("--generation-config=auto",)).start()
    monkeypatch.setenv("HRLAIF_VLLM", f"{os.environ['HRLAIF_VLLM']} --generation_config auto")
    Vllm(model="c").start()
    ours, *theirs = [start["start"] for start in vllm.starts]
    assert ours[ours.index("--generation-config") + 1] == "vllm"
    for given in theirs:
        assert "vllm" not in given
        assert sum("generation" in part for part in given) == 1


def test_texts_of_the_model_s_own_sampling_are_asked_again_and_label_probabilities_are_not():
    asker = Vllm(model="m")._asker()
    before = replace(asker, endpoint=replace(asker.endpoint, written_as=""))
    chat, settings = CHATS[0], {"temperature": 1.0, "max_tokens": 9}
    assert asker._for_logprobs(chat, "12").key == before._for_logprobs(chat, "12").key
    for kind, vote in (("generate", None), ("choose", 0)):
        keys = {one._question(kind, chat, settings, 0, vote).key for one in (asker, before)}
        assert len(keys) == 2
    own = Vllm(model="m", arguments=("--generation-config", "auto"))._asker().endpoint
    assert own.written_as == own.known_as


def test_another_model_ends_the_one_before_which_would_want_the_same_memory(vllm):
    Vllm(model="a").start()
    Vllm(model="b").start()
    first, second = vllm.starts
    assert not alive(first["pid"])
    assert alive(second["pid"])


def test_a_server_that_does_not_start_is_told_with_what_its_log_says(vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM", "no memory")
    with pytest.raises(ModelError, match="vLLM has ended with 1") as told:
        Vllm(model="m").start()
    assert "ValueError: no memory for the cache" in str(told.value)
    assert "cleaning up" not in str(told.value)


def test_a_log_without_an_error_is_told_with_its_last_lines(vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM", "says nothing")
    with pytest.raises(ModelError) as told:
        Vllm(model="m").start()
    assert str(told.value).count("cleaning up") == 8


def test_a_server_that_dies_under_its_calls_is_told_with_what_its_log_says(vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM", "dies")
    with pytest.raises(ModelError, match="the engine core died"):
        Vllm(model="m", max_retries=0).choose(CHATS[:1], ("1", "2"))


def test_a_server_that_hangs_is_waited_for_no_longer_than_said(vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM", "hangs")
    Vllm(model="m").choose(CHATS[:1], ("1", "2"))
    [served] = vllm_server._RUNNING.values()
    with pytest.raises(ModelError, match="runs but does not answer"):
        served.ready(patience=0.3)


def test_a_missing_command_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setenv("HRLAIF_VLLM", "/nowhere/vllm")
    with pytest.raises(UsageError, match=r"/nowhere/vllm is not on the PATH.*HRLAIF_VLLM"):
        Vllm(model="m").start()


@pytest.mark.models
@pytest.mark.timeout(1800)
def test_a_real_vllm_gives_the_labels_of_the_local_model():
    """Where one is installed; with `--dtype float32` in HRLAIF_VLLM they are equal to 5 digits."""
    from hrlaif import Packaged, Pairwise
    from hrlaif.rows import comparisons_from, read_rows

    command = shlex.split(os.environ.get("HRLAIF_VLLM", "vllm"))
    if shutil.which(command[0]) is None:
        pytest.skip("no vllm: name its command in HRLAIF_VLLM")
    local = Packaged(name="qwen2.5-coder-1.5b-instruct")
    comparisons = comparisons_from(read_rows(PAIRS))[:2]
    served = Pairwise(task="helpful").label(comparisons, Vllm(model=local.local().path))
    vllm_server._RUNNING.popitem()[1].end()  # its memory is needed
    ours = Pairwise(task="helpful").label(comparisons, local)
    close = 2e-5 if "float32" in command else 0.02
    for remote, here in zip(served, ours, strict=True):
        assert remote.evidence.source == "logprobs"
        assert remote.prob_a == pytest.approx(here.prob_a, abs=close)
        assert remote.evidence.mass == pytest.approx(here.evidence.mass, abs=5 * close)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_work_that_started_it_however_that_ends(vllm, how):
    code = "from hrlaif import Vllm; print(Vllm(model='m').start(), flush=True); input()"
    work = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    socket = Path(work.stdout.readline().strip())
    [start] = vllm.starts
    assert alive(start["pid"])
    os.kill(work.pid, how)
    work.communicate()
    assert gone(start["pid"])
    end = time.monotonic() + 10
    while socket.parent.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not socket.parent.exists()


def test_the_command_line_labels_with_it_and_leaves_nothing_running(vllm, hrlaif, write, tmp_path):
    rows = [{"id": f"{n}", "prompt": f"say {n}", "responses": ["a", "b"]} for n in range(5)]
    out = tmp_path / "out.jsonl"
    names = ("HRLAIF_VLLM", "FAKE_VLLM_NOTES")
    done = hrlaif(
        *("label", write("pairs.jsonl", rows), "-o", out, "--judge", "vllm:m"),
        environment={name: os.environ[name] for name in names},
    )
    assert "vllm:m: starting `" in done.stderr
    labels = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["prob_a"] for row in labels] == [0.5] * 5  # it prefers the first in both orders
    assert "vllm:m" in labels[0]["labeler"]
    assert len(vllm.calls) == 10
    assert gone(vllm.starts[0]["pid"])
