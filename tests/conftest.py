"""What whole runs and commands need: a tiny model, the command line, a run, a server."""

from __future__ import annotations

import html
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).parents[1]

# A slow or busy machine is no defect of what is tested.
settings.register_profile("slow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and children inherit it: Ctrl-C tests need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _the_same_numbers_on_every_machine() -> Iterator[None]:
    """Tests compute in float32, also where a processor is quicker in 16 bits."""
    from hrlaif.settings import Compute, using

    with using(Compute(device="cpu", precision="float32")):
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random Qwen2 of two layers: a byte tokenizer with a chat template."""
    return str(made_once(tmp_path_factory, "tiny", _make_tiny_model))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker makes, and the others wait for."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = shared / name, shared / f".{name}.made"
    with FileLock(shared / f".{name}.lock"):
        if not made.exists():
            make(folder)
            made.touch()
    return folder


def _make_tiny_model(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from hrlaif.llm.chat import prepare

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    prepare(tokenizer).save_pretrained(folder)


class Shell:
    """`hrlaif ...` in a process of its own, as a user calls it."""

    environment: Mapping[str, str] = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "HRLAIF_"))},
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """A process under way; its output is read as text."""
        given = [sys.executable, "-m", "hrlaif", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**self.environment, **options.pop("environment", {})}
        return subprocess.Popen(given, **(pipes | {"env": environment} | options))

    def __call__(
        self, *arguments: object, code: int = 0, stdin: str | bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs to the end; the exit code must be `code`, and there is never a traceback."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        process = self.start(*arguments, stdin=subprocess.PIPE, text=False, **options)
        out, err = (raw.decode() for raw in process.communicate(given, timeout=240))
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def here(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The same within this process, which spares the seconds of starting one."""
        from hrlaif.cli import main

        given = [str(argument) for argument in arguments]
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(given)
        assert ended.value.code == code, (
            f"exit {ended.value.code}\n{out.getvalue()}{err.getvalue()}"
        )
        return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def hrlaif() -> Shell:
    """Calls the command line and checks the exit code."""
    return Shell()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[Mapping[str, Any]]], Path]:
    """A function that writes rows into a file of the test's folder."""

    def rows(name: str, values: Iterable[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), "utf-8")
        return path

    return rows


class Finished(NamedTuple):
    """A run of every stage on configs/tiny.yaml."""

    folder: Path
    config: Path
    set: list[str]
    """Arguments that every further command on it needs."""
    stdout: str
    stderr: str
    seconds: float


@pytest.fixture(scope="session")
def finished(tiny_model: str, tmp_path_factory: pytest.TempPathFactory, hrlaif: Shell) -> Finished:
    """Made once for all workers; copy it before changing anything."""
    config = REPOSITORY / "configs" / "tiny.yaml"
    judge = "judge=scripted:accuracy=0.9,position_bias=0.2,latency=0.02,failure=0.05"
    more = ["--set", judge, "--set", f"model=local:{tiny_model}"]

    def make(folder: Path) -> None:
        begun = time.monotonic()
        done = hrlaif("run", folder, "--config", config, *more)
        told = {"stdout": done.stdout, "stderr": done.stderr}
        told["seconds"] = time.monotonic() - begun
        folder.with_name("finished.json").write_text(json.dumps(told), "utf-8")

    folder = made_once(tmp_path_factory, "finished", make)
    told = json.loads(folder.with_name("finished.json").read_text("utf-8"))
    return Finished(folder, config, more, **told)


@dataclass
class Reply:
    """What the fake server sends back."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, many calls at once are reset now and then


class FakeServer:
    """It speaks the OpenAI interface on this machine, and misbehaves as told.

    `answer(body, n)` gives the Reply to the n-th call, from 0; `calls` are the bodies.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self.answer: Callable[[dict[str, Any], int], Reply] = lambda body, n: self.text("1")
        self.files: Callable[[str, str, bytes], Reply] | None = None
        """Answers what is not a call: method, path, body."""
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def script(self, *replies: Reply) -> None:
        """These replies in turn; the last one from then on."""
        self.answer = lambda body, n: replies[min(n, len(replies) - 1)]

    def text(self, text: str | None, *, finish: str = "stop", **message: Any) -> Reply:
        choice = {
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish,
            "logprobs": None,
        }
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        return Reply({"choices": [choice], "usage": usage})

    def top(self, *positions: dict[str, float | None], sampled: str | None = None) -> Reply:
        """An answer with these probabilities (None: null) at each position."""
        content = []
        for tops in positions:
            listed = [{"token": t, "logprob": _log(p)} for t, p in tops.items()]
            drawn = sampled or max(tops, key=lambda token: tops[token] or 0.0)
            content.append({"token": drawn, "logprob": -0.1, "top_logprobs": listed})
        reply = self.text("".join(entry["token"] for entry in content))
        reply.body["choices"][0]["logprobs"] = {"content": content}
        return reply

    def error(self, status: int, message: str, **error: Any) -> Reply:
        return Reply({"error": {"message": message, **error}}, status)

    def reply(self, body: Any, status: int = 200, delay: float = 0.0, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(body, status, named, delay)

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._other(b"")

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                if not self.path.endswith("/completions"):
                    return self._other(raw)
                body = json.loads(raw)
                with outer._lock:
                    n = len(outer.calls)
                    outer.calls.append({"path": self.path, **body})
                    outer.keys.append(self.headers["authorization"])
                    outer._at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer._at_once)
                try:
                    reply = outer.answer(body, n)
                    time.sleep(reply.delay)
                    raw = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                    # Counted down first: the client may send its next call at once.
                    with outer._lock:
                        outer._at_once -= 1
                    self._send(reply, raw.encode())
                except OSError:
                    self.close_connection = True

            def _other(self, raw: bytes) -> None:
                known = outer.files or (lambda *_: outer.error(404, "no such path"))
                try:
                    reply = known(self.command, self.path, raw)
                    time.sleep(reply.delay)
                    body = reply.body
                    self._send(
                        reply, (body if isinstance(body, str) else json.dumps(body)).encode()
                    )
                except OSError:
                    self.close_connection = True

            def _send(self, reply: Reply, raw: bytes) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _log(probability: float | None) -> float | None:
    if probability is None:
        return None
    return math.log(probability) if probability > 0 else -9999.0


@pytest.fixture
def _nothing_is_known_of_a_server() -> None:
    """A port may have been another test's, and what was learned of that server is kept."""
    from hrlaif.llm.remote_ask import _SERVERS

    _SERVERS.clear()


@pytest.fixture
def servers(
    monkeypatch: pytest.MonkeyPatch, _nothing_is_known_of_a_server: None
) -> Iterator[list[FakeServer]]:
    """Three of them."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    fakes = [FakeServer() for _ in range(3)]
    yield fakes
    for fake in fakes:
        fake.stop()


@pytest.fixture
def server(
    monkeypatch: pytest.MonkeyPatch, _nothing_is_known_of_a_server: None
) -> Iterator[FakeServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    fake = FakeServer()
    yield fake
    fake.stop()


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Of the pages written in this test: what a drawing shows and the table behind it does not.

    A drawing's own table stands before the next drawing or heading. Of a long curve the first and
    the last value must be there.
    """
    from hrlaif.pages import charts, words

    drawn: dict[str, list[list[str]]] = {}

    def shown(kind: str, data: Any) -> list[Any]:
        if kind == "histogram":
            return [n for _, n in charts.binned(data)]
        if kind == "curves":
            return [value for curve in data for _, value in curve.some()]
        if kind == "points":
            return [p.figure for one in data for p in (one if len(one) < 13 else (one[0], one[-1]))]
        rows = [value for _, value in data]
        return rows if kind == "intervals" else [f for row in rows for f in row]

    def ways(value: Any) -> str:
        """Every way in which a table may write it."""
        if isinstance(value, charts.Figure):
            told = [words.percent(value), words.points(value), words.plain(value)]
            told += [words.plain(value, signed=True), words.digits(value.value)]
            if value.low is None:  # drawn as a level: the table may add its interval
                return rf"{100 * value.value:.1f} %[^<]*|" + "|".join(map(re.escape, told))
        else:
            told = [words.digits(value), words.count(value)]
        return "|".join(re.escape(text) for text in told)

    def spy(kind: str, draw: Any) -> Any:
        def drawing(self: Any, data: Any, **more: Any) -> Any:
            values = [ways(v) for v in shown(kind, data) if getattr(v, "value", v) is not None]
            made = draw(self, data, **more)
            if made is not None:
                drawn.setdefault(more["alt"], []).append(values)
            return made

        return drawing

    for kind in ("intervals", "grouped", "points", "curves", "histogram"):
        monkeypatch.setattr(charts.Charts, kind, spy(kind, getattr(charts.Charts, kind)))

    def found(page: str) -> list[str]:
        missing = []
        for piece in page.split('<svg class="chart"')[1:]:
            alt = html.unescape(re.findall(r'aria-label="([^"]*)"', piece)[0])
            own = re.split(r"<h[1-6]", piece)[0]
            cells = "".join(re.findall(r"<td[^>]*>.*?</td>", own, re.S))
            wanted = drawn[alt].pop(0)
            missing += [
                f"{alt}: {text}" for text in wanted if not re.search(f">(?:{text})<", cells)
            ]
        return missing

    return found
