"""A server on this machine that speaks the OpenAI interface, and misbehaves as told."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Reply:
    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class FakeServer:
    """`answer(body, n)` gives the Reply to the n-th call, from 0; `calls` are the bodies."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self.answer: Callable[[dict[str, Any], int], Reply] = lambda body, n: self.text("1")
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
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

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
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
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    fake = FakeServer()
    yield fake
    fake.stop()
