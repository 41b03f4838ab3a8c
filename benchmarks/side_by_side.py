"""Which of several ways to do the same work is quicker? Equal results first, then speed.

A benchmark is a script with `arms`: functions that do the work and say how fast it was and what
came out, each in a process of its own. `main` first runs every arm once in float32 (`given.exact`)
on a little work and checks that all say the same. Then it picks the best of a peer's settings, runs
every arm `--repeats` times, interleaved A B A B, and prints medians, ratios to ours and peak
memory; `--json` for machines. With `--keep FILE` the same command goes on after any stop. On a GPU
all arms run in one process: what a process takes to start would be most of the time.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from machine import machine

OURS = "ours"


class Result(NamedTuple):
    """What one arm found, and how fast."""

    rate: float
    """Units a second."""
    numbers: Sequence[float]
    """Must be the same in every arm when `given.exact`."""
    phases: Mapping[str, float] = {}
    """Seconds of each part of the work, where an arm tells them apart."""


Arm = Callable[[argparse.Namespace], Result]


class Benchmark(NamedTuple):
    """One line of the table."""

    name: str
    unit: str
    arms: Mapping[str, Arm]
    """`ours` first."""
    sizes: Mapping[str, int]
    """Options of the script and their defaults."""
    exact: Mapping[str, int]
    """Smaller sizes for the comparison in float32."""
    tolerance: float
    """Largest difference there between the numbers of two arms."""
    sweeps: Mapping[str, Sequence[Mapping[str, Any]]] = {}
    """Settings of an arm, as `given.options`, of which the quickest is used."""
    loose: Mapping[str, float] = {}
    """Larger tolerances, of arms that cannot compute in float32."""


def timed(work: Callable[[], Sequence[float]], units: float) -> Result:
    """Does the work twice and times the second: the first fills caches."""
    work()
    begun = time.perf_counter()
    numbers = work()
    return Result(units / (time.perf_counter() - begun), numbers)


def main(benchmark: Benchmark, script: str) -> None:
    """The command line of a benchmark script."""
    parser = argparse.ArgumentParser(description=benchmark.name)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(benchmark.arms), choices=benchmark.arms)
    parser.add_argument("--keep", type=Path, help="runs are kept here, and not run again from here")
    parser.add_argument("--arm", choices=benchmark.arms, help=argparse.SUPPRESS)
    parser.add_argument("--exact", action="store_true", help=argparse.SUPPRESS)
    told = "a peer's settings, instead of the best of a sweep"
    parser.add_argument("--options", type=json.loads, default={}, help=told)
    for name, default in benchmark.sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(_measured(benchmark.arms[given.arm], given)))
        return

    def here(arguments: list[str]) -> dict[str, Any]:
        told = parser.parse_args(arguments)
        return _measured(benchmark.arms[told.arm], told)

    run = Runs(script, given.keep, here if torch.cuda.is_available() else None)
    arms = [arm for arm in benchmark.arms if arm in given.only]
    sizes = {name: getattr(given, name) for name in benchmark.sizes}
    small = [f"--{name}={size}" for name, size in {**sizes, **benchmark.exact}.items()]
    numbers = {arm: run(arm, [*small, "--exact"])["numbers"] for arm in arms}
    differences = _differences(numbers)
    for arm, difference in differences.items():
        limit = benchmark.loose.get(arm, benchmark.tolerance)
        if difference > limit:
            sys.exit(f"{arm} differs by {difference:.2g}, more than {limit:.2g}")
    full = [f"--{name}={size}" for name, size in sizes.items()]
    sweeps = {a: [given.options] if given.options else s for a, s in benchmark.sweeps.items()}
    options = {arm: _quickest(run, arm, full, sweeps.get(arm, ())) for arm in arms}
    rounds: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for number in range(given.repeats):
        for arm in arms:
            said = f"--options={json.dumps(options[arm])}"
            rounds[arm].append(run(arm, [*full, said], number))
    result = {
        "benchmark": benchmark.name,
        "unit": f"{benchmark.unit} a second",
        "sizes": sizes,
        "largest_difference": differences,
        "arms": {arm: {**_summary(rounds, arm), "options": options[arm]} for arm in arms},
        "machine": machine(),
    }
    print(json.dumps(result, indent=2) if given.json else _table(result))


def _measured(arm: Arm, given: argparse.Namespace) -> dict[str, Any]:
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    found = arm(given)
    numbers = [float(number) for number in found.numbers]
    phases = {name: round(seconds, 3) for name, seconds in found.phases.items()}
    return {"rate": found.rate, "numbers": numbers, "phases": phases, "peak_gib": _peak_gib()}


class Runs:
    """Runs an arm in a fresh process, so that its peak memory is its own; or by `here`.

    What is in `kept` already, a file of lines, is not run again: hours of runs go on after a stop.
    """

    def __init__(
        self, script: str, kept: Path | None, here: Callable[[list[str]], dict[str, Any]] | None
    ) -> None:
        self.script, self.kept, self._here = script, kept, here
        lines = kept.read_text("utf-8").splitlines() if kept and kept.exists() else []
        self._known = {row["run"]: row["found"] for row in map(json.loads, lines)}

    def __call__(self, arm: str, arguments: Sequence[str], number: int = 0) -> dict[str, Any]:
        """What run `number` of this arm with these arguments found."""
        name = " ".join([Path(self.script).name, arm, *arguments, str(number)])
        if name not in self._known:
            self._known[name] = self._run([f"--arm={arm}", *arguments])
            if self.kept:
                with self.kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": name, "found": self._known[name]}) + "\n")
        found: dict[str, Any] = self._known[name]
        told = " ".join(argument for argument in arguments if argument.startswith(("--e", "--o")))
        print(f"{arm:14} {found['rate']:8.3g} {found['peak_gib']} GiB {told}", file=sys.stderr)
        return found

    def _run(self, arguments: list[str]) -> dict[str, Any]:
        if self._here:
            return self._here(arguments)
        command = [sys.executable, self.script, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return dict(json.loads(done.stdout.splitlines()[-1]))


def _quickest(
    run: Runs, arm: str, sizes: list[str], sweep: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    if len(sweep) < 2:
        return next(iter(sweep), {})
    rates = [run(arm, [*sizes, f"--options={json.dumps(o)}"], -1)["rate"] for o in sweep]
    return sweep[rates.index(max(rates))]


def _differences(numbers: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Of each arm but the first: its largest difference from the first; infinite with a NaN."""
    (name, first), *others = numbers.items()
    largest = {}
    for arm, found in others:
        if len(found) != len(first):
            sys.exit(f"{arm} gives {len(found)} numbers and {name} {len(first)}")
        gaps = [abs(a - b) for a, b in zip(found, first, strict=True)]
        largest[arm] = math.inf if any(map(math.isnan, gaps)) else max(gaps)
    return largest


def _summary(rounds: Mapping[str, list[dict[str, Any]]], arm: str) -> dict[str, Any]:
    rates = [run["rate"] for run in rounds[arm]]
    found = {
        "median": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "peak_gib": max(run["peak_gib"] for run in rounds[arm]),
        "phases": rounds[arm][-1]["phases"],
    }
    if OURS in rounds:
        pairs = zip(rounds[OURS], rounds[arm], strict=True)
        found["ours_is_times"] = statistics.median(a["rate"] / b["rate"] for a, b in pairs)
        mine = max(run["peak_gib"] for run in rounds[OURS])
        found["ours_memory_share"] = mine / found["peak_gib"]
    return found


def _peak_gib() -> float:
    """Of a GPU's memory where the work ran there, else of the process."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 2**20, 2)
    return float("nan")


def _table(result: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{name} {value}" for name, value in result["sizes"].items())
    lines = [f"{result['benchmark']} ({sizes}), {result['unit']}"]
    for arm, found in result["arms"].items():
        spread = f"({found['least']:.3g} to {found['most']:.3g})"
        line = f"  {arm:14} {found['median']:8.3g} {spread:20} {found['peak_gib']:.2f} GiB"
        if arm != OURS and "ours_is_times" in found:
            line += f"  ours is {found['ours_is_times']:.2f} times as quick"
            line += f" in {found['ours_memory_share']:.2f} of the memory"
        said = {**found["options"], **{f"{k} s": v for k, v in found["phases"].items()}}
        lines.append(f"{line}  {said or ''}".rstrip())
    differences = [f"{a} {d:.2g}" for a, d in result["largest_difference"].items()]
    lines.append(
        f"  largest difference in float32: {', '.join(differences) or 'nothing beside it'}"
    )
    about = result["machine"]
    lines.append(
        f"  {about['device']}, {about['cores']} cores, {' '.join(about['instructions'])}; "
        f"{about['gflops']['float32']} GFLOP/s in float32, {about['gflops']['bfloat16']} in "
        f"bfloat16, {about['read_gb_per_second']} GB/s; torch {about['torch']}, "
        f"transformers {about['transformers']}"
    )
    return "\n".join(lines)
