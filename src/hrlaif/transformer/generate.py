"""What does a model write? A small decode loop: each prompt computed once, finished rows dropped.

Sampling is in float32 from the full vocabulary. Row i draws from its own random stream, a function
of the seed, its prompt and its sample number alone, whatever else is in the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hrlaif.errors import UsageError
from hrlaif.transformer.batches import batches
from hrlaif.transformer.body import body_of, evaluating, head_of, squash_of
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.head import next_logits
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefix import can_share, common_prefix, continue_from_prefix

_CACHE_TOKENS = 32_768  # rows x tokens of attention cache at once
_DROP_SHARE = 0.25  # of the rows: dropping copies the cache


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
    several times, next to itself or not, is computed once a batch of `rows`.
    """
    if how.temperature < 0 or how.max_tokens < 1 or (how.top_k is not None and how.top_k < 1):
        raise UsageError(f"cannot sample with {how}: temperature >= 0, max_tokens and top_k >= 1")
    if any(not prompt for prompt in prompts):
        raise UsageError("an empty prompt: generation needs at least one token to continue from")
    numbers = list(samples) if samples is not None else [0] * len(prompts)
    found: list[Sampled | None] = [None] * len(prompts)
    for indices in _groups(prompts, how.max_tokens, rows):
        drawn = [_uniforms(prompts[i], numbers[i], how) for i in indices]
        for i, sampled in zip(
            indices, _decode(loaded, [prompts[i] for i in indices], drawn, how), strict=True
        ):
            found[i] = sampled
    return [sampled for sampled in found if sampled is not None]


def _groups(prompts: Sequence[list[int]], max_tokens: int, rows: int) -> list[list[int]]:
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), prompts[i], i))
    lengths = [len(prompts[i]) + max_tokens for i in order]
    return [[order[j] for j in part] for part in batches(lengths, _CACHE_TOKENS, rows=rows)]


def _uniforms(prompt: list[int], sample: int, how: Sampling) -> Tensor:
    """Numbers in [0, 1), one a token, from (seed, prompt, sample)."""
    key = hashlib.sha256(repr((how.seed, sample, prompt)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    return torch.rand(how.max_tokens, generator=generator, dtype=torch.float64)


def _decode(
    loaded: Loaded, prompts: list[list[int]], drawn: list[Tensor], how: Sampling
) -> list[Sampled]:
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))  # which entry each row of the cache writes
    with evaluating(loaded.model):
        steps = _states(loaded, prompts)
        hidden = next(steps)
        for step in range(how.max_tokens):
            uniforms = torch.stack([drawn[i][step] for i in alive])
            taken, scores = _draw(loaded.model, hidden, uniforms, how)
            kept = []
            for row, (i, token, score) in enumerate(zip(alive, taken, scores, strict=True)):
                if tokens[i] and tokens[i][-1] in loaded.end_ids:
                    continue  # finished, not yet dropped
                tokens[i].append(token)
                logprobs[i].append(score)
                if token not in loaded.end_ids:
                    kept.append(row)
            if not kept or step + 1 == how.max_tokens:
                break
            if len(kept) <= (1 - _DROP_SHARE) * len(alive):
                alive = [alive[row] for row in kept]
                hidden = steps.send((kept, [taken[row] for row in kept]))
            else:
                hidden = steps.send((None, taken))
    return [
        Sampled(t, "stop" if t[-1] in loaded.end_ids else "length", p)
        for t, p in zip(tokens, logprobs, strict=True)
    ]


def _draw(
    model: Any, hidden: Tensor, uniforms: Tensor, how: Sampling
) -> tuple[list[int], list[float]]:
    logits = next_logits(head_of(model), hidden, squash_of(model))
    logits.div_(how.temperature or 1.0)
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()  # in place: no new [B, V] buffers
    totals = _blocks(weights).sum(-1).double().sum(-1)
    if how.temperature == 0:
        taken = weights.argmax(-1)
    else:
        if how.top_k is not None and how.top_k < weights.shape[-1]:
            weights.masked_fill_(weights < weights.topk(how.top_k).values[:, -1:], 0.0)
        taken = inverse_cdf(weights, uniforms.to(weights.device))
    chances = weights.gather(-1, taken[:, None])[:, 0].double() / totals
    return taken.tolist(), chances.log().tolist()


def _blocks(weights: Tensor, block: int = 512) -> Tensor:
    """[B, V / block, block] of weights [B, V], the last block filled up with zeros."""
    if excess := -weights.shape[-1] % block:
        weights = torch.nn.functional.pad(weights, (0, excess))
    return weights.reshape(len(weights), -1, block)


def inverse_cdf(weights: Tensor, uniforms: Tensor, block: int = 512) -> Tensor:
    """The token [B] at which the running sum of weights [B, V] passes uniforms [B] x their total.

    Two levels, sums of blocks first: a running sum over 262,144 float32 values would lose the tail.
    """
    weights = _blocks(weights, block)
    sums = weights.sum(-1).double().cumsum(-1)
    goal = uniforms.double() * sums[:, -1]
    at = torch.searchsorted(sums, goal[:, None], right=True).clamp_max_(sums.shape[-1] - 1)[:, 0]
    rows = torch.arange(len(goal), device=goal.device)
    before = torch.where(at > 0, sums[rows, (at - 1).clamp_min(0)], 0.0)
    inner = weights[rows, at].double().cumsum(-1)
    # Rounding may leave the goal at the block's end: the last token with any weight is meant.
    goal = torch.minimum(goal - before, torch.nextafter(inner[:, -1], torch.zeros_like(before)))
    return at * block + torch.searchsorted(inner, goal[:, None], right=True)[:, 0]


Move = tuple[list[int] | None, list[int]]


def _states(loaded: Loaded, prompts: list[list[int]]) -> Generator[Tensor, Move]:
    """Yields hidden states [B, H] before each next token; is sent (rows kept or None, tokens)."""
    body = body_of(loaded.model)
    if not can_share(body):
        yield from _plain_states(loaded, prompts)
        return
    hidden, cached, lengths = _prefill(loaded, prompts)
    step = 0
    while True:
        kept, tokens = yield hidden
        if kept is not None:
            index = torch.tensor(kept, device=loaded.device)
            cached, lengths = cached.select(index), lengths[index]
        row = torch.tensor(tokens, device=loaded.device)[:, None]
        positions = lengths[:, None] + step
        hidden = cached.extend(row, positions, torch.ones_like(row, dtype=torch.bool))[:, -1]
        step += 1


def _plain_states(loaded: Loaded, prompts: list[list[int]]) -> Generator[Tensor, Move]:
    """For a family whose cache cannot be used: everything again at each token."""
    from hrlaif.transformer.forward import Sequence as Asked
    from hrlaif.transformer.forward import hidden_last

    rows = [list(prompt) for prompt in prompts]
    while True:
        kept, tokens = yield hidden_last(loaded.model, [Asked(row, 0) for row in rows])
        rows = rows if kept is None else [rows[i] for i in kept]
        rows = [[*row, token] for row, token in zip(rows, tokens, strict=True)]


def _prefill(loaded: Loaded, prompts: list[list[int]]) -> tuple[Tensor, KeyValues, Tensor]:
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


def _rows_of(index: int, prompts: list[list[int]], place: dict[tuple[int, ...], int]) -> list[int]:
    return [i for i, prompt in enumerate(prompts) if place[tuple(prompt)] == index]
