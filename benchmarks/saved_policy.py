"""How much of what an adapter learned in bfloat16 is in the saved folder, as it is loaded?

    python benchmarks/saved_policy.py --learning-rates 1e-4 5e-5 --json

Adapters of rank 16 learn some steps of the project's starter answers on a packaged model. Then, for
each way to load the folder, the change of its logits on other prompts is compared with the change
that was trained: 0 is all of it, 1 is as far off as the untrained model.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from hrlaif.llm.chat import prompt_ids, response_ids
from hrlaif.llm.packaged import fetch
from hrlaif.prompts.sources import Prompts, collect
from hrlaif.settings import Compute, using
from hrlaif.training import lora
from hrlaif.training.lora import Lora
from hrlaif.training.optimizer import Optimizer, build, update
from hrlaif.transformer.forward import Sequence, token_logprobs
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded, load_causal
from models import POLICY


def main() -> None:
    """Prints a row for each learning rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-4, 5e-5])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with using(Compute(device="cpu", precision="bfloat16")):
        for rate in given.learning_rates:
            with tempfile.TemporaryDirectory() as folder:
                row = measured(rate, given.steps, Path(folder))
            text = ", ".join(f"{name} {value}" for name, value in row.items())
            print(json.dumps(row) if given.json else text, flush=True)


def measured(rate: float, steps: int, folder: Path) -> dict[str, Any]:
    """One training, and what each loading has of it."""
    loaded = load_causal(fetch(POLICY), train=True)
    model, asked = loaded.model, texts(loaded)
    learnt, others = asked[: 4 * steps], asked[-8:]
    before = logits(model, others)
    torch.manual_seed(0)
    lora.attach(model, Lora())
    how = Optimizer(learning_rate=rate)
    adamw = build(how, {"model": model})
    for step in range(steps):
        (-token_logprobs(model, learnt[4 * step : 4 * step + 4]).mean()).backward()
        update(adamw, how, step=step, total=steps)
    after = logits(model, others)
    lora.merge_and_save(model, loaded.tokenizer, folder)
    row: dict[str, Any] = {"learning_rate": rate, "steps": steps}
    rounded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    row["rounded_sums"] = off(logits(rounded, others), after, before)
    row["this_loader"] = off(logits(load_causal(folder, train=True).model, others), after, before)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    row["plain_float32"] = off(logits(plain, others), after, before)
    base = AutoModelForCausalLM.from_pretrained(fetch(POLICY), dtype=torch.float32)
    row["float32_against_16_bits"] = off(logits(base, others), before, after)
    row["weights_of_rounded_sums"] = lost(rounded, plain, base)
    del loaded, model, adamw, rounded, plain, base
    for name, path in (("base", fetch(POLICY)), ("folder", folder)):
        row |= {f"{name}_{key}": value for key, value in speed(Path(path), others).items()}
    return row


def texts(loaded: Loaded) -> list[Sequence]:
    """Prompts with an answer each, the prompt's own words where it has no reference."""
    found = []
    for prompt in collect(Prompts(), seed=0):
        begin = prompt_ids(loaded.tokenizer, prompt.messages)
        words = prompt.reference_response or prompt.messages[-1].content
        answer = response_ids(loaded.tokenizer, words, True)
        found.append(Sequence([*begin, *answer][:128], min(len(begin), 120)))
    return found


def logits(model: Any, rows: list[Sequence]) -> torch.Tensor:
    """Of every token, one row at a time."""
    with torch.no_grad():
        return torch.cat([model(torch.tensor([r.tokens])).logits[0].float() for r in rows])


def lost(rounded: Any, plain: Any, base: Any) -> float:
    """The part of what was added to the weights that rounding their sums takes away."""
    wanted, missing = 0.0, 0.0
    for few, all_of, old in zip(*(m.parameters() for m in (rounded, plain, base)), strict=True):
        missing += float((few.detach().float() - all_of.detach()).square().sum())
        wanted += float((all_of.detach() - old.detach()).square().sum())
    return round((missing / wanted) ** 0.5, 4)


def off(found: torch.Tensor, wanted: torch.Tensor, before: torch.Tensor) -> float:
    """The part of the trained change that is missing, of its norm."""
    return round(float((found - wanted).norm() / (wanted - before).norm()), 4)


def speed(path: Path, rows: list[Sequence]) -> dict[str, float]:
    """Seconds to load, MB on disk, and tokens a processor second of answers to 8 prompts."""
    begun = time.perf_counter()
    frozen = load_causal(path)
    seconds = time.perf_counter() - begun
    frozen = replace(frozen, end_ids=frozenset())  # as many rows at each step
    prompts = [row.tokens[: row.start] for row in rows]
    generate(frozen, prompts, Sampling(0.9, 8, 0))
    begun = time.process_time()
    written = sum(len(s.tokens) for s in generate(frozen, prompts, Sampling(0.9, 64, 0)))
    rate = written / (time.process_time() - begun)
    size = sum(file.stat().st_size for file in path.rglob("*.safetensors"))
    return {"load_s": round(seconds, 2), "mb": round(size / 1e6), "tokens_cpu_s": round(rate, 1)}


if __name__ == "__main__":
    main()
