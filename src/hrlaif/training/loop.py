"""The loop of a training stage: `for step in steps(...)`, resumed where it stopped.

    for step in steps("reward model", plan, trainee, where):
        for part in micro_batches(step.batch):
            step.backward(loss_sum(part) / step_count, part)
        step.log(accuracy=0.7)

Between the bodies the weights are moved, a row is added to `metrics.jsonl`, and now and then all is
saved. What a step does depends on its number, its batch and the saved state, so a resumed run is
the same run bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from hrlaif.errors import ModelError
from hrlaif.progress import track
from hrlaif.training import checkpoint, metrics
from hrlaif.training.checkpoint import Checkpoints, Trainee
from hrlaif.training.optimizer import ADVICE, Optimizer, update
from hrlaif.training.trackers import tracking

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Where:
    """Where a training stage writes, and how it steps."""

    folder: Path
    optimizer: Optimizer
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


@dataclass
class Step(Generic[T]):
    """One step: its number from 0, its batch, and what was logged so far."""

    number: int
    total: int
    batch: T
    values: dict[str, float] = field(default_factory=dict)
    loss: float = 0.0

    def backward(self, loss: Tensor, part: object = None) -> None:
        """Adds one micro-batch's share of the step's loss, and its gradient.

        The share is a sum divided by a count over the whole step, so that the step is the same
        however it is cut. Raises ModelError when it is not finite; `part` is shown in the message.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"step {self.number + 1} of {self.total}: the loss is {value} on {part!s:.400}; "
                f"look at these rows; {ADVICE}"
            )
        self.loss += value
        loss.backward()  # type: ignore[no-untyped-call]

    def log(self, **values: float) -> None:
        """Figures for this step's row of `metrics.jsonl`."""
        self.values.update(values)


def order(count: int, *, batch_size: int, epochs: int, seed: int) -> list[list[int]]:
    """The rows of each step: every epoch a new shuffle of them all, the last batch maybe smaller.

    The same on every machine for a seed, so the data position is the number of the step.
    """
    plan = []
    for epoch in range(epochs):
        rows = np.random.default_rng([seed, epoch]).permutation(count).tolist()
        plan += [rows[start : start + batch_size] for start in range(0, count, batch_size)]
    return plan


def steps(what: str, plan: Sequence[T], trainee: Trainee, where: Where) -> Iterator[Step[T]]:
    """Yields the steps of a plan that are not done yet; trains and saves between them.

    Put the modules in the wanted mode (`train` or `eval`) before; the gradients must be clear.
    """
    log, total = where.folder / "metrics.jsonl", len(plan)
    begin = _resume(trainee, where.folder)
    metrics.cut(log, after=begin)
    with (
        tracking(where.folder) as log_elsewhere,
        track(what, total, unit="steps", done=begin) as bar,
    ):
        for number in range(begin, total):
            begun = time.perf_counter()
            step = Step(number, total, plan[number])
            yield step
            moved = update(trainee.optimizer, where.optimizer, step=number, total=total)
            row: dict[str, Any] = {"step": number + 1, "loss": step.loss, **moved, **step.values}
            metrics.append(log, {**row, "seconds": round(time.perf_counter() - begun, 4)})
            if (number + 1) % where.checkpoints.every == 0 or number + 1 == total:
                checkpoint.save(where.folder, number + 1, trainee, keep=where.checkpoints.keep)
            log_elsewhere(number + 1, row)
            bar.advance(note=f"loss {step.loss:.4f}")


def _resume(trainee: Trainee, folder: Path) -> int:
    saved = checkpoint.newest(folder)
    return int(checkpoint.restore(saved, trainee)["step"]) if saved else 0
