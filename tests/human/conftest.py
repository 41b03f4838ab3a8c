"""A real `hrlaif vote` in a process of its own, and raters who talk to it over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Visitor:
    """A browser without a screen: cookies, the page's token, and nothing else."""

    def __init__(self, port: int):
        self.port = port
        self.cookies: dict[str, str] = {}
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            given.setdefault("cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items()))
        if self.token:
            given.setdefault("x-token", self.token)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            given.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        reply = Reply(answer.status, found, answer.read())
        connection.close()
        if cookie := found.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return reply

    def form(self, path: str, **fields: str) -> Reply:
        body = urlencode(fields)
        return self.ask("POST", path, body, content_type="application/x-www-form-urlencoded")

    def hidden(self, page: str, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', page)
        assert found, page
        return unescape(found[1])

    def join(self, alias: str = "") -> Visitor:
        """Signs in under a new alias, as the start page does."""
        alias = alias or secrets.token_hex(8)
        page = self.ask("GET", "/").text
        fields = {name: self.hidden(page, name) for name in ("form", "join")}
        reply = self.form("/join", alias=alias, **fields)
        assert reply.status == 303, reply.text
        return self.enter()

    def enter(self) -> Visitor:
        """Reads the token from the voting page."""
        page = self.ask("GET", "/vote").text
        found = re.search(r'name="token" content="(\w+)"', page)
        assert found, page
        self.token = found[1]
        return self

    def hand(self) -> Any:
        return self.ask("GET", "/api/next").json()

    def vote(self, item: str, answer: Any, **more: Any) -> Reply:
        values = {"id": item, "key": secrets.token_hex(16), "answer": answer, "comment": ""}
        return self.ask("POST", "/api/vote", values | more)


class Site:
    """A running server and its study."""

    def __init__(self, start: Callable[[], subprocess.Popen[str]]):
        self._start = start
        self.begin()

    def begin(self) -> None:
        self.process = self._start()
        assert self.process.stdout is not None
        self.links: dict[str, str] = {}
        for line in self.process.stdout:
            name, _, url = line.strip().partition(": ")
            self.links[name.strip()] = url.strip()
            if name.strip() == "organiser":
                break
        assert "organiser" in self.links, self.process.communicate()
        self.port = urlsplit(self.links["organiser"]).port or 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def visitor(self) -> Visitor:
        return Visitor(self.port)

    def organiser(self) -> Visitor:
        visitor = self.visitor()
        parts = urlsplit(self.links["organiser"])
        assert visitor.ask("GET", f"{parts.path}?{parts.query}").status == 303
        page = visitor.ask("GET", "/organiser").text
        found = re.search(r'name="token" content="(\w+)"', page)
        assert found, page
        visitor.token = found[1]
        return visitor

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        assert "Traceback" not in err, err
        return out, err


@pytest.fixture(scope="module")
def shared(hrlaif: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for the tests of a file, on thirty pairs."""
    path = tmp_path_factory.mktemp("shared") / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair(n)) + "\n" for n in range(30)))
    site = Site(lambda: hrlaif.start("vote", path, "--port", 0, "--overlap", 100))
    yield site
    site.kill()


@pytest.fixture
def serve(hrlaif: Any) -> Iterator[Callable[..., Site]]:
    """Starts `hrlaif vote FILE ...` on a free port."""
    sites: list[Site] = []

    def start(file: Path, *options: object, port: int = 0) -> Site:
        site = Site(lambda: hrlaif.start("vote", file, "--port", port, *options))
        sites.append(site)
        return site

    yield start
    for site in sites:
        if site.process.poll() is None:
            site.kill()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a real PostgreSQL, started here from Debian's package or from PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = str(found[-1]) if found else shutil.which("initdb")
    if path is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    programs = Path(path).resolve().parent
    # It refuses to run as root; Debian's package makes a user for it.
    who = {"user": "postgres"} if os.geteuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        folder.chmod(0o777)

        def call(program: str, *arguments: str) -> None:
            given = [str(programs / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(
                given, check=True, env={**os.environ, "LC_ALL": "C"}, cwd=folder,
                stdout=subprocess.DEVNULL, timeout=120, **who,
            )  # fmt: skip

        call("initdb", "--auth", "trust", "--username", "people", "--encoding", "UTF8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://people@127.0.0.1:{port}"
        call("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture
def new_database(postgresql: str) -> str:
    """The address of an empty database in it."""
    import psycopg

    name = f"study_{secrets.token_hex(4)}"
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgresql}/{name}"


def pair(n: int, **more: Any) -> dict[str, Any]:
    """A row of two models, whose names and ids must never be seen."""
    return {
        "id": f"source-row-{n}",
        "prompt": f"Question {n}: what is {n} plus {n}?",
        "a": {"text": f"Alpha says {2 * n}.", "model": "secret-model-one"},
        "b": {"text": f"Beta says {2 * n + 1}.", "model": "secret-model-two"},
        "category": "secret-category-" + "xy"[n % 2],
        **more,
    }


@pytest.fixture
def pairs(write: Any) -> Path:
    """Thirty pairs; the AI judge prefers a where n is even."""
    rows = [pair(n, prob_a=float(n % 2 == 0), labeler="secret-judge") for n in range(30)]
    path: Path = write("pairs.jsonl", rows)
    return path
