"""Who may ask what? Host, origin, size, rate and headers, before any page sees a request.

Loopback by default is not enough: a page elsewhere could make a rater's browser vote (CSRF), or
point a name of its own at this machine (DNS rebinding), so every host and origin is checked.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: browsers would then send forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_LARGEST = 64 * 1024
_LARGEST_IMPORT = 64 * 1024 * 1024
_SAFE = ("GET", "HEAD")
Who = Callable[[Headers], str | None]
"""Names the signed-in sender of a request; None for a stranger."""


@final
class Buckets:
    """So many requests a second for each name, with a burst to begin with."""

    def __init__(self, rate: float, burst: int, *, names: int = 10_000):
        self.rate = rate
        self.burst = burst
        self._names = names
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float | None = None) -> bool:
        """True when one more is allowed."""
        now = time.monotonic() if now is None else now
        left, then = self._left.pop(name, (float(self.burst), now))
        left = min(float(self.burst), left + (now - then) * self.rate)
        self._left[name] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._left) > self._names:
            self._left.popitem(last=False)
        return left >= 1


@final
class Guard:
    """Refuses what no honest browser sends, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, origins: Iterable[str], *, who: Who, buckets: Buckets):
        self.app = app
        self.who = who
        self.buckets = buckets
        self.origins = {origin.lower() for origin in origins}
        # Browsers leave out the port that a scheme has anyway.
        self.origins |= {
            origin.removesuffix(port)
            for origin in self.origins
            for scheme, port in (("http://", ":80"), ("https://", ":443"))
            if origin.startswith(scheme)
        }
        self.hosts = {urlsplit(origin).netloc for origin in self.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                if not scope["path"].startswith("/static/"):
                    own.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *own]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(answer, *refusal)
            return
        largest = _LARGEST_IMPORT if scope["path"] == "/organiser/import" else _LARGEST
        await self._limited(scope, receive, answer, largest)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self.hosts:
            return 421, (
                "this host name is not served here: start `hrlaif vote` with --public-url and the "
                "address that your browser shows"
            )
        if scope["method"] not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and origin.lower() not in self.origins:
                return 403, "sent from another site"
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, "sent from another site"
        client = scope.get("client") or ("", 0)
        # A cookie that is not signed by us would be a fresh name for every request.
        if not self.buckets.take(self.who(headers) or client[0]):
            return 429, "too many requests: wait a moment"
        return None

    async def _limited(self, scope: Scope, receive: Receive, send: Send, largest: int) -> None:
        """Reads the body first, so that nothing larger than allowed is ever held."""
        given = Headers(scope=scope).get("content-length", "0")
        body, more = b"", scope["method"] not in _SAFE
        if given.isdigit() and int(given) > largest:
            await _refuse(send, 413, "too large")
            return
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > largest:
                await _refuse(send, 413, "too large")
                return
        told = False

        async def replay() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
