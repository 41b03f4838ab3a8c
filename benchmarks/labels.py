"""Labels in both orders: shared tokens once, against a batched forward pass over all of them.

    python benchmarks/labels.py
    python benchmarks/labels.py --preamble 700 --prompt 100 --response 100

The peer is what judge scripts do: right-padded batches through the model, logits of the last
position only (`logits_to_keep`), at the quickest of three batch sizes.
"""

from __future__ import annotations

import argparse

from batched import SWEEP, last_logits
from hrlaif.transformer.forward import next_logprobs
from models import JUDGE, Text, loaded
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
    rows = questions(given)
    with loaded(JUDGE, given) as judge:
        return timed(
            lambda: (
                last_logits(judge.model, rows, LABELS, given.options).softmax(-1)[:, 0].tolist()
            ),
            given.pairs,
        )


if __name__ == "__main__":
    sizes = {"pairs": 16, "preamble": 90, "prompt": 300, "response": 60}
    arms = {OURS: ours, "batched": batched}
    main(
        Benchmark("labels", "pairs", arms, sizes, {"pairs": 2}, 1e-4, {"batched": SWEEP}), __file__
    )
