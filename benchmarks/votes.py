"""A hundred raters at once: how long does an answer take, and is every accepted vote kept?

Starts `hrlaif vote` on a study of --items pairs with --before votes, lets --raters vote --votes
times each with a mean pause of --think seconds, and checks that every accepted vote stands in the
database once. On PostgreSQL with --database URL. Times are a rater's: from sending a vote to having
the next item.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sql

from hrlaif.human import database as db

_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


class Connection:
    """One kept-alive connection of one rater."""

    def __init__(self, port: int):
        self.port = port
        self.cookie = self.token = ""

    async def ask(
        self, method: str, path: str, body: str = "", kind: str = ""
    ) -> tuple[int, str, str]:
        """Status, head and body of the answer."""
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        if method == "POST":
            lines += [f"content-length: {len(body.encode())}", f"content-type: {kind}"]
        lines += [f"cookie: {self.cookie}", f"x-token: {self.token}"]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin1")
        length = re.search(r"content-length: (\d+)", head, re.I)
        found = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head.split(" ", 2)[1]), head, found.decode()

    async def join(self, alias: str) -> None:
        """As the start page does."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        _, _, page = await self.ask("GET", "/")
        fields = dict(re.findall(r'name="(form|join)" value="(\w+)"', page))
        body = urlencode({**fields, "alias": alias})
        status, head, _ = await self.ask("POST", "/join", body, _FORM)
        cookie = re.search(r"set-cookie: (rater-[^;]+)", head, re.I)
        assert status == 303, head
        assert cookie, head
        self.cookie = cookie[1]
        _, _, page = await self.ask("GET", "/vote")
        found = re.search(r'name="token" content="(\w+)"', page)
        assert found, page
        self.token = found[1]


@dataclass
class Measured:
    """What the raters saw."""

    times: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Of accepted votes."""
    refused: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.times)
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


async def rate(port: int, alias: str, given: argparse.Namespace, out: Measured) -> None:
    """One rater, from joining to the last vote."""
    connection, chance = Connection(port), random.Random(alias)
    await connection.join(alias)
    _, _, body = await connection.ask("GET", "/api/next")
    for _ in range(given.votes):
        await asyncio.sleep(2 * given.think * chance.random())
        item, key = json.loads(body)["items"][0]["id"], secrets.token_hex(16)
        answer = {"prefers": chance.choice(["first", "second", "tie"])}
        vote = {"id": item, "key": key, "answer": answer, "comment": "", "seconds": 2.5}
        begun = time.perf_counter()
        status, _, body = await connection.ask("POST", "/api/vote", json.dumps(vote), _JSON)
        out.times.append(time.perf_counter() - begun)
        if status != 200:
            out.refused.append(status)
            break
        out.keys.append(key)
    connection.writer.close()


async def rate_all(port: int, given: argparse.Namespace) -> Measured:
    """All raters at once."""
    out, begun, run = Measured(), time.perf_counter(), secrets.token_hex(4)
    await asyncio.gather(*(rate(port, f"{run} {n}", given, out) for n in range(given.raters)))
    out.seconds = time.perf_counter() - begun
    return out


def fill(database: db.Database, many: int) -> None:
    """Votes of earlier raters, a hundred each, spread evenly over the items."""
    with database.reading() as connection:
        own = sql.select(db.items.c.id).where(db.items.c.shuffle >= 0)
        items = list(connection.execute(own).scalars())

    def work(connection: Any) -> None:
        people = [
            {
                "id": n + 1,
                "alias": f"earlier {n}",
                "seed": "x",
                "given": 100,
                "answered": 100,
                "created": 0.0,
            }
            for n in range(many // 100)
        ]
        connection.execute(db.raters.insert(), people)
        for begin in range(0, many, 1000):
            places, votes = [], []
            for n in range(begin, min(begin + 1000, many)):
                name = f"earlier-{n:018d}"
                who = {"rater": n // 100 + 1, "item": items[n % len(items)], "number": n % 100}
                what = {"shown": "[0, 1]", "state": "voted", "vote": name}
                when = {"again": 0, "opened": 0.0, "answered": 0.0}
                places.append({"id": name, **who, **what, **when})
                votes.append(
                    {"key": name, "assignment": name, "answer": '{"prefers":"a"}', "at": 0.0}
                )
            connection.execute(db.assignments.insert(), places)
            connection.execute(db.votes.insert(), votes)
        for rest in range(2):
            least = many // len(items)
            part = items[: many % len(items)] if rest else items
            counted = db.items.update().where(db.items.c.id.in_(part))
            connection.execute(counted.values(taken=least + rest))
        # Ids given by hand leave PostgreSQL's own counter behind.
        if connection.dialect.name == "postgresql":
            connection.execute(
                sql.text("SELECT setval('raters_id_seq', (SELECT max(id) FROM raters))")
            )

    database.write(work)


def kept(url: str, keys: list[str]) -> bool:
    """Whether each accepted vote stands in the database, once an assignment."""
    database = db.Database(url)
    with database.reading() as connection:
        rows = connection.execute(sql.select(db.votes.c.key, db.votes.c.assignment)).all()
    database.close()
    there = {row.key for row in rows}
    return set(keys) <= there and len({row.assignment for row in rows}) == len(rows)


def pairs(many: int) -> str:
    """Rows with texts of ordinary length."""
    text = "This is a sentence of ordinary length, with **some** Markdown and `code` in it. " * 12
    rows = (
        {
            "id": f"{n}",
            "prompt": f"Question {n}?",
            "responses": [f"One {n}. {text}", f"Two {n}. {text}"],
        }
        for n in range(many)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Starts the server, measures, kills the server, and looks into the database."""
    file, out = folder / "pairs.jsonl", folder / "votes"
    file.write_text(pairs(given.items), "utf-8")
    url = given.database or f"sqlite:///{out / 'votes.sqlite'}"
    command = [sys.executable, "-m", "hrlaif", "vote", str(file), "-o", str(out), "--database", url]
    command += [
        "--overlap",
        str(10 + given.before // given.items + given.raters * given.votes // given.items),
    ]
    if given.before:
        subprocess.run([*command, "--write"], check=True, stdout=subprocess.DEVNULL)
        database = db.Database(url)
        fill(database, given.before)
        database.close()
    server = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        line = next(line for line in server.stdout if line.startswith("organiser"))
        port = re.search(r":(\d+)/", line)
        assert port, line
        found = asyncio.run(rate_all(int(port[1]), given))
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    return {
        "database": url.partition(":")[0],
        "items": given.items,
        "votes_before": given.before,
        "raters": given.raters,
        "votes": len(found.keys),
        "refused": len(found.refused),
        "all_kept": kept(url, found.keys),
        "votes_a_second": round(len(found.keys) / found.seconds, 1),
        "p50_ms": found.percentile(0.5),
        "p95_ms": found.percentile(0.95),
        "p99_ms": found.percentile(0.99),
    }


def main() -> None:
    """Prints one line, or JSON; fails where a vote is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--before", type=int, default=0)
    parser.add_argument("--raters", type=int, default=100)
    parser.add_argument("--votes", type=int, default=20)
    parser.add_argument("--think", type=float, default=1.0)
    parser.add_argument("--database")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given, Path(folder))
    print(json.dumps(found) if given.json else "  ".join(f"{k} {v}" for k, v in found.items()))
    if not found["all_kept"] or found["refused"]:
        sys.exit("a vote was refused, lost or doubled")


if __name__ == "__main__":
    main()
