"""Generation: each prompt computed once and finished rows dropped, against plain `generate`.

    python benchmarks/generation.py [--prompts 8 --samples 4 --tokens 128]

Starter prompts of uneven length. A response ends at a line's end, so lengths are uneven too. The
peer is `generate` on the repeated, left-padded prompts; both count tokens up to the end only. In
float32 both write greedily, and must write the same.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from hrlaif.llm.chat import prompt_ids
from hrlaif.prompts import Prompts, collect
from hrlaif.transformer.generate import Sampled, Sampling, generate
from hrlaif.transformer.load import Loaded
from models import POLICY, as_published, loaded
from side_by_side import OURS, Benchmark, Result, main, timed

TEMPERATURE = 0.9


def _prompts(model: Loaded, count: int) -> list[list[int]]:
    found = collect(Prompts(source="starter"), seed=0)
    tokens = sorted((prompt_ids(model.tokenizer, p.messages) for p in found), key=len)
    return tokens[:: len(tokens) // count][:count]


def _ends(model: Loaded) -> frozenset[int]:
    return model.end_ids | {model.tokenizer.encode("\n", add_special_tokens=False)[-1]}


def _result(given: argparse.Namespace, run: Any) -> Result:
    written: list[list[int]] = []

    def once() -> list[float]:
        written[:] = run()
        return [float(token) for row in written for token in row]

    rate = timed(once, 1.0)
    return Result(rate.rate * sum(len(row) for row in written), rate.numbers)


def ours(given: argparse.Namespace) -> Result:
    """The decode loop of sampling and RL."""
    how = Sampling(0.0 if given.exact else TEMPERATURE, given.tokens)
    with loaded(POLICY, given) as model:
        asked = [p for p in _prompts(model, given.prompts) for _ in range(given.samples)]
        ending = Loaded(model.model, model.tokenizer, model.device, model.precision, _ends(model))
        numbers = list(range(given.samples)) * given.prompts

        def run() -> list[list[int]]:
            rows: list[Sampled] = generate(ending, asked, how, samples=numbers)
            return [row.tokens for row in rows]

        return _result(given, run)


def plain(given: argparse.Namespace) -> Result:
    """transformers' generate."""
    model = as_published(POLICY, given)
    asked = [p for p in _prompts(model, given.prompts) for _ in range(given.samples)]
    width, ends = max(map(len, asked)), _ends(model)
    tokens = torch.tensor([[0] * (width - len(p)) + p for p in asked])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in asked])
    tokens, mask = tokens.to(model.device), mask.to(model.device)
    draw = {"do_sample": False} if given.exact else {"do_sample": True, "top_k": 0}
    if not given.exact:
        draw["temperature"] = TEMPERATURE

    def run() -> list[list[int]]:
        torch.manual_seed(0)
        with torch.no_grad():
            out = model.model.generate(
                input_ids=tokens,
                attention_mask=mask,
                max_new_tokens=given.tokens,
                eos_token_id=sorted(ends),
                pad_token_id=0,
                **draw,
            )
        return [_until(row, ends) for row in out[:, width:].tolist()]

    return _result(given, run)


def _until(row: list[int], ends: frozenset[int]) -> list[int]:
    stop = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
    return row[:stop]


if __name__ == "__main__":
    sizes = {"prompts": 8, "samples": 4, "tokens": 128}
    exact = {"prompts": 4, "samples": 1, "tokens": 16}
    arms = {OURS: ours, "generate": plain}
    main(Benchmark("generation", "tokens", arms, sizes, exact, 0.0), __file__)
