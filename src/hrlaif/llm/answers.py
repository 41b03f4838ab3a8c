"""What has a local model answered? Found in the ledger, or answered block by block and booked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

from hrlaif.errors import ModelError
from hrlaif.llm import ledger
from hrlaif.llm.call import Call, call_key
from hrlaif.llm.chat import render, text_ids
from hrlaif.llm.identity import model_identity
from hrlaif.llm.labels import asked_tokens, label_probabilities, surface_forms
from hrlaif.records import Chat, Choice, Completion, Unanswered
from hrlaif.settings import compute

if TYPE_CHECKING:
    from hrlaif.llm.local import Local

_ANSWERING = 5  # part of every ledger key: raise it when the same chats would be answered otherwise
_BLOCK = {"choose": 16, "generate": 256}
_BLOCK_ON_A_GPU = {"choose": 512, "generate": 2048}
"""Chats answered, and booked, together: after a stop the same block is computed whole, to the same
bits. Texts are decoded 128 side by side (512 on a GPU), the next begins where one has ended."""
Answer = TypeVar("Answer", Choice, Completion)


def compute_key() -> tuple[str, str]:
    """The device and the precision that answer here."""
    from hrlaif.transformer.load import device_in_force, precision_in_force

    device = device_in_force()
    return str(device), precision_in_force(device, train=False)


def on_a_gpu() -> bool:
    """Whether the device in force is one that wants much work at once."""
    return compute_key()[0].startswith("cuda")


@final
class Asked:
    """One question put to many chats: found in the ledger, or answered in blocks and booked."""

    def __init__(
        self,
        local: Local,
        name: str,
        kind: Literal["choose", "generate"],
        how: Any,
        *,
        identity: list[Any] | None = None,
        fetch: Callable[[], object] | None = None,
    ):
        self.local, self.name, self.kind, self.how = local, name, kind, how
        self.identity = identity
        """What the weights are, where their folder need not be asked."""
        self.fetch = fetch
        """Brings the weights, where they may not be here yet: once there is something to ask."""

    def answer(
        self,
        chats: Sequence[Chat],
        record: type[Answer],
        compute_block: Callable[[Asked, list[list[int]], list[str], list[Chat]], list[Answer]],
    ) -> list[Answer | Unanswered]:
        """An answer for each chat; equal chats are answered once."""
        keys = self._keys(chats)
        book = ledger.current()
        if book:
            book.keep()
        known = {key: book.find(key, _reads(record)) for key in set(keys)} if book else {}
        found: dict[str, Answer | Unanswered] = {
            key: record.model_validate_json(text) for key, text in known.items() if text
        }
        todo = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in found}
        if todo:
            if self.fetch is not None:
                self.fetch()
            found |= self._answered(todo, compute_block)
        return [found[key] for key in keys]

    def _answered(self, todo: dict[str, Chat], compute_block: Any) -> dict[str, Any]:
        from hrlaif.transformer.memory import bound

        tokenizer = self.local.loaded().tokenizer
        texts = {key: render(tokenizer, chat.messages) for key, chat in todo.items()}
        ids = {key: text_ids(tokenizer, text) for key, text in texts.items()}
        found: dict[str, Any] = {}
        for key, tokens in ids.items():
            if reason := self._too_long(len(tokens)):
                found[key] = Unanswered(reason=reason)
        rest = self._ordered({key: ids[key] for key in todo if key not in found})
        if self.kind == "generate":
            self.local.loaded().answered.clear()
        size = (_BLOCK_ON_A_GPU if on_a_gpu() else _BLOCK)[self.kind]
        for begin in range(0, len(rest), size):
            part, begun = rest[begin : begin + size], time.monotonic()
            answers = compute_block(
                self, [ids[k] for k in part], [texts[k] for k in part], [todo[k] for k in part]
            )
            seconds = (time.monotonic() - begun) / len(part)
            found.update(zip(part, answers, strict=True))
            self._record(part, texts, answers, seconds)
            bound()
        if self.kind == "choose":  # what was written before has now been asked about
            self.local.loaded().answered.clear()
        return found

    def _ordered(self, ids: dict[str, list[int]]) -> list[str]:
        """The longest first; labels with what they share tokens with, such as the other order."""
        from hrlaif.transformer.tree import groups

        keys = sorted(ids, key=lambda key: (-len(ids[key]), ids[key]))
        if self.kind == "generate":
            return keys
        trees = groups([ids[key] for key in keys])
        return [keys[i] for tree in sorted(trees, key=min) for i in sorted(tree)]

    def _too_long(self, tokens: int) -> str:
        room = min(
            (n for n in (self.local.loaded().context, self.local.max_context) if n),
            default=None,
        )
        wanted = tokens + int(self.how.get("max_tokens", 1))
        if room is None or wanted <= room:
            return ""
        return f"too long: {tokens} tokens and {wanted - tokens} to write, the context holds {room}"

    def _keys(self, chats: Sequence[Chat]) -> list[str]:
        about = {
            "model": self.identity or model_identity(self.local.path, self.local.loaded),
            "precision": compute().precision,
            "answering": _ANSWERING,
            "kind": self.kind,
            **self.how,
        }
        draws = bool(self.how.get("temperature"))
        return [
            call_key(
                **about,
                messages=[message.model_dump() for message in chat.messages],
                sample=chat.sample if draws else 0,
            )
            for chat in chats
        ]

    def _record(self, part: list[str], texts: dict[str, str], answers: Any, seconds: float) -> None:
        book = ledger.current()
        if book is None:
            return
        loaded = self.local.loaded()
        on = f"{loaded.device} {loaded.precision}"
        book.record_many(
            Call(
                key=key,
                model=self.name,
                kind=self.kind,
                request={"prompt": texts[key], **self.how, "compute": on},
                response=answer.model_dump_json(),
                prompt_tokens=answer.prompt_tokens,
                completion_tokens=answer.completion_tokens,
                seconds=seconds,
            )
            for key, answer in zip(part, answers, strict=True)
        )


def _reads(record: type[Answer]) -> Callable[[str], bool]:
    def reads(text: str) -> bool:
        try:
            return bool(record.model_validate_json(text))
        except ValueError:
            return False

    return reads


def write(
    asked: Asked, ids: list[list[int]], texts: list[str], chats: list[Chat]
) -> list[Completion]:
    """Completions of a block of chats, each from its own random stream."""
    from hrlaif.transformer.generate import Sampling, generate

    loaded = asked.local.loaded()
    samples = [chat.sample for chat in chats]
    found = generate(loaded, ids, Sampling(**asked.how), samples=samples, keep=True)
    completions = []
    for prompt, sampled in zip(ids, found, strict=True):
        completions.append(
            Completion(
                text=sampled.text(loaded.tokenizer),
                finish_reason=sampled.finish_reason,
                prompt_tokens=len(prompt),
                completion_tokens=len(sampled.tokens),
            )
        )
    return completions


def choose(asked: Asked, ids: list[list[int]], texts: list[str], chats: list[Chat]) -> list[Choice]:
    """Label probabilities of a block of chats; those that end alike are asked together."""
    from hrlaif.transformer.forward import next_logprobs

    loaded, choices = asked.local.loaded(), asked.how["choices"]
    found: list[Choice | None] = [None] * len(ids)
    for tail in sorted({text[-64:] for text in texts}):
        rows = [i for i, text in enumerate(texts) if text[-64:] == tail]
        forms = surface_forms(loaded.tokenizer, texts[rows[0]], choices)
        wanted = asked_tokens(forms)
        logprobs = next_logprobs(
            loaded.model, [ids[i] for i in rows], wanted, loaded.kept, loaded.answered
        )
        for place, i in enumerate(rows):
            table = {
                path: dict(zip(tokens, logprobs[path][place].tolist(), strict=True))
                for path, tokens in wanted.items()
            }
            source = "logprobs" if list(wanted) == [()] else "scored"
            found[i] = _choice(label_probabilities(forms, table), source, len(ids[i]))
    return [choice for choice in found if choice is not None]


def _choice(raw: list[float], source: Any, prompt_tokens: int) -> Choice:
    mass = sum(raw)
    if not mass > 0:
        raise ModelError("the model gave no label any probability: are its weights damaged?")
    return Choice(
        probabilities=tuple(round(p / mass, 6) for p in raw),
        mass=round(min(mass, 1.0), 6),
        source=source,
        prompt_tokens=prompt_tokens,
        completion_tokens=1,
    )
