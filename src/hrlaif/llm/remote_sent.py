"""What came back for one request? A text within bounds, or why another try may do better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import httpx2

from hrlaif.llm.remote_key import redact
from hrlaif.llm.remote_parse import envelope_error

_LARGEST = 32 * 2**20
"""Bytes of an answer that are read: what is longer is none."""


@dataclass(frozen=True, slots=True)
class Again:
    """A failed try that another may mend; `wait` in seconds where the server said how long."""

    reason: str
    wait: float | None = None
    unreachable: bool = False
    adapted: bool = False
    """The body was at fault, and the server's memory now mends it."""
    busy: bool = False
    """The address is well, and asks for patience."""
    elsewhere: bool = False
    """Another address takes its calls."""
    lost: bool = False
    """It was sent, and may be charged for."""


@final
class Sent:
    """One request, and what is known of it whatever happens on the way."""

    def __init__(self) -> None:
        self.out = False
        """Some of it is on its way: the server may answer, and charge for it."""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.whole = False
        """Its answer has been read to the end."""
        self.text = ""

    async def post(self, client: httpx2.AsyncClient, url: str, body: Mapping[str, Any]) -> None:
        """Sends it and reads the answer. Raises what the client raises."""
        raw = bytearray()
        told = {"trace": self._on_its_way}
        async with client.stream("POST", url, json=body, extensions=told) as response:
            self.status, self.headers = response.status_code, response.headers
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > _LARGEST:
                    break
            else:
                self.whole = True
        # JSON is UTF-8, whatever the header calls it.
        self.text = raw.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """Whether the server says that this is the answer."""
        return 200 <= self.status < 300

    def broken(self, secret: str) -> str | None:
        """Why it is no answer, without the key; None where it is one."""
        if not self.whole:
            return f"more than {_LARGEST // 2**20} MiB"
        return envelope_error(self.text) and envelope_error(redact(self.text, secret))

    async def _on_its_way(self, event: str, _: Mapping[str, Any]) -> None:
        self.out = self.out or event.endswith("send_request_headers.started")
