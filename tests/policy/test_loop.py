"""Does the reward rise, does the KL start at zero, and is a killed run the run that was not?"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from hrlaif.errors import TooManyAbstentions
from hrlaif.policy import Policy, candidates
from hrlaif.policy.loop import begin, train
from hrlaif.policy.rollouts import Scorer
from hrlaif.protocols import LanguageModel
from hrlaif.records import Prompt, Response, Score
from hrlaif.settings import Compute, Settings, using
from hrlaif.training import checkpoint, metrics
from hrlaif.transformer.forward import Sequence as Asked
from hrlaif.transformer.forward import token_logprobs
from hrlaif.transformer.load import load_causal

WORDS = 24


class ShareOf(Settings):
    """The share of one word in a response, times four, minus its share by chance."""

    word: str = "w7"

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        return [Score(id=r.key, value=self.value(r.text), scorer="share") for r in responses]

    def value(self, text: str) -> float:
        words = text.split()
        return 4 * words.count(self.word) / max(len(words), 1) - 4 / WORDS


class SilentOn(Settings):
    """No score for responses that contain a word, and the length for the others."""

    word: str

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        return [
            Score(id=r.key, value=None, scorer="silent", reason=f"it says {self.word}")
            if self.word in r.text.split()
            else Score(id=r.key, value=float(len(r.text.split())), scorer="silent")
            for r in responses
        ]


def settings(steps: int, **changes: Any) -> Policy:
    values: dict[str, Any] = {
        "steps": steps,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 3, "max_tokens": 8},
        "lora": {"rank": 4, "alpha": 8},
        "optimizer": {"learning_rate": 1e-2, "schedule": "constant"},
        "value_learning_rate": 1e-2,
        "validation": {"every": 2},
        "checkpoints": {"every": 2},
    }
    return Policy.parse({**values, **changes})


def run(
    how: Policy,
    prompts: list[Prompt],
    start: Path,
    folder: Path,
    *,
    validation: int = 0,
    scorer: Scorer | None = None,
) -> list[dict[str, Any]]:
    scorer = scorer or Scorer(ShareOf())
    train(how, prompts, scorer, start=start, folder=folder, validation=prompts[:validation], seed=1)
    return metrics.read(folder / "metrics.jsonl")


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


class Killed(BaseException):
    """Stands for the end of the process."""


class KilledAt(ShareOf):
    """Dies while it scores for the given time."""

    call: int
    counted: list[int] = []  # noqa: RUF012

    def score(self, responses: Any, judge: Any) -> Any:
        self.counted.append(1)
        if len(self.counted) == self.call:
            raise Killed
        return super().score(responses, judge)


@pytest.mark.parametrize("trunk", ["trained", "frozen"])
@pytest.mark.parametrize("lora", [{"rank": 4, "alpha": 8}, None])
def test_four_steps_are_two_a_kill_and_two_more_bit_for_bit(
    lora: Any, trunk: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(4, lora=lora, value_trunk=trunk)
    whole = run(how, prompts, start, tmp_path / "whole", validation=3)
    killed = Scorer(KilledAt(call=6))  # evaluation, steps 1 and 2, evaluation, step 3, step 4
    with pytest.raises(Killed):
        train(
            how,
            prompts,
            killed,
            start=start,
            folder=tmp_path / "cut",
            validation=prompts[:3],
            seed=1,
        )
    assert len(metrics.read(tmp_path / "cut" / "metrics.jsonl")) == 3  # step 3 is done again
    resumed = run(how, prompts, start, tmp_path / "cut", validation=3)
    assert untimed(resumed) == untimed(whole)
    for name in ("validation.jsonl", "samples.jsonl", "responses/step_000004.jsonl"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()
    for name in ("weights", "optimizer"):
        path = f"step_000004/{name}.safetensors"
        one, other = load_file(tmp_path / "whole" / path), load_file(tmp_path / "cut" / path)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_toy_reward_rises_in_thirty_steps(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    rows = run(settings(30, checkpoints={"every": 30}), prompts, start, tmp_path)
    first = sum(row["reward_mean"] for row in rows[:3]) / 3
    last = sum(row["reward_mean"] for row in rows[-3:]) / 3
    assert last > first + 1.0
    assert rows[-1]["kl"] > 0.5


def test_the_first_step_has_kl_zero_and_the_sampler_agrees_with_the_learner(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    row = run(settings(1), prompts, start, tmp_path)[0]
    assert row["kl"] == pytest.approx(0, abs=1e-5)
    assert row["logprob_gap"] < 1e-5
    assert row["explained_variance"] == pytest.approx(0)  # the value head starts at zero


def test_the_update_does_not_depend_on_the_micro_batches(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how, weights = settings(1), []
    for tokens in (4096, 30):
        with using(Compute(device="cpu", precision="float32", batch_tokens=tokens)):
            run(how, prompts, start, tmp_path / str(tokens))
        weights.append(load_file(tmp_path / str(tokens) / "step_000001" / "optimizer.safetensors"))
    for name, moment in weights[0].items():
        torch.testing.assert_close(moment, weights[1][name], atol=1e-6, rtol=1e-3)


def test_a_step_logs_what_a_person_watches(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    rows = run(settings(2), prompts, start, tmp_path, validation=2)
    wanted = "step reward_mean reward_std kl kl_k3 entropy length_mean truncated_share ended_share"
    wanted += " unscored_share explained_variance policy_loss value_loss grad_norm value_grad_norm"
    wanted += " repetition injection_share tied_share"
    wanted += " learning_rate logprob_gap tokens_per_second seconds_generate seconds_score"
    assert set(wanted.split()) | {"seconds_learn"} == set(rows[0])
    shown = metrics.read(tmp_path / "samples.jsonl")
    assert [row["step"] for row in shown] == [1, 1, 1, 2, 2, 2]
    assert {"reward", "prompt", "response", "finish_reason"} <= set(shown[0])
    watched = metrics.read(tmp_path / "validation.jsonl")
    assert [row["step"] for row in watched] == [0, 2]
    assert watched[0]["kl"] == 0


def test_a_response_without_a_score_is_counted_and_left_out(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(
        1,
        sampling={
            "prompts_per_step": 6,
            "samples_per_prompt": 4,
            "max_tokens": 4,
            "max_unscored": 0.9,
        },
    )
    train(how, prompts, Scorer(SilentOn(word="w3")), start=start, folder=tmp_path)
    row = metrics.read(tmp_path / "metrics.jsonl")[0]
    assert 0 < row["unscored_share"] < 0.9
    shown = metrics.read(tmp_path / "samples.jsonl")
    assert all((row["reward"] is None) == ("w3" in row["response"].split()) for row in shown)


def test_too_many_responses_without_a_score_stop_the_run_with_the_reason(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(1, sampling={"prompts_per_step": 6, "max_tokens": 8, "max_unscored": 0.0})
    with pytest.raises(TooManyAbstentions, match="it says w3"):
        train(how, prompts, Scorer(SilentOn(word="w3")), start=start, folder=tmp_path)


def test_the_best_evaluated_checkpoints_stay_and_one_becomes_a_model(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(8, validation={"every": 2, "candidates": 2}, checkpoints={"every": 1})
    run(how, prompts, start, tmp_path, validation=4)
    steps = candidates.best(tmp_path, 2)
    assert len(steps) == 2
    rewards = {r["step"]: r["reward_mean"] for r in metrics.read(tmp_path / "validation.jsonl")}
    assert min(rewards[s] for s in steps) >= max(rewards[s] for s in (2, 4, 6, 8) if s not in steps)
    kept = {path.name for path in tmp_path.glob("step_*")}
    assert kept == {f"step_{s:06d}" for s in {*steps, 8}}
    shutil.copytree(tmp_path / f"step_{steps[0]:06d}", tmp_path / "before")
    candidates.save_chosen(how, start, tmp_path, steps[0])
    chosen = AutoModelForCausalLM.from_pretrained(tmp_path)
    original = AutoModelForCausalLM.from_pretrained(start)
    layer = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(chosen.state_dict()[layer], original.state_dict()[layer])
    assert chosen.state_dict().keys() == original.state_dict().keys()


def test_in_16_bits_the_chosen_policy_says_what_the_validated_one_said(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(4, optimizer={"learning_rate": 1e-4, "schedule": "constant"})
    asked = [Asked([n, 3, 5, 7, 9, 11], 2) for n in range(10)]
    with using(Compute(device="cpu", precision="bfloat16", threads=1)):
        run(how, prompts, start, tmp_path, validation=4)
        work = begin(how, start, tmp_path, 1)
        before = work.actor.scores(asked, 1.0).logprobs.detach()
        checkpoint.restore(tmp_path / "step_000004", work.trainee)
        validated = work.actor.scores(asked, 1.0).logprobs
        candidates.save_chosen(how, start, tmp_path, 4)
        model = load_causal(tmp_path, train=True).model.requires_grad_(False)
        found = token_logprobs(model, asked)
    assert not torch.equal(validated, before)
    assert torch.equal(found, validated)


def test_no_weight_decay_pulls_at_the_policys_head(start: Path, tmp_path: Path) -> None:
    rate = {"learning_rate": 1e-4, "weight_decay": 0.1}
    work = begin(settings(1, lora=None, optimizer=rate), start, tmp_path, 1)
    head = work.actor.model.get_output_embeddings().weight
    groups = work.trainee.optimizer.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decay[id(head)] == 0.0
    assert decay[id(work.actor.model.model.layers[0].mlp.up_proj.weight)] == 0.1
