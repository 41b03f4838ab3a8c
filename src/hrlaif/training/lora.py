"""Which weights are trained: small adapters beside the frozen ones, or all of them?

Adapters are put into the model in place, so a model with adapters is still the ordinary
transformers model: every forward function works on it, with the adapters on or `without` them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hrlaif.errors import UsageError
from hrlaif.progress import say
from hrlaif.settings import Settings

if TYPE_CHECKING:
    from torch import nn


_MANY = 0.1  # of the weights; convolutions of a few taps are stacked too


class Lora(Settings):
    """Low-rank adapters (arXiv 2106.09685): W + (alpha / rank) B A, with only A and B trained."""

    rank: int = Field(default=16, ge=0)
    """Width of the adapters; 0 trains all weights of the model instead."""
    alpha: float = Field(default=32.0, gt=0)
    """Strength: the adapters' output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters' inputs set to zero while training; keep 0 for RL."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get an adapter; `all-linear` is each but the output head."""


def attach(model: nn.Module, lora: Lora | None, *, name: str = "default") -> list[nn.Parameter]:
    """Freezes `model`, puts float32 adapters into it, and returns the parameters to train.

    Without adapters (None, or rank 0) every parameter is trained. B starts at zero, so the model
    with new adapters gives exactly the outputs that it gave before. Called again with another name,
    it adds a second set beside the first, which stays the active one, on the same frozen weights.
    Says which share of the weights has adapters where experts, which can have none, are many.
    """
    if lora is None or lora.rank == 0:
        model.requires_grad_(True)
        return list(model.parameters())
    import peft

    from hrlaif.training.fused import fuse

    others = {path: part.requires_grad for path, part in model.named_parameters()}
    targets = _targets(model, lora)
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=any(type(part).__name__ == "Conv1D" for part in model.modules()),
    )
    before = {id(layer): layer._active_adapter for _, layer in adapted_layers(model)}
    peft.inject_adapter_in_model(config, model, adapter_name=name)
    del model.peft_config  # the layers hold all; with it, peft warns of every further set
    for _, layer in adapted_layers(model):
        layer._active_adapter = before.get(id(layer), [name])
        fuse(layer)
    added = []
    for path, parameter in model.named_parameters():
        if f".lora_A.{name}." in path or f".lora_B.{name}." in path:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
            added.append(parameter)
        else:
            # A second adapter must not freeze the first; the model's own weights are frozen.
            parameter.requires_grad_(bool(before) and others.get(path, False))
    if not before:
        _tell_share(model)
    return added


def _tell_share(model: nn.Module) -> None:
    from torch import nn

    adapted = sum(layer.get_base_layer().weight.numel() for _, layer in adapted_layers(model))
    embedded = {
        id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)
    }  # and the head that is tied to them
    plain = [p for n, p in model.named_parameters() if ".lora_" not in n and id(p) not in embedded]
    whole = sum(p.numel() for p in plain)
    stacked = sum(p.numel() for p in plain if p.ndim > 2)
    if stacked > _MANY * whole:
        say(
            f"  adapters stand on {adapted / whole:.0%} of the weights, embeddings aside: "
            f"{stacked / whole:.0%} are stacked, as experts are, and stay as they are; lora: null "
            "trains all weights"
        )


def _targets(model: nn.Module, lora: Lora) -> list[str]:
    """Last names of the layers to adapt, so that a second adapter finds the same ones."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    layers = [name for name, part in _linear(model) if part is not head]
    names = sorted({name.rpartition(".")[2] for name in layers})
    if lora.targets == "all-linear":
        return names
    wanted = [lora.targets] if isinstance(lora.targets, str) else list(lora.targets)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise UsageError(
            f"lora.targets: the model has no layer called {', '.join(unknown)}; "
            f"use all-linear, or some of {', '.join(names)}"
        )
    return wanted


def _linear(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Linear layers by name; one that has adapters counts once, under its own name."""
    from torch import nn

    adapted = [name for name, _ in adapted_layers(model)]
    yield from adapted_layers(model)
    for name, part in model.named_modules():
        linear = isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"
        if linear and not any(name.startswith(f"{layer}.") for layer in adapted):
            yield name, part


def adapted_layers(model: nn.Module) -> list[tuple[str, Any]]:
    """The layers that have adapters, by name."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [
        (name, part) for name, part in model.named_modules() if isinstance(part, BaseTunerLayer)
    ]


def has_adapters(model: nn.Module) -> bool:
    """True when `attach` put adapters into this model and they are still there."""
    return bool(adapted_layers(model))


@contextmanager
def without(model: nn.Module) -> Iterator[nn.Module]:
    """Inside the block the model is the one it was before `attach`: the reference policy for KL."""
    layers = adapted_layers(model)
    if not layers:
        raise UsageError("the model has no adapters to leave out: load the reference beside it")
    for _, layer in layers:
        layer._disable_adapters = True
    try:
        yield model
    finally:
        for _, layer in layers:
            layer._disable_adapters = False


@contextmanager
def active(model: nn.Module, name: str) -> Iterator[nn.Module]:
    """Inside the block the model runs with this set of adapters only."""
    layers = [layer for _, layer in adapted_layers(model)]
    before = [layer._active_adapter for layer in layers]
    for layer in layers:
        # peft's set_adapter would also freeze the other set.
        layer._active_adapter = [name]
    try:
        yield model
    finally:
        for layer, names in zip(layers, before, strict=True):
            layer._active_adapter = names


def settle(model: nn.Module, *, name: str = "default") -> nn.Module:
    """Takes the adapters out; what one set of them learned stands beside the weights (`beside.py`).

    The plain model then computes what it computed with that set, and nothing of it is rounded.
    """
    from hrlaif.transformer import beside

    beside.take_over(model, name)
    return model


def merge_and_save(model: Any, tokenizer: Any, folder: Path) -> None:
    """An ordinary transformers folder (safetensors, tokenizer), adapters merged into its weights.

    Saved as `beside.save` says: weights with their sums in float32, and the adapter in `adapter/`;
    without adapters in the dtype that the model has in memory. What is saved is what was trained;
    KL references and reports must load this folder, not keep the model that made it. Where the
    model writes, its generation_config.json names all tokens that end a text, so that other tools
    stop where it learned to.
    """
    from hrlaif.llm.chat import end_ids
    from hrlaif.transformer import beside

    if getattr(model, "generation_config", None) is not None:
        ends = sorted(end_ids(model, tokenizer))
        model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    folder.mkdir(parents=True, exist_ok=True)
    beside.save(settle(model), folder)
    tokenizer.save_pretrained(folder)
