"""By which command, with which libraries, and on which machine was something made?"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

_LIBRARIES = ("hrlaif", "torch", "transformers", "peft", "numpy", "pydantic")


def command() -> str:
    """What was typed, so that every figure stands beside its command."""
    return shlex.join(["hrlaif", *sys.argv[1:]])


def install(extra: str) -> str:
    """The command that adds an extra of this package to the Python that runs, as one line.

    It installs from where this package came: the clone, or what pip has noted.
    """
    python = shlex.join([sys.executable, "-m"])
    # Not importlib.util.find_spec: setuptools takes that for pip itself, and hides its distutils.
    first = "" if importlib.machinery.PathFinder.find_spec("pip") else f"{python} ensurepip && "
    return f"{first}{python} pip install {shlex.join(_source(extra))}"


def _source(extra: str) -> list[str]:
    clone = Path(__file__).resolve().parents[2]
    if (clone / "pyproject.toml").is_file():
        return ["-e", f"{clone}[{extra}]"]
    try:
        noted = importlib.metadata.distribution("hrlaif").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        noted = None
    found = json.loads(noted or "{}")
    tool = found.get("vcs_info", {}).get("vcs")
    url = "".join([f"{tool}+" if tool else "", found.get("url", "")])
    return [f"hrlaif[{extra}] @ {url}" if url else f"hrlaif[{extra}]"]


def circumstances() -> dict[str, Any]:
    """What every figure stands beside."""
    return {"command": command(), "versions": versions(), "hardware": hardware()}


def versions() -> dict[str, str]:
    """Of Python and the libraries that decide results."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores and memory; GPUs where they are in use."""
    facts: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
        models = [
            line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line
        ]
        facts["processor"] = models[0] if models else platform.processor()
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        facts["memory_gib"] = round(pages / 2**30, 1)
    except (OSError, ValueError):
        facts["processor"] = platform.processor()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        count = torch.cuda.device_count()
        facts["gpus"] = [torch.cuda.get_device_name(index) for index in range(count)]
    return facts
