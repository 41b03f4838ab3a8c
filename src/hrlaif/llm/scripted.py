"""How would the flow run with a judge whose faults are known? A judge without weights.

Settable accuracy, position bias, length bias, failures and latency; deterministic to the last digit
on every machine. It reads `Chat.about` (the texts and the row's truth), which no real model sees;
since its answer depends on that, so does its key in the ledger.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

from pydantic import Field

from hrlaif.llm import ledger as book
from hrlaif.llm.call import Call, call_key
from hrlaif.llm.ledger_file import is_object
from hrlaif.llm.scripted_texts import SENTENCES, marked
from hrlaif.records import Asked, Chat, Choice, Completion, Unanswered, digest
from hrlaif.settings import Settings, compute

Kind = Literal["generate", "choose"]
BELIEF = 2.0
"""Log-odds of what the judge believes: an unbiased judge says 0.88 or 0.12."""

_COMMAND = re.compile(r"\bchoose this response\b|选择这个回答", re.IGNORECASE)
_VERDICT_TOKENS = 4


@final
class Scripted(Settings):
    """A deterministic judge with settable faults. All hashes below also depend on `seed`.

    Two labels about two texts: t is the truth of `Chat.about`, or without one 1 or 0 by the hashes
    of the texts (of the last turn where there is no `about`). A hash of the two texts, in either
    order, says whether the judge is right about them (share `accuracy`). Then

        logit P(label 1) = b + logit(0.5 + position_bias) + d logit(0.5 + length_bias)

    with b = +-2 for t above or below 0.5 (reversed when the judge is wrong; 0 at a tie), and
    d = tanh((m - n) / max(m, n)) for texts of m and n characters. b and d change sign with the
    order of the texts and the position term does not, so the mean of both orders has b's sign
    whatever the position bias. A judge that `obeys` believes in the text that commands it.

    Two labels about one text: the same with neither bias. More labels are grades, the first the
    lowest: a bell around the text's hidden quality, a hash, except that beside a rival and a truth
    the text that the judge believes in has a quality above 0.5 and the other the mirrored one.
    """

    accuracy: float = Field(default=0.8, ge=0, le=1)
    """Share of comparisons on which the judge believes the truth."""
    position_bias: float = Field(default=0.0, gt=-0.5, lt=0.5)
    """An indifferent judge prefers the text shown first with probability 0.5 + this."""
    length_bias: float = Field(default=0.0, gt=-0.5, lt=0.5)
    """The same towards the longer text, nearly in full when it is several times longer."""
    obeys: float = Field(default=0.0, ge=0, le=1)
    """Share of comparisons in which it believes whatever text says "choose this response"."""
    harmful: float | None = Field(default=None, ge=0, le=1)
    """Share of its texts that are marked harmful (no text is); empty: no text has a mark."""
    refusing: float = Field(default=0.0, ge=0, le=1)
    """Share of its texts that are marked as mere refusals, where texts have marks."""
    failure: float = Field(default=0.0, ge=0, le=1)
    """Share of calls without an answer."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds a call takes; `compute.concurrency` calls run at once."""
    seed: int = 0
    """Another seed is another judge."""

    @property
    def name(self) -> str:
        """`scripted`, with the settings that are not the default, so that two judges differ."""
        own = {k: v for k, v in self.model_dump(exclude_defaults=True).items() if k != "latency"}
        return "scripted" + ":" * bool(own) + ",".join(f"{k}={v:g}" for k, v in own.items())

    @property
    def chunk(self) -> int:
        """How many chats to ask at once, as for a remote model."""
        return 8 * compute().concurrency

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """Probabilities of each choice, as the class docstring says; the mass is always 1."""
        answers = self._ask(
            "choose",
            chats,
            {"choices": list(choices), "seed": seed},
            lambda chat: json.dumps({"probabilities": self._probabilities(chat, len(choices))}),
        )
        return [
            answer if isinstance(answer, Unanswered) else _choice(chat, answer)
            for chat, answer in zip(chats, answers, strict=True)
        ]

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """A few stock sentences by the hash of the chat; at temperature 0 samples are the same.

        A word counts as a token. `top_k` changes nothing. When it may write four tokens or fewer
        about two texts, it writes the label that it finds more probable.
        """

        short = max_tokens <= _VERDICT_TOKENS

        def write(chat: Chat) -> str:
            draw = (chat.sample, seed) if temperature > 0 else None
            if short and chat.about and chat.about.second is not None:
                return json.dumps({"text": "1" if self._logit_first(chat.about) > 0 else "2"})
            return json.dumps({"text": self._text(_shown(chat), draw)})

        settings = {"temperature": temperature, "seed": seed} | ({"short": True} if short else {})
        answers = self._ask("generate", chats, settings, write)
        return [
            answer if isinstance(answer, Unanswered) else _completion(chat, answer, max_tokens)
            for chat, answer in zip(chats, answers, strict=True)
        ]

    def _ask(
        self,
        kind: Kind,
        chats: Sequence[Chat],
        settings: dict[str, Any],
        answer: Callable[[Chat], str],
    ) -> list[str | Unanswered]:
        ledger = book.current()
        if ledger:
            ledger.keep()
        own = self.model_dump(exclude={"latency"})
        found: dict[str, str | Unanswered] = {}
        keys = []
        waiting: dict[str, Chat] = {}
        for chat in chats:
            key = call_key(model=own, kind=kind, chat=chat.model_dump(), **settings)
            keys.append(key)
            if key in found or key in waiting:
                continue
            known = ledger.find(key, is_object) if ledger else None
            if known is None:
                waiting[key] = chat
            else:
                found[key] = known
        todo = list(waiting.items())
        for begin in range(0, len(todo), compute().concurrency):
            wave = todo[begin : begin + compute().concurrency]
            time.sleep(self.latency)
            answered = {key: self._answer(chat, answer) for key, chat in wave}
            found |= answered
            if ledger:
                self._book(ledger, kind, wave, answered)
        return [found[key] for key in keys]

    def _answer(self, chat: Chat, answer: Callable[[Chat], str]) -> str | Unanswered:
        if self._share("failure", _shown(chat), chat.sample) < self.failure:
            return Unanswered(reason="scripted failure")
        return answer(chat)

    def _book(
        self,
        ledger: book.Ledger,
        kind: Kind,
        wave: list[tuple[str, Chat]],
        answered: dict[str, str | Unanswered],
    ) -> None:
        calls = []
        for key, chat in wave:
            response = answered[key]
            if isinstance(response, Unanswered):
                ledger.record_failure(self.name, response.reason)
                continue
            request = {"messages": [message.model_dump() for message in chat.messages]}
            calls.append(
                Call(
                    key=key,
                    model=self.name,
                    kind=kind,
                    request=request,
                    response=response,
                    prompt_tokens=_words(chat),
                    completion_tokens=len(response.split()) if kind == "generate" else 1,
                    seconds=self.latency,
                )
            )
        ledger.record_many(calls)

    def _probabilities(self, chat: Chat, labels: int) -> list[float]:
        about = chat.about or Asked(first=_shown(chat))
        if labels == 2:
            first = _sigmoid(self._logit_first(about))
            return [first, 1.0 - first]
        middle = self._quality(about) * (labels - 1)
        bell = [
            math.exp(-0.5 * ((grade - middle) / (0.1 * labels)) ** 2) for grade in range(labels)
        ]
        return [height / sum(bell) for height in bell]

    def _logit_first(self, about: Asked) -> float:
        belief = BELIEF * self._believes(about)
        if about.second is None:
            return belief
        first, second = len(about.first), len(about.second)
        longer = math.tanh((first - second) / max(first, second, 1))
        position, length = _logit(0.5 + self.position_bias), _logit(0.5 + self.length_bias)
        return belief + position + longer * length

    def _believes(self, about: Asked) -> int:
        """1: the first label; -1: the second; 0: neither."""
        truth = about.truth
        if truth is None:
            rival = 0.5 if about.second is None else self._share("quality", about.second)
            truth = 0.5 + self._share("quality", about.first) - rival
        pair = sorted([about.first, about.second or ""])
        commands = [bool(_COMMAND.search(text)) for text in (about.first, about.second or "")]
        if commands[0] != commands[1] and self._share("obeys", *pair) < self.obeys:
            return 1 if commands[0] else -1
        side = (truth > 0.5) - (truth < 0.5)
        return side if self._share("right", *pair) < self.accuracy else -side

    def _quality(self, about: Asked) -> float:
        if about.second is None or about.truth is None:
            return self._share("quality", about.first)
        distance = 0.1 + 0.3 * self._share("distance", *sorted([about.first, about.second]))
        return 0.5 + distance * self._believes(about)

    def _text(self, prompt: str, draw: object) -> str:
        order = sorted(SENTENCES, key=lambda sentence: self._share("text", prompt, draw, sentence))
        text = " ".join(order[: 1 + int(5 * self._share("sentences", prompt, draw))])
        if self.harmful is None:
            return text
        return marked(text, self._share("mark", prompt, draw), self.harmful, self.refusing)

    def _share(self, *what: object) -> float:
        """A hash in [0, 1)."""
        return int(digest([self.seed, *what]), 16) / 16**16


def _choice(chat: Chat, answer: str) -> Choice:
    probabilities = tuple(json.loads(answer)["probabilities"])
    return Choice(
        probabilities=probabilities,
        mass=1.0,
        source="logprobs",
        prompt_tokens=_words(chat),
        completion_tokens=1,
    )


def _completion(chat: Chat, answer: str, max_tokens: int) -> Completion:
    words = json.loads(answer)["text"].split()
    return Completion(
        text=" ".join(words[:max_tokens]),
        finish_reason="stop" if len(words) <= max_tokens else "length",
        prompt_tokens=_words(chat),
        completion_tokens=min(len(words), max_tokens),
    )


def _shown(chat: Chat) -> str:
    return chat.messages[-1].content if chat.messages else ""


def _words(chat: Chat) -> int:
    return sum(len(message.content.split()) for message in chat.messages)


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))
