"""One RL step (sample, score, learn): shared prompts and no logit tables, against TRL's RLOO.

    python benchmarks/rl_step.py                            # P 256, C 64, G 4
    python benchmarks/rl_step.py --prompt 512 --samples 8
    python benchmarks/rl_step.py --qwen 1                   # a 0.5B shape, random weights

Same weights, LoRA, AdamW, prompts, fixed response length, KL on, and a reward that costs nothing.
In float32 TRL is given our samples, and must find our KL and our gradient in both steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple

import torch

from hrlaif.llm.packaged import fetch
from hrlaif.policy import Policy, Rloo, loop
from hrlaif.policy.actor import Actor
from hrlaif.policy.rollouts import Asked, Scorer
from hrlaif.records import Chat, Prompt, Response, Score
from hrlaif.settings import Settings
from hrlaif.training import optimizer
from hrlaif.training.checkpoint import Trainee
from hrlaif.training.lora import Lora
from hrlaif.training.optimizer import Optimizer
from hrlaif.transformer.generate import Sampled
from hrlaif.transformer.load import Loaded
from models import JUDGE, ON_CPU, POLICY, loaded, same_adapters
from side_by_side import OURS, Benchmark, Result, main

BETA, RATE, WARM_UP = 0.05, 1e-4, 1
WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child")
_HALF = {"bf16": False, "dtype": "bfloat16"}
_MIXED = {"bf16": True, "dtype": "float32"}
DEFAULTS = {**_MIXED, "micro": 8, "gradient_checkpointing": True}


class Letters(Settings):
    """A reward that costs nothing: the share of the letter e."""

    def score(self, responses: Sequence[Response], judge: object) -> list[Score]:
        return [Score(id=r.key, value=share(r.text), scorer="letters") for r in responses]


def share(text: str) -> float:
    return text.count("e") / max(1, len(text.strip()))


class Recorded(Actor):  # type: ignore[misc]
    """An actor whose samples are kept for the peer."""

    def sample(self, *args: Any, **kwargs: Any) -> list[Sampled]:
        found = super().sample(*args, **kwargs)
        self.__dict__.setdefault("written", []).append([row.tokens for row in found])
        return found


class Setting(NamedTuple):
    """What both arms work on."""

    folder: str
    prompts: list[str]
    """Of exactly `--prompt` tokens."""
    samples: Path
    """Where ours leaves the samples that TRL is given in float32."""


@contextmanager
def setting(given: argparse.Namespace) -> Iterator[Setting]:
    """The model's folder and the prompts of all steps."""
    with TemporaryDirectory() as folder:
        path = str(fetch(POLICY))
        if given.qwen:  # in a process of its own, whose memory is not that of the arm
            maker = get_context("spawn").Process(target=_qwen, args=(folder,))
            maker.start()
            maker.join()
            assert maker.exitcode == 0
            path = folder
        samples = Path(gettempdir()) / "hrlaif-rl-step-samples.json"
        yield Setting(path, _prompts(path, given), samples)


def _qwen(folder: str) -> None:
    """The shape of Qwen2.5-0.5B with random weights."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=32768, rope_theta=1e6, eos_token_id=151645, pad_token_id=151643,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).bfloat16().save_pretrained(folder)  # as such models are published
    AutoTokenizer.from_pretrained(fetch(JUDGE)).save_pretrained(folder)


def _prompts(path: str, given: argparse.Namespace) -> list[str]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    words = given.prompt - len(tokenizer("").input_ids)  # less the BOS, where there is one
    stream, found = torch.Generator().manual_seed(0), []
    for _ in range((given.steps + WARM_UP) * given.prompts):
        picked = torch.randint(len(WORDS), (words,), generator=stream).tolist()
        found.append("".join(f" {WORDS[i]}" for i in picked))
        assert len(tokenizer(found[-1]).input_ids) == given.prompt
    return found


class Own(NamedTuple):
    """What our steps logged, and the tokens that each of them sampled."""

    rows: list[dict[str, Any]]
    written: list[list[list[int]]]

    def phases(self) -> dict[str, float]:
        """Mean seconds of each part of the timed steps."""
        timed = self.rows[WARM_UP:]
        return {
            part: sum(row[f"seconds_{part}"] for row in timed) / len(timed)
            for part in ("generate", "score", "learn")
        }


def ours(given: argparse.Namespace) -> Result:
    """The step of the policy stage, as it is."""
    own = stepped(given, Rloo.parse({"kl": {"beta": BETA}}))
    rate = given.prompts * given.samples / sum(own.phases().values())
    numbers = [x for row in own.rows for x in (row["kl"], row["grad_norm"])]
    return Result(rate, numbers, own.phases())


def stepped(given: argparse.Namespace, algorithm: Any) -> Own:
    """Steps of one algorithm; in float32 TRL finds their samples."""
    with (
        setting(given) as on,
        loaded(on.folder, given, train=True) as model,
        TemporaryDirectory() as out,
    ):
        model = Loaded(model.model, model.tokenizer, model.device, model.precision)  # never ends
        settings = Policy(
            algorithm=algorithm,
            steps=given.steps + WARM_UP,
            sampling={
                "prompts_per_step": given.prompts, "samples_per_prompt": given.samples,
                "temperature": 1.0, "max_tokens": given.response,
            },
            optimizer=Optimizer(learning_rate=RATE, schedule="constant"),
        )  # fmt: skip
        value = "frozen" if algorithm.uses_values else "none"
        actor = Recorded(model, Lora(), value=value, seed=0)
        same_adapters(actor.model)
        modules = actor.modules()
        trainee = Trainee(modules=modules, optimizer=optimizer.build(settings.optimizer, modules))
        work = loop.Work(settings, actor, trainee, Path(out), 0, settings.algorithm)
        rows, texts = [], iter(on.prompts)
        for number in range(given.steps + WARM_UP):
            asked = [next(texts) for _ in range(given.prompts)]
            tokens = [model.tokenizer(text).input_ids for text in asked]
            prompts = [
                Prompt(id=f"{number}/{i}", messages=Chat.user(text).messages)
                for i, text in enumerate(asked)
            ]
            batch = [Asked(*pair) for pair in zip(prompts, tokens, strict=True)]
            rows.append(loop._step(work, Scorer(Letters()), number, batch))
        if given.exact:
            on.samples.write_text(json.dumps(actor.written))
    return Own(rows, actor.written)


def trl(given: argparse.Namespace) -> Result:
    """TRL's trainer, which repeats each prompt for its samples."""
    import datasets
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import RLOOConfig, RLOOTrainer

    count = given.prompts * given.samples
    options = {"bf16": False, "dtype": "float32", "micro": count} if given.exact else {}
    options = {**_HALF, "micro": 8, "gradient_checkpointing": False, **options, **given.options}
    stamps: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    with setting(given) as on, TemporaryDirectory() as out:
        taken = iter(json.loads(on.samples.read_text())) if given.exact else iter(())

        class Given(RLOOTrainer):  # type: ignore[misc]
            def _generate_single_turn(self, *args: Any) -> Any:
                return next(taken) if given.exact else super()._generate_single_turn(*args)

        model = AutoModelForCausalLM.from_pretrained(
            on.folder, dtype=getattr(torch, options["dtype"])
        )
        tokenizer = AutoTokenizer.from_pretrained(on.folder)
        ends = model.generation_config.eos_token_id or tokenizer.eos_token_id
        config = RLOOConfig(
            output_dir=out, use_cpu=ON_CPU, bf16=options["bf16"], learning_rate=RATE, beta=BETA,
            lr_scheduler_type="constant", per_device_train_batch_size=min(options["micro"], count),
            gradient_accumulation_steps=max(1, count // options["micro"]), num_train_epochs=1,
            num_generations=given.samples, max_completion_length=given.response, temperature=1.0,
            top_k=0, shuffle_dataset=False,
            gradient_checkpointing=options["gradient_checkpointing"],
            report_to="none", logging_steps=1 if given.exact else 10**6, disable_tqdm=True,
            save_strategy="no", dataloader_pin_memory=False, weight_decay=0.0,
            generation_kwargs={"suppress_tokens": ends if isinstance(ends, list) else [ends]},
        )  # fmt: skip
        trainer = Given(
            model,
            reward_funcs=lambda completions, **_: [share(text) for text in completions],
            args=config,
            train_dataset=datasets.Dataset.from_list([{"prompt": p} for p in on.prompts]),
            processing_class=tokenizer,
            callbacks=[Clock()],
            peft_config=peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        )
        same_adapters(trainer.model)
        trainer.train()
    logs = [row for row in trainer.state.log_history if "grad_norm" in row and "kl" in row]
    numbers = [x for row in logs for x in (row["kl"] * given.response, row["grad_norm"])]
    seconds = stamps[-1] - stamps[WARM_UP - 1]
    return Result(given.steps * count / seconds, numbers if given.exact else [])


if __name__ == "__main__":
    sizes = {"steps": 2, "prompts": 4, "samples": 4, "prompt": 256, "response": 64, "qwen": 0}
    arms = {OURS: ours, "trl": trl, "trl_defaults": trl}
    exact = {"steps": 1, "prompts": 2, "samples": 2, "prompt": 32, "response": 8}
    sweep = [*({**_HALF, "micro": size} for size in (2, 4, 8)), {**_MIXED, "micro": 4}]
    sweeps = {"trl": sweep, "trl_defaults": [DEFAULTS]}
    main(Benchmark("RL step", "samples", arms, sizes, exact, 1e-3, sweeps), __file__)
