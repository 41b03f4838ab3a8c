"""How many parameters has this model? From a list or the heads of its files; nothing is loaded."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from hrlaif.llm.local import Local, Packaged
from hrlaif.llm.vllm import Vllm
from hrlaif.protocols import LanguageModel

_MOST = 100_000_000  # bytes of a head, by the format


def parameters(model: LanguageModel) -> int | None:
    """As its weights hold them, a head that equals the embedding twice where it is written twice.

    None for a model elsewhere, a hub id, an adapter, a .gguf file, and weights packed in integers.
    """
    if isinstance(model, Packaged):
        from hrlaif.llm.packaged import known

        return known(model.name.removeprefix("packaged:")).parameters
    if not isinstance(model, Local | Vllm):
        return None
    place = Path(model.path if isinstance(model, Local) else model.model)
    files = sorted(place.glob("model*.safetensors"))
    try:
        tensors = [tensor for file in files for tensor in _tensors(file)]
    except (OSError, ValueError, struct.error):
        return None
    if not tensors or any(not t["dtype"].startswith(("F", "BF")) for t in tensors):
        return None
    return sum(int(math.prod(tensor["shape"])) for tensor in tensors)


def _tensors(file: Path) -> list[Any]:
    """dtype and shape of each: 8 bytes say how long the JSON is that follows (safetensors)."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        head = json.loads(stream.read(min(length, _MOST)))
    return [tensor for name, tensor in head.items() if name != "__metadata__"]
