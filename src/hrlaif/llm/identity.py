"""Which weights answered? What changes when they do, so that an answer is found for these alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def stamps(place: Path) -> list[Any]:
    """Of a file or a folder: names, sizes and times."""
    if place.is_file():
        return [str(place), place.stat().st_size, place.stat().st_mtime_ns]
    files = sorted(f for f in place.iterdir() if f.is_file())
    found = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    return [str(place.resolve()), *found]


def model_identity(path: str, load: Callable[[], object]) -> list[Any]:
    """Of a local model: its stamps and those of an adapter's base, or the hub's commit."""
    from hrlaif.transformer.load import base_of_adapter

    place = Path(path)
    if place.exists():
        base = base_of_adapter(place) if place.is_dir() else None
        return [*stamps(place), *(model_identity(base, load) if base else [])]
    load()  # a hub id: its commit is known once it is in the cache
    from huggingface_hub import try_to_load_from_cache

    return [path, str(try_to_load_from_cache(path, "config.json"))]
