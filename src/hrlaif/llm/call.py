"""What is a call, once it is answered, and what do many of them come to?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal
from uuid import uuid4

from hrlaif.llm.ledger_file import LOST
from hrlaif.records import digest


def call_key(**what: Any) -> str:
    """The key of a call: give it everything that can change the answer, and nothing else."""
    return digest(what, length=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An answered call. `cost` is in US dollars; None where the price is not known."""

    key: str
    model: str
    kind: Literal["generate", "choose"]
    request: Mapping[str, Any]
    response: str
    """The answer as it came, before anyone read it."""
    status: str = "ok"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over answered calls; `cost` leaves out the `unpriced_calls`, and holds lost ones too."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float
    unpriced_calls: int

    def plus(self, other: Totals, sign: int = 1) -> Totals:
        """Both together; with sign -1, what came since `other`."""
        mine, theirs = astuple(self), astuple(other)
        return Totals(*(a + sign * b for a, b in zip(mine, theirs, strict=True)))

    def row(self) -> dict[str, Any]:
        """Calls, tokens, seconds and US dollars: None where a call had no known price."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "seconds": round(self.seconds, 1),
            "usd": None if self.unpriced_calls else round(self.cost, 6),
            "unpriced_calls": self.unpriced_calls,
        }


NO_CALLS = Totals(0, 0, 0, 0.0, 0.0, 0)


def lost(model: str, key: str, reason: str, worst_case: float) -> Call:
    """A call that was sent and not answered, at the most that it can have cost."""
    return Call(
        key=f"{LOST}-{uuid4().hex}",
        model=model,
        kind="generate",
        request={"key": key},
        response=reason,
        status=LOST,
        cost=worst_case,
    )


def totals_of(call: Call) -> Totals:
    """The sums of one call."""
    tokens = (call.prompt_tokens, call.completion_tokens)
    answered = int(call.status != LOST)
    return Totals(answered, *tokens, call.seconds, call.cost or 0.0, int(call.cost is None))
