"""Where was training when it stopped? `step_000120/`, with all that the next batch depends on.

A folder is written beside its place, fsynced and renamed, so a `step_` folder is always complete.
Tensors are safetensors and the rest is JSON: nothing in it is ever unpickled.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from hrlaif.errors import DataError
from hrlaif.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_STEP = re.compile(r"step_(\d{6,})")


class Checkpoints(Settings):
    """How often training is saved."""

    every: int = Field(default=50, ge=1)
    """Save after this many steps; the last step is always saved."""
    keep: int = Field(default=1, ge=1)
    """How many of the newest saved steps stay on disk."""


@dataclass(frozen=True)
class Trainee:
    """All that changes while training, by name."""

    modules: Mapping[str, nn.Module]
    """Only parameters that require a gradient are saved; the others are the base model's."""
    optimizer: torch.optim.AdamW

    def trainable(self) -> dict[str, nn.Parameter]:
        """The trained parameters as `module/parameter`."""
        return {
            f"{name}/{path}": parameter
            for name, module in self.modules.items()
            for path, parameter in module.named_parameters()
            if parameter.requires_grad
        }


def path_of(folder: Path, step: int) -> Path:
    """`folder/step_000120` after 120 steps."""
    return folder / f"step_{step:06d}"


def steps_in(folder: Path) -> list[int]:
    """The steps saved in a folder, ascending."""
    names = (_STEP.fullmatch(path.name) for path in folder.glob("step_*"))
    return sorted(int(name[1]) for name in names if name)


def newest(folder: Path) -> Path | None:
    """The complete checkpoint with the most steps, if there is one."""
    found = steps_in(folder)
    return path_of(folder, found[-1]) if found else None


def save(
    folder: Path,
    step: int,
    trainee: Trainee,
    *,
    extra: Mapping[str, Any] | None = None,
    keep: int = 1,
    pinned: Iterable[int] = (),
) -> Path:
    """Saves the state after `step` steps; `extra` (JSON-able) comes back from `restore`.

    Older checkpoints beyond the newest `keep` are deleted, except the `pinned` steps.
    """
    from safetensors.torch import save_file

    from hrlaif.training.masters import master_of

    final = path_of(folder, step)
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {k: master_of(v).detach().contiguous() for k, v in trainee.trainable().items()}
    moments, groups = _optimizer_parts(trainee.optimizer)
    streams, states = _streams()
    save_file(weights, partial / "weights.safetensors")
    save_file(moments, partial / "optimizer.safetensors")
    save_file(streams, partial / "streams.safetensors")
    state = {"step": step, "groups": groups, "streams": states, "extra": dict(extra or {})}
    (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for path in partial.iterdir():
        _sync(path)
    _sync(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(folder)
    _forget(folder, keep, {step, *pinned})
    return final


def restore(path: Path, trainee: Trainee) -> dict[str, Any]:
    """Puts a checkpoint's weights, moments and random streams in force; returns `extra` and `step`.

    Raises DataError when it was made by another model or another set of trained weights.
    """
    from safetensors.torch import load_file

    from hrlaif.training.masters import set_weights

    state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    weights = load_file(path / "weights.safetensors")
    parameters = trainee.trainable()
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    if shapes != {name: tuple(w.shape) for name, w in weights.items()}:
        raise DataError(
            f"{path} holds other weights than the ones trained now: delete its folder to start "
            "anew, or go back to the settings that it was begun with"
        )
    for name, parameter in parameters.items():
        set_weights(parameter, weights[name])
    _restore_optimizer(trainee, load_file(path / "optimizer.safetensors"), state["groups"])
    _restore_streams(load_file(path / "streams.safetensors"), state["streams"])
    return {**state["extra"], "step": state["step"]}


def _optimizer_parts(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[Any]]:
    state = optimizer.state_dict()
    tensors = {
        f"{index}/{name}": tensor.detach().contiguous()
        for index, moments in state["state"].items()
        for name, tensor in moments.items()
    }
    return tensors, state["param_groups"]


def _restore_optimizer(trainee: Trainee, moments: dict[str, Tensor], groups: list[Any]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in moments.items():
        index, _, name = path.partition("/")
        state.setdefault(int(index), {})[name] = tensor
    trainee.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _streams() -> tuple[dict[str, Tensor], dict[str, Any]]:
    import torch

    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        for index, device_state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda/{index}"] = device_state.cpu()
    algorithm, keys, *rest = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    states: dict[str, Any] = {
        "numpy": [algorithm, np.asarray(keys).tolist(), *rest],
        "python": [version, list(internal), gauss],
    }
    return tensors, states


def _restore_streams(tensors: dict[str, Tensor], states: dict[str, Any]) -> None:
    import torch

    torch.set_rng_state(tensors["torch"])
    if torch.cuda.is_available():
        saved = sum(name.startswith("cuda/") for name in tensors)
        for index in range(min(saved, torch.cuda.device_count())):
            torch.cuda.set_rng_state(tensors[f"cuda/{index}"], index)
    algorithm, keys, *rest = states["numpy"]
    np.random.set_state((algorithm, np.asarray(keys, dtype=np.uint32), *rest))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def _forget(folder: Path, keep: int, spared: set[int]) -> None:
    for step in steps_in(folder)[:-keep]:
        if step not in spared:
            # Renamed first: a deletion that is cut short must not look like a checkpoint.
            doomed = path_of(folder, step)
            doomed = doomed.rename(doomed.with_name(doomed.name + ".partial"))
            shutil.rmtree(doomed)
    for torn in folder.glob("step_*.partial"):
        shutil.rmtree(torn)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
