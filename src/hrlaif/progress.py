"""How far is the work, how long will it take, and what has it cost? Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False)
_SPENT: ContextVar[Callable[[], str]] = ContextVar("spent", default=lambda: "")
_SECONDS_BETWEEN_LINES = 10.0


def say(text: str) -> None:
    """One line for the person who waits."""
    console.print(text, markup=False, soft_wrap=True)


class Bar:
    """Counts finished units of work."""

    def __init__(self, show: Callable[[int, str], None], *, done: int = 0):
        self.done = done
        self._show = show

    def advance(self, count: int = 1, note: str = "") -> None:
        """Some units are done; `note` is a short current figure such as `loss 0.61`."""
        self.done += count
        self._show(self.done, " ".join(filter(None, (note, _SPENT.get()()))))


@contextmanager
def track(what: str, total: int, *, unit: str = "", done: int = 0) -> Iterator[Bar]:
    """A live bar with the time left on a terminal, a plain line now and then elsewhere."""
    if console.is_terminal:
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
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=total, completed=done, note="")
            yield Bar(lambda n, note: progress.update(task, completed=n, note=note), done=done)
    else:
        yield Bar(_plain_lines(what, total, unit, done), done=done)


def _plain_lines(what: str, total: int, unit: str, already: int) -> Callable[[int, str], None]:
    begun = last = time.monotonic()

    def show(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        left = (now - begun) / max(done - already, 1) * (total - done)
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
