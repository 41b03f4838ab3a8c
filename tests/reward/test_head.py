import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hrlaif.errors import ModelError
from hrlaif.records import Message, Prompt
from hrlaif.reward import head
from hrlaif.settings import Compute, using
from hrlaif.training import lora
from hrlaif.transformer.load import load_causal

FAMILIES = ["qwen2", "llama", "gemma3", "gpt_neox"]
PROMPT = Prompt(id="p", messages=(Message(role="user", content="how are you?"),))
TEXTS = [("fine", True), ("fine, thank you very much", True), ("fine, thank", False), ("", True)]


def rendered(reward, limit=200):
    return [
        head.render(reward, PROMPT, text, finished=finished, limit=limit).tokens
        for text, finished in TEXTS
    ]


def with_random_head(loaded):
    reward = head.with_head(loaded)
    torch.nn.init.normal_(reward.model.score.weight, generator=torch.Generator().manual_seed(1))
    return reward


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pad", ["<pad>", "</s>", None])
def test_plain_transformers_gives_our_rewards_on_padded_batches(base, tmp_path, family, pad):
    reward = with_random_head(load_causal(base(family, pad=pad), train=True))
    folder = tmp_path / "reward"
    lora.merge_and_save(reward.model, reward.tokenizer, folder)
    sequences = rendered(reward)
    ours = head.rewards_of(reward.model, sequences)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer.pad({"input_ids": sequences}, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**batch).logits[:, 0].tolist()
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert model.config.num_labels == 1
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert len({round(value, 4) for value in ours}) == 4


def test_padding_and_batch_mates_do_not_change_a_reward(base):
    reward = with_random_head(load_causal(base(), train=True))
    sequences = rendered(reward)
    alone = [head.rewards_of(reward.model, [tokens])[0] for tokens in sequences]
    assert head.rewards_of(reward.model, sequences) == pytest.approx(alone, abs=1e-5)


def test_the_head_starts_at_zero_so_every_pair_starts_undecided(base):
    reward = head.with_head(load_causal(base(), train=True))
    assert reward.model.score.weight.shape == (1, 32)
    assert head.rewards_of(reward.model, rendered(reward)) == [0.0] * 4


def test_an_unfinished_response_has_no_end_token(base):
    reward = head.with_head(load_causal(base(), train=True))
    tokenizer = reward.tokenizer
    whole = head.render(reward, PROMPT, "yes", finished=True, limit=100)
    torn = head.render(reward, PROMPT, "yes", finished=False, limit=100)
    assert whole.tokens == [*torn.tokens, tokenizer.eos_token_id]


def test_a_long_prompt_is_cut_at_the_left_and_the_response_stays(base):
    reward = head.with_head(load_causal(base(), train=True))
    tokenizer = reward.tokenizer
    whole = head.render(reward, PROMPT, "yes", finished=True, limit=100)
    short = head.render(reward, PROMPT, "yes", finished=True, limit=12)
    assert (whole.cut, short.cut) == (False, True)
    assert len(short.tokens) == 12
    kept = 11 if whole.tokens[0] == tokenizer.bos_token_id else 12
    assert short.tokens[-kept:] == whole.tokens[-kept:]


def test_a_folder_without_a_model_is_refused_with_the_next_move(tmp_path):
    with pytest.raises(ModelError, match="train it first"):
        head.load(tmp_path, device=torch.device("cpu"), dtype=torch.float32)


def test_broken_weights_and_python_of_the_folder_are_refused_with_the_next_move(base, tmp_path):
    reward = head.with_head(load_causal(base(), train=True))
    lora.merge_and_save(reward.model, reward.tokenizer, tmp_path)

    def refused(why):
        with pytest.raises(ModelError, match=f"{tmp_path} cannot be loaded .*{why}"):
            head.load(tmp_path, device=torch.device("cpu"), dtype=torch.float32)

    (weights,) = tmp_path.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:2000])
    refused("are its files whole")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused("needs Python code of its own, which is never run here")


@pytest.mark.parametrize("adapted", [lora.Lora(rank=2), None])
@pytest.mark.parametrize("sharded", [False, True])
def test_the_head_is_loaded_to_the_bit_beside_a_decoder_in_16_bits(
    base, tmp_path, adapted, sharded
):
    with using(Compute(device="cpu", precision="bfloat16")):
        reward = with_random_head(load_causal(base(), train=True))
    lora.attach(reward.model.base_model, adapted)
    lora.merge_and_save(reward.model, reward.tokenizer, tmp_path)
    if sharded:
        (tmp_path / "model.safetensors").unlink()
        reward.model.save_pretrained(tmp_path, max_shard_size="20KB")
    loaded = head.load(tmp_path, device=torch.device("cpu"), dtype=torch.bfloat16).model
    assert loaded.dtype == torch.bfloat16
    assert loaded.score.weight.dtype == torch.float32
    assert torch.equal(loaded.score.weight, reward.model.score.weight)
    assert not torch.equal(loaded.score.weight, loaded.score.weight.bfloat16().float())
