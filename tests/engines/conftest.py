"""A real `hrlaif serve` in a process of its own."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest


class Serving(NamedTuple):
    url: str
    client: httpx2.Client

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self.client.post(self.url + path, json=body)


@contextmanager
def _serve(hrlaif: Any, folder: Path, arguments: tuple[object, ...]) -> Iterator[Serving]:
    given = ["serve", "--port", "0", "--ledger", folder / "serve.sqlite", *arguments]
    process = hrlaif.start(*given)
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    else:
        raise AssertionError(process.communicate()[1])
    found = re.search(r"http://[\d.]+:\d+", "".join(lines))
    assert found, lines
    try:
        with httpx2.Client(timeout=60) as client:
            yield Serving(found[0], client)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err, err


@pytest.fixture
def serving(hrlaif: Any, tmp_path: Path) -> Callable[..., AbstractContextManager[Serving]]:
    """`with serving("--judge", "scripted:") as server: server.post(...)`."""
    return lambda *arguments: _serve(hrlaif, tmp_path, arguments)


@pytest.fixture(scope="module")
def one_server(
    request: pytest.FixtureRequest, hrlaif: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serving]:
    """The same for all tests of a file, with its `SERVED`: each must leave it as it was."""
    folder = tmp_path_factory.mktemp("serve")
    with _serve(hrlaif, folder, request.module.SERVED) as server:
        yield server
