import math

import pytest
import torch
import transformers
from torch import nn

from hrlaif.errors import ModelError
from hrlaif.training.masters import master_of
from hrlaif.training.optimizer import Optimizer, build, heads_of, rate, update


def test_linear_schedule_by_hand():
    settings = Optimizer(learning_rate=1.0, warmup_steps=2, schedule="linear")
    rates = [rate(settings, step, 6) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])


def test_cosine_schedule_by_hand():
    settings = Optimizer(learning_rate=2.0, schedule="cosine")
    rates = [rate(settings, step, 4) for step in range(4)]
    half = math.sqrt(0.5)
    assert rates == pytest.approx([2.0, 1 + half, 1.0, 1 - half])


def test_constant_schedule_stays():
    settings = Optimizer(learning_rate=3.0, schedule="constant", warmup_steps=1)
    assert [rate(settings, step, 3) for step in range(3)] == [3.0, 3.0, 3.0]


def test_the_first_adamw_step_moves_each_weight_by_the_learning_rate():
    line = nn.Linear(1, 1, bias=False)
    line.weight.data.fill_(1.0)
    settings = Optimizer(learning_rate=0.1, schedule="constant", max_grad_norm=100.0)
    adamw = build(settings, {"line": line})
    line(torch.tensor([[2.0]])).sum().backward()
    figures = update(adamw, settings, step=0, total=1)
    # Bias-corrected, the first step is lr * g / (|g| + eps).
    assert line.weight.item() == pytest.approx(0.9, abs=1e-6)
    assert figures == {"grad_norm": pytest.approx(2.0), "learning_rate": 0.1}
    assert line.weight.grad is None


def test_heads_norms_and_biases_do_not_decay():
    part = nn.ModuleDict(
        {"body": nn.Linear(2, 2), "norm": nn.LayerNorm(2), "score": nn.Linear(2, 1)}
    )
    adamw = build(Optimizer(weight_decay=0.1), {"model": part}, heads=["model.score"])
    decayed, plain = adamw.param_groups
    assert [id(p) for p in decayed["params"]] == [id(part["body"].weight)]
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0.0
    assert len(plain["params"]) == 5


def test_a_module_may_learn_faster():
    parts = {"policy": nn.Linear(1, 1, bias=False), "value": nn.Linear(1, 1, bias=False)}
    settings = Optimizer(learning_rate=0.1, schedule="constant")
    adamw = build(settings, parts, rates={"value": 10.0})
    sum(part(torch.ones(1, 1)).sum() for part in parts.values()).backward()
    update(adamw, settings, step=0, total=1)
    assert [group["lr"] for group in adamw.param_groups] == pytest.approx([0.1, 1.0])


def test_a_gradient_that_is_not_finite_stops_with_the_weights_as_they_were():
    line = nn.Linear(1, 1, bias=False)
    before = line.weight.detach().clone()
    adamw = build(Optimizer(), {"line": line})
    (line(torch.ones(1, 1)) * float("inf")).sum().backward()
    move = r"step 4 of 9: the gradient is .* train in float32 .* same command, or lower .* --redo"
    with pytest.raises(ModelError, match=move):
        update(adamw, Optimizer(), step=3, total=9)
    assert torch.equal(line.weight, before)


def gpt(family, **more):
    """A tiny language model."""
    sizes = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = family(**sizes, intermediate_size=8, bos_token_id=1, eos_token_id=2, **more)
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    ("model", "spared"),
    [
        (gpt(transformers.GPTNeoXConfig, tie_word_embeddings=False), "lm_head.weight"),
        (gpt(transformers.LlamaConfig, tie_word_embeddings=True), "model.embed_tokens.weight"),
    ],
)
def test_no_weight_decay_pulls_at_a_language_models_head(model, spared):
    heads = heads_of("model", model)
    assert heads == [f"model.{spared}"]
    adamw = build(Optimizer(weight_decay=0.1), {"model": model}, heads=heads)
    of = {id(p): group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    decay = {name: of[id(p)] for name, p in model.named_parameters()}
    assert decay[spared] == 0.0
    assert {d for name, d in decay.items() if name.endswith("mlp.dense_h_to_4h.weight")} <= {0.1}
    assert 0.1 in decay.values()


def test_nothing_to_train_is_an_error():
    line = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(ModelError, match="attach adapters first"):
        build(Optimizer(), {"line": line})


def in_16_bits(value, learning_rate):
    line = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    line.weight.data.fill_(value)
    settings = Optimizer(learning_rate=learning_rate, schedule="constant", max_grad_norm=100.0)
    return line, settings, build(settings, {"line": line})


def test_steps_smaller_than_the_spacing_of_16_bits_add_up():
    # Next below 1.0 in bfloat16 is 1 - 2^-8: each step alone is rounded away.
    line, settings, adamw = in_16_bits(1.0, 1e-3)
    for step in range(4):
        line(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        update(adamw, settings, step=step, total=4)
    assert master_of(line.weight).item() == pytest.approx(1 - 4e-3, abs=1e-6)
    assert line.weight.item() == 1 - 2**-8
    assert line.weight.dtype == torch.bfloat16


def test_micro_batches_add_up_in_float32():
    # 256 + 1 is 256 in bfloat16.
    line, settings, adamw = in_16_bits(1.0, 1e-3)
    for scale in (256.0, 1.0, 1.0):
        line(torch.full((1, 1), scale, dtype=torch.bfloat16)).sum().backward()
    assert line.weight.grad is None
    assert master_of(line.weight).grad.item() == 258.0
    assert update(adamw, settings, step=0, total=1)["grad_norm"] == 258.0
    assert master_of(line.weight).grad is None


def test_weights_of_float32_have_no_copy():
    line = nn.Linear(1, 1)
    build(Optimizer(), {"line": line})
    assert master_of(line.weight) is line.weight
