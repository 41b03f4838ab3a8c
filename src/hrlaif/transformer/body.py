"""Where in a transformers model are the decoder, its head, and what is done to the logits?"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.errors import ModelError


class Squash(NamedTuple):
    """What a model does to its logits after the head, before any temperature."""

    scale: float = 1.0
    softcap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Float32 logits as the model defines them."""
        logits = logits.float() * self.scale if self.scale != 1.0 else logits.float()
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def unwrapped(model: nn.Module) -> Any:
    """The transformers model inside a PEFT wrapper; its adapters stay active in the layers."""
    inner = getattr(model, "get_base_model", None)
    return inner() if inner is not None else model


def body_of(model: nn.Module) -> Any:
    """The decoder without a head: from token ids to hidden states after the final norm."""
    return unwrapped(model).base_model


def head_of(model: nn.Module) -> nn.Module:
    """The layer from hidden states to the vocabulary; raises ModelError where there is none."""
    head = unwrapped(model).get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise ModelError(
            f"{type(unwrapped(model)).__name__} has no language-model head: "
            "log-probabilities need a model that AutoModelForCausalLM loads"
        )
    return head


def text_config(model: nn.Module) -> Any:
    """The configuration of the text decoder, also in a model of several modalities."""
    return unwrapped(model).config.get_text_config(decoder=True)


def squash_of(model: nn.Module) -> Squash:
    """Softcapping, and logit scales, by the names that the families give them."""
    config = text_config(model)

    def named(*names: str) -> float | None:
        return next((v for name in names if (v := getattr(config, name, None))), None)

    scale = float(named("logit_scale", "lm_head_multiplier") or 1.0)  # Cohere, Falcon-H1
    factor = float(named("logits_scaling") or 1.0)
    # HyperCLOVA X multiplies by what Granite divides by.
    scale *= factor if config.model_type.startswith("hyperclovax") else 1 / factor
    caps = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
    return Squash(scale, named(*caps))  # Gemma, RecurrentGemma, xLSTM


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def accepts(body: nn.Module, name: str) -> bool:
    """Whether the decoder's forward pass takes an argument of this name."""
    return name in inspect.signature(body.forward).parameters


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No gradients and no dropout inside; each module's own mode is put back afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
