"""Are RLOO and GRPO what TRL computes? Same weights, same responses, same rewards, in float32.

TRL is not among the project's dependencies: `pip install trl==1.16.0`, or these are skipped.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from hrlaif.policy import learn
from hrlaif.policy.actor import Actor
from hrlaif.policy.grpo import Grpo
from hrlaif.policy.kl import Kl
from hrlaif.policy.learn import Lesson
from hrlaif.policy.rloo import Rloo
from hrlaif.policy.rollouts import Batch
from hrlaif.transformer.generate import Sampling
from hrlaif.transformer.load import load_causal

trl = pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and its dependencies' own

PROMPTS = [[26, 1, 2, 3], [26, 5, 6], [26, 9]]
GROUP, TEMPERATURE, LIMIT = 4, 0.9, 8
REWARDS = [0.5, -1.0, 2.0, 0.25, 1.0, 1.0, 1.0, 1.0, -0.5, 0.0, 3.0, -2.0]
KL = {"beta": 0.1, "place": "loss", "estimator": "k3"}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "rloo": (Rloo(kl=Kl(beta=0.1)), {"beta": 0.1}),
    "rloo without KL": (Rloo(kl=Kl(beta=0.0)), {"beta": 0.0}),
    "grpo": (Grpo(kl=KL), {"beta": 0.1, "loss_type": "grpo"}),
    "grpo without scale": (
        Grpo(kl=KL, scale="none"),
        {"beta": 0.1, "loss_type": "grpo", "scale_rewards": "none"},
    ),
    "grpo by batch": (
        Grpo(kl=KL, scale="batch", average="token"),
        {"beta": 0.1, "loss_type": "bnpo", "scale_rewards": "batch"},
    ),
    "dapo": (
        Grpo(kl=KL, average="token", clip_high=0.28),
        {"beta": 0.1, "loss_type": "dapo", "epsilon_high": 0.28},
    ),
    "dr grpo": (
        Grpo(kl=KL, scale="none", average="sum"),
        {"beta": 0.1, "loss_type": "dr_grpo", "scale_rewards": "none"},
    ),
}


def shake(model: Any, seed: int, size: float) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * size)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("moved", [0.0, 0.02])
def test_losses_and_gradients_are_trl_s(
    name: str, moved: float, start: Path, tmp_path: Path
) -> None:
    algorithm, arguments = CASES[name]
    # The policy is away from its reference; `moved` takes it away from the one that sampled too.
    actor = Actor(load_causal(start, train=True), None, value="none", seed=0)
    shake(actor.model, 1, 0.02)
    prompts = [prompt for prompt in PROMPTS for _ in range(GROUP)]
    written = actor.sample(
        prompts, Sampling(TEMPERATURE, LIMIT, 3), samples=list(range(GROUP)) * len(PROMPTS)
    )
    answers = [w.tokens for w in written]
    trainer = theirs(name, arguments, (prompts, answers), start, tmp_path)
    shake(trainer.model, 1, 0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = trainer._generate_and_score_completions(
            [{"prompt": "w1"} for _ in range(len(prompts))]
        )
    shake(trainer.model, 2, moved)
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    shake(actor.model, 2, moved)
    ours, figures = step(actor, algorithm, (prompts, answers), [w.logprobs for w in written])
    scale = LIMIT if name == "dr grpo" else 1  # its constant divisor, a learning rate's matter
    assert figures["policy_loss"] == pytest.approx(scale * loss.item(), rel=1e-5, abs=1e-6)
    wanted = {k: scale * p.grad for k, p in trainer.model.named_parameters() if p.grad is not None}
    assert ours.keys() == wanted.keys()
    whole = torch.cat([(ours[k] - wanted[k]).flatten() for k in ours]).norm()
    length = torch.cat([wanted[k].flatten() for k in ours]).norm()
    assert length > 1e-2
    assert whole / length < 1e-5


def step(
    actor: Actor, algorithm: Any, texts: tuple[Any, Any], old: list[list[float]]
) -> tuple[dict[str, Tensor], dict[str, float | None]]:
    """Our loss and gradients."""
    from hrlaif.transformer.forward import Sequence

    sequences = [Sequence(p + a, len(p)) for p, a in zip(*texts, strict=True)]
    groups = [number for number in range(len(PROMPTS)) for _ in range(GROUP)]
    flat = [value for row in old for value in row]
    batch = Batch(sequences, groups, REWARDS, flat, actor.loaded.device)
    rollouts = learn.judged(actor, batch, algorithm, TEMPERATURE)
    names = [str(i) for i in range(len(groups))]
    credit = algorithm.credit(rollouts)
    lesson = Lesson(batch, rollouts, credit, algorithm, TEMPERATURE, names, "here")
    _, figures = learn.gradients(actor, lesson)
    named = actor.model.named_parameters()
    return {k: p.grad for k, p in named if p.grad is not None}, figures


def theirs(
    name: str, arguments: dict[str, Any], texts: tuple[Any, Any], start: Path, folder: Path
) -> Any:
    """TRL's trainer on the same start, which is given our responses instead of its own."""
    from datasets import Dataset

    kind = "RLOO" if name.startswith("rloo") else "GRPO"
    base, config = getattr(trl, f"{kind}Trainer"), getattr(trl, f"{kind}Config")

    class Given(base):  # type: ignore[misc, valid-type]
        def _tokenize_prompts(self, prompts: Any) -> Any:
            return [list(prompt) for prompt in texts[0]], None, {}

        def _generate_single_turn(self, *_: Any) -> Any:
            answers = [list(answer) for answer in texts[1]]
            return answers if kind == "RLOO" else (answers, None)

    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    reused = {"num_iterations": 2} if kind == "GRPO" else {}  # else it takes the ratio for 1
    settings = config(
        output_dir=str(folder),
        per_device_train_batch_size=len(REWARDS),
        num_generations=GROUP,
        max_completion_length=LIMIT,
        temperature=TEMPERATURE,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        model_init_kwargs=None,
        **reused,
        **arguments,
    )
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.pad_token = tokenizer.eos_token
    trainer = Given(
        model=model,
        args=settings,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": "w1"}] * len(REWARDS)),
        reward_funcs=lambda completions, **_: list(REWARDS),
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL reports its use unless it is told not to."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TRL_EXPERIMENTAL_SILENCE"):
        monkeypatch.setenv(name, "1")
