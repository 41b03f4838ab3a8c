"""What is asked of an OpenAI interface, and what does the answer say? The label ladder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hrlaif.errors import ModelError
from hrlaif.llm.call import call_key
from hrlaif.llm.chat import neutralise
from hrlaif.llm.ledger_file import plain
from hrlaif.llm.remote_parse import (
    AMBIGUOUS,
    Answer,
    completion,
    label_probabilities,
    read,
    why_not,
)
from hrlaif.llm.remote_server import CUT, NO_LOGPROBS, TOP, TRIAL, Endpoint, Question, Server
from hrlaif.llm.remote_verdict import opening, verdict
from hrlaif.records import Chat, Choice, Completion, Unanswered, digest

_ROOM = 1000
"""A vote of so many tokens has room for thoughts before it."""
_THOUGHTS = ("<think", "[THINK]", "<|channel|>analysis")
"""How answers begin that are none yet."""
_SERVERS: dict[str, Server] = {}
"""By all that what was learned may depend on: what one judge is told does not hold for another."""
Raw = str | Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Puts questions to a model at an endpoint, once each, and reads the answers."""

    endpoint: Endpoint
    model: str
    """The name that the server knows the model by."""
    votes: int
    vote_tokens: int
    extra_body: Mapping[str, Any]

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
        mass says so. Votes for one of two labels are smoothed by half a vote (Jeffreys):
        (v + 0.5) / (n + 1); of more labels, such as grades, they are shares, so that their mean is
        that of the votes. Their mass is the share that named a label. Raises ModelError where the
        first answers all begin with a thought, unless votes have room for one: then those count.
        """
        questions = [self._for_logprobs(chat, choices) for chat in chats]
        found: dict[int, Choice | Unanswered] = {}
        for part in filter(None, self._parts(len(questions))):
            raws = self._asked([questions[i] for i in part])
            for i, raw in zip(part, raws, strict=True):
                choice = self._by_logprobs(raw, choices)
                if choice is not None:
                    found[i] = choice
        left = [i for i in range(len(chats)) if i not in found]
        voted = self._by_votes([chats[i] for i in left], choices, seed)
        found |= dict(zip(left, voted, strict=True))
        return [found[i] for i in range(len(chats))]

    def _parts(self, count: int) -> Iterator[range]:
        """Which questions go together; how many is known when the part before is answered."""
        # The first goes alone: what the server refuses is learned once, not by every call at once.
        begun = min(count, 1 if self.server.logprobs is None else 0)
        yield range(begun)
        # Then a few, as long as it is not known that it names labels and does not think.
        unknown = self.server.logprobs is not False and self.server.thoughts >= 0
        tried = min(count, begun + TRIAL - self.server.thoughts) if unknown else begun
        yield range(begun, tried)
        yield range(tried, count)

    @property
    def server(self) -> Server:
        """What is known of it in this process."""
        where = (self.endpoint.known_as, self.endpoint.api, self.model)
        how = (self.vote_tokens, self.extra_body)
        return _SERVERS.setdefault(digest([*where, *how]), Server())

    def _asked(self, questions: Sequence[Question]) -> list[Raw]:
        # The network client is loaded with the first question, not with the settings.
        from hrlaif.llm.remote_calls import ask

        answers = ask(self.endpoint, self.server, questions)
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
        # Servers put the turns into one text, and read role tokens wherever they stand in it.
        turns = [(turn.role, plain(neutralise(turn.content))) for turn in chat.messages]
        if self.endpoint.api == "chat":
            body["messages"] = [{"role": role, "content": content} for role, content in turns]
        else:
            body["prompt"] = "\n\n".join(content for _, content in turns)
        draw = [chat.sample] if vote is None else [chat.sample, vote]
        # A greedy answer does not depend on the seed, so another seed must not pay for it again.
        if settings["temperature"] > 0:
            body["seed"] = int(call_key(seed=seed, draw=draw), 16) % 2**31
        body |= self.extra_body
        place = self.endpoint
        written = "" if "logprobs" in settings else place.written_as
        key = call_key(base_url=written or place.known_as, api=place.api, body=body, draw=draw)
        # A null takes a field out.
        sent = {name: value for name, value in body.items() if value is not None}
        most = sent.get("max_completion_tokens") or sent.get("max_tokens") or settings["max_tokens"]
        return Question(key=key, kind=kind, body=sent, max_tokens=int(most))

    def _for_logprobs(self, chat: Chat, choices: Sequence[str]) -> Question:
        # A blank or quote may come first, and longer labels may take more tokens than one.
        tokens = 2 if all(len(choice) == 1 for choice in choices) else 4
        chat_fields = {"logprobs": True, "top_logprobs": TOP}
        fields = chat_fields if self.endpoint.api == "chat" else {"logprobs": TOP}
        return self._question("choose", chat, {"temperature": 0, "max_tokens": tokens, **fields})

    def _by_logprobs(self, raw: Raw, choices: Sequence[str]) -> Choice | Unanswered | None:
        """None: climb down to votes."""
        if isinstance(raw, Unanswered):
            return None if raw is NO_LOGPROBS or raw is CUT else raw
        answer = read(raw)
        if answer.broken or answer.refusal or answer.finish_reason == "content_filter":
            return why_not(answer)
        found = label_probabilities(answer.positions, choices)
        # An answer that says nothing does not say either whether there are log-probabilities.
        said = answer.positions or answer.text.strip() or answer.finish_reason == "length"
        if said and self.server.logprobs is None:
            self.server.listed(len(answer.positions[0].probabilities) if answer.positions else 0)
        if found is None:
            return None
        mass = sum(found)
        thinks = self._thinks(answer, mass)
        # Some servers open the thoughts unseen, so that they begin as any words do.
        if self.vote_tokens >= _ROOM and (thinks or mass < AMBIGUOUS):
            return None
        if mass <= 0 or (thinks and mass >= AMBIGUOUS):
            return _no_label(answer)
        return Choice(
            probabilities=tuple(probability / mass for probability in found),
            mass=min(1.0, mass),
            source="logprobs",
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens or 0,
        )

    def _thinks(self, answer: Answer, mass: float) -> bool:
        """Whether it thinks where a label was to be; raises ModelError before more is paid."""
        drawn = "".join(position.sampled for position in answer.positions)
        # Beside a text that was drawn, thoughts of which the server gives no tokens have ended.
        text = answer.text.strip()
        apart = bool(answer.thought.strip()) and not (text and drawn.strip().startswith(text))
        marked = mass < AMBIGUOUS and (answer.text or drawn).lstrip().startswith(_THOUGHTS)
        if not (apart or marked):
            self.server.thoughts = -1
            return False
        if self.server.thoughts < 0 or self.vote_tokens >= _ROOM:
            return True
        self.server.thoughts += 1
        if self.server.thoughts >= TRIAL:
            tell = "extra_body: {chat_template_kwargs: {enable_thinking: false}}"
            raise ModelError(
                f"{self.endpoint.name} began {TRIAL} answers with a thought, where a label was to "
                f"be: tell it not to think, as in {self._judge(tell)}; where it cannot be told, "
                "let it answer after its thoughts, with votes: 1, vote_tokens: 4000"
            )
        return True

    def _judge(self, more: str) -> str:
        kind = self.endpoint.name.partition(":")[0]
        return f'--judge "{{kind: {kind}, model: {self.model}, {more}}}", beside its other settings'

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
        raws: list[Raw] = []
        # A few go alone, as long as it is not known that votes say something.
        alone = 0 if self.server.cut_votes < 0 else TRIAL
        for part in (questions[:alone], questions[alone:]):
            told = self._asked(part)
            self._stop_where_all_are_cut(told, choices)
            raws += told
        each = [raws[i : i + self.votes] for i in range(0, len(raws), self.votes)]
        return [_counted(votes, choices, chat) for votes, chat in zip(each, chats, strict=True)]

    def _stop_where_all_are_cut(self, raws: Sequence[Raw], choices: Sequence[str]) -> None:
        """Raises ModelError before more is paid to a model that writes for longer than a vote."""
        cut = [_is_cut(raw, choices) for raw in raws if isinstance(raw, str) or raw is CUT]
        if not cut:
            return
        if self.server.cut_votes < 0 or not all(cut):
            self.server.cut_votes = -1
            return
        self.server.cut_votes += len(cut)
        if self.server.cut_votes >= TRIAL:
            more = f"vote_tokens: {max(4000, 4 * self.vote_tokens)}, votes: 1"
            raise ModelError(
                f"{self.endpoint.name} wrote {self.vote_tokens} tokens {self.server.cut_votes} "
                "times and no answer: it thinks or explains before it answers; give it more, as in "
                f"{self._judge(more)}"
            )


def _counted(votes: Sequence[Raw], choices: Sequence[str], chat: Chat) -> Choice | Unanswered:
    """The votes on one chat; those without one clear label do not count."""
    question = chat.messages[-1].content
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
        label = _label(answer, choices, question)
        if label is None:
            why = why or _no_label(answer, cut=answer.finish_reason == "length")
        else:
            counts[label] += 1
    counted = sum(counts)
    if not counted:
        return why or Unanswered(reason="no votes")
    smooth = 0.5 if len(votes) > 1 and len(choices) == 2 else 0.0
    return Choice(
        probabilities=tuple((n + smooth) / (counted + smooth * len(counts)) for n in counts),
        mass=counted / len(votes),
        source="hard" if len(votes) == 1 else "votes",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _is_cut(raw: Raw, choices: Sequence[str]) -> bool:
    """Whether a vote used up its tokens and does not begin with a label."""
    if isinstance(raw, Unanswered):
        return raw is CUT
    answer = read(raw)
    return answer.finish_reason == "length" and opening(answer.text, choices) is None


def _label(answer: Answer, choices: Sequence[str], question: str) -> int | None:
    """The verdict of a vote; of one that was cut only where it began with it."""
    label = verdict(answer.text, choices, question)
    if answer.finish_reason == "length" and label != opening(answer.text, choices):
        return None
    return label


def _no_label(answer: Answer, *, cut: bool = False) -> Unanswered:
    where = "in the answer (cut at the token limit)" if cut else "in the answer"
    return Unanswered(reason=f"no label {where}: {(answer.text or answer.thought).strip()[-80:]!r}")
