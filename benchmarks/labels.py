"""Labels in both orders: shared tokens once, against a batched forward pass over all of them.

    python benchmarks/labels.py [--preamble 700 --prompt 100 --response 100]

The peer is what judge scripts do: right-padded batches through the model, logits of the last
position only (`logits_to_keep`), at the quickest of three batch sizes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch

from hrlaif.llm.packaged import fetch
from hrlaif.transformer.forward import next_logprobs
from hrlaif.transformer.load import load_causal
from side_by_side import OURS, Benchmark, Work, main

LABELS = [16, 17]  # "1" and "2" for Qwen
BATCHES = (4, 8, 16)


def questions(given: argparse.Namespace) -> list[list[int]]:
    """Both orders of every pair, as token ids: preamble, prompt, two responses, ending."""
    stream = torch.Generator().manual_seed(0)

    def text(length: int) -> list[int]:
        return torch.randint(100, 100_000, (length,), generator=stream).tolist()

    preamble, ending = text(given.preamble), text(20)
    rows = []
    for _ in range(given.pairs):
        prompt, a, b = text(given.prompt), text(given.response), text(given.response)
        rows += [preamble + prompt + x + y + ending for x, y in ((a, b), (b, a))]
    return rows


def ours(given: argparse.Namespace) -> Work:
    """The job's preamble is kept, the two orders of a pair are one tree."""
    loaded, rows = load_causal(fetch("qwen2.5-coder-1.5b-instruct")), questions(given)

    def run() -> list[float]:
        found = next_logprobs(loaded.model, rows, {(): LABELS}, loaded.kept)[()]
        return found.softmax(-1)[:, 0].tolist()

    return Work(run, given.pairs)


def batched(given: argparse.Namespace) -> Work:
    """One row a question."""
    model, rows = load_causal(fetch("qwen2.5-coder-1.5b-instruct")).model, questions(given)
    part = rows[: max(BATCHES)]
    size = min(BATCHES, key=lambda size: _seconds(model, part, size))
    return Work(lambda: _plain(model, rows, size), given.pairs)


def _plain(model: Any, rows: Sequence[list[int]], size: int) -> list[float]:
    found: list[float] = []
    with torch.no_grad():
        for begin in range(0, len(rows), size):
            tokens = torch.tensor(rows[begin : begin + size])
            logits = model(input_ids=tokens, logits_to_keep=1, use_cache=False).logits[:, -1]
            found += logits[:, LABELS].float().softmax(-1)[:, 0].tolist()
    return found


def _seconds(model: Any, rows: Sequence[list[int]], size: int) -> float:
    begun = time.perf_counter()
    _plain(model, rows, size)
    return time.perf_counter() - begun


if __name__ == "__main__":
    sizes = {"pairs": 16, "preamble": 90, "prompt": 300, "response": 60}
    main(Benchmark("labels", "pairs", {OURS: ours, "batched": batched}, 0.05, sizes), __file__)
