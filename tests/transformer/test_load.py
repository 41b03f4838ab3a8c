"""Is a model found, loaded in the right precision, and refused with a next move?"""

import json

import peft
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hrlaif.errors import ModelError, UsageError
from hrlaif.settings import Compute, using
from hrlaif.transformer.int8 import Int8Linear
from hrlaif.transformer.load import (
    base_of_adapter,
    device_in_force,
    load_causal,
    precision_in_force,
)

CPU = torch.device("cpu")


@pytest.fixture
def folder(tiny, tmp_path):
    """A saved tiny model with a tokenizer of its size."""
    inner = Tokenizer(models.WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="w2", pad_token="w0")
    tokenizer.save_pretrained(tmp_path / "model")
    model = tiny("qwen2")
    model.generation_config.eos_token_id = [2, 5]
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_training_never_runs_in_int8_and_a_narrow_model_answers_in_float32(folder):
    with using(Compute(device="cpu")):
        loaded = load_causal(folder)
    assert loaded.precision in ("float32", "bfloat16")
    with using(Compute(device="cpu", precision="int8")):
        assert precision_in_force(CPU, train=True) != "int8"
        assert load_causal(folder).precision == "int8"
        assert isinstance(load_causal(folder).model.lm_head, Int8Linear)


def test_all_end_tokens_of_the_generation_config_are_known(folder):
    with using(Compute(device="cpu", precision="float32")):
        loaded = load_causal(folder)
    assert loaded.end_ids == {2, 5}
    assert loaded.context == 256
    assert not loaded.model.training


def test_a_16_bit_model_is_float32_where_that_is_the_precision(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    with using(Compute(device="cpu", precision="float32")):
        assert load_causal(folder, train=True).model.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
def test_an_adapter_folder_is_its_base_with_the_adapter_merged(folder, tiny, tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    with using(Compute(device="cpu", precision="float32")):
        base = load_causal(folder, train=True).model
        adapted = peft.get_peft_model(base, config)
        tokens = torch.tensor([[5, 6, 7]])
        expected = adapted(tokens).logits
        adapted.peft_config["default"].base_model_name_or_path = str(folder)
        adapted.save_pretrained(tmp_path / "adapter")
        merged = load_causal(tmp_path / "adapter").model
    assert base_of_adapter(tmp_path / "adapter") == str(folder)
    torch.testing.assert_close(merged(tokens).logits, expected, atol=1e-5, rtol=1e-5)


def test_a_folder_that_is_no_model_says_so(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as a causal language model"):
        load_causal(tmp_path)


def test_a_mixture_of_experts_answers_in_bfloat16_where_others_do_in_8_bits(folder, tiny, capsys):
    with using(Compute(device="cpu", precision="int8")):
        tiny("qwen3_moe").save_pretrained(folder)
        loaded = load_causal(folder)
    assert (loaded.precision, loaded.model.dtype) == ("bfloat16", torch.bfloat16)
    assert loaded.model.model.layers[0].mlp.experts.down_proj.dtype == torch.bfloat16
    assert "bfloat16 instead of int8" in capsys.readouterr().err


def test_a_macs_gpu_is_taken_only_by_name(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with using(Compute()):
        assert device_in_force() == CPU
    with using(Compute(device="mps")):
        assert device_in_force() == torch.device("mps")


def test_an_unknown_precision_names_the_known_ones():
    with (
        using(Compute(precision="int4")),
        pytest.raises(UsageError, match="none of auto, float32, bfloat16, int8"),
    ):
        precision_in_force(CPU, train=False)


def cut(folder):
    (weights,) = folder.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:2000])


def foreign(folder):
    (weights,) = folder.glob("*.safetensors")
    weights.unlink()
    torch.save({"x": print}, folder / "pytorch_model.bin")


def without_end(folder):
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text((folder / name).read_text()[:40])


@pytest.mark.parametrize(
    ("spoil", "move"),
    [
        (cut, "are its files whole"),
        (foreign, "give .safetensors files"),
        (without_end, "are its files whole"),
    ],
)
def test_broken_files_are_named_with_what_to_do(folder, spoil, move):
    spoil(folder)
    with pytest.raises(ModelError, match=f"{folder} cannot be loaded .*{move}"):
        load_causal(folder)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
def test_a_broken_adapter_is_named(folder, tiny, tmp_path):
    adapter = tmp_path / "adapter"
    config = peft.LoraConfig(r=2, target_modules=["q_proj"])
    peft.get_peft_model(tiny("qwen2"), config).save_pretrained(adapter)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(folder)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    cut(adapter)
    with pytest.raises(ModelError, match=f"the adapter {adapter} .* is not whole"):
        load_causal(adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="names no base model"):
        load_causal(adapter)


def test_python_of_a_models_folder_is_never_run_nor_asked_about(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    own = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="needs Python code of its own, which is never run here"):
        load_causal(folder)
    assert not (tmp_path / "ran").exists()
