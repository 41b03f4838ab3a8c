"""Tiny random models, made in a moment and the same each time."""

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM


@pytest.fixture
def tiny():
    """A function that makes the same tiny Qwen2 each time."""

    def make(dtype=torch.float32):
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
            use_sliding_window=False,
        )
        return Qwen2ForCausalLM(config).to(dtype).eval()

    return make
