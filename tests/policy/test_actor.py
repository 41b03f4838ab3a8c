"""Are policy, reference and value model apart from each other, in the memory of one model?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrlaif.policy.actor import Actor, Trunk
from hrlaif.training.lora import Lora
from hrlaif.transformer.forward import Sequence
from hrlaif.transformer.generate import Sampling
from hrlaif.transformer.load import load_causal

LORA = Lora(rank=4, alpha=8)
ASKED = [Sequence([26, 1, 2, 3, 4, 25], 3), Sequence([26, 5, 6, 7], 2)]
KINDS = [(LORA, "trained"), (LORA, "frozen"), (None, "trained"), (None, "frozen")]


def actor(start: Path, lora: Lora | None = LORA, value: Trunk = "trained") -> Actor:
    return Actor(load_causal(start, train=True), lora, value=value, seed=0)


def shake(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)


def values(of: Actor) -> Tensor:
    return of.values(ASKED, of.reference(ASKED, 0.9).states)


@pytest.mark.parametrize(("lora", "value"), KINDS)
def test_policy_and_reference_begin_equal_to_the_bit_and_values_at_zero(
    lora: Lora | None, value: Trunk, start: Path
) -> None:
    one = actor(start, lora, value)
    with torch.no_grad():
        policy = one.scores(ASKED, 0.9).logprobs
    assert torch.equal(policy, one.reference(ASKED, 0.9).logprobs)
    assert values(one).tolist() == [0.0] * 5


@pytest.mark.parametrize("lora", [LORA, None])
def test_the_divergence_is_that_of_whole_distributions(lora: Lora | None, start: Path) -> None:
    one = actor(start, lora, "none")
    assert one.divergence(ASKED, 0.9).tolist() == [0.0] * 5
    shake(one.modules()["policy"])
    found = one.divergence(ASKED, 0.9)
    with torch.no_grad():
        new = [log_table(one.model, s) for s in ASKED]
        plain = load_causal(start, train=True).model
        old = [log_table(plain, s) for s in ASKED]
    wanted = [(p.exp() * (p - q)).sum(-1) for p, q in zip(new, old, strict=True)]
    torch.testing.assert_close(found, torch.cat(wanted), rtol=1e-4, atol=1e-6)
    assert (found > 1e-3).all()


def log_table(model: Any, sequence: Sequence) -> Tensor:
    logits = model(torch.tensor([sequence.tokens])).logits[0, sequence.start - 1 : -1]
    return (logits / 0.9).log_softmax(-1)


@pytest.mark.parametrize(("lora", "value"), KINDS)
def test_moving_the_policy_moves_neither_reference_nor_values(
    lora: Lora | None, value: Trunk, start: Path
) -> None:
    one = actor(start, lora, value)
    shake(one.modules()["value"])
    before = one.reference(ASKED, 0.9).logprobs, values(one)
    shake(one.modules()["policy"])
    assert torch.equal(one.reference(ASKED, 0.9).logprobs, before[0])
    assert torch.equal(values(one), before[1])
    with torch.no_grad():
        assert not torch.allclose(one.scores(ASKED, 0.9).logprobs, before[0])


@pytest.mark.parametrize(("lora", "value"), KINDS)
def test_moving_the_value_model_moves_neither_policy_nor_reference(
    lora: Lora | None, value: Trunk, start: Path
) -> None:
    one = actor(start, lora, value)
    shake(one.modules()["policy"])
    with torch.no_grad():
        before = one.scores(ASKED, 0.9).logprobs
    reference = one.reference(ASKED, 0.9).logprobs
    shake(one.modules()["value"])
    with torch.no_grad():
        assert torch.equal(one.scores(ASKED, 0.9).logprobs, before)
    assert torch.equal(one.reference(ASKED, 0.9).logprobs, reference)
    assert values(one).abs().min() > 0


@pytest.mark.parametrize(("lora", "value"), KINDS)
def test_each_loss_reaches_its_own_weights_only(
    lora: Lora | None, value: Trunk, start: Path
) -> None:
    one = actor(start, lora, value)
    for module in one.modules().values():
        shake(module)

    def reached(name: str) -> bool:
        return any(p.grad is not None for p in one.modules()[name].parameters())

    values(one).sum().backward()  # type: ignore[no-untyped-call]
    assert reached("value")
    assert not reached("policy")
    one.modules()["value"].zero_grad(set_to_none=True)
    one.scores(ASKED, 0.9).logprobs.sum().backward()  # type: ignore[no-untyped-call]
    assert reached("policy")
    assert not reached("value")


def test_the_value_of_a_step_does_not_see_its_token(start: Path) -> None:
    one = actor(start)
    shake(one.modules()["value"])
    other = [Sequence([26, 1, 2, 9, 4, 25], 3), ASKED[1]]  # another first response token
    changed = one.values(other, None) - one.values(ASKED, None)
    assert changed[0].item() == 0
    assert changed[1].item() != 0


@pytest.mark.parametrize("value", ["none", "frozen", "trained"])
def test_the_sampler_says_what_the_learner_says_and_puts_the_weights_back(
    value: Any, start: Path
) -> None:
    one = actor(start, value=value)
    shake(one.modules()["policy"])
    weights = {k: v.clone() for k, v in one.model.state_dict().items()}
    prompts = [[26, 1, 2], [26, 1, 2], [26, 5]]
    written = one.sample(prompts, Sampling(0.9, 6, seed=3), samples=[0, 1, 0])
    asked = [Sequence(p + w.tokens, len(p)) for p, w in zip(prompts, written, strict=True)]
    with torch.no_grad():
        learner = one.scores(asked, 0.9).logprobs
    sampler = torch.tensor([p for w in written for p in w.logprobs])
    torch.testing.assert_close(sampler, learner, atol=1e-5, rtol=0)
    assert all(torch.equal(weights[k], v) for k, v in one.model.state_dict().items())


def test_the_reference_uses_the_sampling_temperature(start: Path) -> None:
    one = actor(start)
    with torch.no_grad():
        logits = one.model(torch.tensor([ASKED[1].tokens])).logits[0, 1:3]
    wanted = (logits / 0.5).log_softmax(-1)[torch.arange(2), torch.tensor([6, 7])]
    torch.testing.assert_close(one.reference(ASKED[1:], 0.5).logprobs, wanted)
