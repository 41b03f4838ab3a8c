"""Tiny random models of four families in folders, with a byte tokenizer, and preferences."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from hrlaif.records import Candidate, Comparison, Message, Preference, Prompt

SIZES = {"vocab_size": 264, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
GATED = {**SIZES, "intermediate_size": 48, "num_key_value_heads": 1}
CONFIGS = {
    "qwen2": lambda **ids: Qwen2Config(**GATED, **ids),
    "llama": lambda **ids: LlamaConfig(**GATED, **ids),
    "gemma3": lambda **ids: Gemma3TextConfig(**GATED, head_dim=16, sliding_window=8, **ids),
    "gpt_neox": lambda **ids: GPTNeoXConfig(**SIZES, intermediate_size=48, **ids),
}


def byte_tokenizer(*, pad):
    """256 bytes and three special tokens; without `pad` the tokenizer has none."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    specials = {"bos_token": "<s>", "eos_token": "</s>"}
    if pad:
        specials["pad_token"] = pad
    return PreTrainedTokenizerFast(tokenizer_object=backend, **specials)


@pytest.fixture
def base(tmp_path):
    """A function that saves a tiny random model of a family and returns its folder."""

    def make(family="qwen2", *, pad="<pad>"):
        torch.manual_seed(0)
        tokenizer = byte_tokenizer(pad=pad)
        ids = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
        config = CONFIGS[family](**ids, pad_token_id=tokenizer.pad_token_id)
        model = AutoModelForCausalLM.from_config(config)
        folder = tmp_path / f"base_{family}"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def a_prompt(number, **fields):
    text = f"question {number}"
    return Prompt(id=f"p{number}", messages=(Message(role="user", content=text),), **fields)


@pytest.fixture
def pairs():
    """A function that makes preferences for the response with more exclamation marks."""

    def make(count, *, prob=0.9, **fields):
        found = []
        for number in range(count):
            good, bad = Candidate(text="yes!!!!" + "!" * (number % 3)), Candidate(text="well ...")
            first = number % 2 == 0
            comparison = Comparison(
                id=f"c{number}",
                prompt=a_prompt(number, category=("math", "chat")[number % 2], **fields),
                a=good if first else bad,
                b=bad if first else good,
                human_preference=float(first),
            )
            prob_a = prob if first else 1 - prob
            found.append(Preference(comparison=comparison, prob_a=prob_a, labeler="test"))
        return found

    return make
