"""How does one new token a row read its keys once? Heads that share keys ask as one head.

With G heads to a head of keys, the queries of a step are G queries of that head. SDPA under a mask
would copy the keys G times at every token, or take a kernel that knows no masks. The sums are the
same. For the table of a GPU; on a CPU branches.py does so.

Where FlashAttention can, in 16 bits, of each row only the columns that it holds are read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.transformer import packed

NAME = "hrlaif_folded"
_LARGEST_HEAD = 256  # of FlashAttention 2


class Held(NamedTuple):
    """What the rows of a table hold, a row for each head of keys."""

    queries: Tensor
    """[N + 1] int32: where the queries of each row begin."""
    keys: Tensor
    """[N + 1] int32: where its columns begin."""
    tokens: Tensor
    """[N] int32: how many of them it holds."""
    window: int | None
    """How many of the last ones it sees; all when empty."""

    @classmethod
    def of(cls, lengths: Tensor, kept: int, width: int) -> Held:
        """Of rows of so many tokens each, whose new key is the last."""
        every = torch.arange(len(lengths) * kept + 1, dtype=torch.int32, device=lengths.device)
        tokens = lengths.to(torch.int32).repeat_interleave(kept)
        return cls(every, every * width, tokens, None)


def fits(body: Any) -> bool:
    """Whether FlashAttention computes this model's heads here."""
    weight = next(body.parameters())
    config = body.config.get_text_config(decoder=True)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return bool(
        weight.is_cuda
        and weight.dtype in (torch.bfloat16, torch.float16)
        and size % 8 == 0
        and size <= _LARGEST_HEAD
    )


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

    `attention_mask` [B, 1, 1, K] is the same for all heads; where it says what is `held`, that is
    read in its stead. Raises ValueError for what it would leave out, so that the trial refuses it.
    """
    packed.check(more)
    rows, heads, _, size = query.shape
    kept = key.shape[1]
    held: Held | None = getattr(attention_mask, "held", None)
    if held is not None:
        out = _flash(query, key, value, held, scaling)
    else:
        out = nn.functional.scaled_dot_product_attention(
            query.reshape(rows, kept, heads // kept, size),
            key,
            value,
            attn_mask=attention_mask,
            scale=scaling,
        )
    return out.reshape(rows, 1, heads, size), None


def _flash(query: Tensor, key: Tensor, value: Tensor, held: Held, scale: float | None) -> Tensor:
    rows, heads, _, size = query.shape
    kept, width = key.shape[1:3]
    near = {} if held.window is None else {"window_size_left": held.window - 1}
    if near:
        near["window_size_right"] = 0
    # By the operator's own name: scaled_dot_product_attention takes no lengths.
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query.reshape(rows * kept, heads // kept, size),
        key.reshape(rows * kept * width, 1, size),
        value.reshape(rows * kept * width, 1, size),
        held.queries,
        held.keys,
        1,
        width,
        0.0,
        False,
        False,
        scale=scale,
        seqused_k=held.tokens,
        **near,
    )[0]
    return out
