"""Do odd models and odd responses train as plain ones do?"""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hrlaif.errors import ModelError
from hrlaif.policy import Dpo, Grpo, OnlineDpo, Policy, Ppo, Reinforce, Rloo, learn, loop
from hrlaif.policy.actor import Actor
from hrlaif.policy.learn import Lesson
from hrlaif.policy.rollouts import Asked, Batch, Draw, Scorer, respond
from hrlaif.protocols import LanguageModel
from hrlaif.records import Message, Prompt, Response, Score
from hrlaif.reward import Learned, head, learned
from hrlaif.settings import Settings
from hrlaif.training import metrics
from hrlaif.training.lora import Lora
from hrlaif.transformer import beside
from hrlaif.transformer.forward import Sequence
from hrlaif.transformer.load import load_causal

EVERY: list[Any] = [Reinforce(), Ppo(), Rloo(), Grpo(), OnlineDpo(), Dpo()]
END, OTHER_END = 25, 7


class Length(Settings):
    """Tokens of a response."""

    def score(self, responses: Any, judge: LanguageModel | None) -> list[Score]:
        """One score a response."""
        return [Score(id=r.key, value=float(r.tokens), scorer="length") for r in responses]


def settings(algorithm: Any = "rloo", steps: int = 1) -> Policy:
    return Policy.parse(
        {
            "algorithm": algorithm,
            "steps": steps,
            "sampling": {"prompts_per_step": 4, "samples_per_prompt": 4, "max_tokens": 6},
            "lora": {"rank": 4, "alpha": 8},
            "optimizer": {"learning_rate": 1e-2},
            "value_trunk": "frozen",
        }
    )


@pytest.fixture
def ends(start: Path, tmp_path: Path) -> Path:
    """The model with two end tokens, whose pad token is one of them."""
    folder = tmp_path / "ends"
    shutil.copytree(start, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [END, OTHER_END]}))
    return folder


def test_each_end_token_ends_a_response_and_is_learnt_also_where_it_is_the_pad_token(
    ends: Path, prompts: list[Prompt]
) -> None:
    actor = Actor(load_causal(ends, train=True), Lora(rank=4), value="none", seed=0)
    asked = [Asked(prompt, [26, n]) for n, prompt in enumerate(prompts)]
    found = respond(actor, asked, Draw(0.9, 8, samples=8, seed=1))
    last = {r.sequence.tokens[-1] for r in found if r.ended}
    assert last == {END, OTHER_END}
    assert all(not {END, OTHER_END} & set(r.sequence.tokens[r.sequence.start : -1]) for r in found)
    batch = Batch.of([(r, math.sqrt(n)) for n, r in enumerate(found)], actor.loaded.device)
    rloo = Rloo()
    rollouts = learn.judged(actor, batch, rloo, 0.9)
    credit = rloo.credit(rollouts)
    new = rollouts.old.clone().requires_grad_(True)
    rloo.loss(new, rollouts, credit).backward()  # type: ignore[no-untyped-call]
    tokens = torch.tensor([t for r in found for t in r.sequence.tokens[r.sequence.start :]])
    assert new.grad is not None
    for end in (END, OTHER_END):
        assert (new.grad[tokens == end] != 0).all()  # a masked end would never be learnt


def test_a_run_with_such_tokens_agrees_with_its_sampler(
    ends: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    loop.train(settings("ppo"), prompts, Scorer(Length()), start=ends, folder=tmp_path / "run")
    row = metrics.read(tmp_path / "run" / "metrics.jsonl")[0]
    assert row["logprob_gap"] < 1e-5
    assert row["ended_share"] > 0


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_responses_of_nothing_but_an_end_token_have_credit_and_a_finite_loss(
    algorithm: Any, start: Path
) -> None:
    trunk: Any = "frozen" if algorithm.uses_values else "none"
    actor = Actor(load_causal(start, train=True), Lora(rank=4), value=trunk, seed=0)
    sequences = [Sequence([26, 1, 2, END], 3), Sequence([26, 1, 2, 4, END], 3)] * 2
    with torch.no_grad():
        old = actor.scores(sequences, 0.9).logprobs.tolist()
    batch = Batch(sequences, [0, 0, 1, 1], [1.0, 0.0, 0.5, 0.5], old, actor.loaded.device)
    rollouts = learn.judged(actor, batch, algorithm, 0.9)
    credit = algorithm.credit(rollouts)
    lesson = Lesson(batch, rollouts, credit, algorithm, 0.9, list("abcd"), "here")
    _, figures = learn.gradients(actor, lesson)
    assert math.isfinite(figures["policy_loss"] or 0.0)
    grads = [p.grad for p in actor.modules()["policy"].parameters() if p.grad is not None]
    assert grads
    assert all(grad.isfinite().all() for grad in grads)
    assert any(grad.any() for grad in grads)


@pytest.fixture
def foreign_reward(tiny_model: str, tmp_path: Path) -> Path:
    """A reward model that reads bytes, where the policy reads words."""
    folder = tmp_path / "reward_model"
    reward = head.with_head(load_causal(tiny_model, train=True))
    torch.manual_seed(1)
    torch.nn.init.normal_(reward.model.score.weight)
    reward.model.save_pretrained(folder)
    reward.tokenizer.save_pretrained(folder)
    head.stored(folder, reward_mean=0.0, reward_std=1.0, reward_max_length=256)
    return folder


def test_a_reward_model_of_another_tokenizer_reads_the_words(
    foreign_reward: Path, start: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    reward = Learned(path=str(foreign_reward))
    loop.train(settings(), prompts, Scorer(reward), start=start, folder=tmp_path / "run")
    shown = metrics.read(tmp_path / "run" / "samples.jsonl")
    for row in shown:
        prompt = Prompt(
            id="p", messages=(Message(role="user", content=row["prompt"][0]["content"]),)
        )
        same = Response(prompt=prompt, text=row["response"], finish_reason=row["finish_reason"])
        assert reward.score([same])[0].value == pytest.approx(row["reward"], abs=1e-4)
    assert len({row["reward"] for row in shown}) > 1
    learned.unload()


@pytest.fixture
def adapter(start: Path, tmp_path: Path) -> Path:
    """A PEFT adapter that was trained elsewhere."""
    import peft

    base = AutoModelForCausalLM.from_pretrained(start)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT 0.21
        model = peft.get_peft_model(base, config)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
@pytest.mark.parametrize("lora", [{"rank": 4, "alpha": 8}, None])
def test_a_pretrained_adapter_as_start_is_its_own_frozen_reference(
    lora: Any, adapter: Path, start: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    asked = [Sequence([26, 1, 2, 3, 4, END], 3)]

    def reference(of: Path) -> torch.Tensor:
        return Actor(load_causal(of, train=True), None, value="none", seed=0).reference(asked, 1.0)[
            0
        ]

    assert not torch.allclose(reference(adapter), reference(start), atol=1e-2)
    how = settings("rloo", steps=2).model_copy(update={"lora": Lora(**lora) if lora else None})
    loop.train(how, prompts, Scorer(Length()), start=adapter, folder=tmp_path / "run")
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-5)  # to the bit: the run checks it
    assert abs(rows[1]["kl"]) > 1e-4
    actor = Actor(load_causal(adapter, train=True), how.lora, value="none", seed=0)
    weights = load_file(tmp_path / "run" / "step_000002" / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in actor.modules()["policy"].named_parameters():
            parameter.copy_(weights[f"policy/{name}"])
    after = actor.reference(asked, 1.0).logprobs
    torch.testing.assert_close(after, reference(adapter), atol=1e-5, rtol=0)
    with torch.no_grad():
        assert not torch.allclose(actor.scores(asked, 1.0).logprobs, after, atol=1e-3)


@pytest.mark.parametrize("rank", [32, 48])
def test_a_start_with_many_ranks_beside_its_bfloat16_weights_is_its_own_reference(
    rank: int, start: Path
) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=640,  # narrower products are rounded alike
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.1,
    )
    model = LlamaForCausalLM(config).bfloat16()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            down, up = torch.randn(rank, layer.in_features), torch.randn(layer.out_features, rank)
            beside.put(layer, beside.Thin(down * 0.1, up * 0.1))
    loaded = replace(load_causal(start, train=True), model=model.eval(), precision="bfloat16")
    actor = Actor(loaded, Lora(), value="none", seed=0)
    asked = [Sequence([26, *torch.randint(0, 24, (200,)).tolist(), END], 20) for _ in range(2)]
    batch = Batch(asked, [0, 1], [0.0, 0.0], None, loaded.device)
    learn.check_same_start(actor, batch, 0.9)
    with torch.no_grad():
        for parameter in actor.modules()["policy"].parameters():
            parameter.add_(0.1)
    with pytest.raises(ModelError, match="is not its reference"):
        learn.check_same_start(actor, batch, 0.9)


DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import torch
torch.set_num_threads(1)
from hrlaif import Compute, using
from test_hard_inputs import Length, questions, settings
from hrlaif.policy import loop
from hrlaif.policy.rollouts import Scorer

class Dies(Length):
    calls: list = []
    def score(self, responses, judge):
        self.calls.append(1)
        if len(self.calls) == 4:  # in the fourth step
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(responses, judge)

with using(Compute(device="cpu", precision="float32", threads=1)):
    how = settings({"kind": "ppo", "kl": {"target": 1}}, steps=4)
    how = how.model_copy(update={"checkpoints": how.checkpoints.model_copy(update={"every": 2})})
    loop.train(how, questions(), Scorer(Dies()), start=sys.argv[1], folder=Path(sys.argv[2]))
"""


def questions() -> list[Prompt]:
    return [
        Prompt(id=f"p{n}", messages=(Message(role="user", content=f"w{n} w{n + 3}"),))
        for n in range(9)
    ]


def test_a_run_ended_by_kill_9_goes_on_bit_for_bit(start: Path, tmp_path: Path) -> None:
    how = settings({"kind": "ppo", "kl": {"target": 1}}, steps=4)
    how = how.model_copy(update={"checkpoints": how.checkpoints.model_copy(update={"every": 2})})
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = [sys.executable, "-c", DYING, str(start), str(killed), str(Path(__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [row["step"] for row in metrics.read(killed / "metrics.jsonl")] == [1, 2, 3]
    for folder in (killed, whole):
        loop.train(how, questions(), Scorer(Length()), start=start, folder=folder)
    for name in ("weights", "optimizer"):
        path = f"step_000004/{name}.safetensors"
        one, other = load_file(whole / path), load_file(killed / path)
        assert all(torch.equal(one[key], other[key]) for key in one)
    path = "step_000004/state.json"
    assert (whole / path).read_text() == (killed / path).read_text()
