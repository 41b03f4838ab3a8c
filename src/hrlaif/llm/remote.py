"""How is a model asked behind an OpenAI-compatible address? Concurrently, and each answer once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, final

from pydantic import Field, field_validator

from hrlaif.llm.prices import OPENAI, price
from hrlaif.llm.remote_ask import Asker
from hrlaif.llm.remote_key import KEY_VARIABLE
from hrlaif.llm.remote_server import Api, Endpoint
from hrlaif.records import Chat, Choice, Completion, Unanswered
from hrlaif.settings import Settings, compute, web_address

_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_IN_BATCHES = 100_000
"""A batch takes hours: better that few chunks wait for one."""


@final
class Remote(Settings):
    """A model behind an OpenAI-compatible address: OpenAI, vLLM, llama.cpp, Ollama, a gateway.

    The key is read from the environment when a call is made; it is never stored, logged or shown. A
    server on this machine needs none. Answers are kept by the ledger in force, if there is one.
    """

    model: str = Field(min_length=1)
    """The name that the server knows the model by."""
    base_url: str = Field(
        default_factory=lambda: os.environ.get("OPENAI_BASE_URL") or OPENAI, validate_default=True
    )
    """The address, up to and with `/v1`; without one OPENAI_BASE_URL, else OpenAI's own."""
    key_variable: str = Field(default=KEY_VARIABLE, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key: judges of several providers need one each."""
    api: Api = "chat"
    """`completions` sends plain text without a chat template, for base models."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one try may take."""
    max_retries: int = Field(default=5, ge=0)
    """Tries after the first, on 429, 5xx, timeouts, lost connections and unreadable bodies."""
    price: tuple[_Dollars, _Dollars] | None = None
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
        return web_address(url)

    @property
    def name(self) -> str:
        """Stands in every row that this model made."""
        return f"remote:{self.model}"

    @property
    def at_once(self) -> int:
        """Calls under way at most, at all its addresses together."""
        return compute().concurrency * (1 + len(self._others()))

    @property
    def chunk(self) -> int:
        """Several rounds of calls, so that few wait for the slowest of a chunk; or a batch."""
        return _IN_BATCHES if compute().batch else 8 * self.at_once

    def generate(
        self,
        chats: Sequence[Chat],
        *,
        temperature: float,
        max_tokens: int,
        seed: int = 0,
        top_k: int | None = None,
    ) -> list[Completion | Unanswered]:
        """As `Asker.generate`."""
        return self._asker().generate(
            chats, temperature=temperature, max_tokens=max_tokens, seed=seed, top_k=top_k
        )

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        """As `Asker.choose`."""
        return self._asker().choose(chats, choices, seed=seed)

    def _others(self) -> tuple[str, ...]:
        same = next((s for s in compute().endpoints if self.base_url in s), ())
        return tuple(address for address in same if address != self.base_url)

    def _asker(self) -> Asker:
        endpoint = Endpoint(
            name=self.name,
            base_url=self.base_url,
            api=self.api,
            timeout=self.timeout,
            max_retries=self.max_retries,
            price=self.price or price(self.model, self.base_url),
            at_once=compute().concurrency,
            key_variable=self.key_variable,
            others=self._others(),
            batch=compute().batch,
        )
        return Asker(
            endpoint=endpoint,
            model=self.model,
            votes=self.votes,
            vote_tokens=self.vote_tokens,
            extra_body=self.extra_body,
        )
