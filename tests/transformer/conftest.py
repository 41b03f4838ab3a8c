"""Tiny random decoders of several families: no weights, no network."""

import pytest
import torch
import transformers

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WINDOW = 7
SHARING = ("qwen2", "qwen3", "llama", "mistral", "gemma2", "gemma3", "gpt_neox", "gpt2")
FAMILIES = (*SHARING, "bloom", "gpt_neo")


def _config(family, hidden):
    sizes, head = SIZES | {"hidden_size": hidden}, hidden // SIZES["num_attention_heads"]
    few_keys = sizes | {"num_key_value_heads": 2}
    if family == "qwen2":
        return transformers.Qwen2Config(**few_keys)
    if family == "qwen3":
        return transformers.Qwen3Config(**few_keys, head_dim=head, tie_word_embeddings=True)
    if family == "llama":
        return transformers.LlamaConfig(**few_keys)
    if family == "mistral":
        return transformers.MistralConfig(**few_keys, sliding_window=WINDOW)
    if family == "gemma2":
        return transformers.Gemma2Config(
            **few_keys, head_dim=head, sliding_window=WINDOW, final_logit_softcapping=5.0
        )
    if family == "gemma3":
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        return transformers.Gemma3TextConfig(
            **few_keys, head_dim=head, sliding_window=WINDOW, layer_types=kinds
        )
    if family == "gpt_neox":
        return transformers.GPTNeoXConfig(**sizes)
    if family == "gpt2":
        sizes = {"vocab_size": 97, "n_embd": hidden, "n_layer": 3, "n_head": 4, "n_positions": 256}
        return transformers.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)
    if family == "gpt_neo":
        return transformers.GPTNeoConfig(
            vocab_size=97,
            hidden_size=hidden,
            num_layers=3,
            num_heads=4,
            attention_types=[[["local", "global", "local"], 1]],
            window_size=12,  # more than the trial of trees has tokens
            max_position_embeddings=256,
            bos_token_id=1,
            eos_token_id=2,
        )
    if family == "qwen3_moe":
        experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
        return transformers.Qwen3MoeConfig(**few_keys, **experts, head_dim=head)
    sizes = {"vocab_size": 97, "hidden_size": hidden, "n_layer": 3, "n_head": 4}
    return transformers.BloomConfig(**sizes, pad_token_id=0)


def _built(family, seed=0, *, hidden=SIZES["hidden_size"]):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(_config(family, hidden)).float()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)  # large enough for attention to matter
    return model.eval()


@pytest.fixture
def tiny():
    """A function from a family's name to a tiny random model of it."""
    return _built


@pytest.fixture(params=FAMILIES)
def any_model(request):
    """A model of each family in turn."""
    return _built(request.param)


@pytest.fixture(params=SHARING)
def sharing_family(request):
    """The name of each family whose tokens can be shared."""
    return request.param


@pytest.fixture(params=SHARING)
def sharing_model(request):
    """A model of each family whose cache can be shared."""
    return _built(request.param)
