"""What is left out because nobody looks at it? The last layer's MLP on tokens that are not asked.

What a token's last MLP says goes into its own final state and nowhere else. A reward is asked at
one token in hundreds, a log-probability at the response's tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_WORTH = 0.75  # of the tokens; if more are asked, picking them out costs more than it saves
_BY_TOKEN = ("down_proj", "c_proj", "dense_4h_to_h")  # last layers of MLPs without experts


@contextmanager
def only(body: Any, index: Tensor) -> Iterator[None]:
    """Inside, the final states [B, N, H] are right at these places of B x N alone.

    The last MLP says zero elsewhere. A model whose last layer is not known computes all.
    """
    mlp = _last_mlp(body)
    if mlp is None:
        yield
        return
    plain, own = mlp.forward, "forward" in mlp.__dict__
    asked = torch.unique(index)

    def forward(x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(asked) > _WORTH * len(rows):
            return plain(x)  # type: ignore[no-any-return]
        found = plain(rows.index_select(0, asked)[None])[0]
        out = found.new_zeros(len(rows), found.shape[-1]).index_copy(0, asked, found)
        return out.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]

    mlp.forward = forward
    try:
        yield
    finally:
        if own:
            mlp.forward = plain
        else:
            del mlp.forward


def _last_mlp(body: Any) -> nn.Module | None:
    layers = getattr(body, "layers", None) or getattr(body, "h", None)
    mlp = getattr(layers[-1], "mlp", None) if layers else None
    if mlp is None or not any(hasattr(mlp, name) for name in _BY_TOKEN):
        return None
    takes = inspect.signature(mlp.forward).parameters
    return mlp if len(takes) == 1 else None  # BLOOM's adds the residual itself
