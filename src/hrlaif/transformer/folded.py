"""How does one new token a row read its keys once? Heads that share keys ask as one head.

With G heads to a head of keys, the queries of a step are G queries of that head. SDPA under a mask
would copy the keys G times at every token, or take a kernel that knows no masks. The sums are the
same. For the table of a GPU; on a CPU branches.py does so.
"""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.transformer import packed
from hrlaif.transformer.attention import standing_on
from hrlaif.transformer.body import device_of, evaluating
from hrlaif.transformer.prefix import begin_prefix

NAME = "hrlaif_folded"
_WORKS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface for one token a row: [B, 1, H, D] from [B, H, 1, D].

    `attention_mask` [B, 1, 1, K] is the same for all heads. Raises ValueError for what it would
    leave out, so that the trial refuses it for that model.
    """
    packed.check(more)
    rows, heads, _, size = query.shape
    kept = key.shape[1]
    out = nn.functional.scaled_dot_product_attention(
        query.reshape(rows, kept, heads // kept, size),
        key,
        value,
        attn_mask=attention_mask,
        scale=scaling,
    )
    return out.reshape(rows, 1, heads, size), None


def works(body: Any) -> bool:
    """Whether this family gains by it and can: tried once on a few tokens, and a no is logged."""
    if body not in _WORKS:
        config = body.config.get_text_config(decoder=True)
        heads = int(config.num_attention_heads)
        kept = int(getattr(config, "num_key_value_heads", None) or heads)
        shares = kept < heads and config._attn_implementation == "sdpa"
        reason = _reason(body) if shares else ""
        if reason:
            logger.warning("%s copies keys for each head (%s)", type(body).__name__, reason)
        _WORKS[body] = shares and not reason
    return _WORKS[body]


def _reason(body: Any) -> str:
    packed.register(NAME, attend)
    try:
        off = _difference(body)
    except Exception as error:  # any family may fail in its own way
        return f"{type(error).__name__}: {error}"
    return "" if off < 0.3 else f"its states differ by {off:.2f}"  # as in prefix.py


def _difference(body: Any) -> float:
    """Of one token's states behind a few others, from those by the model's own attention."""
    count, device = int(body.config.get_text_config(decoder=True).vocab_size), device_of(body)
    known, first = [n % count for n in range(1, 7)], torch.zeros(1, dtype=torch.long, device=device)
    token = torch.full_like(first[:, None], 7 % count)
    place, every = torch.full_like(token, len(known)), torch.ones_like(token, dtype=torch.bool)
    with evaluating(body):
        begun = begin_prefix(body, known)
        want = begun.select(first).extend(token, place, every)
        with standing_on(body, NAME):
            got = begun.select(first).extend(token, place, every)
    return float((got - want).norm() / want.norm().clamp_min(1e-9))
