"""How far is the work, how long will it take, and what has it cost? Always on standard error."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(stderr=True, highlight=False, emoji=False)
_SPENT: ContextVar[Callable[[], str]] = ContextVar("spent", default=lambda: "")
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_SPEED = 600.0
_STEPS = 8  # the last ones, from which the time left is told
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 40
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
Show = Callable[[int, str, Mapping[str, Any]], None]
"""Shows how many units are done, a note, and figures by name."""


def say(text: str) -> None:
    """One line for the person who waits; what others wrote in it cannot command the terminal."""
    console.print(inert(text), markup=False, soft_wrap=True)


def inert(text: str) -> str:
    """The text without characters that command a terminal; tab and line feed stay."""
    return _CONTROL.sub("", text)


def number(count: int, noun: str) -> str:
    """`1 label`, `2 labels`, `0 labels`."""
    return f"{count} {noun}{'s' * (count != 1)}"


class Bar:
    """Counts finished units of work."""

    def __init__(self, show: Show, *, done: int = 0):
        self.done = done
        self._show = show

    def advance(
        self, count: int = 1, note: str = "", figures: Mapping[str, Any] | None = None
    ) -> None:
        """Some units are done; `note` is a short current figure such as `loss 0.61`.

        `figures` are for the live view, which knows which of them it shows.
        """
        self.done += count
        said = " ".join(filter(None, (note, _SPENT.get()())))
        self._show(self.done, said, figures or {})


@contextmanager
def track(
    what: str, total: int, *, unit: str = "", done: int = 0, shown: Sequence[str] = ()
) -> Iterator[Bar]:
    """A live bar with the time left on a terminal, a plain line now and then elsewhere.

    Under the bar stand the figures named in `shown`, each with its last value and its course.
    """
    if console.is_terminal:
        with live(what, total, unit=unit, done=done, shown=shown, on=console) as show:
            yield Bar(show, done=done)
    else:
        yield Bar(plain_lines(what, total, unit=unit, done=done), done=done)


@contextmanager
def live(
    what: str, total: int, *, unit: str, done: int, shown: Sequence[str], on: Console
) -> Iterator[Show]:
    """The bar of a terminal, and under it the course of each figure."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Long enough for two steps of a slow judge; by default no time left is shown for those.
    progress = Progress(*columns, console=on, speed_estimate_period=_SECONDS_OF_SPEED)
    task = progress.add_task(what, total=total, completed=done, note="")
    course: dict[str, list[float]] = {name: [] for name in shown}
    with Live(progress, console=on, refresh_per_second=4) as view:

        def show(done: int, note: str, figures: Mapping[str, Any]) -> None:
            progress.update(task, completed=done, note=note)
            for name, values in course.items():
                value = figures.get(name)
                values += [] if value is None else [float(value)]
            view.update(Group(progress, courses(course)) if any(course.values()) else progress)

        yield show


def courses(course: Mapping[str, Sequence[float]]) -> Table:
    """A line a figure: its name, its last value, and its last values as blocks."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, values in course.items():
        if values:
            last = f"{values[-1]:.3g}"
            table.add_row(f"    {name.replace('_', ' ')}", last, sparks(values[-_SPARKS:]))
    return table


def sparks(values: Sequence[float]) -> str:
    """A block a value, its height between the least and the greatest of them."""
    least, span = min(values), max(values) - min(values)
    return "".join(_BLOCKS[round(7 * (v - least) / span) if span else 3] for v in values)


def plain_lines(
    what: str, total: int, *, unit: str, done: int, clock: Callable[[], float] = time.monotonic
) -> Show:
    """A line on standard error every ten seconds at most, with the time left."""
    begun = last = clock()
    # What was known already comes at once, and says nothing of the time that the rest takes.
    recent = deque([(begun, done)], maxlen=_STEPS)

    def show(done: int, note: str, figures: Mapping[str, Any]) -> None:
        nonlocal last
        now = clock()
        since, before = recent[0]
        recent.append((now, done))
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        left = (now - since) / max(done - before, 1) * (total - done)
        time_left = f", {left:.0f} s left" if done < total else f" in {now - begun:.0f} s"
        print(
            f"  {what}: {done}/{total} {unit}{time_left} {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )

    return show


@contextmanager
def spending(shown: Callable[[], str]) -> Iterator[None]:
    """Every bar inside the block ends in what `shown` says, such as `$0.12`."""
    token = _SPENT.set(shown)
    try:
        yield
    finally:
        _SPENT.reset(token)
