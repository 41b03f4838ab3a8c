"""Are a family's logits what its head says of the last states? Tried once, when it is loaded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hrlaif.errors import ModelError
from hrlaif.transformer.body import (
    body_of,
    device_of,
    evaluating,
    head_of,
    squash_of,
    text_config,
    unwrapped,
)
from hrlaif.transformer.head import next_logits

_SAME, _SAME_IN_16_BITS = 1e-3, 0.02  # of the norm of logits


def check_logits(model: Any) -> None:
    """Raises ModelError unless the head on the last states gives the logits that the model gives.

    One forward pass of 8 tokens. A family may do more on the way than is known here, and all
    log-probabilities would be wrong without a sign of it.
    """
    seen: list[Tensor] = []
    hook = body_of(model).register_forward_hook(
        lambda module, inputs, out: seen.append(out.last_hidden_state)
    )
    tokens = torch.arange(1, 9, device=device_of(model))[None] % text_config(model).vocab_size
    try:
        with evaluating(model):
            wanted = model(input_ids=tokens).logits[0].float()
            found = next_logits(head_of(model), seen[0][0], squash_of(model))
    finally:
        hook.remove()
    off = float((found - wanted).norm() / wanted.norm().clamp_min(1e-9))
    if not off < (_SAME if model.dtype == torch.float32 else _SAME_IN_16_BITS):
        raise ModelError(
            f"{type(unwrapped(model)).__name__} does more to its logits than its head and what is "
            f"known here ({off:.2g} of their norm): log-probabilities would be wrong; take a model "
            "of another family, or serve this one and name it remote:MODEL"
        )
