"""Where does vLLM listen? On a socket of ours, after `vllm serve` was started and has answered."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from hrlaif.errors import ModelError, UsageError
from hrlaif.progress import say

COMMAND = "HRLAIF_VLLM"
_KEEPER = Path(__file__).with_name("vllm_keeper.py")
_TOLD = 8
"""Lines of the log in an error."""
_ERROR = re.compile(r"(Error|Exception): \S")
_SECRETS = ("OPENAI_API_KEY", "VLLM_API_KEY")
_LOCK = threading.Lock()
_RUNNING: dict[tuple[str, ...], _Served] = {}


def socket_of(name: str, model: str, arguments: Sequence[str]) -> Path:
    """The socket of the server with these arguments; started, and the one before ended, if need be.

    Raises UsageError without a `vllm` command, and ModelError with the end of its log when the
    server has ended.
    """
    command, *more = shlex.split(os.environ.get(COMMAND, "")) or ["vllm"]
    wanted = (command, "serve", model, *more, *arguments)
    with _LOCK:
        if wanted not in _RUNNING:
            if shutil.which(command) is None:
                raise UsageError(
                    f"{name}: {command} is not on the PATH: install vLLM, best in an environment "
                    f"of its own since it pins torch, and name its command in {COMMAND}, such as "
                    f"/opt/vllm/bin/vllm"
                )
            for other in _RUNNING.values():  # two would want the same memory
                other.end()
            _RUNNING.clear()
            _RUNNING[wanted] = _Served(name, wanted)
        return _RUNNING[wanted].ready()


def samples_its_own_way(arguments: Sequence[str]) -> bool:
    """Whether these say where defaults of sampling come from: else from us, not the model's file.

    That file may cut off the less likely tokens, of which no request of ours says anything.
    """
    names = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    return "--generation-config" in names


class _Served:
    """One server under way, with the process that ends it when this one does."""

    def __init__(self, name: str, command: Sequence[str]):
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix="hrlaif-vllm-"))
        self._socket = self._folder / "socket"
        self._answered = False
        self._begun = time.monotonic()
        environment = {k: v for k, v in os.environ.items() if k not in _SECRETS}
        environment.setdefault("VLLM_NO_USAGE_STATS", "1")
        more = ["--uds", str(self._socket), "--uvicorn-log-level", "warning"]
        if not samples_its_own_way(command):
            more += ["--generation-config", "vllm"]
        self._keeper = subprocess.Popen(
            [sys.executable, str(_KEEPER), str(self._folder), *command, *more],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us: the keeper ends when we do
        )
        say(f"  {name}: starting `{shlex.join(command)}`, which logs to {self._folder / 'log'}")

    def ready(self, patience: float = 60.0) -> Path:
        """Waits until it answers, however long the weights take to load.

        Raises ModelError when it has ended, or has answered before and not for `patience` seconds.
        """
        asked, log = time.monotonic(), self._folder / "log"
        while self._keeper.poll() is None:
            if self._healthy():
                if not self._answered:
                    say(f"  {self._name}: ready after {time.monotonic() - self._begun:.0f} s")
                self._answered = True
                return self._socket
            if self._answered and time.monotonic() - asked > patience:
                raise ModelError(f"{self._name}: vLLM runs but does not answer; it logs to {log}")
            time.sleep(0.2)
        lines = log.read_text("utf-8", "replace").splitlines()
        # The last lines may be of processes that clean up, after the one that says why.
        named = [line for line in lines if _ERROR.search(line)]
        told = "\n".join((named or lines)[-_TOLD:])
        raise ModelError(
            f"{self._name}: vLLM has ended with {self._keeper.returncode}; all answers so far are "
            f"kept. From {log}:\n{told}"
        )

    def end(self) -> None:
        """Ends it and waits until its memory is free."""
        if self._keeper.stdin:
            with suppress(BrokenPipeError):
                self._keeper.stdin.close()
        self._keeper.wait()

    def _healthy(self) -> bool:
        asked = HTTPConnection("vllm")
        with suppress(OSError, HTTPException), closing(socket.socket(socket.AF_UNIX)) as ours:
            ours.settimeout(5)
            ours.connect(str(self._socket))
            asked.sock = ours
            asked.request("GET", "/health")
            return asked.getresponse().status == HTTPStatus.OK
        return False
