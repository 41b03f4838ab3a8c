"""Does a job ten times as large take ten times as long, in the same memory? `hrlaif label`, whole.

    python benchmarks/linear_cost.py [--pairs 100 1000 10000]

Made-up pairs of short texts, labelled in both orders by the smallest packaged model with the
command as users run it: rows, prompts, ledger, forward passes, labels. The seconds of a run of one
pair (imports, loading) are taken off each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import machine
from models import POLICY

WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world")


def _pairs(path: Path, count: int) -> None:
    stream = random.Random(0)

    def text(words: int) -> str:
        return " ".join(stream.choices(WORDS, k=words))

    rows = (
        {"id": str(i), "prompt": text(8), "responses": [text(8), text(8)]} for i in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _run(folder: Path, count: int) -> tuple[float, float]:
    """Seconds and peak GiB of labelling so many pairs."""
    rows, out = folder / f"{count}.jsonl", folder / f"labels-{count}.jsonl"
    _pairs(rows, count)
    command = [sys.executable, "-m", "hrlaif", "label", str(rows), "-o", str(out)]
    command += ["--judge", f"packaged:{POLICY}", "--max-abstentions", "1"]  # a base model may
    begun = time.perf_counter()
    process = os.spawnve(os.P_NOWAIT, command[0], command, dict(os.environ))
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - begun
    if status:
        sys.exit(f"`hrlaif label` failed on {count} pairs")
    found = [out, out.with_suffix(".abstentions.jsonl")]
    lines = [line for file in found if file.is_file() for line in file.open(encoding="utf-8")]
    assert len(lines) == count, f"{len(lines)} verdicts of {count}"
    return seconds, used.ru_maxrss / 2**20


def main() -> None:
    """Prints a line a size; `--json` for machines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        start, _ = _run(Path(name), 1)
        rows = []
        for count in given.pairs:
            seconds, peak = _run(Path(name), count)
            rate = count / (seconds - start)
            rows.append({"pairs": count, "seconds": seconds, "rate": rate, "peak_gib": peak})
            line = f"{count:7} pairs {seconds:8.1f} s {rate:6.1f} pairs/s {peak:5.2f} GiB"
            print(line, file=sys.stderr if given.json else sys.stdout)
    if given.json:
        print(json.dumps({"start_seconds": start, "sizes": rows, "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
