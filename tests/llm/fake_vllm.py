"""A `vllm` for tests: `serve MODEL ... --uds SOCKET` answers as an OpenAI interface does.

It notes each start and each call beside itself; FAKE_VLLM tells it to misbehave.
"""

import json
import math
import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HOW = os.environ.get("FAKE_VLLM", "")
NOTES = Path(os.environ["FAKE_VLLM_NOTES"])


def note(what):
    with NOTES.open("a") as file:
        file.write(json.dumps(what) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0

    def address_string(self):
        return "socket"

    def do_GET(self):
        self.send({}, 503 if HOW == "hangs" and self.asked else 200)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Handler.asked += 1
        note({"path": self.path, "key": self.headers["authorization"], **body})
        if HOW == "dies":
            print("RuntimeError: the engine core died", flush=True)
            os._exit(7)
        tops = [{"token": t, "logprob": math.log(p)} for t, p in (("1", 0.7), ("2", 0.2))]
        said = {"token": "1", "logprob": math.log(0.7), "top_logprobs": tops}
        choice = {"message": {"content": "1"}, "finish_reason": "stop"}
        choice["logprobs"] = {"content": [said]} if body.get("logprobs") else None
        usage = {"prompt_tokens": 7, "completion_tokens": 1}
        self.send({"choices": [choice], "usage": usage})

    def send(self, body, status=200):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 300


note({"start": sys.argv[1:], "pid": os.getpid(), "secret": os.environ.get("OPENAI_API_KEY")})
if HOW in {"no memory", "says nothing"}:
    why = ["ValueError: no memory for the cache"] * (HOW == "no memory")
    print("\n".join([*why, *["cleaning up"] * 40]))
    sys.exit(1)
time.sleep(0.3)  # weights take time to load
Server(sys.argv[sys.argv.index("--uds") + 1], Handler).serve_forever()
