"""Which weights does a step move? Of those that compute in 16 bits, a copy in float32.

A step of 1e-6 is far below the spacing of 16-bit weights: added to them, it would be rounded away.
So the optimizer moves float32 copies, in which gradients and moments are summed too, and the model
computes with these rounded (mixed precision training, arXiv 1710.03740, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

_NAME = "_hrlaif_master"


def master_of(parameter: nn.Parameter) -> nn.Parameter:
    """The float32 weights behind a parameter, which hold its gradient; itself where it has none."""
    found: nn.Parameter = getattr(parameter, _NAME, parameter)
    return found


def with_master(parameter: nn.Parameter) -> nn.Parameter:
    """What the optimizer moves for a parameter: itself, or from now on its float32 copy."""
    if parameter.dtype == torch.float32 or hasattr(parameter, _NAME):
        return master_of(parameter)
    master = nn.Parameter(parameter.detach().float())
    setattr(parameter, _NAME, master)
    parameter.register_post_accumulate_grad_hook(_hand_over)  # type: ignore[no-untyped-call]
    return master


@torch.no_grad()
def set_weights(parameter: nn.Parameter, weights: torch.Tensor) -> None:
    """Puts weights in force, in float32 too where the parameter has a copy."""
    master_of(parameter).copy_(weights)
    parameter.copy_(weights)


@torch.no_grad()
def round_again(parameters: Iterable[nn.Parameter]) -> None:
    """After a step: what the model computes with is its float32 copy once more."""
    for parameter in parameters:
        if (master := master_of(parameter)) is not parameter:
            parameter.copy_(master)


def _hand_over(parameter: torch.Tensor) -> None:
    assert isinstance(parameter, nn.Parameter)
    assert parameter.grad is not None
    master, grad = master_of(parameter), parameter.grad.float()
    parameter.grad = None
    master.grad = grad if master.grad is None else master.grad.add_(grad)
