"""How is the policy asked? All attacks of a chunk at once, one turn after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hrlaif.llm.prompting import fence_mark, load_template, render
from hrlaif.llm.remote_verdict import after_thoughts
from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Completion, Message, Record, Response, Unanswered
from hrlaif.redteam.attempts import Attack, Attempt, unanswered
from hrlaif.redteam.families import PROMPTS, opening
from hrlaif.redteam.seeds import Seed, asking
from hrlaif.redteam.settings import FAMILIES, RedTeam

_LEAST_TOKENS = 160
_TEMPERATURE = 0.9


class Rewording(NamedTuple):
    """A request to be put in other words, because asking it worked."""

    seed: Seed
    attempt: Attempt
    number: int

    @property
    def id(self) -> str:
        """Known before anything is asked."""
        return f"{self.attempt.id}/variation-{self.number}"


class Reworded(Record):
    """What the attacker wrote, or why it wrote nothing."""

    id: str
    text: str | None = None
    reason: str = ""


@dataclass
class _Talk:
    """A conversation with the policy under way."""

    attack: Attack
    request: str
    said: list[Message] = field(default_factory=list)
    to_ask: list[str] = field(default_factory=list)
    answer: Completion | None = None
    reason: str = ""


def attempt(
    attacks: Sequence[Attack],
    settings: RedTeam,
    models: tuple[LanguageModel, LanguageModel],
    *,
    name: str,
    seed: int,
) -> list[Attempt]:
    """One attempt an attack, unjudged. One that could not be written has no answer."""
    target, attacker = models
    talks = _opened(attacks, attacker, attack_tokens(settings))
    while waiting := [t for t in talks if t.to_ask and not t.reason]:
        for talk in waiting:
            talk.said.append(Message(role="user", content=talk.to_ask.pop(0)))
        chats = [Chat(messages=tuple(talk.said)) for talk in waiting]
        answers = target.generate(
            chats, temperature=settings.temperature, max_tokens=settings.max_tokens, seed=seed
        )
        for talk, answer in zip(waiting, answers, strict=True):
            if isinstance(answer, Unanswered):
                talk.reason = f"the policy: {answer.reason}"
            else:
                talk.answer = answer
                if talk.to_ask:
                    talk.said.append(Message(role="assistant", content=answer.text))
    return [_closed(talk, name) for talk in talks]


def attack_tokens(settings: RedTeam) -> int:
    """Of a translation or rewording with its thoughts, at most: as a rewrite, 160 at least."""
    return max(_LEAST_TOKENS, settings.rewrite_tokens)


def _opened(attacks: Sequence[Attack], attacker: LanguageModel, tokens: int) -> list[_Talk]:
    wanted = [a for a in attacks if a.family == "translation"]
    translated = translations(wanted, attacker, max_tokens=tokens)
    talks = []
    for attack in attacks:
        request, language = attack.request or attack.seed.request, attack.seed.language
        talk = _Talk(attack, request)
        put = translated.get(attack.id, request)
        if isinstance(put, Unanswered):
            talk.reason = f"the attacker: {put.reason}"
        else:
            family = next(known for known in FAMILIES if known == attack.family)
            talk.said, talk.to_ask = opening(family, attack.seed, put, language)
        talks.append(talk)
    return talks


def _closed(talk: _Talk, model: str) -> Attempt:
    attack = talk.attack
    # Nothing was asked where the attack could not be written; a prompt has a turn nevertheless.
    shown = talk.said or [Message(role="user", content=talk.request)]
    prompt = asking(attack.seed, attack.id, tuple(shown))
    response = unanswered(prompt, attack.id, model)
    if talk.answer is not None and not talk.reason:
        response = Response(
            prompt=prompt,
            text=talk.answer.text,
            model=model,
            finish_reason=talk.answer.finish_reason,
            tokens=talk.answer.completion_tokens,
            id=attack.id,
        )
    return Attempt(
        id=attack.id,
        seed=attack.seed.prompt.id,
        family=attack.family,
        hazard=attack.seed.hazard,
        source=attack.source,
        request=talk.request,
        response=response,
        reason=talk.reason,
    )


def translations(
    attacks: Sequence[Attack], attacker: LanguageModel, *, max_tokens: int
) -> dict[str, str | Unanswered]:
    """English requests in Chinese and all others in English, by attack."""
    chats = [_writing("translate", a.request or a.seed.request, a.seed, 0) for a in attacks]
    texts = _written(chats, attacker, 0.0, 0, max_tokens)
    return dict(zip([a.id for a in attacks], texts, strict=True))


def reworded(
    rewordings: Sequence[Rewording], attacker: LanguageModel, *, max_tokens: int, seed: int
) -> list[Reworded]:
    """The requests of attacks that worked, in other words."""
    chats = [_writing("reword", r.attempt.request, r.seed, r.number) for r in rewordings]
    texts = _written(chats, attacker, _TEMPERATURE, seed, max_tokens)
    return [
        Reworded(id=r.id, reason=text.reason)
        if isinstance(text, Unanswered)
        else Reworded(id=r.id, text=text)
        for r, text in zip(rewordings, texts, strict=True)
    ]


def _writing(what: str, text: str, origin: Seed, sample: int) -> Chat:
    texts = load_template(PROMPTS, "writer", origin.language)
    asked = render(texts[what], passage=text, other=texts["other"], mark=fence_mark(text))
    return Chat.user(asked, sample=sample)


def _written(
    chats: Sequence[Chat], writer: LanguageModel, temperature: float, seed: int, max_tokens: int
) -> list[str | Unanswered]:
    if not chats:
        return []
    answers = writer.generate(chats, temperature=temperature, max_tokens=max_tokens, seed=seed)
    return [_text(answer, max_tokens) for answer in answers]


def _text(answer: Completion | Unanswered, max_tokens: int) -> str | Unanswered:
    if isinstance(answer, Unanswered):
        return answer
    if answer.finish_reason == "length":
        return Unanswered(reason=f"cut at {max_tokens} tokens: raise rewrite_tokens")
    return after_thoughts(answer.text).strip() or Unanswered(reason="it wrote nothing")
