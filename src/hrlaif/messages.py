"""What is a language model asked, and what is its answer worth? With the base of every record.

A record is frozen and rejects unknown fields; records.py holds those that make files.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

Row = dict[str, Any]
_THOUGHTS = re.compile(r"\A\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)
_HARM = re.compile(r"(?<![a-z])harm|toxic|unsafe|danger|red.?team", re.IGNORECASE)
_HIDDEN = dict.fromkeys(
    code
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F)),
        *((0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
        (0xE0000, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""Characters that nobody sees: zero-width ones, signs of direction, variation selectors, tags."""
LabelSource = Literal["logprobs", "scored", "votes", "hard", "verified", "rewrite", "human"]


def digest(value: object, *, length: int = 16) -> str:
    """The first hex digits of the sha256 of a JSON-able value, the same on every machine."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def spoken(text: str) -> str:
    """Without the thoughts at its beginning; empty where a model never stopped thinking.

    Only what begins with the mark of thoughts is taken for them: a mark further down would let a
    response hide what it said before.
    """
    return _THOUGHTS.sub("", text, count=1)


def as_seen(text: str) -> str:
    """As a reader sees it: in plain width (NFKC), and without what nobody sees."""
    return unicodedata.normalize("NFKC", text.translate(_HIDDEN))


def names_harm(category: str | None) -> bool:
    """Whether a category is, by its name, of prompts that seek harm: `Harmless`, `toxicity`."""
    return _HARM.search(category or "") is not None


def language_of(text: str) -> str:
    """`zh` where at least three in ten letters are Chinese, else `en`."""
    letters = [c for c in text if c.isalpha()]
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in letters)
    return "zh" if letters and chinese >= 0.3 * len(letters) else "en"


class Record(BaseModel):
    """A row: frozen, unknown fields rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def row(self) -> Row:
        """The flat JSON-able form, without the fields that are unknown."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        return cls.model_validate(dict(row))


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Asked(Record):
    """What a judge's call is about, for scripted judges alone: never rendered, never in a key."""

    first: str
    """The text shown first, or the only one."""
    second: str | None = None
    truth: float | None = None
    """Probability that "1" is the right answer, where the row tells."""


class Chat(Record):
    """What a language model is asked: turns, and which independent draw this is.

    Two equal chats with equal seeds and samples have the same answer; a new `sample` is a new draw.
    """

    messages: tuple[Message, ...]
    sample: int = 0
    about: Asked | None = None

    @classmethod
    def user(cls, text: str, *, sample: int = 0, about: Asked | None = None) -> Self:
        """A chat of one user turn."""
        return cls(messages=(Message(role="user", content=text),), sample=sample, about=about)


class Completion(Record):
    """What a language model wrote."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Choice(Record):
    """How a language model chose among given labels."""

    probabilities: tuple[float, ...]
    """Normalised over the labels, in the order asked."""
    mass: float
    """Probability of all labels together before normalising; of votes, the share that named one."""
    source: LabelSource
    prompt_tokens: int = 0
    completion_tokens: int = 0
    truncated: bool = False


class Unanswered(Record):
    """No answer, and why: refused, filtered, unreadable, too long, below the mass floor."""

    reason: str


class Evidence(Record):
    """How a preference was got."""

    source: LabelSource
    """Of a panel the coarsest of its judges', so that no label seems finer than it is."""
    mass: float | None = None
    """Probability that the judge gave to the labels together, before they were normalised."""
    prob_a_first: float | None = None
    """What the judge said with a shown first."""
    prob_a_second: float | None = None
    """What the judge said with a shown second; null with a single order."""
    flipped: bool | None = None
    """True when the two orders name different winners: the judge followed the position."""
    rationales: tuple[str, ...] = ()
    truncated: bool = False
    """True when a prompt or response had to be cut to fit the judge's context."""
    calibrated: dict[str, float] | None = None
    """`prob_a` after a recorded calibration, by its method; `prob_a` itself stays what was said."""
    judges: dict[str, float] | None = None
    """`prob_a` of each judge of a panel that answered."""
    verdicts: dict[str, dict[str, Any]] | None = None
    """What a check found in `a` and in `b`: passed, answer and reason of each."""
