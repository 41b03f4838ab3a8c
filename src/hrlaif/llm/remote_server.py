"""What is a server asked, what does it refuse, and how many calls does it bear at once?"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, final

from hrlaif.errors import BudgetReached
from hrlaif.records import Unanswered

TOP = 20
"""Likeliest tokens asked for at each position; servers that cap lower get `TOP_CAPPED`."""
TOP_CAPPED = 5
LONGEST_WAIT = 60.0
"""Seconds: a server may not hold a run for longer, whatever its Retry-After says."""
NO_LOGPROBS = Unanswered(reason="the server gives no log-probabilities")
_TEMPLATE_TOKENS = 16
_DROPPABLE = ("seed", "top_k", "temperature")
_TOO_LONG = re.compile(
    r"context.{0,40}(length|window|size|exceed)|exceed.{0,40}context|too long|too many tokens"
    r"|maximum.{0,20}(input|prompt) (length|tokens)|reduce the length",
    re.IGNORECASE | re.DOTALL,
)
_CAPPED = re.compile(
    r"top_logprobs|at most|less than|<=|maximum|between|range|exceed", re.IGNORECASE
)

Api = Literal["chat", "completions"]
Refusal = Literal["adapted", "no logprobs", "too long", "filtered", "no model", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where and how to ask; `price` in US dollars per million input and output tokens."""

    name: str
    base_url: str
    api: Api
    timeout: float
    max_retries: int
    price: tuple[float, float] | None
    at_once: int
    """Calls under way at most."""
    start: Callable[[], Path] | None = None
    """Of a server of ours: the socket that it listens on, once it is up."""
    identity: str = ""
    """What its answers are kept under, where its address does not say."""

    @property
    def known_as(self) -> str:
        """Part of the key of every call."""
        return self.identity or self.base_url

    @property
    def url(self) -> str:
        """Where calls go."""
        return self.base_url + ("/chat/completions" if self.api == "chat" else "/completions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call, before what this server refuses has been taken out of its body."""

    key: str
    kind: Literal["generate", "choose"]
    body: dict[str, Any]
    max_tokens: int

    @property
    def longest_prompt(self) -> int:
        """An upper bound of its prompt tokens: no token is shorter than a byte."""
        asked = self.body.get("messages") or [{"content": self.body.get("prompt", "")}]
        return sum(len(turn["content"].encode()) + _TEMPLATE_TOKENS for turn in asked)


@final
@dataclass(slots=True)
class Server:
    """What is known in this process of one model at one address."""

    dropped: set[str] = field(default_factory=set)
    """Parameters that it rejects and that are left out."""
    renamed: bool = False
    """It wants `max_completion_tokens` for `max_tokens`."""
    top: int = TOP
    logprobs: bool | None = None
    """Whether it gives log-probabilities; None before it was asked."""
    answered_at: float = float("-inf")
    """time.monotonic() of its last answer."""
    bears: float | None = None
    """Calls at once that it bore last, after it has complained."""

    def adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body in the form that this server takes."""
        adapted = dict(body)
        if "top_logprobs" in adapted:
            adapted["top_logprobs"] = min(self.top, adapted["top_logprobs"])
        elif "logprobs" in adapted:
            adapted["logprobs"] = min(self.top, adapted["logprobs"])
        if self.renamed and "max_tokens" in adapted:
            adapted["max_completion_tokens"] = adapted.pop("max_tokens")
        return {name: value for name, value in adapted.items() if name not in self.dropped}

    def refused(self, raw: str, sent: dict[str, Any]) -> Refusal:
        """Why it rejected this body with a 400; `adapted` when another try can go better."""
        message, param, code = _complaint(raw)
        if code in {"content_filter", "content_policy_violation"}:
            return "filtered"
        if code == "context_length_exceeded" or _TOO_LONG.search(message):
            return "too long"
        about = f"{param} {message}"
        if "max_tokens" in sent and "max_completion_tokens" in about:
            self.renamed = True
            return "adapted"
        if "logprobs" in sent and "logprobs" in about:
            return self._without_logprobs(about, sent)
        for name in _DROPPABLE:
            if name in sent and (param == name or re.search(rf"\b{name}\b", message)):
                self.dropped.add(name)
                return "adapted"
        gone = code == "model_not_found" or re.search(
            r"(?i)model.{0,80}(not found|not exist)", message
        )
        return "no model" if gone else "other"

    def _without_logprobs(self, about: str, sent: dict[str, Any]) -> Refusal:
        asked = sent.get("top_logprobs", sent["logprobs"])
        if asked > TOP_CAPPED and _CAPPED.search(about) and "not support" not in about:
            self.top = TOP_CAPPED
            return "adapted"
        # Another call, sent before, may have lowered the number of tokens asked for since.
        if asked > self.top:
            return "adapted"
        self.logprobs = False
        return "no logprobs"


@final
class Limiter:
    """Calls under way: at most `most`, fewer after a 429 (halved), slowly more after each answer.

    Additive increase and multiplicative decrease, as in TCP; a pause holds back every new call.
    """

    def __init__(self, most: int, server: Server):
        self._most = most
        self._server = server
        self._limit = float(min(most, server.bears or most))
        self._active = 0
        self._cut_at = float("-inf")
        self._paused_until = float("-inf")
        self._changed = asyncio.Condition()

    async def enter(self, reserve: Callable[[], None]) -> None:
        """Waits for a place, then for the budget; raises BudgetReached once nothing can free it."""
        while True:
            pause = self._paused_until - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            async with self._changed:
                if self._active < int(self._limit):
                    try:
                        reserve()
                    except BudgetReached:
                        if not self._active:
                            raise
                    else:
                        self._active += 1
                        return
                await self._changed.wait()

    async def leave(self) -> None:
        """The call has ended, whichever way."""
        async with self._changed:
            self._active -= 1
            self._changed.notify_all()

    def answered(self) -> None:
        """Room for one call more after about as many answers as there are places."""
        self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
        if self._server.bears is not None:
            self._server.bears = self._limit

    def too_many(self, begun: float, pause: float | None) -> None:
        """A 429 to a call begun at this time: halves the places, once per round of calls."""
        now = time.monotonic()
        if begun > self._cut_at:
            self._cut_at, self._limit = now, max(1.0, self._limit / 2.0)
            self._server.bears = self._limit
        self._paused_until = max(self._paused_until, now + (pause or 0.0))


def retry_after(header: str | None) -> float | None:
    """Seconds to wait, from seconds or an HTTP date, within 0 and a minute; None if unreadable."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            at = parsedate_to_datetime(header)
        except (TypeError, ValueError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    # `not >` also catches NaN.
    return min(seconds, LONGEST_WAIT) if seconds > 0 else 0.0


def backoff(attempt: int) -> float:
    """Seconds before try number attempt + 2: doubling from half a second, with jitter."""
    return min(LONGEST_WAIT, 0.5 * 2.0**attempt) * random.uniform(0.5, 1.0)


def complaint(raw: str) -> str:
    """What an error body says, in one line."""
    return " ".join(_complaint(raw)[0].split())[:300]


def _complaint(raw: str) -> tuple[str, str, str]:
    """Message, parameter and code of an error body, in the shapes that servers use."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return raw, "", ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error), "", ""
    message = error.get("message") or error.get("detail") or json.dumps(error)
    return str(message), str(error.get("param") or ""), str(error.get("code") or "")
