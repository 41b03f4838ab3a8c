"""What would a run ask, how long would it take, and what would it cost? Nothing is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hrlaif.config import Config
from hrlaif.labeling import Pairwise, Panel
from hrlaif.llm.prices import dollars, price
from hrlaif.llm.remote import Remote
from hrlaif.materials import teaches
from hrlaif.memory import GIB, needed, parameters
from hrlaif.pipeline import Stage, stages
from hrlaif.policy import Dpo
from hrlaif.prompts import collect
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Prompt
from hrlaif.redteam import RedTeam, read_seeds
from hrlaif.reward.parts import of_a_judge, of_samples
from hrlaif.run import read_receipt

_PREAMBLE = {"base": 90, "detailed": 280}
_EXEMPLAR = 150
_QUESTION = 220
"""Tokens of a check's question beside the response."""
_GRADE = 130
"""Tokens of a grade's question beside the prompt and the response."""
_WRITING = 3.0
"""A written token takes about this many times as long as a read one, in batches, on a CPU."""
_REMOTE_SECONDS = 1.5


@dataclass(frozen=True)
class Work:
    """Calls and tokens of one model in one stage."""

    calls: int = 0
    read: int = 0
    written: int = 0
    passes: float = 1.0
    """Forward passes' worth of work a token: about 3 in training, 1 in labelling."""
    shared: int = 0
    """Of the tokens read, those that a local model computes once for several questions."""

    @property
    def counted(self) -> tuple[int, int, int]:
        """Calls, tokens read, tokens written."""
        return self.calls, self.read, self.written


@dataclass(frozen=True)
class Line:
    """One stage of the plan."""

    stage: Stage
    state: str
    work: Work
    seconds: float | None
    usd: float | None
    memory: float | None = None
    """Bytes at its peak; None where a model's size is not known."""

    def cells(self) -> tuple[str, ...]:
        """As text for a table."""
        work = self.work
        tokens = f"{(work.read + work.written) / 1000:.0f}k" if work.read + work.written else ""
        took = "" if self.seconds is None else f"{max(self.seconds / 60, 0.1):.1f} min"
        price = "unknown" if self.usd is None else f"${self.usd:.2f}" if self.usd else ""
        files = " ".join(self.stage.reads), " ".join(self.stage.writes)
        holds = "" if self.memory is None else f"{self.memory / GIB:.1f} GiB"
        figures = (str(work.calls or ""), tokens, took, holds, price)
        return (self.stage.name, self.state, *files, *figures)


def expectations(folder: Path, config: Config) -> Iterator[Line]:
    """A line a stage, from the settings and the prompts that they name."""
    found = collect(config.prompts, seed=config.seed)
    for stage in stages(config):
        receipt = read_receipt(folder, stage.name)
        state = "to do" if receipt is None else "done" if receipt.finished else "begun"
        asked = [_work(stage.name, config, found)]
        beside = {"sft": in_sft, "policy": in_rl}.get(stage.name)
        asked += [(work, config.judge) for work in (beside(config, found) if beside else ())]
        labeler = config.evaluation.labeler if stage.name == "evaluate" else config.labeling.labeler
        if isinstance(labeler, Panel) and stage.name in ("label", "evaluate"):
            asked += [(work, other) for work, _ in asked for other in labeler.others]
        if stage.name == "evaluate" and config.redteam:
            asked.append((harm(config.redteam), asked[0][1]))
        seconds = _total([_seconds(model, work) for work, model in asked])
        usd = _total([_usd(model, work) for work, model in asked])
        whole = Work(*(sum(part) for part in zip(*(w.counted for w, _ in asked), strict=True)))
        yield Line(stage, state, whole, seconds, usd, needed(stage.name, config))


def _work(name: str, config: Config, found: Sequence[Prompt]) -> tuple[Work, LanguageModel | None]:
    """What a stage asks, and of whom."""
    sizes = {s: [p for p in found if p.split == s] for s in ("train", "validation", "test")}
    asked = [*sizes["train"], *sizes["validation"]]
    words, judge = tokens_of(asked), config.evaluation.judge or config.judge
    how, steps = config.sampling, config.policy
    if name == "sft" and config.sft and config.sft.source == "teacher":
        several = config.sft.best_of
        answers = several * len(asked[: config.sft.at_most])
        written = answers * config.sft.max_tokens
        return Work(answers, several * words, written), config.teacher or config.judge
    if name == "responses":
        calls = len(asked) * how.samples
        return Work(calls, words * how.samples, calls * how.max_tokens), config.model
    if name == "label":
        pairs = config.labeling.limit or len(asked) * config.labeling.pairing.per_prompt
        return labels(
            config.labeling.labeler, pairs, words / max(len(asked), 1), how.max_tokens
        ), config.judge
    if name == "redteam" and config.redteam:
        return red_team(config.redteam, len(found)), config.redteam.judge or config.judge
    if name == "reward":
        pairs = len(asked) * config.labeling.pairing.per_prompt
        read = 2 * pairs * (how.max_tokens + words // max(len(asked), 1))
        return Work(0, read * config.reward.epochs, 0, passes=3.0), config.model
    if name == "policy" and isinstance(steps.algorithm, Dpo):
        read = 2 * steps.algorithm.batch_size * (how.max_tokens + words // max(len(asked), 1))
        return Work(0, read * steps.steps, 0, passes=4.0), config.model
    if name == "policy":
        batch = steps.sampling.prompts_per_step * steps.sampling.samples_per_prompt * steps.steps
        written = batch * steps.sampling.max_tokens
        return Work(0, batch * words // max(len(asked), 1), written, passes=7.0), config.model
    if name == "evaluate":
        test = len(sizes["test"])
        each = tokens_of(sizes["test"]) / max(test, 1)
        return labels(
            config.evaluation.labeler, test, each, config.evaluation.sampling.max_tokens
        ), judge
    return Work(), None


def in_sft(config: Config, found: Sequence[Prompt]) -> list[Work]:
    """What the judge is asked for fine-tuning: a grade of each answer of which the best is kept."""
    part = config.sft
    if part is None or part.source != "teacher" or part.best_of < 2:
        return []
    asked = [p for p in found if p.split in ("train", "validation")][: part.at_most]
    grades = part.best_of * len(asked)
    each = tokens_of(asked) / max(len(asked), 1)
    return [Work(grades, int(grades * (_GRADE + each + part.max_tokens)))]


def in_rl(config: Config, found: Sequence[Prompt]) -> list[Work]:
    """What the judge is asked while RL runs: grades, and labels that tell how stale the reward is.

    Samples of a prompt share its question, so a grade reads the response and little more.
    """
    part, asked = config.policy, [p for p in found if p.split == "train"]
    each = tokens_of(asked) / max(len(asked), 1)
    length = part.sampling.max_tokens
    works = []
    watched = sum(p.split == "validation" for p in found)
    seen = (1 + -(-part.steps // part.validation.every)) * min(watched, part.validation.prompts)
    step = part.sampling.prompts_per_step * part.sampling.samples_per_prompt
    if part.learns_from == "judge":
        works.append(labels(config.labeling.labeler, part.steps * step // 2 + seen, each, length))
    elif of_a_judge(config.score):
        scaled = min(of_samples(config.score), (len(asked) + watched) * config.sampling.samples)
        grades = part.steps * step + seen + scaled
        works.append(Work(grades, int(grades * (_GRADE + each + length))))
    if part.staleness is not None:
        how = part.staleness
        pairs = how.pairs * (1 + -(-part.steps // how.every))
        pairs += how.refresh_pairs * how.at_most * part.renews
        works.append(labels(config.labeling.labeler, pairs, each, length))
    return works


def notes(config: Config) -> list[str]:
    """What of the settings comes to nothing, in words."""
    if config.redteam is None or not config.redteam.teaches or teaches(config):
        return []
    return [
        "the red team's rewrites teach nothing here, they are only counted: RL learns from "
        f"{'labels of fresh responses' if config.policy.learns_from == 'judge' else 'score'} "
        "alone; a reward model of the run (score: learned) would learn from them, and with "
        "redteam.teaches=false they are not written"
    ]


def _total(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def labels(labeler: Labeler, pairs: int, prompt_tokens: float, response_tokens: int) -> Work:
    """Calls and tokens of one judge; a labeler that asks in another way is taken for Pairwise."""
    asked = labeler.labeler if isinstance(labeler, Panel) else labeler
    how = asked if isinstance(asked, Pairwise) else Pairwise()
    orders = pairs * (1 if how.single_order else 2)
    shots = how.shots * (_EXEMPLAR + 60 * how.rationale)
    read = _PREAMBLE[how.preamble] + shots + prompt_tokens + 2 * response_tokens
    texts = orders * how.samples
    if not how.rationale:
        # The preamble is computed once, the prompt once for both orders.
        once = orders * (_PREAMBLE[how.preamble] + shots) + (orders - pairs) * prompt_tokens
        return Work(orders, int(orders * read), shared=int(once))
    reasons = how.rationale_tokens // 4
    return Work(2 * texts, int(texts * (2 * read + reasons)), texts * reasons)


def red_team(how: RedTeam, own: int) -> Work:
    """The judge's share: two orders a verdict, and rewrites of the third that is harmful, say."""
    harmful = len(read_seeds(how.seeds, "harmful", half="train", limit=how.limit))
    benign = len(read_seeds(how.benign, "benign", half="train", limit=how.limit))
    attempts = harmful * len(how.families) + own // 12
    rewrites = attempts // 3
    asked = 2 * (attempts + 2 * rewrites + 2 * benign)
    read = asked * (_QUESTION + how.max_tokens) + rewrites * (_QUESTION + how.max_tokens)
    return Work(asked + rewrites, read, rewrites * how.rewrite_tokens)


def harm(how: RedTeam) -> Work:
    """Two orders a verdict, of both policies, on the seeds kept for the end."""
    attacks = len(read_seeds(how.seeds, "harmful", half="heldout", limit=how.limit))
    benign = len(read_seeds(how.benign, "benign", half="heldout", limit=how.limit))
    asked = 2 * 2 * (attacks * len(how.families) + 2 * benign)
    return Work(asked, asked * (_QUESTION + how.max_tokens), 0)


def tokens_of(prompts: Sequence[Prompt]) -> int:
    """About: four characters a token in English, one and a half in Chinese."""
    total = 0.0
    for prompt in prompts:
        length = sum(len(message.content) for message in prompt.messages)
        total += length / (1.5 if prompt.language == "zh" else 4)
    return int(total)


def _usd(model: LanguageModel | None, work: Work) -> float | None:
    if not isinstance(model, Remote):
        return 0.0
    known = model.price or price(model.model, model.base_url)
    return dollars(known, work.read, work.written)


def _seconds(model: LanguageModel | None, work: Work) -> float | None:
    """From the size of local weights and the speed of this processor; None where unknown."""
    if isinstance(model, Remote):
        return work.calls * _REMOTE_SECONDS / model.at_once
    size = parameters(model)
    if not size or not (work.read or work.written) or (speed := _flops()) is None:
        return None
    read = work.read - work.shared + _WRITING * work.written
    return 2.0 * size * read * work.passes / speed


@lru_cache(maxsize=1)
def _flops() -> float | None:
    """Multiplications and additions a second of this device as it computes here; None: no torch.

    The quickest of many short tests: on a busy machine the mean says little of the processor.
    """
    try:
        import torch
    except ImportError:
        return None
    from hrlaif.transformer.load import device_in_force, precision_in_force

    device = device_in_force()
    few_bits = precision_in_force(device, train=True) == "bfloat16"
    a = torch.ones(1024, 1024, dtype=torch.bfloat16 if few_bits else torch.float32, device=device)
    quickest = float("inf")
    for _ in range(16):
        begun = time.perf_counter()
        float((a @ a)[0, 0])  # the value is waited for, also on a GPU
        quickest = min(quickest, time.perf_counter() - begun)
    return 2 * 1024**3 / quickest
