"""What do the benchmarks run on? Packaged models in the arm's precision, and made-up tokens."""

from __future__ import annotations

import argparse
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hrlaif.llm.chat import end_ids
from hrlaif.llm.packaged import PACKAGED, fetch, model_cache
from hrlaif.settings import Compute, using
from hrlaif.transformer.load import Loaded, device_in_force, load_causal, precision_in_force

POLICY, JUDGE = "gemma-3-270m", "qwen2.5-coder-1.5b-instruct"
ON_CPU = not torch.cuda.is_available()
VOCABULARY = range(1000, 100_000)  # known to both, no special token among them


@contextmanager
def loaded(name: str, given: argparse.Namespace, *, train: bool = False) -> Iterator[Loaded]:
    """A packaged model or a folder; in float32 where results are compared."""
    with using(Compute(precision="float32" if given.exact else "auto")):
        yield load_causal(fetch(name) if name in PACKAGED else name, train=train)


def as_published(name: str, given: argparse.Namespace) -> Loaded:
    """A packaged model as transformers itself loads it, for peers; in the same precision."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = device_in_force()
    precision = "float32" if given.exact else precision_in_force(device, train=True)
    folder = fetch(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).eval()
    model.to(device)
    return Loaded(model, tokenizer, device, precision, frozenset(end_ids(model, tokenizer)))


def gguf() -> Path:
    """The judge as llama.cpp reads it, Q4_K_M: the file that our weights were unpacked from."""
    folder = model_cache() / "benchmarks"
    file = folder / "judge.gguf"

    def keep(downloaded: Path, converted: Path) -> dict[str, str]:
        shutil.move(downloaded, file)
        converted.mkdir()
        return {}

    if not file.is_file():
        fetch(JUDGE, convert=keep, cache=folder)
    return file


class Text:
    """Token ids drawn from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._stream = torch.Generator().manual_seed(seed)

    def of(self, length: int) -> list[int]:
        """So many tokens."""
        ends = (VOCABULARY.start, VOCABULARY.stop)
        return torch.randint(*ends, (length,), generator=self._stream).tolist()

    def about(self, length: int, spread: float) -> list[int]:
        """Tokens of a length drawn evenly from length (1 - spread) .. length (1 + spread)."""
        low, high = round(length * (1 - spread)), round(length * (1 + spread))
        return self.of(int(torch.randint(low, high + 1, (1,), generator=self._stream)))


def same_adapters(model: Any) -> None:
    """Gives the first matrix of every LoRA adapter values that depend on its layer alone."""
    for name, weight in model.named_parameters():
        if (found := re.search(r"layers\.\d+\..*(?=\.lora_A)", name)) is not None:
            stream = torch.Generator().manual_seed(zlib.crc32(found.group().encode()))
            values = torch.rand(weight.shape, generator=stream).sub_(0.5)
            weight.data.copy_(values.mul_(2 / weight.shape[1] ** 0.5))
