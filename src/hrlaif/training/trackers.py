"""Where else are the figures of each step shown? In a tracker that the user runs, by name.

Off by default. Nothing here decides anything: `metrics.jsonl` is the record, a tracker a copy of
its numbers. A library is imported only when its tracker is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrlaif.errors import UsageError
from hrlaif.settings import compute

Log = Callable[[int, Mapping[str, Any]], None]
_NEEDS = {
    "tensorboard": "torch.utils.tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}


@contextmanager
def tracking(folder: Path) -> Iterator[Log]:
    """Inside, the function sends a step's numbers to `compute.tracker`, or does nothing.

    Where a run goes is the tracker's own business: its environment variables say so; tensorboard
    writes into `folder/tensorboard`. Raises UsageError where its library is not installed.
    """
    name = compute().tracker
    if name is None:
        yield lambda step, row: None
        return
    library = _imported(name)
    title = f"{folder.resolve().parent.name}-{folder.name}"
    send, close = _OPEN[name](library, title, folder)
    try:
        yield lambda step, row: send(step, _numbers(row))
    finally:
        close()


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(_NEEDS[name])
    except ImportError as error:
        raise UsageError(
            f"compute.tracker: {name} is not installed ({error}): `pip install {name}`, or leave "
            "compute.tracker empty; metrics.jsonl holds all figures anyway"
        ) from None


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, int | float) and k != "step"}


Opened = tuple[Callable[[int, dict[str, float]], None], Callable[[], Any]]


def _tensorboard(library: Any, title: str, folder: Path) -> Opened:
    writer = library.SummaryWriter(str(folder / "tensorboard"))

    def send(step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return send, writer.close


def _wandb(library: Any, title: str, folder: Path) -> Opened:
    # The same id goes on with the same run after a resume.
    run = library.init(project="hrlaif", name=title, id=title, resume="allow", dir=str(folder))
    return lambda step, numbers: run.log(numbers, step=step), run.finish


def _mlflow(library: Any, title: str, folder: Path) -> Opened:
    library.set_experiment("hrlaif")
    library.start_run(run_name=title)
    return lambda step, numbers: library.log_metrics(numbers, step=step), library.end_run


def _trackio(library: Any, title: str, folder: Path) -> Opened:
    library.init(project="hrlaif", name=title, resume="allow")
    return lambda step, numbers: library.log(numbers, step=step), library.finish


_OPEN = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio}
