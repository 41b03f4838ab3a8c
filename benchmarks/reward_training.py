"""Reward training: the prompt of a pair once, against TRL's RewardTrainer at its best settings.

    python benchmarks/reward_training.py                                # like TL;DR
    python benchmarks/reward_training.py --prompt 110 --response 250    # like UltraFeedback

Same weights, LoRA, AdamW, order of pairs and effective batch; the losses of the steps must agree.
Pairs of like length stand together in a step, so TRL pads as little as its length grouping could.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from hrlaif.llm.packaged import fetch
from hrlaif.reward import head
from hrlaif.reward.train import Pair, _learn
from hrlaif.training import lora as adapters
from hrlaif.training import metrics
from hrlaif.training.checkpoint import Checkpoints, Trainee
from hrlaif.training.loop import Where, steps
from hrlaif.training.optimizer import Optimizer, build
from models import ON_CPU, POLICY, Text, loaded, same_adapters
from side_by_side import OURS, Benchmark, Result, main

RATE, WARM_UP = 1e-4, 4
_MIXED = {"bf16": True, "dtype": "float32"}
_HALF = {"bf16": False, "dtype": "bfloat16"}
SWEEP = [*({**_HALF, "micro": size} for size in (2, 4, 8)), {**_MIXED, "micro": 4}]
DEFAULTS = {"bf16": True, "dtype": "float32", "micro": 8, "gradient_checkpointing": True}


def pairs(given: argparse.Namespace) -> list[list[Pair]]:
    """The pairs of each step as token ids, the preferred response first."""
    text, found = Text(), []
    for _ in range(given.steps + WARM_UP):
        step = []
        for _ in range(given.batch):
            prompt = text.about(given.prompt, 0.3)
            sides = [prompt + text.about(given.response, 0.5) for _ in range(2)]
            step.append(Pair("pair", sides[0], sides[1], 1.0, False))
        found.append(sorted(step, key=lambda pair: max(len(pair.a), len(pair.b))))
    return found


def ours(given: argparse.Namespace) -> Result:
    """The loop of the reward stage, as it is."""
    settings = Optimizer(learning_rate=RATE, schedule="constant")
    with loaded(POLICY, given, train=True) as base, TemporaryDirectory() as folder:
        model = head.with_head(base).model
        adapters.attach(model.base_model, adapters.Lora())
        model.score.requires_grad_(True)
        same_adapters(model)
        trainee = Trainee(
            {"model": model}, build(settings, {"model": model}, heads=["model.score"])
        )
        where = Where(Path(folder), settings, Checkpoints(every=10**6))
        for step in steps("reward model", pairs(given), trainee, where):
            _learn(model, step.batch, step, 0.0)
        rows = metrics.read(Path(folder) / "metrics.jsonl")
    seconds = sum(row["seconds"] for row in rows[WARM_UP:])
    return Result(given.steps * given.batch / seconds, [row["loss"] for row in rows])


def trl(given: argparse.Namespace) -> Result:
    """TRL's trainer, which pads both sides of a pair into one batch."""
    import datasets
    import peft
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    options = {"bf16": False, "dtype": "float32", "micro": given.batch} if given.exact else {}
    options = {**_HALF, "micro": 4, "gradient_checkpointing": False, **options, **given.options}
    path = fetch(POLICY)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=getattr(torch, options["dtype"])
    )
    torch.nn.init.zeros_(model.score.weight)
    losses: list[float] = []
    stamps: list[float] = []

    class Watched(RewardTrainer):  # type: ignore[misc]
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            found = super().compute_loss(*args, **kwargs)
            losses.append(float((found[0] if isinstance(found, tuple) else found).detach()))
            return found

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    micro = min(options["micro"], given.batch)
    rows = [{"chosen_ids": p.a, "rejected_ids": p.b} for step in pairs(given) for p in step]
    with TemporaryDirectory() as folder:
        config = RewardConfig(
            output_dir=folder, use_cpu=ON_CPU, bf16=options["bf16"], learning_rate=RATE,
            lr_scheduler_type="constant", per_device_train_batch_size=micro,
            gradient_accumulation_steps=given.batch // micro, num_train_epochs=1, max_length=None,
            gradient_checkpointing=options["gradient_checkpointing"], report_to="none",
            logging_steps=10**6, disable_tqdm=True, save_strategy="no", disable_dropout=True,
            dataloader_pin_memory=False, train_sampling_strategy="sequential",
        )  # fmt: skip
        trainer = Watched(
            model, config, train_dataset=datasets.Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(path), callbacks=[Clock()],
            peft_config=peft.LoraConfig(
                r=16, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS"
            ),
        )  # fmt: skip
        same_adapters(trainer.model)
        trainer.train()
    parts = given.batch // micro
    means = [sum(losses[i : i + parts]) / parts for i in range(0, len(losses), parts)]
    return Result(given.steps * given.batch / (stamps[-1] - stamps[WARM_UP - 1]), means)


if __name__ == "__main__":
    sizes = {"steps": 3, "batch": 16, "prompt": 350, "response": 40}
    arms = {OURS: ours, "trl": trl, "trl_defaults": trl}
    exact = {"steps": 2, "batch": 2}
    sweeps = {"trl": SWEEP, "trl_defaults": [DEFAULTS]}
    main(Benchmark("reward training", "pairs", arms, sizes, exact, 1e-4, sweeps), __file__)
