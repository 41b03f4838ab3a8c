"""What is a server asked, and what does it refuse?"""

from __future__ import annotations

import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, final

from hrlaif.llm.remote_complaint import is_filtered, read_complaint
from hrlaif.llm.remote_key import KEY_VARIABLE
from hrlaif.records import Unanswered

TOP = 20
"""Likeliest tokens asked for at each position; servers that cap lower get `TOP_CAPPED`."""
TOP_CAPPED = 5
TRIAL = 10
"""Answers that tell whether a model answers at all."""
LONGEST_WAIT = 60.0
"""Seconds: a server may not hold a run for longer, whatever its Retry-After says."""
NO_LOGPROBS = Unanswered(reason="the server gives no log-probabilities")
CUT = Unanswered(reason="no answer within the token limit")
"""Thoughts took all of its tokens, and the server gives nothing of them."""
_TEMPLATE_TOKENS = 16
_DROPPABLE = ("seed", "top_k", "temperature")
_TOO_LONG = re.compile(
    r"context.{0,40}(length|window|size|exceed)|exceed.{0,40}context|too long|too many tokens"
    r"|maximum.{0,20}(input|prompt) (length|tokens)|reduce the length",
    re.IGNORECASE | re.DOTALL,
)
_NO_ROOM = re.compile(r"max_(completion_)?tokens\W.{0,40}too large", re.IGNORECASE)
_CAP = re.compile(
    r"(?:^|: )\W*max_(completion_)?tokens\W{1,3}(must|should|cannot) be\b", re.IGNORECASE
)
"""Whatever the prompt: Groq's, which goes on to name the context."""
_USED_UP = re.compile(r"output limit was reached|higher max_(completion_)?tokens", re.IGNORECASE)
_CAPPED = re.compile(r"top_logprobs|at most|less than|<=|maximum|between|range|exceed")
_NEVER = re.compile(r"not (support|enabled|allowed)|unsupported")

Api = Literal["chat", "completions"]
Refusal = Literal[
    "adapted", "no logprobs", "cut", "no room", "too long", "filtered", "no model", "other"
]


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
    """Calls under way at most, at each address."""
    key_variable: str = KEY_VARIABLE
    """The environment variable that holds the key."""
    others: tuple[str, ...] = ()
    """More addresses at which the same model answers."""
    batch: bool = False
    """Many questions go to its first address in a file, and come back within a day."""
    start: Callable[[], Path] | None = None
    """Of a server of ours: the socket that it listens on, once it is up."""
    identity: str = ""
    """What its answers are kept under, where its address does not say."""
    written_as: str = ""
    """What its written answers are kept under, where that differs."""

    @property
    def known_as(self) -> str:
        """Part of the key of every call."""
        return self.identity or self.base_url

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((self.base_url, *self.others)))

    def url(self, address: str) -> str:
        """Where calls go."""
        return address + self.path

    @property
    def path(self) -> str:
        """The last part of that."""
        return "/chat/completions" if self.api == "chat" else "/completions"


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
class Address:
    """What is known in this process of one address, whoever asks there."""

    active: int = 0
    """Calls under way, also those of other threads."""
    failures: int = 0
    """In a row."""
    bears: float | None = None
    """Calls at once that it bore last, after it has complained."""
    alone_until: float = float("-inf")
    """time.monotonic() until which it is left alone, after it has failed."""


@final
@dataclass(slots=True)
class Server:
    """What is known in this process of one model, and of each address at which it answers."""

    dropped: set[str] = field(default_factory=set)
    """Parameters that it rejects and that are left out."""
    renamed: bool = False
    """It wants `max_completion_tokens` for `max_tokens`."""
    top: int = TOP
    logprobs: bool | None = None
    """Whether it gives log-probabilities; None before it was asked."""
    drawn_alone: int = 0
    """Answers that listed the drawn token and no other."""
    cut_votes: int = 0
    """Votes that used up their tokens and said nothing; -1 once one has said something."""
    thoughts: int = 0
    """Answers that began with a thought where a label was to be; -1 once one did not."""
    answered_at: float = float("-inf")
    """time.monotonic() of its last answer."""
    given_up: int = 0
    """Questions given up since then."""
    rejection: str = ""
    """Why the last request was rejected, since the last answer."""
    rejections: int = 0
    """Requests rejected for that reason in a row."""
    proven: bool = False
    """The ledger holds answers of it: it does not refuse every request."""
    busy_at: float = float("-inf")
    """time.monotonic() when it was last said that it asks for patience."""
    addresses: defaultdict[str, Address] = field(default_factory=lambda: defaultdict(Address))
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while calls under way are counted."""

    def adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body in the form that this server takes."""
        adapted = dict(body)
        if "top_logprobs" in adapted:
            adapted["top_logprobs"] = min(self.top, adapted["top_logprobs"])
        elif "logprobs" in adapted:
            adapted["logprobs"] = min(self.top, adapted["logprobs"])
        if self.renamed and "max_tokens" in adapted:
            # One of `extra_body` goes before ours.
            adapted.setdefault("max_completion_tokens", adapted.pop("max_tokens"))
        return {name: value for name, value in adapted.items() if name not in self.dropped}

    def listed(self, tokens: int) -> None:
        """Learns from an answer that listed so many tokens whether it gives log-probabilities.

        One that is all but certain may be listed alone now and then; always, it tells nothing.
        """
        self.drawn_alone += tokens == 1
        if tokens != 1 or self.drawn_alone >= TRIAL:
            self.logprobs = tokens > 1

    def refused(self, raw: str, sent: dict[str, Any]) -> Refusal:
        """Why it rejected this body with a 400; `adapted` when another try can go better."""
        said = read_complaint(raw)
        message, code = said.message, said.code
        if _USED_UP.search(message):
            return "cut"
        if is_filtered(raw):
            return "filtered"
        too_long = _TOO_LONG.search(message) and not _CAP.search(message)
        if code == "context_length_exceeded" or too_long:
            return "no room" if _NO_ROOM.search(message) else "too long"
        about = f"{said.param} {message}".lower()
        if "max_tokens" in sent and "max_completion_tokens" in about:
            self.renamed = True
            return "adapted"
        if "logprobs" in sent and "logprobs" in about:
            return self._without_logprobs(about, sent)
        for name in _DROPPABLE:
            if name in sent and re.search(rf"\b{name}\b", about):
                self.dropped.add(name)
                return "adapted"
        gone = code == "model_not_found" or re.search(
            r"(?i)model.{0,80}(not found|not exist)", message
        )
        return "no model" if gone else "other"

    def _without_logprobs(self, about: str, sent: dict[str, Any]) -> Refusal:
        asked = sent.get("top_logprobs", sent["logprobs"])
        if asked > TOP_CAPPED and _CAPPED.search(about) and not _NEVER.search(about):
            self.top = TOP_CAPPED
            return "adapted"
        # Another call, sent before, may have lowered the number of tokens asked for since.
        if asked > self.top:
            return "adapted"
        self.logprobs = False
        return "no logprobs"


def retry_after(header: str | None) -> float | None:
    """Seconds to wait, from seconds or an HTTP date, a minute at most; None where it says none.

    A date may be over by the clock of this machine alone, and some servers send a 0 each time.
    """
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
    return min(seconds, LONGEST_WAIT) if seconds > 0 else None


def backoff(attempt: int) -> float:
    """Seconds before try number attempt + 2: doubling from half a second, with jitter."""
    return min(LONGEST_WAIT, 0.5 * 2.0 ** min(attempt, 8)) * random.uniform(0.5, 1.0)
