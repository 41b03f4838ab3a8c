"""Where else are the figures of each step shown? In a tracker that the user runs, by name.

Off by default. Nothing here decides anything: `metrics.jsonl` is the record, a tracker a copy of
its numbers. A library is imported only when its tracker is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif.errors import UsageError
from hrlaif.progress import say
from hrlaif.records import digest
from hrlaif.settings import compute

Log = Callable[[int, Mapping[str, Any]], None]
Send = Callable[[int, dict[str, float]], None]
Opened = tuple[Send, Callable[[], Any]]
_UNDER_WAY = ContextVar("a run is tracked", default=False)
_TAG = "hrlaif_id"
_NEEDS = {
    "tensorboard": "torch.utils.tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
}


class Run(NamedTuple):
    """What a tracker calls this run, and where it may write."""

    title: str
    id: str
    place: Path


@contextmanager
def tracking(folder: Path) -> Iterator[Log]:
    """Inside, the function sends a step's numbers to `compute.tracker`, or does nothing.

    Where they go is the tracker's own business, as its environment variables say; what it writes
    here lies in `tracking/` beside `folder`. Raises UsageError where its library is not installed
    or refuses to begin. A tracker that fails later is left, and training goes on. Trackers hold one
    run at a time: inside another tracked training, such as RL whose reward learns anew, nothing is
    sent.
    """
    name = compute().tracker
    if name is None or _UNDER_WAY.get():
        yield lambda step, row: None
        return
    library, place = _imported(name), folder.resolve().parent / "tracking"
    place.mkdir(parents=True, exist_ok=True)
    run = Run(
        title=f"{folder.resolve().parent.name}-{folder.name}",
        # The same folder goes on with the same run after a resume; another of its name does not.
        id=f"{folder.name}-{digest(str(folder.resolve()), length=12)}",
        place=place,
    )
    send, close = begun(name, library, run)
    _UNDER_WAY.set(True)
    try:
        yield careful(name, send)
    finally:
        _UNDER_WAY.set(False)
        close()


def begun(name: str, library: Any, run: Run) -> Opened:
    """How to send and how to end; raises UsageError where the tracker refuses to begin."""
    try:
        return _OPEN[name](library, run)
    except Exception as error:  # each library has errors of its own
        raise UsageError(
            f"compute.tracker: {name} cannot begin ({error!s:.300}): set it up as its own pages "
            "say, or leave compute.tracker empty"
        ) from None


def careful(name: str, send: Send) -> Log:
    """Sends the numbers of a row, until the tracker fails."""
    working = True

    def log(step: int, row: Mapping[str, Any]) -> None:
        nonlocal working
        if working:
            try:
                send(step, _numbers(row))
            except Exception as error:  # each library has errors of its own
                working = False
                say(f"  {name} failed ({error!s:.200}): training goes on without it")

    return log


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


def _tensorboard(library: Any, run: Run) -> Opened:
    writer = library.SummaryWriter(str(run.place / run.title))

    def send(step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return send, writer.close


def _wandb(library: Any, run: Run) -> Opened:
    names = {"project": "hrlaif", "name": run.title, "id": run.id, "resume": "allow"}
    begun = library.init(**names, dir=str(run.place))
    return lambda step, numbers: begun.log(numbers, step=step), begun.finish


def _mlflow(library: Any, run: Run) -> Opened:
    library.set_experiment("hrlaif")
    known = library.search_runs(
        experiment_names=["hrlaif"],
        filter_string=f"tags.{_TAG} = '{run.id}'",
        max_results=1,
        output_format="list",
    )
    if known:
        library.start_run(run_id=known[0].info.run_id)
    else:
        library.start_run(run_name=run.title, tags={_TAG: run.id})
    return lambda step, numbers: library.log_metrics(numbers, step=step), library.end_run


def _trackio(library: Any, run: Run) -> Opened:
    # It knows a run by its name alone.
    name = f"{run.title}-{run.id.rpartition('-')[2]}"
    library.init(project="hrlaif", name=name, resume="allow")
    return lambda step, numbers: library.log(numbers, step=step), library.finish


_OPEN: dict[str, Callable[[Any, Run], Opened]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
