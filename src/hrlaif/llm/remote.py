"""How is a model asked behind an OpenAI-compatible address? Concurrently, and each answer once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from hrlaif.llm.ledger import call_key
from hrlaif.llm.prices import OPENAI, price
from hrlaif.llm.remote_parse import Answer, completion, label_probabilities, read, verdict, why_not
from hrlaif.llm.remote_server import NO_LOGPROBS, TOP, Endpoint, Question, Server
from hrlaif.records import Chat, Choice, Completion, Unanswered
from hrlaif.settings import Settings, compute

_SERVERS: dict[tuple[str, str, str], Server] = {}
Raw = str | Unanswered


@final
class Remote(Settings):
    """A model behind an OpenAI-compatible address: OpenAI, vLLM, llama.cpp, Ollama, a gateway.

    The key is read from OPENAI_API_KEY when a call is made; it is never stored, logged or shown. A
    server on this machine needs none. Answers are kept by the ledger in force, if there is one.
    """

    model: str = Field(min_length=1)
    """The name that the server knows the model by."""
    base_url: str = Field(
        default_factory=lambda: os.environ.get("OPENAI_BASE_URL") or OPENAI, validate_default=True
    )
    """The address, up to and with `/v1`; without one OPENAI_BASE_URL, else OpenAI's own."""
    api: Literal["chat", "completions"] = "chat"
    """`completions` sends plain text without a chat template, for base models."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one try may take."""
    max_retries: int = Field(default=5, ge=0)
    """Tries after the first, on 429, 5xx, timeouts, lost connections and unreadable bodies."""
    price: tuple[float, float] | None = None
    """US dollars per million input and output tokens, where the list does not know or is old."""
    votes: int = Field(default=5, ge=1)
    """Answers drawn at temperature 1 where the server gives no log-probabilities; 1: one greedy."""
    vote_tokens: int = Field(default=256, ge=1)
    """Tokens that a vote may take; a model that reasons before it answers needs thousands."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields for each request, such as `chat_template_kwargs` for vLLM."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is no address such as http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ValueError("holds a password, which would be stored: use OPENAI_API_KEY for it")
        return url.rstrip("/")

    @property
    def name(self) -> str:
        """Stands in every row that this model made."""
        return f"remote:{self.model}"

    @property
    def chunk(self) -> int:
        """Several rounds of calls, so that few wait for the slowest of a chunk."""
        return 8 * compute().concurrency

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """A completion a chat; Unanswered where it was filtered, refused, empty or lost."""
        settings = {"temperature": temperature, "max_tokens": max_tokens}
        if top_k is not None:
            settings["top_k"] = top_k
        questions = [self._question("generate", chat, settings, seed) for chat in chats]
        return [
            raw if isinstance(raw, Unanswered) else completion(read(raw))
            for raw in self._asked(questions)
        ]

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """The label ladder: `logprobs`, else `votes`, or `hard` with `votes: 1`.

        A label that the server does not list among its 20 likeliest tokens counts as 0, and the
        mass says so. Votes are smoothed by half a vote a label (Jeffreys): (v + 0.5) / (n + 0.5 L).
        """
        questions = [self._for_logprobs(chat, choices) for chat in chats]
        # The first goes alone: what the server refuses is learned once, not by every call at once.
        alone = 1 if self._server.logprobs is None else 0
        found: dict[int, Choice | Unanswered] = {}
        for part in (range(alone), range(alone, len(questions))):
            if not part or not questions:
                continue
            raws = self._asked([questions[i] for i in part])
            for i, raw in zip(part, raws, strict=True):
                choice = self._by_logprobs(raw, choices)
                if choice is not None:
                    found[i] = choice
        left = [i for i in range(len(chats)) if i not in found]
        voted = self._by_votes([chats[i] for i in left], choices, seed)
        found |= dict(zip(left, voted, strict=True))
        return [found[i] for i in range(len(chats))]

    @property
    def _server(self) -> Server:
        return _SERVERS.setdefault((self.base_url, self.api, self.model), Server())

    def _asked(self, questions: Sequence[Question]) -> list[Raw]:
        # The network client is loaded with the first question, not with the settings.
        from hrlaif.llm.remote_calls import ask

        endpoint = Endpoint(
            name=self.name,
            base_url=self.base_url,
            path="/chat/completions" if self.api == "chat" else "/completions",
            timeout=self.timeout,
            max_retries=self.max_retries,
            price=self.price or price(self.model, self.base_url),
        )
        answers = ask(endpoint, self._server, questions)
        return [answers[question.key] for question in questions]

    def _question(
        self,
        kind: Literal["generate", "choose"],
        chat: Chat,
        settings: Mapping[str, Any],
        seed: int = 0,
        vote: int | None = None,
    ) -> Question:
        body: dict[str, Any] = {"model": self.model, **settings}
        if self.api == "chat":
            body["messages"] = [
                {"role": turn.role, "content": _sendable(turn.content)} for turn in chat.messages
            ]
        else:
            body["prompt"] = "\n\n".join(_sendable(turn.content) for turn in chat.messages)
        draw = [chat.sample] if vote is None else [chat.sample, vote]
        # A greedy answer does not depend on the seed, so another seed must not pay for it again.
        if settings["temperature"] > 0:
            body["seed"] = int(call_key(seed=seed, draw=draw), 16) % 2**31
        body |= self.extra_body
        key = call_key(base_url=self.base_url, api=self.api, body=body, draw=draw)
        return Question(key=key, kind=kind, body=body, max_tokens=_limit(body))

    def _for_logprobs(self, chat: Chat, choices: Sequence[str]) -> Question:
        # A blank or quote may come first, and longer labels may take more tokens than one.
        tokens = 2 if all(len(choice) == 1 for choice in choices) else 4
        chat_fields = {"logprobs": True, "top_logprobs": TOP}
        fields = chat_fields if self.api == "chat" else {"logprobs": TOP}
        return self._question("choose", chat, {"temperature": 0, "max_tokens": tokens, **fields})

    def _by_logprobs(self, raw: Raw, choices: Sequence[str]) -> Choice | Unanswered | None:
        """None: climb down to votes."""
        if isinstance(raw, Unanswered):
            return None if raw is NO_LOGPROBS else raw
        answer = read(raw)
        if answer.refusal or answer.finish_reason == "content_filter":
            return why_not(answer)
        found = label_probabilities(answer.positions, choices)
        if self._server.logprobs is None:
            self._server.logprobs = bool(answer.positions and answer.positions[0].probabilities)
        if found is None:
            return None
        mass = sum(found)
        if mass <= 0:
            return _no_label(answer)
        return Choice(
            probabilities=tuple(probability / mass for probability in found),
            mass=min(1.0, mass),
            source="logprobs",
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens or 0,
        )

    def _by_votes(
        self, chats: Sequence[Chat], choices: Sequence[str], seed: int
    ) -> list[Choice | Unanswered]:
        temperature = 0 if self.votes == 1 else 1
        settings = {"temperature": temperature, "max_tokens": self.vote_tokens}
        questions = [
            self._question("choose", chat, settings, seed, vote)
            for chat in chats
            for vote in range(self.votes)
        ]
        raws = self._asked(questions)
        each = [raws[i : i + self.votes] for i in range(0, len(raws), self.votes)]
        return [_counted(votes, choices) for votes in each]


def _counted(votes: Sequence[Raw], choices: Sequence[str]) -> Choice | Unanswered:
    """The votes of one chat; those without one clear label do not count."""
    counts = [0] * len(choices)
    why: Unanswered | None = None
    prompt_tokens = completion_tokens = 0
    for raw in votes:
        if isinstance(raw, Unanswered):
            why = why or raw
            continue
        answer = read(raw)
        prompt_tokens += answer.prompt_tokens
        completion_tokens += answer.completion_tokens or 0
        written = completion(answer)
        if isinstance(written, Unanswered):
            why = why or written
            continue
        label = verdict(written.text, choices)
        if label is None:
            why = why or _no_label(answer)
        else:
            counts[label] += 1
    counted = sum(counts)
    if not counted:
        return why or Unanswered(reason="no votes")
    smooth = 0.0 if len(votes) == 1 else 0.5
    return Choice(
        probabilities=tuple((n + smooth) / (counted + smooth * len(counts)) for n in counts),
        mass=1.0,
        source="hard" if len(votes) == 1 else "votes",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _no_label(answer: Answer) -> Unanswered:
    return Unanswered(reason=f"no label in the answer: {answer.text.strip()[-80:]!r}")


def _sendable(text: str) -> str:
    # A lone surrogate, which JSON files may hold, cannot be sent.
    return text.encode("utf-8", "replace").decode("utf-8")


def _limit(body: Mapping[str, Any]) -> int:
    return int(body.get("max_completion_tokens") or body["max_tokens"])
