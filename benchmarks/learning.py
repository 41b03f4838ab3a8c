"""Does every algorithm learn a task whose reward can be checked? Three seeds each, as curves.

    python benchmarks/learning.py [--json FILE] [--chart docs/learning.svg]

A random transformer of two layers and 24 words is rewarded for one of them: four times the word's
share of the response, less what it has by chance. Nothing is judged, so a curve that rises shows
that the algorithm's signs, masks and steps are right. Offline DPO gets 240 labelled pairs of the
untrained policy's responses and no reward.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hrlaif import Compute, Local, Message, Preference, Prompt, Response, Score, Settings, using
from hrlaif.labeling import Pairing
from hrlaif.policy import Policy
from hrlaif.protocols import LanguageModel
from hrlaif.sampling import Sampling
from hrlaif.training import metrics

WORDS = 24
SEEDS = (0, 1, 2)
_CLOSE = {"beta": 0.02}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "reinforce": {"kind": "reinforce", "beta": 0.02},
    "ppo": {"kind": "ppo", "kl": _CLOSE},
    "rloo": {"kind": "rloo", "kl": _CLOSE},
    "grpo": {"kind": "grpo", "average": "sum"},
    "online_dpo": {"kind": "online_dpo", "odds": 2.0},
    "dpo": {"kind": "dpo", "beta": 0.5, "batch_size": 192},
}


class ShareOf(Settings):
    """The share of one word in a response, times four, minus its share by chance."""

    word: str = "w7"

    def score(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Score]:
        """One score a response."""
        return [Score(id=r.key, value=self.value(r.text), scorer="share") for r in responses]

    def value(self, text: str) -> float:
        """Of one text."""
        words = text.split()
        return 4 * words.count(self.word) / max(len(words), 1) - 4 / WORDS


def random_policy(folder: Path) -> Path:
    """A model folder: 24 words, an end token, an unknown one, a beginning."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {f"w{n}": n for n in range(WORDS)} | {"<unk>": 24, "</s>": 25, "<s>": 26}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", bos_token="<s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=26,
        eos_token_id=25,
        initializer_range=0.15,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def questions(count: int, first: int = 0) -> list[Prompt]:
    """Three words each."""
    words = [(n % WORDS, (5 * n + 3) % WORDS, (7 * n + 9) % WORDS) for n in range(count + first)]
    return [
        Prompt(
            id=f"p{n}", messages=(Message(role="user", content=" ".join(f"w{w}" for w in said)),)
        )
        for n, said in enumerate(words)
    ][first:]


def labels(start: Path, seed: int, odds: float = 4.0) -> list[Preference]:
    """Soft labels of the untrained policy's responses: log-odds are `odds` times the difference."""
    how, share = Sampling(samples=16, max_tokens=8, temperature=0.9), ShareOf()
    ask = how.sampler(Local(path=str(start)), name="start", seed=seed)
    pairs = Pairing(per_prompt=40).pair(ask(how.questions(questions(60))), seed=seed)

    def prob(pair: Any) -> float:
        return 1 / (1 + math.exp(-odds * (share.value(pair.a.text) - share.value(pair.b.text))))

    told = [Preference(comparison=p, prob_a=prob(p), labeler="share") for p in pairs]
    return [label for label in told if label.prob_a != 0.5]  # ties hold nothing to learn here


def settings(name: str, steps: int) -> Policy:
    """Small batches and large steps."""
    return Policy.parse(
        {
            "algorithm": ALGORITHMS[name],
            "steps": steps,
            "sampling": {"prompts_per_step": 8, "samples_per_prompt": 4, "max_tokens": 8},
            "lora": {"rank": 4, "alpha": 8},
            "optimizer": {"learning_rate": 2e-2, "schedule": "constant"},
            "value_learning_rate": 1e-2,
            "value_trunk": "frozen",
            "validation": {"every": max(steps // 6, 1), "temperature": 0.9},
            "checkpoints": {"every": steps},
        }
    )


def curve(name: str, seed: int, start: Path, folder: Path, steps: int) -> list[tuple[int, float]]:
    """Steps and the mean reward of 32 fresh responses to prompts that are not trained on."""
    from hrlaif.policy import loop, offline
    from hrlaif.policy.rollouts import Scorer

    how, scorer, watched = settings(name, steps), Scorer(ShareOf()), questions(32, first=60)
    where: dict[str, Any] = {"start": start, "folder": folder, "validation": watched, "seed": seed}
    if name == "dpo":
        offline.train(how, labels(start, seed), heldout=(), scorer=scorer, **where)
    else:
        loop.train(how, questions(60), scorer, **where)
    rows = metrics.read(folder / "validation.jsonl")
    return [(row["step"], row["reward_mean"]) for row in rows]


def chart(curves: dict[str, list[list[tuple[int, float]]]], path: Path) -> None:
    """A panel an algorithm, a line a seed."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "learning"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(9, 5), sharex=True, sharey=True)
    for axis, (name, lines) in zip(axes.flat, curves.items(), strict=True):
        for line in lines:
            axis.plot(*zip(*line, strict=True), color="#1f5c99", alpha=0.7, linewidth=1.5)
        axis.axhline(0, color="#999999", linewidth=0.8)
        axis.set_title(name, fontsize=10)
    for axis in axes[1]:
        axis.set_xlabel("step")
    for axis in axes[:, 0]:
        axis.set_ylabel("validation reward")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Runs them all, prints a table, and draws the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--steps", type=int, default=36)
    asked = parser.parse_args()
    curves: dict[str, list[list[tuple[int, float]]]] = {}
    with tempfile.TemporaryDirectory() as name, using(Compute(device="cpu", precision="float32")):
        start = random_policy(Path(name) / "start")
        for kind in ALGORITHMS:
            folders = [Path(name) / f"{kind}_{seed}" for seed in SEEDS]
            curves[kind] = [
                curve(kind, seed, start, folder, asked.steps)
                for seed, folder in zip(SEEDS, folders, strict=True)
            ]
            before, after = (fmean(line[i][1] for line in curves[kind]) for i in (0, -1))
            each = ", ".join(f"{line[-1][1]:+.2f}" for line in curves[kind])
            print(f"{kind:12} {before:+.2f} -> {after:+.2f}   ({each})")
    if asked.json:
        asked.json.write_text(json.dumps(curves) + "\n", "utf-8")
    if asked.chart:
        chart(curves, asked.chart)


if __name__ == "__main__":
    main()
