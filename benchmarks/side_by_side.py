"""Two ways to do the same work, in turn, each in a process of its own: equal results, then speed.

A benchmark is a script with `arms`: functions that prepare the work and return it as a function.
`main` runs every arm `--repeats` times, interleaved A B A B, checks that all arms say the same, and
prints medians, ratios to ours and peak memory; `--json` for machines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

OURS = "ours"


class Work(NamedTuple):
    """What one arm does, and how much of it that is."""

    run: Callable[[], Sequence[float]]
    """Does the work and returns numbers that must be the same in every arm."""
    units: int
    """Pairs, scores or tokens in one run."""


Arm = Callable[[argparse.Namespace], Work]


class Benchmark(NamedTuple):
    """One line of the table."""

    name: str
    unit: str
    arms: Mapping[str, Arm]
    """`ours` first."""
    tolerance: float
    """Largest difference between the numbers of two arms."""
    sizes: Mapping[str, int]
    """Options of the script and their defaults."""


def main(benchmark: Benchmark, script: str) -> None:
    """The command line of a benchmark script."""
    parser = argparse.ArgumentParser(description=benchmark.name)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arm", choices=benchmark.arms, help=argparse.SUPPRESS)
    for name, default in benchmark.sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(_measured(benchmark.arms[given.arm](given))))
        return
    options = [f"--{name}={getattr(given, name)}" for name in benchmark.sizes]
    rounds: dict[str, list[dict[str, Any]]] = {arm: [] for arm in benchmark.arms}
    for number in range(given.repeats):
        for arm in benchmark.arms:
            print(f"{benchmark.name}: {arm}, run {number + 1}", file=sys.stderr)
            rounds[arm].append(_in_own_process(script, [f"--arm={arm}", *options]))
    difference = _difference(rounds)
    if difference > benchmark.tolerance:
        sys.exit(f"the arms differ by {difference:.2g}, more than {benchmark.tolerance:.2g}")
    result = {
        "benchmark": benchmark.name,
        "unit": f"{benchmark.unit} a second",
        "sizes": {name: getattr(given, name) for name in benchmark.sizes},
        "largest_difference": difference,
        "arms": _summary(rounds),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2) if given.json else _table(result))


def _measured(work: Work) -> dict[str, Any]:
    work.run()  # the first run fills caches
    begun = time.perf_counter()
    numbers = [float(number) for number in work.run()]
    seconds = time.perf_counter() - begun
    return {"rate": work.units / seconds, "numbers": numbers, "peak_gib": _peak_gib()}


def _in_own_process(script: str, arguments: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _difference(rounds: Mapping[str, list[dict[str, Any]]]) -> float:
    first = rounds[OURS][0]["numbers"]
    others = [run["numbers"] for runs in rounds.values() for run in runs]
    return max(abs(a - b) for numbers in others for a, b in zip(numbers, first, strict=True))


def _summary(rounds: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found = {}
    for arm, runs in rounds.items():
        rates = [run["rate"] for run in runs]
        pairs = zip(rounds[OURS], runs, strict=True)
        found[arm] = {
            "median": statistics.median(rates),
            "least": min(rates),
            "most": max(rates),
            "ours_is_times": statistics.median(a["rate"] / b["rate"] for a, b in pairs),
            "peak_gib": max(run["peak_gib"] for run in runs),
        }
    return found


def _peak_gib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 2**20, 2)
    return float("nan")


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and the speed of its matrix products and memory."""
    import torch
    import transformers

    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in facts if "model name" in line), "")
    flags = next((line for line in facts if line.startswith("flags")), "")
    known = ("avx512_vnni", "avx512_bf16", "amx_bf16")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "instructions": [name for name in known if name in flags.split()],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gflops": {kind: _gflops(getattr(torch, kind)) for kind in ("float32", "bfloat16")},
        "read_gb_per_second": _bandwidth(),
    }


def _gflops(dtype: Any) -> float:
    import torch

    a = torch.ones(2048, 2048, dtype=dtype)
    seconds = min(_seconds(lambda: a @ a) for _ in range(8))
    return round(2 * 2048**3 / seconds / 1e9, 1)


def _bandwidth() -> float:
    import torch

    a = torch.ones(2**27)
    return round(a.nbytes / min(_seconds(a.sum) for _ in range(5)) / 1e9, 1)


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _table(result: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{name} {value}" for name, value in result["sizes"].items())
    lines = [f"{result['benchmark']} ({sizes}), {result['unit']}"]
    for arm, found in result["arms"].items():
        spread = f"({found['least']:.3g} to {found['most']:.3g})"
        times = "" if arm == OURS else f"  ours is {found['ours_is_times']:.2f} times as quick"
        memory = f"{found['peak_gib']:.2f} GiB"
        lines.append(f"  {arm:20} {found['median']:8.3g} {spread:20} {memory}{times}")
    lines.append(f"  largest difference {result['largest_difference']:.2g}")
    about = result["machine"]
    lines.append(
        f"  {about['processor']}, {about['cores']} cores, {' '.join(about['instructions'])}; "
        f"{about['gflops']['float32']} GFLOP/s in float32, {about['gflops']['bfloat16']} in "
        f"bfloat16, {about['read_gb_per_second']} GB/s; torch {about['torch']}, "
        f"transformers {about['transformers']}"
    )
    return "\n".join(lines)
