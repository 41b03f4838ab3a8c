"""Where does the next call go, and how many does each address of a model bear at once?"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import httpx2

from hrlaif.errors import BudgetReached, ModelError
from hrlaif.llm.prices import is_loopback
from hrlaif.llm.remote_key import key_for
from hrlaif.llm.remote_server import Address, Endpoint, Server
from hrlaif.progress import say
from hrlaif.settings import masked

_FAILURES = 3
"""Failed calls in a row after which an address is left alone, where there is another."""
_ALONE = 30.0
"""Seconds for which it is."""
_QUIET = 60
"""Seconds of waiting for money before that is said."""


@final
@dataclass(slots=True)
class Place:
    """One address of a model, as one batch of questions uses it."""

    address: str
    url: str
    client: httpx2.AsyncClient
    secret: str
    known: Address
    limit: float
    """Calls under way at most: halved by a 429, slowly more with each answer."""
    active: int = 0
    cut_at: float = float("-inf")
    closed_until: float = float("-inf")


@asynccontextmanager
async def places_of(
    endpoint: Endpoint, server: Server, socket: Path | None
) -> AsyncIterator[Places]:
    """Connections to all addresses of an endpoint, for a block; or to a socket of ours."""
    all_alone = all(server.addresses[a].alone_until > time.monotonic() for a in endpoint.addresses)
    async with AsyncExitStack() as stack:
        opened = []
        for address in endpoint.addresses:
            secret, client = _client(endpoint, address, socket)
            known = server.addresses[address]
            most = float(endpoint.at_once)
            opened.append(
                Place(
                    address=address,
                    url=endpoint.url(address),
                    client=await stack.enter_async_context(client),
                    secret=secret,
                    known=known,
                    limit=min(most, known.bears or most),
                    closed_until=float("-inf") if all_alone else known.alone_until,
                )
            )
        yield Places(opened, endpoint.at_once, server)


@final
class Places:
    """Gives each call the address with the most room, and waits where none has any.

    One that failed last comes after those that did not.

    Additive increase and multiplicative decrease, as in TCP; a pause holds back every new call.
    """

    def __init__(self, places: list[Place], most: int, server: Server):
        self._places = places
        self._most = most
        self._server = server
        self._changed = asyncio.Condition()
        self._closed = False
        self._waited = 0

    @property
    def first(self) -> Place:
        """That of the address under which answers are kept."""
        return self._places[0]

    async def enter(self, reserve: Callable[[], None], awaits_money: Callable[[], bool]) -> Place:
        """Waits for room, then for the budget; raises BudgetReached once nothing can free it.

        What frees it is a call of this block that ends, or what `awaits_money` knows of: calls and
        batches of other threads.
        """
        while True:
            async with self._changed:
                if self._closed:
                    raise asyncio.CancelledError
                now = time.monotonic()
                ready = [p for p in self._places if p.closed_until <= now]
                free = [p for p in ready if p.active < int(p.limit)]
                if free:
                    awaited = awaits_money()
                    try:
                        reserve()
                        return self._taken(free)
                    except BudgetReached:
                        if not any(p.active for p in self._places):
                            # Asked before and after: it may have ended, or begun, between.
                            if not awaited and not awaits_money():
                                self._closed = True  # a smaller call is called off with the rest
                                raise
                            await self._for_money()
                            continue
                if ready:
                    await self._changed.wait()
                    continue
                pause = min(p.closed_until for p in self._places) - now
            await asyncio.sleep(pause)

    async def _for_money(self) -> None:
        """A second's wait; all that want to enter stand behind the one that waits."""
        self._waited += 1
        if self._waited == _QUIET:
            say("  the rest of --max-cost is set aside for calls or batches: they are waited for")
        await asyncio.sleep(1.0)

    async def leave(self, place: Place) -> None:
        """The call has ended, whichever way."""
        async with self._changed:
            place.active -= 1
            with self._server.lock:
                place.known.active -= 1
            now = time.monotonic()
            ready = [p for p in self._places if p.closed_until <= now]
            if ready and not self._closed:
                # Waking all who wait at the end of each call would take longer than the calls.
                room = sum(max(0, int(p.limit) - p.active) for p in ready)
                self._changed.notify(max(1, room))
            else:
                self._changed.notify_all()

    async def drain(self, seconds: float) -> None:
        """Lets no call in any more, and waits for those under way: they are being paid for."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()
        count = sum(p.active for p in self._places)
        if count:
            say(f"  {count} calls under way: they are waited for, {seconds:.0f} s at most")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                while any(p.active for p in self._places):
                    await self._changed.wait()

    def _taken(self, free: list[Place]) -> Place:
        # A service asks each question as a batch of its own: all calls of the process count.
        with self._server.lock:
            best = min(free, key=lambda p: (p.known.failures, p.known.active / p.limit))
            best.known.active += 1
        best.active += 1
        return best

    def answered(self, place: Place) -> None:
        """Room for one call more after about as many answers as there are."""
        known = place.known
        known.failures, known.alone_until = 0, float("-inf")
        place.limit = min(float(self._most), place.limit + 1.0 / place.limit)
        if known.bears is not None:
            known.bears = place.limit
        self._server.answered_at = time.monotonic()
        self._server.given_up = self._server.rejections = 0

    def too_many(self, place: Place, begun: float, pause: float | None) -> None:
        """A 429 to a call begun at this time: halves the room, once per round of calls."""
        now = time.monotonic()
        if begun > place.cut_at:
            place.cut_at, place.limit = now, max(1.0, place.limit / 2.0)
            place.known.bears = place.limit
        place.closed_until = max(place.closed_until, now + (pause or 0.0))

    def failed(self, place: Place, *, unreachable: bool) -> bool:
        """Leaves it alone for a while where another address can take its calls; says whether so."""
        known = place.known
        known.failures += 1
        if not self.another(place) or not (unreachable or known.failures >= _FAILURES):
            return False
        place.closed_until = known.alone_until = time.monotonic() + _ALONE
        return True

    def another(self, place: Place) -> bool:
        """Whether there is an address beside this one that takes calls now."""
        now = time.monotonic()
        return any(p is not place and p.closed_until <= now for p in self._places)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes a tenth of a second: once a process, not once a chunk.
    return httpx2.create_ssl_context()


def _client(
    endpoint: Endpoint, address: str, socket: Path | None
) -> tuple[str, httpx2.AsyncClient]:
    """The key for this address, and a client that brings it there and nowhere else."""
    # Nobody else listens on a socket of ours, which asks for no key.
    secret = "none" if socket else key_for(address, endpoint.key_variable)
    limits = httpx2.Limits(max_connections=endpoint.at_once)
    try:
        client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {secret}"},
            timeout=endpoint.timeout,
            limits=limits,
            # A redirect would carry the key to wherever it points.
            follow_redirects=False,
            verify=_tls(),
            transport=httpx2.AsyncHTTPTransport(uds=str(socket), limits=limits) if socket else None,
            trust_env=not socket and not is_loopback(address),
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        move = "pip install socksio" if isinstance(error, ImportError) else "give http://HOST:PORT"
        raise ModelError(
            "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY cannot be used "
            f"({masked(str(error))}): {move}, or unset it"
        ) from None
    return secret, client
