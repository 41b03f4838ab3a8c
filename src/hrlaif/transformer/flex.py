"""How does a GPU skip what a tree's mask hides? FlexAttention, a block of 128 x 128 at a time.

A tree of N tokens has about N^2 / 2 pairs that a causal kernel computes, of which only those on one
path are seen: the samples of a prompt do not see each other. The mask is the one that SDPA gets, so
both ways say the same. On a CPU it has no backward pass, so there it answers and does not train.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from hrlaif.settings import compute

_NAME = "flex_attention"
_REFUSED: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def wanted(body: Any) -> bool:
    """Whether it was asked for, and this model can: where it failed once it is not tried again."""
    able = getattr(body, "_supports_flex_attn", False) and body not in _REFUSED
    trains = torch.is_grad_enabled() and next(body.parameters()).device.type == "cpu"
    return compute().attention == "flex" and able and not trains


def refuse(body: Any, reason: str) -> None:
    """This model computes its trees by SDPA from now on; the reason is logged."""
    logger.warning("%s attends by SDPA, not by FlexAttention (%s)", type(body).__name__, reason)
    _REFUSED[body] = reason


@contextmanager
def in_force(body: Any) -> Iterator[None]:
    """Inside, the model attends by FlexAttention; generation and plain batches keep their own."""
    config = body.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def is_in_force(config: Any) -> bool:
    """Whether a text configuration stands on FlexAttention now."""
    return bool(config._attn_implementation == _NAME)


def block_mask(mask: Tensor) -> Any:
    """The blocks of a mask [B, 1, Q, K] in which anything is seen, for the kernel to visit."""
    from torch.nn.attention.flex_attention import create_block_mask

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask[row, 0, query, key]

    rows, _, queries, keys = mask.shape
    return create_block_mask(seen, rows, None, queries, keys, device=str(mask.device))
