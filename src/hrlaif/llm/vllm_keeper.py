"""Who ends a server when the work that started it is gone, by kill -9 too? The process around it.

Run as a script by `vllm_server.py`, never imported: a folder and a command. Its input is a pipe
that ends with whoever started it. The folder, with the log in it, stays where the server ended by
itself.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

SECONDS = 20.0
"""For a server to end in order."""


def main(folder: str, *command: str) -> int:
    """Runs the command until it ends, or this process's input does; its exit code."""
    with open(os.path.join(folder, "log"), "wb") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while server.poll() is None:
        if select.select([0], [], [], 0.2)[0] and not os.read(0, 1):
            _end(server)
            shutil.rmtree(folder, ignore_errors=True)
            return 0
    return server.returncode


def _end(server: "subprocess.Popen[bytes]") -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, how)
        with suppress(subprocess.TimeoutExpired):
            server.wait(SECONDS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
