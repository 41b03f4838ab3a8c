"""How is a model asked that vLLM holds? `vllm serve` is started for the work, and ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from pydantic import Field

from hrlaif.llm.call import call_key
from hrlaif.llm.identity import stamps
from hrlaif.llm.remote_ask import Asker
from hrlaif.llm.remote_server import Api, Endpoint
from hrlaif.llm.vllm_server import samples_its_own_way, socket_of
from hrlaif.records import Chat, Choice, Completion, Unanswered
from hrlaif.settings import Settings


@final
class Vllm(Settings):
    """A model that vLLM serves on this machine: started at the first question, ended with the work.

    `vllm` is found on the PATH, or as HRLAIF_VLLM says: a command, which may be of another Python
    environment, and what changes only its speed after it, as in `/opt/vllm/bin/vllm
    --tensor-parallel-size 2`. It listens on a socket that only this user can open. One server is
    up at a time: another model's ends it.
    """

    model: str = Field(min_length=1)
    """A folder or a hub id."""
    arguments: tuple[str, ...] = ()
    """What else `vllm serve` is told that changes answers, such as `--quantization=fp8`."""
    api: Api = "chat"
    """`completions` sends plain text without a chat template, for base models."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds that one try may take, with the time in vLLM's queue."""
    max_retries: int = Field(default=2, ge=0)
    """Tries after the first, on 5xx, timeouts and lost connections."""
    votes: int = Field(default=5, ge=1)
    """Answers drawn at temperature 1 where it gives no log-probabilities; 1: one greedy."""
    vote_tokens: int = Field(default=256, ge=1)
    """Tokens that a vote may take."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields for each request, such as `chat_template_kwargs`."""

    @property
    def name(self) -> str:
        """Stands in every row that this model made."""
        return f"vllm:{self.model}"

    @property
    def at_once(self) -> int:
        """Calls under way at most: vLLM batches them itself."""
        return 256

    @property
    def chunk(self) -> int:
        """Several rounds of calls, so that few wait for the slowest of a chunk."""
        return 4 * self.at_once

    def start(self) -> Path:
        """Its socket, once it answers. Raises as `socket_of` does."""
        return socket_of(self.name, self.model, self.arguments)

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

    def _asker(self) -> Asker:
        what = {"weights": self._weights(), "arguments": self.arguments}
        # Probabilities of labels do not depend on how texts are sampled.
        texts = {} if samples_its_own_way(self.arguments) else {"generation_config": "vllm"}
        endpoint = Endpoint(
            name=self.name,
            base_url="http://vllm/v1",
            identity=call_key(**what),
            written_as=call_key(**what, **texts),
            api=self.api,
            timeout=self.timeout,
            max_retries=self.max_retries,
            price=(0.0, 0.0),
            at_once=self.at_once,
            start=self.start,
        )
        return Asker(
            endpoint=endpoint,
            model=self.model,
            votes=self.votes,
            vote_tokens=self.vote_tokens,
            extra_body=self.extra_body,
        )

    def _weights(self) -> list[Any]:
        """What changes when they do; of a hub id the name alone: `--revision` is an argument."""
        place = Path(self.model)
        return stamps(place) if place.exists() else [self.model]
