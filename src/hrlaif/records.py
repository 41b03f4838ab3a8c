"""The nouns: every record is frozen, rejects unknown fields, and is one row of a JSON Lines file.

In memory records nest (a Preference has a Comparison, which has a Prompt); a row is flat, so that
each file can be read alone: `row()` flattens, `from_row()` nests again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from hrlaif.messages import (
    Asked,
    Chat,
    Choice,
    Completion,
    Evidence,
    LabelSource,
    Message,
    Record,
    Row,
    Unanswered,
    digest,
    spoken,
)

__all__ = [
    "Abstention",
    "Asked",
    "Candidate",
    "Chat",
    "Choice",
    "Comparison",
    "Completion",
    "Evidence",
    "LabelSource",
    "Message",
    "Preference",
    "Prompt",
    "Rating",
    "Record",
    "Response",
    "Row",
    "Score",
    "Unanswered",
    "Verdict",
    "digest",
]


class Prompt(Record):
    """What the policy is asked, and what is known about the right answer."""

    id: str
    messages: tuple[Message, ...]
    category: str | None = None
    reference_answer: str | None = None
    """The right final answer: a number, or a letter for multiple choice."""
    choices: tuple[str, ...] | None = None
    harmful: bool | None = None
    language: str | None = None
    reference_response: str | None = None
    """A whole response to imitate, for supervised fine-tuning."""
    split: Literal["train", "validation", "test"] | None = None
    """Train: SFT, labels, RL. Validation: choices on the way. Test: looked at once, at the end."""

    def row(self) -> Row:
        """Flat: the turns are called `prompt`, as in every input."""
        rest = self.model_dump(mode="json", exclude_none=True, exclude={"id", "messages"})
        return {"id": self.id, "prompt": [m.model_dump() for m in self.messages], **rest}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        rest = {k: v for k, v in row.items() if k != "prompt"}
        return cls.model_validate({**rest, "messages": row["prompt"]})


_PROMPT_FIELDS = frozenset(Prompt.model_fields) - {"id", "messages"} | {"prompt", "prompt_id"}


def _prompt_columns(prompt: Prompt) -> Row:
    row = prompt.row()
    return {"prompt_id": row.pop("id"), **row}


def _prompt_of(row: Mapping[str, Any]) -> Prompt:
    fields = {k: v for k, v in row.items() if k in _PROMPT_FIELDS and k != "prompt_id"}
    return Prompt.from_row({**fields, "id": row["prompt_id"]})


def _others(row: Mapping[str, Any]) -> Row:
    return {k: v for k, v in row.items() if k not in _PROMPT_FIELDS}


class Response(Record):
    """What a model answered to a prompt."""

    prompt: Prompt
    text: str
    model: str = ""
    sample: int = 0
    finish_reason: str | None = None
    """`stop` (the model ended its turn) or `length` (it was cut at the token limit)."""
    tokens: int | None = None
    id: str = ""
    """The source's id; prompt / model / sample where there is none."""

    @property
    def key(self) -> str:
        """Known before the work: the source's id, or prompt / model / sample."""
        return self.id or f"{self.prompt.id}/{self.model}/{self.sample}"

    def row(self) -> Row:
        """Flat: prompt columns beside `response`, as the `score`, `check` and `compare` inputs."""
        own = self.model_dump(mode="json", exclude_none=True, exclude={"prompt", "text", "id"})
        return {"id": self.key, **_prompt_columns(self.prompt), "response": self.text, **own}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        own = _others(row)
        own["text"] = own.pop("response")
        return cls.model_validate({**own, "prompt": _prompt_of(row)})


class Candidate(Record):
    """One side of a comparison."""

    text: str
    model: str = ""
    sample: int = 0
    finish_reason: str | None = None
    tokens: int | None = None

    @classmethod
    def of(cls, response: Response) -> Self:
        """The side that a sampled response makes."""
        return cls.model_validate(response.model_dump(exclude={"prompt", "id"}))


class Comparison(Record):
    """Two responses to one prompt, and what people or a known answer say of them, if anything."""

    id: str
    prompt: Prompt
    a: Candidate
    b: Candidate
    human_preference: float | None = Field(default=None, ge=0, le=1)
    """Probability that people prefer a; 0.5 is a tie."""
    gold_preference: float | None = Field(default=None, ge=0, le=1)
    """The same where the label is objective (a checked answer) or constructed."""

    @property
    def human_or_gold(self) -> float | None:
        """Probability that a is better: people's, else the gold one, else unknown."""
        return self.gold_preference if self.human_preference is None else self.human_preference

    @property
    def gold_or_human(self) -> float | None:
        """Probability that a is better: the gold one, else people's, else unknown."""
        return self.human_preference if self.gold_preference is None else self.gold_preference

    @property
    def identical(self) -> bool:
        """Both responses are there and say the same: neither is the better, whoever is asked."""
        missing = "error" in (self.a.finish_reason, self.b.finish_reason)
        return not missing and spoken(self.a.text).strip() == spoken(self.b.text).strip()

    def swapped(self) -> Self:
        """The same comparison with a and b exchanged, labels with them."""
        labels = ("human_preference", "gold_preference")
        flipped = {k: 1.0 - p for k in labels if (p := getattr(self, k)) is not None}
        return self.model_copy(update={"a": self.b, "b": self.a, **flipped})

    def row(self) -> Row:
        """Flat: prompt columns beside `a` and `b`."""
        own = self.model_dump(mode="json", exclude_none=True, exclude={"prompt", "id"})
        return {"id": self.id, **_prompt_columns(self.prompt), **own}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        return cls.model_validate({**_others(row), "prompt": _prompt_of(row)})


_COMPARISON_FIELDS = frozenset(Comparison.model_fields) | _PROMPT_FIELDS


def _comparison_of(row: Mapping[str, Any]) -> tuple[Comparison, Row]:
    comparison = Comparison.from_row({k: v for k, v in row.items() if k in _COMPARISON_FIELDS})
    return comparison, {k: v for k, v in row.items() if k not in _COMPARISON_FIELDS}


# What stands in every row of preferences, null where nothing is known.
_ASKED = dict.fromkeys(("id", "prompt_id", "prompt", "category"))
_HOW = dict.fromkeys(("source", "mass", "prob_a_first", "prob_a_second", "flipped", "rationales"))


class Preference(Record):
    """Which of two responses is better: from an AI judge, a rewrite, a check or a person alike."""

    comparison: Comparison
    prob_a: float = Field(ge=0, le=1)
    """Probability that a is the better response."""
    labeler: str
    reason: str = ""
    evidence: Evidence | None = None

    @property
    def of_a_judge(self) -> bool:
        """Whether a judge's opinion is in it: votes, rewrites and checked answers are facts."""
        return self.evidence is None or self.evidence.source not in ("human", "rewrite", "verified")

    def row(self) -> Row:
        """Flat: the comparison's columns, then the label's; no reader has to ask if they exist."""
        own = self.model_dump(mode="json", exclude_none=True, exclude={"comparison"})
        own["evidence"] = {**_HOW, **own["evidence"]} if self.evidence else None
        return {**_ASKED, **self.comparison.row(), **own}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        comparison, own = _comparison_of(row)
        return cls.model_validate({**own, "comparison": comparison})


class Abstention(Record):
    """A comparison on which the labeler gave no verdict, and why."""

    comparison: Comparison
    labeler: str
    reason: str

    def row(self) -> Row:
        """Flat: the comparison's columns, then the reason."""
        return {**self.comparison.row(), "labeler": self.labeler, "reason": self.reason}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        comparison, own = _comparison_of(row)
        return cls.model_validate({**own, "comparison": comparison})


class Verdict(Record):
    """What a check found in one response; `passed` is None when it could not tell."""

    id: str
    check: str
    passed: bool | None
    answer: str | None = None
    reason: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict)

    def row(self) -> Row:
        """All fields, `passed: null` included."""
        return self.model_dump(mode="json")


class Score(Record):
    """How good one response is; `value` is None when there is no score, and `reason` says why."""

    id: str
    value: float | None
    scorer: str
    distribution: dict[str, float] | None = None
    """Of each grade its probability, or of each part of a composed reward its value."""
    reason: str = ""

    def row(self) -> Row:
        """All fields, `value: null` included."""
        return self.model_dump(mode="json")


class Rating(Record):
    """How satisfied a rater is with one response, from 1 to 5; its `id` is the response's."""

    id: str
    satisfaction: float = Field(ge=1, le=5)
    rater: str
    response: Response | None = None
    """What was rated, so that the row can be read alone."""
    reason: str = ""

    def row(self) -> Row:
        """Flat: the response's columns where it is there, then the rating's."""
        own = self.model_dump(mode="json", exclude_defaults=True, exclude={"response"})
        return {**(self.response.row() if self.response else {}), **own}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `row`."""
        if "response" not in row:
            return cls.model_validate(dict(row))
        own = {k: v for k, v in row.items() if k in cls.model_fields and k != "response"}
        rest = {k: v for k, v in row.items() if k not in own or k == "id"}
        return cls.model_validate({**own, "response": Response.from_row(rest)})
