"""Which token comes next? Drawn in float32 from the full vocabulary; greedy at temperature 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hrlaif.transformer.body import head_of, squash_of
from hrlaif.transformer.head import next_logits

_BLOCK = 512


def draw(
    model: Any, hidden: Tensor, uniforms: Tensor | None, *, temperature: float, top_k: int | None
) -> tuple[list[int], list[float]]:
    """Tokens after hidden states [B, H], by uniforms [B], and their log-probabilities.

    Without uniforms, or at temperature 0, the likeliest.
    """
    logits = next_logits(head_of(model), hidden, squash_of(model))
    logits.div_(temperature or 1.0)
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()  # in place: no new [B, V] buffers
    blocks = _blocks(weights)
    totals = blocks.sum(-1).double().sum(-1)
    if temperature == 0 or uniforms is None:
        taken = _likeliest(blocks)
    else:
        if top_k is not None and top_k < weights.shape[-1]:
            weights.masked_fill_(weights < weights.topk(top_k).values[:, -1:], 0.0)
        taken = inverse_cdf(weights, uniforms.to(weights.device))
    chances = weights.gather(-1, taken[:, None])[:, 0].double() / totals
    return taken.tolist(), chances.log().tolist()


def _likeliest(blocks: Tensor) -> Tensor:
    """The first largest [B] of weights [B, V / block, block]; plain `argmax` is slow on a CPU."""
    at = blocks.amax(-1).argmax(-1)
    inner = blocks[torch.arange(len(at), device=at.device), at]
    return at * blocks.shape[-1] + inner.argmax(-1)


def _blocks(weights: Tensor) -> Tensor:
    """[B, V / block, block] of weights [B, V], the last block filled up with zeros."""
    if excess := -weights.shape[-1] % _BLOCK:
        weights = torch.nn.functional.pad(weights, (0, excess))
    return weights.reshape(len(weights), -1, _BLOCK)


def inverse_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The token [B] at which the running sum of weights [B, V] passes uniforms [B] x their total.

    Two levels, sums of blocks first: a running sum over 262,144 float32 values would lose the tail.
    """
    weights = _blocks(weights)
    sums = weights.sum(-1).double().cumsum(-1)
    goal = uniforms.double() * sums[:, -1]
    at = torch.searchsorted(sums, goal[:, None], right=True).clamp_max_(sums.shape[-1] - 1)[:, 0]
    rows = torch.arange(len(goal), device=goal.device)
    before = torch.where(at > 0, sums[rows, (at - 1).clamp_min(0)], 0.0)
    inner = weights[rows, at].double().cumsum(-1)
    # Rounding may leave the goal at the block's end: the last token with any weight is meant.
    goal = torch.minimum(goal - before, torch.nextafter(inner[:, -1], torch.zeros_like(before)))
    return at * _BLOCK + torch.searchsorted(inner, goal[:, None], right=True)[:, 0]
