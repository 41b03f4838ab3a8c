"""Labels in both orders: shared tokens once, against a batched forward pass over all of them.

    python benchmarks/labels.py
    python benchmarks/labels.py --preamble 700 --prompt 100 --response 100

One peer is what judge scripts do: padded batches through the model, logits of the last position
only (`logits_to_keep`), at the quickest of three batch sizes. The other is llama.cpp with the
Q4_K_M file that our weights were unpacked from, whose cache keeps what a question shares with the
one before.
"""

from __future__ import annotations

import argparse
import math
import os

from batched import SWEEP, last_logits
from hrlaif.transformer.forward import next_logprobs
from models import JUDGE, Text, as_published, gguf, loaded
from side_by_side import OURS, Benchmark, Result, main, timed

LABELS = [16, 17]  # "1" and "2" for Qwen


def questions(given: argparse.Namespace) -> list[list[int]]:
    """Both orders of every pair, as token ids: preamble, prompt, two responses, ending."""
    text, rows = Text(), []
    preamble, ending = text.of(given.preamble), text.of(20)
    for _ in range(given.pairs):
        prompt, a, b = text.of(given.prompt), text.of(given.response), text.of(given.response)
        rows += [preamble + prompt + x + y + ending for x, y in ((a, b), (b, a))]
    return rows


def ours(given: argparse.Namespace) -> Result:
    """The job's preamble is kept, the two orders of a pair are one tree."""
    rows = questions(given)
    with loaded(JUDGE, given) as judge:

        def run() -> list[float]:
            found = next_logprobs(judge.model, rows, {(): LABELS}, judge.kept)[()]
            return found.softmax(-1)[:, 0].tolist()

        return timed(run, given.pairs)


def batched(given: argparse.Namespace) -> Result:
    """One row a question."""
    rows, judge = questions(given), as_published(JUDGE, given).model
    return timed(
        lambda: last_logits(judge, rows, LABELS, given.options).softmax(-1)[:, 0].tolist(),
        given.pairs,
    )


def llama_cpp(given: argparse.Namespace) -> Result:
    """One question after another; the cache of the last one begins the next."""
    import llama_cpp as peer
    import numpy as np

    rows, cores = questions(given), os.cpu_count()
    judge = peer.Llama(
        str(gguf()), n_ctx=max(map(len, rows)) + 8, n_threads=cores, n_threads_batch=cores,
        verbose=False, **given.options,
    )  # fmt: skip

    def run() -> list[float]:
        found = []
        for row in rows:
            next(judge.generate(row, temp=0.0))
            logits = np.ctypeslib.as_array(judge._ctx.get_logits(), shape=(judge.n_vocab(),))
            first, second = logits[LABELS].tolist()
            found.append(1 / (1 + math.exp(second - first)))
        return found

    return timed(run, given.pairs)


if __name__ == "__main__":
    sizes = {"pairs": 8, "preamble": 90, "prompt": 300, "response": 60}
    arms = {OURS: ours, "batched": batched, "llama.cpp": llama_cpp}
    sweeps = {"batched": SWEEP, "llama.cpp": [{"n_batch": 2048, "n_ubatch": 512}]}
    main(
        Benchmark("labels", "pairs", arms, sizes, {"pairs": 2}, 1e-4, sweeps, {"llama.cpp": 0.1}),
        __file__,
    )
