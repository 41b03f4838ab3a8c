"""A server's files and batches, as OpenAI's interface has them, answered by the fake server."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class FakeBatches:
    """Answers each batch when it is asked after; `status`, `refusal` and more make it fail."""

    def __init__(self, server: Any):
        self.server = server
        self.files: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []
        self.said: list[tuple[str, str]] = []
        self.polls_before_the_end = 0
        self.status = "completed"
        self.answered: float = 1.0
        """The share of its lines that a batch has answered when it ends."""
        self.refusal: Any = None
        """The `errors` of whole batches."""
        self.room = 10**9
        """Lines that batches under way may hold together; above, the queue is full."""
        self.metadata = True
        """Whether the list shows what a batch carries."""
        self.late = "This request could not be executed in time."
        self.lists = True
        server.files = self.handle

    def lines(self, batch: int = -1) -> list[dict[str, Any]]:
        """The requests of a batch."""
        text = self.files[self.made[batch]["input_file_id"]]
        return [json.loads(line) for line in text.splitlines()]

    def handle(self, method: str, path: str, raw: bytes) -> Any:
        parts = urlsplit(path)
        name = parts.path.removeprefix("/v1")
        self.said.append((method, name))
        if (method, name) == ("POST", "/files"):
            return self.server.reply({"id": self._kept(_uploaded(raw))})
        if (method, name) == ("POST", "/batches"):
            return self._create(json.loads(raw))
        if (method, name) == ("GET", "/batches"):
            return self._listed(parse_qs(parts.query))
        if name.startswith("/batches/"):
            batch = next((b for b in self.made if b["id"] == name.split("/")[2]), None)
            return self.server.reply(self._ended(batch)) if batch else self._unknown()
        if name.endswith("/content"):
            return self.server.reply(self.files[name.split("/")[2]])
        return self._unknown()

    def _unknown(self) -> Any:
        return self.server.error(404, "no such thing")

    def _kept(self, text: str) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = text
        return name

    def _create(self, body: dict[str, Any]) -> Any:
        made = {"id": f"batch_{len(self.made)}", "status": "validating", "polls": 0, **body}
        self.made.append(made | {"created_at": time.time()})
        under_way = (i for i, b in enumerate(self.made) if b["status"] == "validating")
        if sum(len(self.lines(i)) for i in under_way) > self.room:
            full = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
            self.made[-1] |= {"status": "failed", "errors": {"data": [full]}}
        return self.server.reply(self.made[-1])

    def _listed(self, query: dict[str, list[str]]) -> Any:
        if not self.lists:
            return self.server.error(405, "not allowed")
        newest = self.made[::-1]
        ids = [b["id"] for b in newest]
        begin = ids.index(query["after"][0]) + 1 if "after" in query else 0
        page = newest[begin : begin + 2]
        if not self.metadata:
            page = [{k: v for k, v in b.items() if k != "metadata"} for b in page]
        return self.server.reply({"data": page, "has_more": begin + 2 < len(newest)})

    def _ended(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["polls"] += 1
        if batch["status"] != "validating":
            return batch
        if batch["polls"] <= self.polls_before_the_end:
            return batch | {"status": "in_progress", "request_counts": {"completed": 1}}
        lines = [json.loads(x) for x in self.files[batch["input_file_id"]].splitlines()]
        if self.refusal:
            batch |= {"status": "failed", "errors": self.refusal}
            return batch
        told = [self._line(line) for line in lines[: round(self.answered * len(lines))]]
        late = {"code": "batch_expired", "message": self.late}
        silent = [
            {"custom_id": line["custom_id"], "response": None, "error": late}
            for line in lines[len(told) :]
        ]
        good = [row for row in told if row["response"]["status_code"] == 200]
        bad = [row for row in told if row["response"]["status_code"] != 200] + silent
        batch["status"] = self.status
        batch["completed_at"] = batch["created_at"] + 60
        batch["request_counts"] = {"total": len(lines), "completed": len(good)}
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                batch[name] = self._kept("".join(json.dumps(row) + "\n" for row in rows[::-1]))
        return batch

    def _line(self, line: dict[str, Any]) -> dict[str, Any]:
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        reply = self.server.answer(line["body"], -1)
        response = {"status_code": reply.status, "body": reply.body}
        return {"custom_id": line["custom_id"], "response": response, "error": None}


def _uploaded(raw: bytes) -> str:
    """The file in a multipart form, whose `purpose` must be `batch`."""
    boundary = raw.split(b"\r\n", 1)[0]
    fields = raw.split(boundary)[1:-1]
    assert any(b'name="purpose"' in f and f.strip().endswith(b"batch") for f in fields)
    (file,) = (f for f in fields if b"filename=" in f)
    return file.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").decode()


@pytest.fixture
def batches(server: Any) -> FakeBatches:
    """Of the fake server, which repeats what it is asked."""
    server.answer = lambda body, n: server.text(f"to {body['messages'][-1]['content']}")
    return FakeBatches(server)
