"""Where do raters go, and what is left when the server stops? Addresses, and files of the votes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn

from hrlaif.errors import UsageError
from hrlaif.human.app import application
from hrlaif.human.figures import rates
from hrlaif.human.quality import quality
from hrlaif.human.results import FILES, Vote, rows_of
from hrlaif.human.web import Desk
from hrlaif.listening import listen as listening_on
from hrlaif.listening import loopback
from hrlaif.progress import say
from hrlaif.records import Row
from hrlaif.rows import write_rows
from hrlaif.run import write_json, write_text

TASKS = ("general", "helpful", "harmless", "summarization")
_GUIDELINES = Path(__file__).parent / "guidelines"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Address(NamedTuple):
    """Where the server listens, and under which names browsers may call it."""

    socket: socket.socket
    port: int
    url: str
    """What people are told."""
    origins: list[str]


def listen(host: str, port: int, public_url: str | None = None) -> Address:
    """Takes a port (0: any that is free). Raises UsageError where that is not possible."""
    listening = listening_on(host, port)
    port = listening.getsockname()[1]
    names = [f"[{host}]" if ":" in host else host]
    if loopback(host):
        names += _LOOPBACK_NAMES
    elif host in ("0.0.0.0", "::"):
        names = [*_LOOPBACK_NAMES, socket.gethostname(), *_own_addresses()]
    origins = [f"http://{name}:{port}" for name in names]
    if public_url:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise UsageError(f"--public-url {public_url!r}: give it as https://vote.example.org")
        return Address(listening, port, f"{parts.scheme}://{parts.netloc}", [
            *origins, f"{parts.scheme}://{parts.netloc}",
        ])  # fmt: skip
    shown = names[0] if loopback(host) else names[-1]
    return Address(listening, port, f"http://{shown}:{port}", origins)


def _own_addresses() -> list[str]:
    """The address by which others reach this machine; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return [str(probe.getsockname()[0])]
        except OSError:
            return []


def serve(desk: Desk, address: Address, ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C or a polite kill; both are heeded from when `ready` is called."""
    config = uvicorn.Config(
        application(desk, address.origins, ready),
        log_level="warning",
        access_log=False,  # the address of a rater's page holds the rater's link
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
    )
    # The server ends well by either signal, and hands it on: here it means to write the votes.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[address.socket])
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def guidelines(folder: Path, task: str | None, given: Path | None) -> Path:
    """The file that raters read, in the study's folder; it may be edited while people vote.

    A task that is named replaces the text of another, and never one that was edited.
    """
    path = folder / "guidelines.md"
    if given is not None:
        if not given.is_file():
            raise UsageError(f"--guidelines {given}: no such file: check its name")
        return given
    shipped = {name: (_GUIDELINES / f"{name}.md").read_text("utf-8") for name in TASKS}
    if task is not None and task not in TASKS:
        raise UsageError(f"--task {task!r} is none of {', '.join(TASKS)}")
    stands = path.read_text("utf-8") if path.exists() else None
    if stands is None or (task is not None and stands in shipped.values()):
        write_text(path, shipped[task or TASKS[0]])
    elif task is not None:
        say(f"{path} was edited, and is kept: delete it for the guidelines of --task {task}")
    return path


def keep(folder: Path, votes: Sequence[Vote]) -> Row:
    """Writes votes.json with every rate, and the votes as rows; returns the rates."""
    rows = rows_of(votes)
    found: dict[str, Any] = {**rates(votes), "quality": quality(votes)}
    write_json(folder / "votes.json", found)  # first: by it `kept` knows the other files
    for name in FILES:
        write_rows(folder / f"{name}.jsonl", rows[name])
    return found


def kept(folder: Path) -> bool:
    """Whether `keep` has written into this folder."""
    try:
        found = json.loads((folder / "votes.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"raters", "agreement"} <= found.keys()
