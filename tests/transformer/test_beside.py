"""Is what an adapter learned in 16 bits still there in the saved folder, whoever loads it?"""

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from hrlaif.settings import Compute, using
from hrlaif.training import lora
from hrlaif.training.lora import Lora
from hrlaif.training.optimizer import Optimizer, build, update
from hrlaif.transformer import beside
from hrlaif.transformer.forward import Sequence, token_logprobs
from hrlaif.transformer.load import load_causal

TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
STEPS = 16
BF16 = Compute(device="cpu", precision="bfloat16")


@pytest.fixture
def base(tiny, tmp_path):
    """A function that saves a tiny bfloat16 model of a family, as such models are published."""

    def make(family="qwen2", hidden=64):
        folder = tmp_path / f"base_{family}"
        backend = Tokenizer(models.WordLevel({f"w{i}": i for i in range(97)}, unk_token="w0"))
        PreTrainedTokenizerFast(
            tokenizer_object=backend, eos_token="w2", pad_token="w0"
        ).save_pretrained(folder)
        tiny(family, hidden=hidden).bfloat16().save_pretrained(folder)
        return folder

    return make


def trained(start, folder, *, seed=0, rank=8):
    """Adapters on a bfloat16 model, after some steps at 1e-4; saved. What it says of tokens."""
    with using(BF16):
        loaded = load_causal(start, train=True)
    torch.manual_seed(seed)
    before = logits(loaded.model)
    lora.attach(loaded.model, Lora(rank=rank))
    how = Optimizer(learning_rate=1e-4, schedule="constant")
    adamw = build(how, {"model": loaded.model})
    rows = [Sequence(torch.randint(3, 97, (12,)).tolist(), 4) for _ in range(4)]
    for step in range(STEPS):
        (-token_logprobs(loaded.model, rows).mean()).backward()
        update(adamw, how, step=step, total=STEPS)
    after = logits(loaded.model)
    with lora.without(loaded.model):
        assert torch.equal(logits(loaded.model), before)
    lora.merge_and_save(loaded.model, loaded.tokenizer, folder)
    return before, after


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits.float()


def off(found, wanted, before):
    """How much of what training changed is not there, of the norm."""
    return float((found - wanted).norm() / (wanted - before).norm())


@pytest.mark.parametrize("family", ["qwen2", "gemma3"])
def test_a_folder_trained_in_16_bits_is_loaded_as_the_policy_that_was_trained(
    base, tmp_path, family
):
    before, after = trained(base(family), tmp_path / "policy")
    with using(BF16):
        assert torch.equal(logits(load_causal(tmp_path / "policy", train=True).model), after)
        answering = logits(load_causal(tmp_path / "policy").model)  # its weights in blocks
    assert off(answering, after, before) < 0.05
    rounded = AutoModelForCausalLM.from_pretrained(tmp_path / "policy", dtype=torch.bfloat16)
    assert off(logits(rounded), after, before) > 0.2  # what was saved and loaded before


@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_the_weights_beside_an_adapter_are_the_bases_to_the_bit(base, tmp_path, family):
    trained(base(family), tmp_path / "policy")
    with using(BF16):
        found = load_causal(tmp_path / "policy", train=True).model
        start = load_causal(base(family), train=True).model
    weights = dict(found.named_parameters())
    for name, weight in start.named_parameters():
        assert torch.equal(weights[name], weight), name
        assert weights[name].dtype == weight.dtype
    assert dict(found.named_buffers()).keys() > dict(start.named_buffers()).keys()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_in_other_precisions_the_folder_has_learned_the_same(base, tmp_path, precision):
    trained(base(), tmp_path / "policy")
    with using(Compute(device="cpu", precision=precision)):
        start, found = load_causal(base()).model, load_causal(tmp_path / "policy").model
        exact = load_causal(base(), train=True).model
    change = logits(found) - logits(start)
    with torch.no_grad():
        for path, thin in beside._read(tmp_path / "policy" / beside.FOLDER).items():
            layer = exact.get_submodule(path)
            layer.weight.data = layer.weight.float() + thin.up @ thin.down
    with using(Compute(device="cpu", precision="float32")):
        wanted = logits(exact.float()) - logits(load_causal(base()).model)
    assert float((change - wanted).norm() / wanted.norm()) < 0.1


def test_plain_transformers_loads_the_sums_in_float32(base, tmp_path):
    start = base()
    trained(start, tmp_path / "policy")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert plain.dtype == torch.float32
    whole = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    for path, thin in beside._read(tmp_path / "policy" / beside.FOLDER).items():
        layer = whole.get_submodule(path)
        layer.weight.data += thin.up @ thin.down
    torch.testing.assert_close(logits(plain), logits(whole), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
def test_peft_puts_the_adapter_of_two_trainings_on_the_base_they_began_with(base, tmp_path):
    from peft import PeftModel

    start = base()
    trained(start, tmp_path / "sft")
    before, after = trained(tmp_path / "sft", tmp_path / "policy", seed=1, rank=4)
    with using(BF16):
        loaded = load_causal(tmp_path / "policy", train=True).model
        known = load_causal(tmp_path / "policy" / "adapter", train=True).model
    assert torch.equal(logits(loaded), after)
    assert not torch.equal(before, after)
    assert torch.equal(logits(known), logits(loaded))  # our own reading of PEFT's folder
    whole = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(whole, str(tmp_path / "policy" / "adapter"))
    assert adapted.peft_config["default"].base_model_name_or_path == str(start)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    torch.testing.assert_close(logits(adapted), logits(plain), atol=1e-4, rtol=1e-4)


def test_gradients_flow_through_what_stands_beside_a_frozen_weight(base, tmp_path):
    trained(base(), tmp_path / "sft")
    found = []
    for precision in ("bfloat16", "float32"):
        with using(Compute(device="cpu", precision=precision)):
            model = load_causal(tmp_path / "sft", train=True).model
        torch.manual_seed(3)
        added = lora.attach(model, Lora(rank=4))
        with torch.no_grad():
            for parameter in added:
                parameter.normal_(std=0.05)
        token_logprobs(model, [Sequence(TOKENS[0].tolist(), 2)]).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in added]))
    assert float((found[0] - found[1]).norm() / found[1].norm()) < 0.05


def test_all_weights_can_be_trained_behind_an_adapter(base, tmp_path):
    trained(base(), tmp_path / "sft")
    with using(BF16):
        loaded = load_causal(tmp_path / "sft", train=True)
    lora.attach(loaded.model, None)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1.1)
    wanted = logits(loaded.model)
    lora.merge_and_save(loaded.model, loaded.tokenizer, tmp_path / "policy")
    with using(BF16):
        assert torch.equal(logits(load_causal(tmp_path / "policy", train=True).model), wanted)
