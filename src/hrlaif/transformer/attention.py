"""By which kernel does a model attend in trees? FlexAttention where asked, packed on a CPU.

Only trees, which stand under a mask of their own: generation and plain batches keep the model's.
Every kernel says the same; one on which a model failed in its trial is not tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from hrlaif.settings import compute
from hrlaif.transformer import flex, packed

_REFUSED: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
logger = logging.getLogger(__name__)


def kernel(body: Any) -> str | None:
    """What trees of this model attend by now; empty for the model's own."""
    config = body.config.get_text_config(decoder=True)
    on_cpu = next(body.parameters()).device.type == "cpu"
    refused = _REFUSED.get(body, set())
    able = getattr(body, "_supports_flex_attn", False) and flex.NAME not in refused
    if compute().attention == "flex" and able and not (on_cpu and torch.is_grad_enabled()):
        return flex.NAME
    plain = not on_cpu or config._attn_implementation != "sdpa" or packed.NAME in refused
    return None if plain else packed.NAME


def refuse(body: Any, name: str, reason: str) -> None:
    """This model does without the kernel from now on; the reason is logged."""
    logger.warning("%s does not attend by %s (%s)", type(body).__name__, name, reason)
    _REFUSED.setdefault(body, set()).add(name)


@contextmanager
def in_trees(body: Any) -> Iterator[str | None]:
    """Inside, the model attends by the kernel for trees, which is given."""
    name = kernel(body)
    if name == packed.NAME:
        packed.register()
    with nullcontext() if name is None else standing_on(body, name):
        yield name


@contextmanager
def standing_on(body: Any, name: str) -> Iterator[None]:
    """Inside, the model attends by the kernel of this name."""
    config = body.config.get_text_config(decoder=True)
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before
