"""Do families that do more to their logits than a head does give the right ones, or a refusal?"""

import pytest
import torch
import transformers

from hrlaif.errors import ModelError
from hrlaif.transformer.body import head_of, squash_of
from hrlaif.transformer.int8 import to_int8
from hrlaif.transformer.logits import check_logits

SIZES = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
KEYS = {"num_key_value_heads": 2}
MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
CONFIGS = {
    "cohere": lambda: transformers.CohereConfig(**SIZES, **KEYS, logit_scale=0.3),
    "granite": lambda: transformers.GraniteConfig(**SIZES, **KEYS, logits_scaling=4.0),
    "hyperclovax": lambda: transformers.HyperCLOVAXConfig(**SIZES, **KEYS, logits_scaling=0.3),
    "falcon_h1": lambda: transformers.FalconH1Config(
        **SIZES, **KEYS, **MAMBA, mamba_n_groups=1, lm_head_multiplier=0.3
    ),
    "recurrent_gemma": lambda: transformers.RecurrentGemmaConfig(
        **SIZES, lru_width=32, logits_soft_cap=3.0, block_types=("recurrent", "attention")
    ),
    "xlstm": lambda: transformers.xLSTMConfig(
        vocab_size=97,
        hidden_size=64,
        num_hidden_layers=2,
        num_heads=2,
        qk_dim_factor=1.0,
        v_dim_factor=1.0,
        output_logit_soft_cap=3.0,
    ),
    "modernbert": lambda: transformers.ModernBertDecoderConfig(
        **SIZES, cls_token_id=1, sep_token_id=2
    ),
}
KNOWN = [family for family in CONFIGS if family != "modernbert"]


def built(family):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family]()).float()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    return model.eval()


@pytest.mark.parametrize("family", KNOWN)
def test_scales_and_caps_of_logits_are_known_by_each_familys_name_for_them(family):
    model = built(family)
    check_logits(model)
    assert squash_of(model) != (1.0, None)


def test_a_family_that_does_more_than_its_head_is_refused_by_name():
    with pytest.raises(ModelError, match=r"ModernBertDecoderForCausalLM does more .* remote:MODEL"):
        check_logits(built("modernbert"))


def test_any_family_passes_in_few_bits_too(any_model):
    check_logits(any_model)
    check_logits(any_model.bfloat16())
    to_int8(any_model)
    check_logits(any_model)


def test_the_check_leaves_the_model_as_it_was(any_model):
    any_model.train()
    check_logits(any_model)
    assert all(module.training for module in any_model.modules())
    assert not any(module._forward_hooks for module in any_model.modules())
    assert head_of(any_model).weight.grad is None
