"""What is this machine, and how fast are its matrix products and its memory?"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Device, cores, versions, GFLOP/s of matrix products, GB/s of reading memory."""
    import torch
    import transformers

    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in facts if "model name" in line), "")
    flags = next((line for line in facts if line.startswith("flags")), "")
    known = ("avx512_vnni", "avx512_bf16", "amx_bf16")
    return {
        "device": _gpu() or model or platform.processor(),
        "cores": os.cpu_count(),
        "instructions": [name for name in known if name in flags.split()],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gflops": {kind: _gflops(getattr(torch, kind)) for kind in ("float32", "bfloat16")},
        "read_gb_per_second": _bandwidth(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _gflops(dtype: Any) -> float:
    import torch

    size = 8192 if _gpu() else 2048
    a = torch.rand(size, size, dtype=dtype, device=_device())
    seconds = min(_seconds(lambda: a @ a) for _ in range(8))
    return round(2 * size**3 / seconds / 1e9, 1)


def _bandwidth() -> float:
    import torch

    a = torch.ones(2**29 if _gpu() else 2**27, device=_device())
    return round(a.nbytes / min(_seconds(a.sum) for _ in range(5)) / 1e9, 1)


def _device() -> str:
    return "cuda" if _gpu() else "cpu"


def _seconds(work: Callable[[], Any]) -> float:
    import torch

    wait = torch.cuda.synchronize if _gpu() else lambda: None
    wait()
    begun = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - begun
