"""A tiny random policy with a vocabulary of words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hrlaif.records import Message, Prompt
from hrlaif.settings import Compute, using

WORDS = 24


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random two-layer model: 24 words, an end token, an unknown, a beginning."""
    folder = tmp_path_factory.mktemp("start")
    vocabulary = {f"w{n}": n for n in range(WORDS)} | {"<unk>": 24, "</s>": 25, "<s>": 26}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", bos_token="<s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=26,
        eos_token_id=25,
        initializer_range=0.15,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def prompts() -> list[Prompt]:
    """Ten questions of three words."""
    return [
        Prompt(id=f"p{n}", messages=(Message(role="user", content=f"w{n} w{n + 3} w{n + 9}"),))
        for n in range(10)
    ]


@pytest.fixture(autouse=True)
def float32() -> Iterator[None]:
    with using(Compute(device="cpu", precision="float32", threads=1)):
        yield
