"""A language model on this machine: a folder, a hub id, a .gguf file, or a packaged model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, final

from pydantic import Field, field_validator

from hrlaif.llm.answers import Asked, choose, compute_key, on_a_gpu, write
from hrlaif.llm.chat import render, text_ids
from hrlaif.records import Chat, Choice, Completion, Unanswered
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from hrlaif.transformer.load import Loaded

_CHUNK, _CHUNK_ON_A_GPU = 32, 1024


@final
class Local(Settings):
    """A transformers model in this process, loaded at the first question."""

    path: str
    """A folder (a whole model or a PEFT adapter), a hub id, or a .gguf file."""
    max_context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer together, when less than the model's own context."""

    @property
    def name(self) -> str:
        """`local:PATH`."""
        return f"local:{self.path}"

    @property
    def chunk(self) -> int:
        """16 pairs in both orders, or 32 generations side by side; on a GPU 32 times as many."""
        return _chunk()

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """Writes one completion a chat, verbatim but for the end token. Temperature 0 is greedy."""
        how = _drawing(temperature, max_tokens, seed, top_k)
        return Asked(self, self.name, "generate", how).answer(chats, Completion, write)

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """The exact probability of each choice as the whole answer; nothing is sampled.

        Source `logprobs` where each label is one token, `scored` where continuations had to be
        passed through the model. Probabilities are rounded to 6 decimals.
        """
        how = {"choices": list(choices)}
        return Asked(self, self.name, "choose", how).answer(chats, Choice, choose)

    def count_tokens(self, chats: Sequence[Chat]) -> list[int]:
        """How long each chat is for this model, its template included."""
        tokenizer = self.loaded().tokenizer
        return [len(text_ids(tokenizer, render(tokenizer, chat.messages))) for chat in chats]

    def loaded(self) -> Loaded:
        """The weights and the tokenizer, loaded once a process."""
        return _loaded(self.path, *compute_key())


@final
class Packaged(Settings):
    """A model that ordinary `pip` installs; `hrlaif models` lists them."""

    name: str
    """Such as `gemma-3-270m`; stands in rows as `packaged:gemma-3-270m`."""
    max_context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer together, when less than the model's own context."""

    @field_validator("name")
    @classmethod
    def _kind_first(cls, name: str) -> str:
        return f"packaged:{name.removeprefix('packaged:')}"

    @property
    def chunk(self) -> int:
        """As of `Local`."""
        return _chunk()

    def local(self) -> Local:
        """The same model as a folder in the user cache; fetched on the first use."""
        from hrlaif.llm.packaged import fetch

        path = fetch(self.name.removeprefix("packaged:"))
        return Local(path=str(path), max_context=self.max_context)

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """As `Local.generate`."""
        how = _drawing(temperature, max_tokens, seed, top_k)
        return self._asked("generate", how).answer(chats, Completion, write)

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """As `Local.choose`."""
        how = {"choices": list(choices)}
        return self._asked("choose", how).answer(chats, Choice, choose)

    def count_tokens(self, chats: Sequence[Chat]) -> list[int]:
        """As `Local.count_tokens`."""
        return self.local().count_tokens(chats)

    def _asked(self, kind: Literal["choose", "generate"], how: Any) -> Asked:
        """Known by the hash of its weights: its answers are found on any machine, without them."""
        from hrlaif.llm.packaged import known, model_cache

        model = known(self.name.removeprefix("packaged:"))
        place = Local(path=str(model_cache() / model.name), max_context=self.max_context)
        identity = [model.name, model.sha256]
        return Asked(place, self.name, kind, how, identity=identity, fetch=self.local)


def unload() -> None:
    """Frees the weights that `Local` and `Packaged` keep in this process."""
    _loaded.cache_clear()


def _drawing(temperature: float, max_tokens: int, seed: int, top_k: int | None) -> dict[str, Any]:
    """What changes a completion: greedy ones know neither seed nor top_k."""
    how = {"temperature": temperature, "max_tokens": max_tokens}
    return how | ({"seed": seed, "top_k": top_k} if temperature else {})


@lru_cache(maxsize=2)
def _loaded(path: str, device: str, precision: str) -> Loaded:
    from hrlaif.transformer.load import load_causal

    return load_causal(path)


def _chunk() -> int:
    return _CHUNK_ON_A_GPU if on_a_gpu() else _CHUNK
