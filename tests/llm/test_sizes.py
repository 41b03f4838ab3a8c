"""How many parameters a model has, from lists and heads of files alone."""

import json
import struct

import pytest

from hrlaif.llm import open_model
from hrlaif.llm.packaged import PACKAGED, model_cache
from hrlaif.llm.sizes import parameters


def written(path, tensors):
    head = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)


def tensor(*shape, dtype="BF16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]}


def test_a_folders_tensors_are_counted_over_all_its_files(tmp_path):
    written(tmp_path / "model-00001-of-00002.safetensors", {"a": tensor(3, 5), "b": tensor(7)})
    written(tmp_path / "model-00002-of-00002.safetensors", {"c": tensor(2, 2, 2)})
    written(tmp_path / "adapter_model.safetensors", {"lora": tensor(1000)})
    assert parameters(open_model(f"local:{tmp_path}")) == 15 + 7 + 8
    assert parameters(open_model(f"vllm:{tmp_path}")) == 30


def test_a_real_models_parameters_are_those_that_torch_counts(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    whole = {id(p): p.numel() for p in model.parameters()}
    assert parameters(open_model(f"local:{tiny_model}")) == sum(whole.values())


def test_what_is_not_known_here_is_none(tmp_path):
    for name in ("remote:m", "scripted:", "local:Qwen/no-such-folder", f"local:{tmp_path}"):
        assert parameters(open_model(name)) is None
    written(tmp_path / "model.safetensors", {"packed": tensor(8, 8, dtype="I32")})
    assert parameters(open_model(f"local:{tmp_path}")) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    assert parameters(open_model(f"local:{tmp_path}")) is None


def test_packaged_models_are_known_without_their_weights():
    assert parameters(open_model("packaged:gemma-3-270m")) == 268_098_176


@pytest.mark.models
@pytest.mark.parametrize("name", PACKAGED)
def test_the_list_says_what_the_fetched_files_hold(name):
    folder = model_cache() / name
    config = json.loads((folder / "config.json").read_text("utf-8"))
    written_twice = not config["tie_word_embeddings"]
    head = written_twice * config["vocab_size"] * config["hidden_size"]
    listed = parameters(open_model(f"packaged:{name}"))
    assert parameters(open_model(f"local:{folder}")) == listed + head
