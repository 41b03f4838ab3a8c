"""A real PostgreSQL in a folder of its own, where Debian's package (or PATH) has one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = str(found[-1]) if found else shutil.which("initdb")
    return Path(path).resolve().parent if path else None


@contextmanager
def running() -> Iterator[str]:
    """Starts a server on a free port and gives its address."""
    programs = binaries()
    assert programs is not None
    # PostgreSQL refuses to run as root; Debian's package makes a user for it.
    who = {"user": "postgres"} if os.geteuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        folder.chmod(0o777)
        data, environment = folder / "data", {**os.environ, "LC_ALL": "C"}

        def call(program: str, *arguments: str) -> None:
            given = [str(programs / program), "-D", str(data), *arguments]
            subprocess.run(
                given,
                check=True,
                env=environment,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                timeout=120,
                **who,
            )

        call("initdb", "--auth", "trust", "--username", "people", "--encoding", "UTF8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://people@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")
