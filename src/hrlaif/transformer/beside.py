"""What has training added to a weight? A thin product beside it, which 16 bits cannot hold.

A bfloat16 number is 2^-8 of itself from the next, and an adapter moves most weights by less: the
sum W + U D, rounded, is mostly W again. So a trained folder holds the sum in float32, for any tool,
and U and D in `adapter/`. A model that computes in fewer bits has W alone in its weight, and adds
(x D^T) U^T to what the layer says; one that computes in float32 has the sum.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrlaif.transformer.memory import unmap

FOLDER = "adapter"
"""Beside the weights of a trained folder: the adapter, as PEFT saves one."""
_FILE, _PREFIX = "adapter_model.safetensors", "base_model.model."
_DOWN, _UP = "beside_down", "beside_up"


class Thin(NamedTuple):
    """A matrix U D of low rank, all scaling in U."""

    down: Tensor  # [r, in]
    up: Tensor  # [out, r]


def put(layer: Any, thin: Thin) -> None:
    """Adds a thin product to what a layer computes, beside an earlier one, if there is one."""
    earlier = of(layer)
    _hold(layer, thin if earlier is None else joined(earlier, thin))
    if layer.weight.dtype == torch.float32:
        with torch.no_grad():
            layer.weight.data = layer.weight.data + _full(layer, thin)


def of(layer: Any) -> Thin | None:
    """What was put beside a layer; in float32 its weight holds it too."""
    down, up = getattr(layer, _DOWN, None), getattr(layer, _UP, None)
    return None if down is None or up is None else Thin(down, up)


def apart(layer: Any) -> Thin | None:
    """What stands beside a layer and is not in its weight."""
    return of(layer) if isinstance(getattr(layer, "forward", None), partial) else None


def carry(old: nn.Module, new: nn.Module, dtype: torch.dtype) -> None:
    """What stood beside a layer stands beside the one that takes its place."""
    if (thin := apart(old)) is not None:
        _register(new, Thin(thin.down.to(dtype), thin.up.to(dtype)))
        new.forward = partial(_forward, new, new.forward)


def take_over(model: nn.Module, name: str = "default") -> None:
    """Takes PEFT's adapters out of a model; what the named set computes stands beside the weights.

    Those that are more than a thin product beside a linear layer, or stand on the vocabulary head,
    are left in.
    """
    from peft.tuners.lora import LoraLayer

    head = getattr(model, "get_output_embeddings", lambda: None)()
    for path, layer in list(model.named_modules()):
        if not isinstance(layer, LoraLayer) or not _is_thin(layer, name):
            continue
        base: Any = layer.get_base_layer()
        if base is head or layer is head:
            continue
        if name in layer.lora_A:
            up = layer.lora_B[name].weight.detach() * layer.scaling[name]
            put(base, Thin(layer.lora_A[name].weight.detach(), up))
        parent, _, last = path.rpartition(".")
        setattr(model.get_submodule(parent), last, base)


def _is_thin(layer: Any, name: str) -> bool:
    linear = isinstance(layer.get_base_layer(), nn.Linear) or _is_conv(layer.get_base_layer())
    return linear and not layer.lora_variant and not layer.lora_bias.get(name)


def save(model: Any, folder: Path) -> None:
    """The model as any tool loads it, sums in float32, and its adapter; both into `folder`.

    Its config.json says float32 where there are sums; what no adapter moved keeps its dtype in the
    file. The model is not one to compute with afterwards.
    """
    thins, base = {}, model.config._name_or_path
    for path, layer in _layers(model):
        thins[path] = thin = Thin(*(part.float().cpu().contiguous() for part in _of(layer)))
        base = None if layer.weight.requires_grad else base
        if apart(layer) is not None:
            whole = layer.weight.detach().float().cpu() + _full(layer, thin)
            layer.weight = nn.Parameter(whole, requires_grad=False)
    model.save_pretrained(folder)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    if thins:
        model.config.dtype = torch.float32  # it was said to be that of the first weights
        model.config.save_pretrained(folder)
        _write(folder / FOLDER, thins, base, turned=any(_is_conv(p) for _, p in _layers(model)))


def read(loader: Any, where: str, dtype: torch.dtype | str, **how: Any) -> Any:
    """What transformers' `loader` makes of a folder or hub id, computing in `dtype`.

    A folder that `save` wrote computes in fewer bits what the saved model computed. `auto` is the
    dtype of the files; for such a folder bfloat16.
    """
    if not (Path(where) / FOLDER / _FILE).is_file():
        return loader.from_pretrained(where, dtype=dtype, **how)
    model = loader.from_pretrained(where, dtype=torch.float32, **how)
    _restore(model, Path(where) / FOLDER, torch.bfloat16 if isinstance(dtype, str) else dtype)
    return model


def _restore(model: Any, folder: Path, dtype: torch.dtype) -> None:
    for path, thin in _read(folder).items():
        layer: Any = model.get_submodule(path)
        if dtype != torch.float32:
            weight = layer.weight.detach()
            layer.weight = nn.Parameter((weight - _full(layer, thin)).to(dtype))
            unmap(weight)
        _hold(layer, thin)
    for name, parameter in model.named_parameters():
        if parameter.dtype == torch.float32 and not _stays(model, name):
            parameter.data = parameter.data.to(dtype)
    model.config.dtype = dtype
    model.config._name_or_path = _origin(folder) or model.config._name_or_path


def _stays(model: Any, name: str) -> bool:
    """Whether a family keeps this parameter in float32 whatever the others are in."""
    kept = getattr(model, "_keep_in_fp32_modules_strict", None) or ()
    return any(part in name for part in kept)


def _layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, layer in model.named_modules():
        if of(layer) is not None:
            yield path, layer


def _of(layer: Any) -> Thin:
    thin = of(layer)
    assert thin is not None
    return thin


def _hold(layer: Any, thin: Thin) -> None:
    """Puts the parts in force, in the weight's dtype; only fewer bits than 32 need the product."""
    weight = layer.weight
    first = of(layer) is None
    _register(layer, Thin(*(part.to(weight.device, weight.dtype) for part in thin)))
    if first and weight.dtype != torch.float32:
        layer.forward = partial(_forward, layer, layer.forward)


def _register(layer: nn.Module, thin: Thin) -> None:
    layer.register_buffer(_DOWN, thin.down.contiguous(), persistent=False)
    layer.register_buffer(_UP, thin.up.contiguous(), persistent=False)


def joined(one: Thin, other: Thin) -> Thin:
    """The sum of two thin products as one, in the first one's dtype."""
    down = torch.cat([one.down, other.down.to(one.down)])
    return Thin(down, torch.cat([one.up, other.up.to(one.up)], dim=1))


def _full(layer: Any, thin: Thin) -> Tensor:
    """U D as the layer's weight lies, in float32."""
    full = thin.up.float() @ thin.down.float()
    return full.t() if _is_conv(layer) else full


def _is_conv(layer: object) -> bool:
    return type(layer).__name__ == "Conv1D"  # GPT-2 stores linear weights transposed


def _forward(layer: Any, plain: Any, x: Tensor) -> Tensor:
    out: Tensor = plain(x)
    down, up = layer.beside_down, layer.beside_up
    inner = x.reshape(-1, x.shape[-1]).to(down.dtype) @ down.t()
    return out.reshape(-1, out.shape[-1]).addmm_(inner, up.t()).view(out.shape)


def _write(folder: Path, thins: Mapping[str, Thin], base: str | None, *, turned: bool) -> None:
    import peft
    from safetensors.torch import save_file

    tensors, ranks = {}, {}
    for path, (down, up) in thins.items():
        tensors[f"{_PREFIX}{path}.lora_A.weight"] = down
        tensors[f"{_PREFIX}{path}.lora_B.weight"] = up
        ranks[path] = len(down)
    largest = max(ranks.values())
    fewer = {path: rank for path, rank in ranks.items() if rank != largest}
    config = peft.LoraConfig(
        base_model_name_or_path=base,
        r=largest,
        lora_alpha=largest,  # all scaling is in B
        rank_pattern=fewer,
        alpha_pattern=dict(fewer),
        target_modules=list(ranks),
        fan_in_fan_out=turned,
        inference_mode=True,
    )
    folder.mkdir()
    save_file(tensors, folder / _FILE)
    config.save_pretrained(str(folder))


def _read(folder: Path) -> dict[str, Thin]:
    from safetensors.torch import load_file

    parts = load_file(folder / _FILE)
    paths = [name.removesuffix(".lora_A.weight") for name in parts if ".lora_A." in name]
    return {
        path.removeprefix(_PREFIX): Thin(
            parts[f"{path}.lora_A.weight"], parts[f"{path}.lora_B.weight"]
        )
        for path in paths
    }


def _origin(folder: Path) -> str | None:
    """The model whose weights stand apart from the adapter."""
    file = folder / "adapter_config.json"
    base = json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"]
    return str(base) if base else None
