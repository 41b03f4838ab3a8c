"""What does a model write? A small decode loop: each prompt computed once, finished rows replaced.

Sampling is in float32 from the full vocabulary. Row i draws from its own random stream, a function
of the seed, its prompt and its sample number alone, whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hrlaif.errors import UsageError
from hrlaif.transformer.body import evaluating
from hrlaif.transformer.draw import draw
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefill import Beginnings, room
from hrlaif.transformer.steps import Move, states

_ROWS, _ROWS_ON_A_GPU = 128, 512
_FREE_SHARE = 0.25  # of the rows: dropping and adding rows copies the cache


class Sampled(NamedTuple):
    """What one row wrote."""

    tokens: list[int]
    """The end token included when there is one."""
    finish_reason: Literal["stop", "length"]
    logprobs: list[float]
    """Of each token, full softmax in float32 at the sampling temperature (1 when greedy)."""

    def text(self, tokenizer: Any) -> str:
        """What was written, verbatim but for the end token: other special tokens are in it."""
        tokens = self.tokens[:-1] if self.finish_reason == "stop" else self.tokens
        return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


class Sampling(NamedTuple):
    """How to draw."""

    temperature: float = 1.0
    """0 is greedy."""
    max_tokens: int = 128
    seed: int = 0
    top_k: int | None = None


@dataclass
class _Row:
    """A row that is being written."""

    place: int
    """Of its prompt."""
    uniforms: Tensor
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    done: bool = False

    def add(self, token: int, logprob: float, ends: frozenset[int]) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.done = token in ends or len(self.tokens) == len(self.uniforms)

    def next_uniform(self) -> Tensor:
        return self.uniforms[min(len(self.tokens), len(self.uniforms) - 1)]


def generate(
    loaded: Loaded,
    prompts: Sequence[list[int]],
    how: Sampling,
    *,
    samples: Sequence[int] | None = None,
    rows: int | None = None,
    keep: bool = False,
) -> list[Sampled]:
    """One continuation for each entry of `prompts` (token ids), in order.

    `samples[i]` numbers independent draws of equal prompts (all 0 when empty). What prompts begin
    with is computed once where their rows begin together. At most `rows` are written side by side
    (128, on a GPU 512, when empty); where some have ended, others begin. With `keep` the caches of
    the prompts stay in `loaded.answered`, for a model whose weights do not change: on a CPU, since
    a GPU computes them again in a tenth of the time that it takes to put them together.
    """
    if how.temperature < 0 or how.max_tokens < 1 or (how.top_k is not None and how.top_k < 1):
        raise UsageError(f"cannot sample with {how}: temperature >= 0, max_tokens and top_k >= 1")
    if any(not prompt for prompt in prompts):
        raise UsageError("an empty prompt: generation needs at least one token to continue from")
    if not prompts:
        return []
    numbers = list(samples) if samples is not None else [0] * len(prompts)
    rows = rows or (_ROWS_ON_A_GPU if loaded.device.type == "cuda" else _ROWS)
    found: dict[int, Sampled] = {}
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i], i))
    with evaluating(loaded.model):
        begun = Beginnings.of(loaded, prompts, keep)
        queue = _Queue(prompts, numbers, how, rows, begun.common, room(loaded), deque(order))
        for row in _written(loaded, queue, begun):
            stopped = row.tokens[-1] in loaded.end_ids
            found[row.place] = Sampled(row.tokens, "stop" if stopped else "length", row.logprobs)
    return [found[i] for i in range(len(prompts))]


@dataclass
class _Queue:
    """The prompts that wait, the longest first."""

    prompts: Sequence[list[int]]
    samples: Sequence[int]
    how: Sampling
    rows: int
    common: int
    """Tokens of each prompt that stand once for all rows."""
    room: int
    """Rows x tokens of attention cache at once."""
    waiting: deque[int]

    def next(self, busy: Sequence[_Row]) -> list[_Row]:
        """Those that begin now, beside the rows that go on."""
        if not self.waiting:
            return []
        longest = max(len(self.prompts[i]) for i in (self.waiting[0], *(r.place for r in busy)))
        width = longest - self.common + self.how.max_tokens
        most = min(self.rows, max(1, self.room // width))
        if len(busy) > (1 - _FREE_SHARE) * most:
            return []
        count = min(most - len(busy), len(self.waiting))
        return [self._begun(self.waiting.popleft()) for _ in range(count)]

    def _begun(self, place: int) -> _Row:
        return _Row(place, _uniforms(self.prompts[place], self.samples[place], self.how))


def _uniforms(prompt: list[int], sample: int, how: Sampling) -> Tensor:
    """Numbers in [0, 1), one a token, from (seed, prompt, sample)."""
    key = hashlib.sha256(repr((how.seed, sample, prompt)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return torch.rand(how.max_tokens, generator=generator, dtype=torch.float64)


def _written(loaded: Loaded, queue: _Queue, begun: Beginnings) -> Iterator[_Row]:
    """Each row when it has ended."""
    how, rows = queue.how, queue.next([])
    if not rows:
        return
    first = [queue.prompts[row.place] for row in rows]
    steps = states(loaded, first, max(map(len, first)) + how.max_tokens, begun)
    hidden = next(steps)
    while True:
        uniforms = torch.stack([row.next_uniform() for row in rows]) if how.temperature else None
        taken, scores = draw(
            loaded.model, hidden, uniforms, temperature=how.temperature, top_k=how.top_k
        )
        for row, token, score in zip(rows, taken, scores, strict=True):
            if not row.done:
                row.add(token, score, loaded.end_ids)
                if row.done:
                    yield row
        kept = [number for number, row in enumerate(rows) if not row.done]
        more = queue.next([rows[number] for number in kept])
        if not kept and not more:
            return
        if more or len(kept) <= (1 - _FREE_SHARE) * len(rows):
            rows = [rows[number] for number in kept] + more
            fresh = [queue.prompts[row.place] for row in more]
            hidden = steps.send(Move(taken, kept, fresh))
        else:
            hidden = steps.send(Move(taken))
