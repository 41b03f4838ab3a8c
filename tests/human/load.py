"""A hundred raters at once: how long does each answer take, and is every accepted vote kept?

`python tests/human/load.py FILE [--database URL] [--raters N] [--votes N] [--think S]` starts a
server on a new study and prints the figures as JSON; the tests call `measure` on a running one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


class Connection:
    """One kept-alive connection of one rater."""

    def __init__(self, port: int):
        self.port = port
        self.cookie = self.token = ""

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(
        self, method: str, path: str, body: str = "", kind: str = ""
    ) -> tuple[int, str, bytes]:
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"content-length: {len(body.encode())}"] if method == "POST" else []
        lines += [f"content-type: {kind}"] if kind else []
        lines += [f"cookie: {self.cookie}"] if self.cookie else []
        lines += [f"x-token: {self.token}"] if self.token else []
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin1")
        length = re.search(r"content-length: (\d+)", head, re.I)
        found = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head.split(" ", 2)[1]), head, found

    async def join(self, alias: str) -> None:
        await self.open()
        _, _, page = await self.ask("GET", "/")
        fields = dict(re.findall(r'name="(form|join)" value="(\w+)"', page.decode()))
        status, head, _ = await self.ask(
            "POST",
            "/join",
            urlencode({**fields, "alias": alias}),
            "application/x-www-form-urlencoded",
        )
        assert status == 303, head
        self.cookie = re.search(r"set-cookie: (rater=[^;]+)", head, re.I)[1]
        _, _, page = await self.ask("GET", "/vote")
        self.token = re.search(r'name="token" content="(\w+)"', page.decode())[1]


@dataclass
class Measured:
    times: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Of accepted votes."""
    refused: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.times)[min(len(self.times) - 1, int(share * len(self.times)))]

    def row(self) -> dict[str, Any]:
        return {
            "votes": len(self.keys),
            "refused": len(self.refused),
            "votes_a_second": round(len(self.keys) / self.seconds, 1),
            "ms": {f"p{int(p * 100)}": round(self.percentile(p), 1) for p in (0.5, 0.95, 0.99)},
            "slowest_ms": round(self.percentile(1), 1),
        }


async def _rater(port: int, alias: str, votes: int, think: float, out: Measured) -> None:
    connection, chance = Connection(port), random.Random(alias)
    await connection.join(alias)
    _, _, body = await connection.ask("GET", "/api/next")
    await asyncio.sleep(think * chance.random())
    items = json.loads(body)["items"]
    for _ in range(votes):
        if not items:
            break
        key = secrets.token_hex(16)
        answer = {"prefers": chance.choice(["first", "second", "tie"])}
        vote = {"id": items[0]["id"], "key": key, "answer": answer, "comment": "", "seconds": 2.5}
        begun = time.perf_counter()
        status, _, body = await connection.ask(
            "POST", "/api/vote", json.dumps(vote), "application/json"
        )
        out.times.append(time.perf_counter() - begun)
        if status != 200:
            out.refused.append(status)
            continue
        out.keys.append(key)
        items = json.loads(body)["items"]
        await asyncio.sleep(2 * think * chance.random())
    connection.writer.close()


async def _all(port: int, raters: int, votes: int, think: float, name: str) -> Measured:
    out, begun = Measured(), time.perf_counter()
    await asyncio.gather(*(_rater(port, f"{name} {n}", votes, think, out) for n in range(raters)))
    out.seconds = time.perf_counter() - begun
    return out


def measure(
    port: int, *, raters: int = 100, votes: int = 20, think: float = 0.5, name: str = "r"
) -> Measured:
    """Every rater votes `votes` times, with a mean of `think` seconds between two votes."""
    return asyncio.run(_all(port, raters, votes, think, name))


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--database")
    parser.add_argument("--raters", type=int, default=100)
    parser.add_argument("--votes", type=int, default=20)
    parser.add_argument("--think", type=float, default=0.5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        more = ["--database", given.database] if given.database else []
        command = [sys.executable, "-m", "hrlaif", "vote", given.file, "--port", "0", "-o", folder]
        server = subprocess.Popen(
            [*command, "--overlap", "1000", *more], stdout=subprocess.PIPE, text=True
        )
        line = next(line for line in server.stdout if line.startswith("organiser"))
        port = int(re.search(r":(\d+)/", line)[1])
        try:
            found = measure(
                port,
                raters=given.raters,
                votes=given.votes,
                think=given.think,
                name=secrets.token_hex(4),
            )
        finally:
            server.kill()
            server.wait()
    print(json.dumps(found.row()))


if __name__ == "__main__":
    _main()
