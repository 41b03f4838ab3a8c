"""How does concurrent work run from plain Python, a notebook too, and put its answers on disk?"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, final

from hrlaif.llm.call import Call
from hrlaif.llm.ledger import Ledger
from hrlaif.settings import compute

T = TypeVar("T")
Submit = Callable[..., Future[Any]]
_UNDER_WAY: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = set()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, in a thread of its own where a loop (a notebook's) is already running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_known(work))
    return _run_beside(work)


@contextmanager
def side_by_side(workers: int) -> Iterator[Submit]:
    """Threads for work that asks several models at once, in the context of the block.

    They end with the block. On Ctrl-C what they have under way is called off; on an error it is
    waited for, but for batches, which would take a day and are collected by the next command.
    """
    futures: list[Future[Any]] = []

    def submit(work: Callable[..., Any], *given: Any) -> Future[Any]:
        futures.append(pool.submit(contextvars.copy_context().run, work, *given))
        return futures[-1]

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        try:
            yield submit
        except BaseException as error:
            told: set[Any] = set()
            while isinstance(error, KeyboardInterrupt) or compute().batch:
                for future in futures:
                    future.cancel()
                for loop, task in set(_UNDER_WAY) - told:
                    told.add((loop, task))
                    with suppress(RuntimeError):  # it has ended since
                        loop.call_soon_threadsafe(task.cancel)
                if not wait(futures, timeout=0.1).not_done:
                    break
            raise


async def _known(work: Coroutine[Any, Any, T]) -> T:
    """The work itself, which another thread can call off."""
    task = asyncio.current_task()
    assert task is not None
    here = (asyncio.get_running_loop(), task)
    _UNDER_WAY.add(here)
    try:
        return await work
    finally:
        _UNDER_WAY.discard(here)


def _run_beside(work: Coroutine[Any, Any, T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    task: list[asyncio.Task[T]] = []
    loop = asyncio.new_event_loop()

    def target() -> None:
        try:
            task.append(loop.create_task(work))
            results.append(loop.run_until_complete(task[0]))
        except BaseException as error:
            errors.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(target,), daemon=True)
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        if task:
            loop.call_soon_threadsafe(task[0].cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]


@final
class Writer:
    """Books answers that arrive together in one transaction, beside the loop.

    A commit waits for the disk, some milliseconds; one at a time they would hold up every call.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._waiting: list[tuple[Call, asyncio.Future[str]]] = []
        self._task: asyncio.Task[None] | None = None

    async def record(self, call: Call) -> str:
        """The answer that stands; it is on disk on return."""
        stands: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, stands))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return await stands

    async def finish(self) -> None:
        """What has arrived is on disk, also where nobody waits for it any more."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            calls = [call for call, _ in batch]
            try:
                answers = await asyncio.to_thread(self._ledger.record_many, calls)
            except Exception as error:
                for _, stands in batch:
                    if not stands.done():
                        stands.set_exception(error)
            else:
                for (_, stands), answer in zip(batch, answers, strict=True):
                    if not stands.done():
                        stands.set_result(answer)
