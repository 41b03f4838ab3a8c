"""What would a run ask, how long would it take, and what would it cost? Nothing is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hrlaif.asking import asked, read
from hrlaif.config import Config
from hrlaif.estimates import Work
from hrlaif.llm import Local, Scripted, Vllm
from hrlaif.llm.remote import Remote
from hrlaif.llm.vllm_server import COMMAND
from hrlaif.materials import teaches
from hrlaif.memory import GIB, needed, parameters
from hrlaif.pipeline import named
from hrlaif.pricing import Price, by_votes, row_by_votes, row_of, together, total, usd
from hrlaif.protocols import LanguageModel
from hrlaif.records import Row
from hrlaif.settings import compute, using
from hrlaif.standing import standing

_WRITING = 3.0
"""A written token takes about this many times as long as a read one, in batches, on a CPU."""
_REMOTE_SECONDS = 1.5


@dataclass(frozen=True)
class Line:
    """One stage of the plan; or all that are left, named `left` where others are done."""

    name: str
    state: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    work: Work
    seconds: float | None
    usd: float | None
    memory: float | None = None
    """Bytes at its peak; None where a model's size is not known."""
    by_votes: tuple[Price, Price] | None = None
    """The price where a server gives no log-probabilities, expected and at most."""
    why: str = ""
    """Why a stale stage is refused, and the way out."""

    def cells(self) -> tuple[str, ...]:
        """As text for a table."""
        work = self.work
        tokens = f"{(work.read + work.written) / 1000:.0f}k" if work.read + work.written else ""
        took = _time(self.seconds) if work.counted != (0, 0, 0) else ""
        price = "unknown" if self.usd is None else f"${self.usd:.2f}" if self.usd else ""
        files = " ".join(self.reads), " ".join(self.writes)
        holds = "" if self.memory is None else f"{self.memory / GIB:.1f} GiB"
        figures = (str(work.calls or ""), tokens, took, holds, price)
        return (self.name, self.state, *files, *figures)

    def row(self) -> Row:
        """For machines; None where something is not known."""
        return {
            "stage": self.name,
            "state": self.state,
            "why": self.why,
            "reads": list(self.reads),
            "writes": list(self.writes),
            **self.figures(),
            "memory_bytes": self.memory,
        }

    def figures(self) -> Row:
        """What it takes, for machines."""
        return {
            **row_of(Price(*self.work.counted, self.usd)),
            "seconds": self.seconds,
            "without_logprobs": row_by_votes(self.by_votes),
        }


def expectations(
    folder: Path, config: Config, redo: str | None = None, until: str | None = None
) -> Iterator[Line]:
    """A line a stage, from the settings and the prompts and pairs that they name; and the sum.

    Summed is what is left: the first stage that is not done, or `redo`, and all after it, with
    `until` as the last. Raises UsageError as `pipeline.named` does.
    """
    models = read(config)
    pairs = config.labeling.pairs
    outside = {"prompts": tuple(config.prompts.sources), "label": (pairs,) if pairs else ()}
    done: list[Line] = []
    left: list[Line] = []
    anew = False
    for stage in named(config, until, redo=redo):
        anew = anew or stage.name == redo
        state, why = ("to do", "") if anew else standing(folder, stage, config)
        works = asked(stage.name, models)
        with using(stage.compute(config)):
            line = Line(
                name=stage.name,
                state=state,
                reads=(*outside.get(stage.name, ()), *stage.reads),
                writes=stage.writes,
                work=_sum([work for work, _ in works]),
                seconds=total(_seconds(model, work) for work, model in works),
                usd=total(usd(model, work) for work, model in works),
                memory=needed(stage.name, config),
                by_votes=by_votes(works),
                why=why,
            )
        (done if state == "done" and not left else left).append(line)
        yield line
    yield _together("left" if done else "total", left)


def _together(name: str, lines: Sequence[Line]) -> Line:
    return Line(
        name=name,
        state="",
        reads=(),
        writes=(),
        work=_sum([line.work for line in lines]),
        seconds=total(line.seconds for line in lines),
        usd=total(line.usd for line in lines),
        by_votes=_all_by_votes(lines),
    )


def notes(config: Config) -> list[str]:
    """What of the settings comes to nothing, and what is not known of them, in words."""
    found = []
    models = (config.model, config.judge, config.teacher, config.evaluation.judge)
    for path in dict.fromkeys(m.path for m in models if isinstance(m, Local)):
        if not Path(path).exists():
            found.append(
                f"local:{path}: no such folder or file here, so the time and memory that it takes "
                "are not known (a hub id is fetched at the first use)"
            )
    found += _shared_memory(config)
    if config.redteam is None or not config.redteam.teaches or teaches(config):
        return found
    return [
        *found,
        "the red team's rewrites teach nothing here, they are only counted: RL learns from "
        f"{'labels of fresh responses' if config.policy.learns_from == 'judge' else 'score'} "
        "alone; a reward model of the run (score: learned) would learn from them, and with "
        "redteam.teaches=false they are not written",
    ]


def _shared_memory(config: Config) -> list[str]:
    """That a judge in vLLM takes the memory that the policy needs, unless it is told its share."""
    part = config.evaluation
    judges = (config.judge, part.judge, *getattr(part.labeler, "others", ()))
    served = [judge for judge in judges if isinstance(judge, Vllm)]
    told = " ".join(
        [os.environ.get(COMMAND, ""), *(a for judge in served for a in judge.arguments)]
    )
    if not served or config.compute.device == "cpu" or "--gpu-memory-utilization" in told:
        return []
    return [
        f"{served[0].name} is started beside the policy, and vLLM takes nine tenths of a GPU's "
        f'memory: on one GPU first `export {COMMAND}="vllm --gpu-memory-utilization 0.5"`, or '
        "the share that the policy leaves free"
    ]


def _all_by_votes(lines: Sequence[Line]) -> tuple[Price, Price] | None:
    """Of all stages together; None where no stage asks a remote model for labels."""
    if not any(line.by_votes for line in lines):
        return None
    plain = [(Price(*line.work.counted, line.usd),) * 2 for line in lines]
    each = [line.by_votes or own for line, own in zip(lines, plain, strict=True)]
    usual, most = (together([pair[n] for pair in each]) for n in range(2))
    return usual, most


def _sum(works: Sequence[Work]) -> Work:
    return Work(*(sum(part) for part in zip(*(work.counted for work in works), strict=True)))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes = max(seconds / 60, 0.1)
    return f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"


def _seconds(model: LanguageModel | None, work: Work) -> float | None:
    """From the size of local weights and the speed of this processor; None where unknown."""
    if work.counted == (0, 0, 0):
        return 0.0
    if isinstance(model, Remote):
        return work.calls * _REMOTE_SECONDS / model.at_once
    if isinstance(model, Scripted):
        return work.calls * model.latency / compute().concurrency
    size = parameters(model)
    if not size or (speed := _flops()) is None:
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
