"""How far does one step move the weights? AdamW, its learning rate at each step, and clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from hrlaif.errors import ModelError
from hrlaif.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import nn


ADVICE = (
    "train in float32 (compute.precision) and run the same command, or lower "
    "optimizer.learning_rate, or raise its warmup_steps, and --redo the stage"
)
"""What helps where a number is not finite; a stage goes on only with the rate it began with."""


class Optimizer(Settings):
    """AdamW (arXiv 1711.05101) and the schedule of its learning rate."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Highest learning rate. About 1e-4 to 5e-4 for adapters, 1e-6 to 1e-5 for all weights."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps in which the learning rate rises from near zero to its highest."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up: to zero at the last step, or not at all."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Pull of the weights to zero; never on heads, norms and biases."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """A longer gradient is shortened to this length."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Memory of the gradient's mean and of its square."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the mean square."""


def rate(settings: Optimizer, step: int, total: int) -> float:
    """The learning rate of step 0, 1, ... total - 1: a function of the step, so no state to save.

    Warm-up of w steps: (step + 1) / w. Then with t = (step - w) / (total - w), linear is 1 - t and
    cosine is (1 + cos(pi t)) / 2.
    """
    warmup = min(settings.warmup_steps, total)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    passed = min((step - warmup) / max(total - warmup, 1), 1.0)
    if settings.schedule == "linear":
        return settings.learning_rate * (1 - passed)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))


def build(
    settings: Optimizer,
    modules: Mapping[str, nn.Module],
    *,
    heads: Iterable[str] = (),
    rates: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """A fused AdamW over the trainable parameters of the named modules, in float32.

    `heads` names modules, submodules such as `model.score`, or parameters, without weight decay.
    `rates` multiplies the learning rate of a named module, such as {"value": 10.0}.
    """
    import torch

    from hrlaif.training.masters import round_again, with_master

    heads, groups, trained = tuple(heads), [], []
    for module_name, module in modules.items():
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                path = f"{module_name}.{name}"
                is_head = any(f"{path}.".startswith(f"{head}.") for head in heads)
                trained.append(parameter)
                moved = with_master(parameter)
                (plain if parameter.ndim < 2 or is_head else decayed).append(moved)
        factor = (rates or {}).get(module_name, 1.0)
        groups += [
            {"params": decayed, "weight_decay": settings.weight_decay, "factor": factor},
            {"params": plain, "weight_decay": 0.0, "factor": factor},
        ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ModelError("no parameter is trainable: attach adapters first, or set lora.rank to 0")
    adamw = torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, fused=True
    )
    adamw.register_step_post_hook(lambda *_: round_again(trained))
    return adamw


def heads_of(name: str, model: Any) -> list[str]:
    """The parameters of a language model's head, in a module called `name`, for `build`.

    Where the head is tied to the embedding, that is one of them.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    known = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    return [f"{name}.{path}" for path, p in model.named_parameters() if id(p) in known]


def update(
    adamw: torch.optim.AdamW, settings: Optimizer, *, step: int, total: int
) -> dict[str, float]:
    """Clips the gradients of all groups together, moves the weights, and clears the gradients.

    Returns `grad_norm` (before clipping) and `learning_rate`. Raises ModelError, with the weights
    as they were, when a gradient is not finite.
    """
    import torch

    parameters = [p for group in adamw.param_groups for p in group["params"] if p.grad is not None]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm))
    if not math.isfinite(norm):
        adamw.zero_grad(set_to_none=True)
        raise ModelError(
            f"step {step + 1} of {total}: the gradient is {norm}; the last checkpoint is whole: "
            f"{ADVICE} (optimizer.learning_rate is {settings.learning_rate})"
        )
    learning_rate = rate(settings, step, total)
    for group in adamw.param_groups:
        group["lr"] = learning_rate * group["factor"]
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    return {"grad_norm": norm, "learning_rate": learning_rate}
