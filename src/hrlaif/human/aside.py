"""How are figures worked out while people vote? In a process of its own, so that nobody waits."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import final

from hrlaif.errors import HrlaifError


@final
class Aside:
    """Work on all votes in a process of its own, one at a time; raters are not to wait for it."""

    def __init__(self, url: str):
        self._url = url
        self._turn = asyncio.Lock()
        self._last: tuple[float, bytes] | None = None

    async def overview(self) -> bytes:
        """At most every few seconds, and longer where it takes long."""
        async with self._turn:
            if self._last is None or time.monotonic() > self._last[0]:
                begun = time.monotonic()
                found = await self._run({"what": "overview"})
                self._last = (time.monotonic() + 1 + 4 * (time.monotonic() - begun), found)
            return self._last[1]

    async def export(self, form: str) -> bytes:
        """The votes as they stand."""
        async with self._turn:
            return await self._run({"what": "export", "form": form})

    async def _run(self, asked: dict[str, str]) -> bytes:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hrlaif.human.overview",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        given = json.dumps({"url": self._url, **asked}).encode()
        out, _ = await process.communicate(given)
        if process.returncode:
            raise HrlaifError("the figures could not be worked out: see the server's terminal")
        return out
