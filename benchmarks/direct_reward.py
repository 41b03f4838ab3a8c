"""Direct grades (d-RLAIF): G samples of a prompt under one preamble, against batched forwards.

    python benchmarks/direct_reward.py [--preamble 400 --prompt 100 --response 64 --samples 4]

A grade is the expectation of the nine one-token grades, in both arms.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from batched import SWEEP, last_logits
from hrlaif.transformer.forward import next_logprobs
from models import JUDGE, Text, as_published, loaded
from side_by_side import OURS, Benchmark, Result, main, timed

GRADES = list(range(16, 25))  # "1" to "9" for Qwen


def questions(given: argparse.Namespace) -> list[list[int]]:
    """Preamble, prompt, response, ending: the samples of a prompt follow one another."""
    text, rows = Text(), []
    preamble, ending = text.of(given.preamble), text.of(20)
    for _ in range(given.prompts):
        prompt = text.about(given.prompt, 0.3)
        rows += [
            preamble + prompt + text.about(given.response, 0.3) + ending
            for _ in range(given.samples)
        ]
    return rows


def _expected(logits: Tensor) -> list[float]:
    grades = torch.arange(1.0, 10.0)
    found: list[float] = (logits.cpu().softmax(-1) @ grades).tolist()
    return found


def ours(given: argparse.Namespace) -> Result:
    """The preamble is kept, the samples of a prompt are one tree."""
    rows = questions(given)
    with loaded(JUDGE, given) as judge:
        return timed(
            lambda: _expected(next_logprobs(judge.model, rows, {(): GRADES}, judge.kept)[()]),
            len(rows),
        )


def batched(given: argparse.Namespace) -> Result:
    """One row a response."""
    rows, judge = questions(given), as_published(JUDGE, given).model
    return timed(lambda: _expected(last_logits(judge, rows, GRADES, given.options)), len(rows))


if __name__ == "__main__":
    sizes = {"prompts": 8, "samples": 4, "preamble": 400, "prompt": 100, "response": 64}
    arms = {OURS: ours, "batched": batched}
    main(
        Benchmark("direct reward", "scores", arms, sizes, {"prompts": 1}, 1e-3, {"batched": SWEEP}),
        __file__,
    )
