import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3MoeConfig

from hrlaif.errors import UsageError
from hrlaif.training import lora
from hrlaif.training.lora import Lora
from hrlaif.transformer.load import load_causal

TOKENS = torch.tensor([[5, 6, 7, 8]])


CHATML = (
    "{% for m in messages %}<|im_start|> {{ m.role }} {{ m.content }} <|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def tokenizer(template=None):
    """Words, and as the base models of Qwen an EOS that is not the end of a turn."""
    specials = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
    words = models.WordLevel(specials | {f"w{n}": n for n in range(3, 64)}, unk_token="w3")
    backend = Tokenizer(words)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    made.chat_template = template
    return made


def stirred(model):
    """Adapters as after some training: B is not zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B" in name:
                parameter.normal_(std=0.1)
    return model


def test_new_adapters_leave_every_output_as_it_was(tiny):
    model = tiny()
    before = model(TOKENS).logits
    lora.attach(model, Lora(rank=4))
    assert torch.equal(model(TOKENS).logits, before)


def test_only_adapters_are_trained_and_the_output_head_has_none(tiny):
    model = tiny()
    trained = lora.attach(model, Lora(rank=4))
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == len(names) == 2 * 2 * 7  # A and B, 2 layers of 7 linear maps
    assert all(".lora_" in name and "lm_head" not in name for name in names)


def test_rank_zero_and_no_lora_train_all_weights(tiny):
    for setting in (None, Lora(rank=0)):
        model = tiny()
        assert len(lora.attach(model, setting)) == len(list(model.parameters()))


def test_adapters_are_float32_on_a_bfloat16_model(tiny):
    model = tiny(torch.bfloat16)
    assert {p.dtype for p in lora.attach(model, Lora(rank=4))} == {torch.float32}
    assert model.model.embed_tokens.weight.dtype == torch.bfloat16


def test_without_the_adapters_the_model_is_the_one_before(tiny):
    model = tiny()
    before = model(TOKENS).logits
    lora.attach(model, Lora(rank=4))
    stirred(model)
    changed = model(TOKENS).logits
    with lora.without(model):
        assert torch.equal(model(TOKENS).logits, before)
    assert torch.equal(model(TOKENS).logits, changed)
    assert not torch.allclose(changed, before)


def test_a_merged_and_saved_model_gives_the_trained_outputs(tiny, tmp_path):
    model = tiny()
    lora.attach(model, Lora(rank=4))
    expected = stirred(model)(TOKENS).logits
    lora.merge_and_save(model, tokenizer(), tmp_path / "merged")
    assert not lora.has_adapters(model)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded(TOKENS).logits, expected, rtol=1e-5, atol=1e-5)


def test_a_model_without_adapters_is_saved_in_the_dtype_it_was_trained_in(tiny, tmp_path):
    model = tiny(torch.bfloat16)
    lora.attach(model, None)
    lora.merge_and_save(model, tokenizer(), tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert not (tmp_path / "adapter").exists()


def test_other_tools_learn_from_the_saved_folder_where_a_turn_ends(tiny, tmp_path):
    start, saved, model = tmp_path / "start", tmp_path / "saved", tiny()
    model.generation_config.eos_token_id = model.config.eos_token_id = 0
    model.save_pretrained(start)
    tokenizer(CHATML).save_pretrained(start)
    loaded = load_causal(start, train=True)
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    assert loaded.end_ids == {0, 2}
    lora.attach(loaded.model, Lora(rank=4))
    lora.merge_and_save(loaded.model, loaded.tokenizer, saved)
    plain = AutoModelForCausalLM.from_pretrained(saved)
    assert plain.generation_config.eos_token_id == [0, 2]
    assert load_causal(saved).end_ids == loaded.end_ids
    assert all(torch.equal(weight, before[name]) for name, weight in plain.state_dict().items())


def test_one_end_token_is_saved_as_the_one_that_it_was(tiny, tmp_path):
    model = tiny()
    model.generation_config.eos_token_id = model.config.eos_token_id = 0
    lora.merge_and_save(model, tokenizer(), tmp_path)
    config = AutoModelForCausalLM.from_pretrained(tmp_path).generation_config
    assert config.eos_token_id == 0


def test_experts_without_adapters_are_told_with_the_share_that_has_them(tiny, capsys):
    lora.attach(tiny(), Lora(rank=4))
    assert capsys.readouterr().err == ""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = Qwen3MoeConfig(
        vocab_size=64, num_key_value_heads=1, tie_word_embeddings=True, **sizes, **experts, **ends
    )
    model = AutoModelForCausalLM.from_config(config)
    lora.attach(model, Lora(rank=4))
    # Attention has 16 x 16 twice and 16 x 8 twice; an expert 3 matrices of 16 x 32; the router and
    # the norms have 4 x 16 and 3 x 16 + 2 x 8.
    adapted, stacked = 768, 4 * 3 * 16 * 32
    whole = adapted + stacked + 64 + 64
    told = capsys.readouterr().err
    assert f"adapters stand on {adapted / whole:.0%} of the weights" in told
    assert f"{stacked / whole:.0%} are stacked" in told


def test_unknown_targets_are_refused_with_the_layers_there_are(tiny):
    with pytest.raises(UsageError, match=r"use all-linear, or some of .*q_proj"):
        lora.attach(tiny(), Lora(targets=("wq",)))


def test_a_model_without_adapters_has_no_reference_inside(tiny):
    with pytest.raises(UsageError, match="load the reference beside it"), lora.without(tiny()):
        pass


def test_two_sets_of_adapters_learn_on_one_frozen_model(tiny):
    model = tiny()
    before = model(TOKENS).logits
    policy = lora.attach(model, Lora(rank=4), name="policy")
    value = lora.attach(model, Lora(rank=2), name="value")
    assert [p.shape[0] for p in value[:1]] == [2]
    trained = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in policy + value}
    with torch.no_grad():
        for parameter in value:
            parameter.normal_(std=0.1)
    with lora.active(model, "policy"):
        assert torch.equal(model(TOKENS).logits, before)
    with lora.active(model, "value"):
        changed = model(TOKENS).logits
        changed.sum().backward()
    assert not torch.allclose(changed, before)
    assert all(p.grad is None for p in policy)
    with lora.without(model):
        assert torch.equal(model(TOKENS).logits, before)
    lora.settle(model, name="value")
    torch.testing.assert_close(model(TOKENS).logits, changed, rtol=1e-5, atol=1e-5)
