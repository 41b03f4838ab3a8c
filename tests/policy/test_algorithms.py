"""Is every algorithm resumable bit for bit, free of micro-batches, and calm on bad batches?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hrlaif.errors import DataError, ModelError, UsageError
from hrlaif.policy import Policy, Rloo, Rollouts, loop, offline
from hrlaif.policy.algorithm import Credit
from hrlaif.policy.rollouts import Scorer
from hrlaif.protocols import LanguageModel
from hrlaif.records import Candidate, Comparison, Preference, Prompt, Response, Score
from hrlaif.settings import Compute, Settings, using
from hrlaif.training import checkpoint, metrics

ADAPTIVE = {"beta": 0.1, "target": 0.5}
KINDS: dict[str, dict[str, Any]] = {
    "reinforce": {"kind": "reinforce"},
    "ppo": {"kind": "ppo", "kl": ADAPTIVE},
    "rloo": {"kind": "rloo", "kl": ADAPTIVE, "epochs": 2},
    "grpo": {"kind": "grpo", "minibatches": 2},
    "online_dpo": {"kind": "online_dpo"},
    "dpo": {"kind": "dpo", "batch_size": 6},
}


class Killed(BaseException):
    """Stands for the end of the process."""


class Length(Settings):
    """The number of w1 to w9 in a response, or the same for all; may die, or be silent on some."""

    tied: bool = False
    dies_after: int | None = None
    silent_on: str = ""
    calls: list[int] = []  # noqa: RUF012

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        self.calls.append(1)
        if self.dies_after is not None and len(self.calls) > self.dies_after:
            raise Killed
        return [Score(id=r.key, value=self.value(r.text), scorer="length") for r in responses]

    def value(self, text: str) -> float | None:
        words = text.split()
        if self.silent_on and self.silent_on in words:
            return None
        return 1.0 if self.tied else float(sum(len(w) == 2 for w in words)) / 4


def settings(kind: str, steps: int, **changes: Any) -> Policy:
    values: dict[str, Any] = {
        "algorithm": KINDS.get(kind, kind),
        "steps": steps,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 4, "max_tokens": 6},
        "lora": {"rank": 4, "alpha": 8},
        "optimizer": {"learning_rate": 1e-2},
        "value_trunk": "frozen",
        "validation": {"every": 2},
        "checkpoints": {"every": 2},
    }
    return Policy.parse({**values, **changes})


def labels(prompts: Sequence[Prompt]) -> list[Preference]:
    """Soft ones of responses that were cut, finished, and empty."""
    texts = [("w1 w2", "w11 w12 w13"), ("w5", ""), ("w20", "w3 w4 w5 w6")]
    return [
        Preference(
            comparison=Comparison(
                id=f"{prompt.id}/{n}",
                prompt=prompt,
                a=Candidate(text=a, finish_reason="stop"),
                b=Candidate(text=b, finish_reason="length" if n == 2 else "stop"),
            ),
            prob_a=0.5 + 0.15 * n,
            labeler="test",
        )
        for prompt in prompts
        for n, (a, b) in enumerate(texts)
    ]


def run(
    kind: str,
    prompts: list[Prompt],
    start: Any,
    folder: Path,
    *,
    how: Policy | None = None,
    steps: int = 4,
    reward: Length | None = None,
) -> list[dict[str, Any]]:
    how, scorer = how or settings(kind, steps), Scorer(reward or Length())
    where: dict[str, Any] = {"start": start, "folder": folder, "validation": prompts[:3], "seed": 1}
    if kind == "dpo":
        told = labels(prompts)
        offline.train(how, told[9:], heldout=told[:9], scorer=scorer, **where)
    else:
        loop.train(how, prompts, scorer, **where)
    return metrics.read(folder / "metrics.jsonl")


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_four_steps_are_two_a_kill_and_two_more_bit_for_bit(
    kind: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    whole = run(kind, prompts, start, tmp_path / "whole")
    # Scores are asked for after 0, 2 and 4 steps and, but for offline DPO, at each step.
    dies = Length(dies_after=2 if kind == "dpo" else 5, calls=[])
    with pytest.raises(Killed):
        run(kind, prompts, start, tmp_path / "cut", reward=dies)
    assert checkpoint.steps_in(tmp_path / "cut") == [2]
    resumed = run(kind, prompts, start, tmp_path / "cut")
    assert untimed(resumed) == untimed(whole)
    one, other = (tmp_path / name for name in ("whole", "cut"))
    assert (one / "validation.jsonl").read_text() == (other / "validation.jsonl").read_text()
    for name in ("weights", "optimizer"):
        path = f"step_000004/{name}.safetensors"
        kept, again = load_file(one / path), load_file(other / path)
        assert kept.keys() == again.keys()
        assert all(torch.equal(kept[key], again[key]) for key in kept)
    assert (one / "step_000004" / "state.json").read_text() == (
        other / "step_000004" / "state.json"
    ).read_text()


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_the_adaptive_weight_moves_and_is_kept_in_the_checkpoint(
    kind: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    import json

    rows = run(kind, prompts, start, tmp_path)
    state = json.loads((tmp_path / "step_000004" / "state.json").read_text())
    wanted = 0.1
    for row in rows:
        wanted *= 1 + 0.1 * min(max(row["kl"] / 0.5 - 1, -0.2), 0.2)
    assert state["extra"]["algorithm"]["kl"]["beta"] == pytest.approx(wanted)
    assert wanted != 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_the_update_does_not_depend_on_micro_batches_or_packing(
    kind: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    """In one pass packed into trees, in several, and each prompt or pair alone."""
    values = {**KINDS[kind], **({"minibatches": 1} if kind in ("ppo", "grpo") else {})}
    values |= {"epochs": 1} if kind in ("ppo", "rloo") else {}
    how = settings(kind, 1, algorithm=values)
    found = []
    for tokens in (4096, 60, 1):
        with using(Compute(device="cpu", precision="float32", batch_tokens=tokens)):
            rows = run(kind, prompts, start, tmp_path / str(tokens), how=how)
        path = tmp_path / str(tokens) / "step_000001" / "optimizer.safetensors"
        found.append((rows[0]["policy_loss"], load_file(path)))
    for loss, moments in found[1:]:
        assert loss == pytest.approx(found[0][0], abs=1e-6)
        for name, moment in moments.items():
            torch.testing.assert_close(moment, found[0][1][name], atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dpo"])
def test_tied_rewards_are_counted_and_give_no_nan(
    kind: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    free = {
        "rloo": {"kind": "rloo", "kl": {"beta": 0}},
        "grpo": {"kind": "grpo", "kl": {"beta": 0}},
    }
    how = settings(kind, 1, algorithm=free.get(kind, KINDS[kind]))
    row = run(kind, prompts, start, tmp_path, how=how, reward=Length(tied=True))[0]
    assert row["tied_share"] == 1
    assert all(value is None or math.isfinite(value) for value in row.values())
    if kind in free:
        assert row["grad_norm"] == 0
        weights = load_file(tmp_path / "step_000001" / "weights.safetensors")
        assert all(not w.any() for name, w in weights.items() if "lora_B" in name)


@pytest.mark.parametrize("kind", ["ppo", "rloo", "grpo", "online_dpo"])
def test_a_response_without_a_score_is_in_no_baseline_and_no_loss(
    kind: str, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings(kind, 1)
    how = how.model_copy(update={"sampling": how.sampling.model_copy(update={"max_unscored": 0.9})})
    row = run(kind, prompts, start, tmp_path, how=how, reward=Length(silent_on="w3"))[0]
    assert 0 < row["unscored_share"] < 0.9
    assert math.isfinite(row["policy_loss"])


def test_ppo_takes_epochs_times_minibatches_steps_and_says_how_much_was_clipped(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open

    values = {"kind": "ppo", "epochs": 3, "minibatches": 2, "clip": 0.01}
    row = run("ppo", prompts, start, tmp_path, how=settings("ppo", 1, algorithm=values))[0]
    assert 0 < row["clip_share"] < 1
    assert row["logprob_gap"] < 1e-5
    path = tmp_path / "step_000001" / "optimizer.safetensors"
    with safe_open(path, "pt") as file:
        assert file.get_tensor("0/step").item() == 6


class Breaks(Settings):
    """RLOO, whose loss is not a number from the third step on."""

    uses_values: bool = False
    epochs: int = 1
    minibatches: int = 1
    steps: list[int] = []  # noqa: RUF012

    def credit(self, rollouts: Rollouts) -> Credit:
        self.steps.append(1)
        return Rloo().credit(rollouts)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        return Rloo().loss(new, rollouts, credit) * (math.nan if len(self.steps) > 2 else 1.0)


def test_a_loss_that_is_no_number_stops_naming_the_batch_and_keeps_the_last_checkpoint(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings("rloo", 4, algorithm=Breaks(steps=[]))
    with pytest.raises(
        ModelError, match=r"step 3 of 4: the policy loss is nan on p\d+/policy@2/0.*--redo"
    ):
        run("rloo", prompts, start, tmp_path, how=how)
    weights = load_file(tmp_path / "step_000002" / "weights.safetensors")
    assert checkpoint.steps_in(tmp_path) == [2]
    assert all(w.isfinite().all() for w in weights.values())
    assert len(metrics.read(tmp_path / "metrics.jsonl")) == 2


def test_offline_dpo_learns_its_labels_and_orders_those_held_out(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    how = settings("dpo", 20, algorithm={"kind": "dpo", "batch_size": 10, "beta": 0.3})
    rows = run("dpo", prompts, start, tmp_path, how=how)
    assert rows[0]["policy_loss"] == pytest.approx(math.log(2), abs=1e-6)
    floor = sum(-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (0.5, 0.65, 0.8)) / 3
    assert rows[-1]["policy_loss"] < 0.68
    assert rows[-1]["policy_loss"] > floor - 0.1
    watched = metrics.read(tmp_path / "validation.jsonl")
    assert watched[0]["heldout_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert watched[0]["heldout_accuracy"] == 0
    assert watched[-1]["heldout_loss"] < watched[0]["heldout_loss"]
    assert watched[-1]["heldout_accuracy"] == 1


def test_offline_dpo_without_any_label_says_where_to_look(start: Path, tmp_path: Path) -> None:
    where: dict[str, Any] = {"start": start, "folder": tmp_path}
    with pytest.raises(DataError, match=r"no label to train .*responses\.jsonl and abstentions"):
        offline.train(settings("dpo", 2), [], heldout=[], **where)


def test_checkpoints_of_offline_dpo_are_ranked_by_the_labels_held_out(tmp_path: Path) -> None:
    from hrlaif.policy import candidates

    for step, loss in ((0, 0.69), (2, 0.66), (4, 0.61), (6, 0.64)):
        row = {"step": step, "reward_mean": None, "heldout_loss": loss}
        metrics.append(tmp_path / "validation.jsonl", row)
    assert candidates.best(tmp_path, 2) == [4, 6]


def test_a_judge_compares_whole_pairs_only() -> None:
    judged = {"algorithm": {"kind": "online_dpo", "labels": "judge"}}
    assert Policy.parse(judged).learns_from == "judge"
    for sampling in ({"samples_per_prompt": 3}, {"truncated_reward": -1.0}):
        with pytest.raises(UsageError, match=r"policy\.sampling"):
            Policy.parse({**judged, "sampling": sampling})


@pytest.mark.parametrize("kind", ["rloo", "grpo", "online_dpo"])
def test_an_algorithm_that_compares_responses_refuses_one_to_a_prompt(kind: str) -> None:
    values = {"algorithm": kind, "sampling": {"samples_per_prompt": 1}}
    with pytest.raises(UsageError, match=rf"{kind} learns from how .*samples_per_prompt to 2"):
        Policy.parse(values)
    for other in ("reinforce", "ppo", "dpo"):
        assert Policy.parse({**values, "algorithm": other}).sampling.samples_per_prompt == 1


class Remembers(Settings):
    """RLOO, and how far the log-ratio of each optimizer step is from 0."""

    uses_values: bool = False
    epochs: int
    minibatches: int
    gaps: list[float] = []  # noqa: RUF012

    def credit(self, rollouts: Rollouts) -> Credit:
        return Rloo().credit(rollouts)

    def loss(self, new: Tensor, rollouts: Rollouts, credit: Credit) -> Tensor:
        self.gaps.append(float((new.detach() - rollouts.old).abs().max()))
        return Rloo().loss(new, rollouts, credit)


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_in_16_bits_too_each_ratio_is_1_until_the_policy_has_moved(
    epochs: int, minibatches: int, prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    """The sampler and other micro-batches round otherwise; steps of nothing add nothing."""
    algorithm = Remembers(epochs=epochs, minibatches=minibatches, gaps=[])
    how = settings(
        "rloo",
        1,
        algorithm=algorithm,
        optimizer={"learning_rate": 1e-30},
        sampling={"prompts_per_step": 8, "samples_per_prompt": 4, "max_tokens": 48},
    )
    with using(Compute(device="cpu", precision="bfloat16", threads=1)):
        row = run("rloo", prompts, start, tmp_path, how=how)[0]
    assert row["logprob_gap"] > 1e-3
    assert len(algorithm.gaps) == epochs * minibatches
    assert set(algorithm.gaps) == {0.0}


def test_in_16_bits_nothing_is_clipped_where_each_response_is_learnt_from_once(
    prompts: list[Prompt], start: Path, tmp_path: Path
) -> None:
    values = {"kind": "rloo", "clip": 1e-4, "kl": {"beta": 0}}
    sampling = {"prompts_per_step": 8, "samples_per_prompt": 4, "max_tokens": 48}
    how = settings("rloo", 1, algorithm=values, sampling=sampling)
    with using(Compute(device="cpu", precision="bfloat16", threads=1)):
        row = run("rloo", prompts, start, tmp_path, how=how)[0]
    assert row["clip_share"] == 0
    assert row["policy_loss"] == pytest.approx(0, abs=1e-6)  # - the mean of A, which is 0
    assert row["grad_norm"] > 0
