"""Is this question under way already? Then its answer is waited for, and not paid a second time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

from hrlaif.records import Unanswered

_UNDER_WAY: dict[tuple[str, str], Future[str | Unanswered | None]] = {}
"""Of the whole process, by ledger and key: a service asks each question in a thread of its own."""


async def once(
    key: tuple[str, str], ask: Callable[[], Awaitable[str | Unanswered]]
) -> tuple[str | Unanswered, bool]:
    """What `ask` gives, and True; or what it gave to another thread at this time, and False.

    Where that one got no answer, this one asks too, unless the other began while this one waited.
    """
    waited = False
    while True:
        mine: Future[str | Unanswered | None] = Future()
        mine.set_running_or_notify_cancel()  # who waits for it and is called off must not end it
        theirs = _UNDER_WAY.setdefault(key, mine)
        if theirs is mine:
            answer = None
            try:
                answer = await ask()
                return answer, True
            finally:
                del _UNDER_WAY[key]  # before others wake, who must not find it again
                mine.set_result(answer)
        found = await asyncio.wrap_future(theirs)
        if isinstance(found, str) or (found is not None and waited):
            return found, False
        waited = True
