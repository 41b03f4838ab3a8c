"""What does a model write? A small decode loop: each prompt computed once, finished rows replaced.

Sampling is in float32 from the full vocabulary. Row i draws from its own random stream, a function
of the seed, its prompt and its sample number alone, whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from hrlaif.errors import UsageError
from hrlaif.transformer.batches import batches
from hrlaif.transformer.body import body_of, evaluating
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.draw import draw
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefix import can_share, common_prefix, continue_from_prefix

_CACHE_TOKENS = 32_768  # rows x tokens of attention cache at once
_FREE_SHARE = 0.25  # of the rows: dropping and adding rows copies the cache


class Sampled(NamedTuple):
    """What one row wrote."""

    tokens: list[int]
    """The end token included when there is one."""
    finish_reason: Literal["stop", "length"]
    logprobs: list[float]
    """Of each token, full softmax in float32 at the sampling temperature (1 when greedy)."""


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
    rows: int = 64,
) -> list[Sampled]:
    """One continuation for each entry of `prompts` (token ids), in order.

    `samples[i]` numbers independent draws of equal prompts (all 0 when empty). A prompt that occurs
    several times is computed once where its rows begin together. At most `rows` are written side by
    side; where some have ended, others begin.
    """
    if how.temperature < 0 or how.max_tokens < 1 or (how.top_k is not None and how.top_k < 1):
        raise UsageError(f"cannot sample with {how}: temperature >= 0, max_tokens and top_k >= 1")
    if any(not prompt for prompt in prompts):
        raise UsageError("an empty prompt: generation needs at least one token to continue from")
    numbers = list(samples) if samples is not None else [0] * len(prompts)
    found: dict[int, Sampled] = {}
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i], i))
    with evaluating(loaded.model):
        for row in _written(loaded, _Queue(prompts, numbers, how, rows, deque(order))):
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
    waiting: deque[int]

    def next(self, busy: Sequence[_Row]) -> list[_Row]:
        """Those that begin now, beside the rows that go on."""
        if not self.waiting or len(busy) > (1 - _FREE_SHARE) * self.rows:
            return []
        longest = max(len(self.prompts[i]) for i in (self.waiting[0], *(r.place for r in busy)))
        most = max(1, _CACHE_TOKENS // (longest + self.how.max_tokens))
        room = min(self.rows, most, len(busy) + len(self.waiting)) - len(busy)
        return [self._begun(self.waiting.popleft()) for _ in range(room)]

    def _begun(self, place: int) -> _Row:
        return _Row(place, _uniforms(self.prompts[place], self.samples[place], self.how))


def _uniforms(prompt: list[int], sample: int, how: Sampling) -> Tensor:
    """Numbers in [0, 1), one a token, from (seed, prompt, sample)."""
    key = hashlib.sha256(repr((how.seed, sample, prompt)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return torch.rand(how.max_tokens, generator=generator, dtype=torch.float64)


def _written(loaded: Loaded, queue: _Queue) -> Iterator[_Row]:
    """Each row when it has ended."""
    how, rows = queue.how, queue.next([])
    if not rows:
        return
    steps = _states(loaded, [queue.prompts[row.place] for row in rows])
    hidden = next(steps)
    while True:
        uniforms = torch.stack([row.next_uniform() for row in rows])
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
            hidden = steps.send(_Move(taken, kept, fresh))
        else:
            hidden = steps.send(_Move(taken))


class _Move(NamedTuple):
    """One token more for every row; then only some rows go on, and others begin behind them."""

    tokens: list[int]
    kept: list[int] | None = None
    """None: all."""
    fresh: Sequence[list[int]] = ()


def _states(loaded: Loaded, prompts: Sequence[list[int]]) -> Generator[Tensor, _Move]:
    """Yields hidden states [B, H] before each next token."""
    body = body_of(loaded.model)
    if not can_share(body):
        yield from _plain_states(loaded, prompts)
        return
    hidden, cached, lengths = _prefill(loaded, prompts)
    while True:
        move = yield hidden
        row = torch.tensor(move.tokens, device=loaded.device)[:, None]
        valid = torch.ones_like(row, dtype=torch.bool)
        hidden = cached.extend(row, lengths[:, None], valid)[:, -1]
        lengths = lengths + 1
        if move.kept is None:
            continue
        index = torch.tensor(move.kept, dtype=torch.long, device=loaded.device)
        parts = [(hidden[index], cached, lengths[index], index)] if move.kept else []
        if move.fresh:
            new = _prefill(loaded, move.fresh)
            parts.append((*new, torch.arange(len(move.fresh), device=loaded.device)))
        hidden = torch.cat([part[0] for part in parts])
        cached = KeyValues.join([(part[1], part[3]) for part in parts])
        lengths = torch.cat([part[2] for part in parts])


def _plain_states(loaded: Loaded, prompts: Sequence[list[int]]) -> Generator[Tensor, _Move]:
    """For a family whose cache cannot be used: everything again at each token."""
    from hrlaif.transformer.forward import Sequence as Asked
    from hrlaif.transformer.forward import hidden_last

    rows = [list(prompt) for prompt in prompts]
    while True:
        move = yield hidden_last(loaded.model, [Asked(row, 0) for row in rows])
        rows = [[*row, token] for row, token in zip(rows, move.tokens, strict=True)]
        if move.kept is not None:
            rows = [*(rows[number] for number in move.kept), *map(list, move.fresh)]


def _prefill(loaded: Loaded, prompts: Sequence[list[int]]) -> tuple[Tensor, KeyValues, Tensor]:
    """Last states [B, H], the cache of B rows, lengths [B]; equal prompts are computed once."""
    body = body_of(loaded.model)
    distinct = sorted({tuple(p) for p in prompts}, key=lambda p: (-len(p), p))
    place = {prompt: index for index, prompt in enumerate(distinct)}
    prefix = common_prefix(body, distinct, len(distinct[-1]) - 1)
    done = 0 if prefix is None else prefix.length
    order: list[int] = []
    last, parts = [], []
    for indices in batches([len(p) - done for p in distinct]):
        part = [distinct[i] for i in indices]
        hidden, cached = continue_from_prefix(body, part, prefix)
        ends = torch.tensor([len(p) - 1 - done for p in part], device=hidden.device)
        wanted = [(row, i) for row, d in enumerate(indices) for i in _rows_of(d, prompts, place)]
        rows = torch.tensor([row for row, _ in wanted], device=hidden.device)
        last.append(hidden[rows, ends[rows]])
        parts.append((cached, rows))
        order += [i for _, i in wanted]
    # Back to the order of the prompts, which the random streams follow.
    back = torch.tensor(sorted(range(len(order)), key=order.__getitem__), device=loaded.device)
    joined = KeyValues.join(parts)
    if order != sorted(order):
        joined = joined.select(back)
    lengths = torch.tensor([len(p) for p in prompts], device=loaded.device)
    return torch.cat(last)[back], joined, lengths


def _rows_of(
    index: int, prompts: Sequence[list[int]], place: dict[tuple[int, ...], int]
) -> list[int]:
    return [i for i, prompt in enumerate(prompts) if place[tuple(prompt)] == index]
