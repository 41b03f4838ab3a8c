"""Run the stages of a folder: skip what is done, resume what was begun, refuse what is stale."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hrlaif.config import Config
from hrlaif.errors import DataError, HrlaifError, Interrupted, TooManyAbstentions
from hrlaif.failures import Failure, failure, raised
from hrlaif.llm.ledger import Ledger
from hrlaif.pipeline import Stage, named, stages
from hrlaif.progress import say, spending
from hrlaif.run import (
    Receipt,
    begin,
    digests,
    finish,
    forget,
    only_process,
    read_receipt,
    write_receipt,
)
from hrlaif.settings import using
from hrlaif.standing import held

LEDGER = "ledger.sqlite"
_SILENT = {
    "sft": ("sft/teacher_answers.jsonl", "prompts have no answer of the teacher"),
    "responses": ("responses.jsonl", "responses are missing"),
    "label": ("abstentions.jsonl", "comparisons have no verdict"),
    "redteam": ("redteam/figures.json", "attempts have no verdict"),
    "policy": ("policy/choice.json", "comparisons of checkpoints have no verdict"),
}
"""In which file of a stage one sees who said nothing, and what its share is a share of."""
_REDONE = re.compile(r" --(redo|until)[ =](\S+)")
"""What of a command says which stages it does anew."""
_PRELOADED = ["hrlaif.sft.train", "hrlaif.reward.train", "hrlaif.policy.loop", "peft"]
_PRELOADED += ["transformers.modeling_utils", "transformers.models.auto.modeling_auto"]


def run(folder: Path, config: Config, *, until: str | None = None, command: str = "") -> None:
    """Every stage that is not done, each in a process of its own, so that memory is freed.

    Raises what a stage raised, as an error with the stage's exit code. A script that calls this
    needs `if __name__ == "__main__":`, as with all of multiprocessing. `command` is for receipts.
    """
    wanted = named(config, until)
    with only_process(folder):
        receipts = [read_receipt(folder, stage.name) for stage in wanted]
        several = sum(receipt is None or receipt.finished is None for receipt in receipts) > 1
        context = _context(preload=several)
        for number, stage in enumerate(wanted, start=1):
            head = f"[{number}/{len(wanted)}] {stage.name}"
            receipt = held(folder, stage, config)
            if receipt is not None and receipt.finished:
                say(f"{head}: done ({receipt.seconds:.0f} s)")
            else:
                say(f"{head} -> {', '.join(stage.writes)}")
                _in_own_process(context, (folder, config, stage.name, command))
            _not_too_silent(folder, stage, config)


def redo(
    folder: Path, config: Config, name: str, *, until: str | None = None, command: str = ""
) -> None:
    """Forgets a stage and everything after it; answers in the ledger are kept and found again.

    Nothing is forgotten where a `command` that redoes the same stages began to and was stopped: it
    goes on. Raises, with nothing forgotten, what would keep the run from coming to that stage.
    """
    *before, _ = named(config, name)
    with only_process(folder):
        for stage in before:
            held(folder, stage, config)
            _not_too_silent(folder, stage, config)
        if goes_on(folder, config, name, until=until, command=command):
            say(f"--redo {name}: goes on with what this command began")
            return
        forgotten = named(config, None)[len(before) :]
        if (folder / LEDGER).exists():
            with Ledger(folder / LEDGER) as ledger:
                for stage in forgotten:
                    ledger.begin_anew(stage.name)
        for stage in forgotten:
            _say_deleted(folder, stage.name)
            forget(folder, stage.name, stage.writes)


def goes_on(
    folder: Path, config: Config, name: str, *, until: str | None = None, command: str = ""
) -> bool:
    """Whether a command began to redo what this one redoes, and was stopped before it had it all.

    Not where the run would refuse what it made, nor where another command has redone some since.
    Other options may differ: what they change, the receipts tell.
    """
    wanted = named(config, until, redo=name)
    again = wanted[[stage.name for stage in wanted].index(name) :]
    asked = []
    finished = True
    try:
        for stage in again:
            receipt = held(folder, stage, config)
            finished = finished and receipt is not None and receipt.finished is not None
            asked.append(begun.command if (begun := read_receipt(folder, stage.name)) else "")
            _not_too_silent(folder, stage, config)
    except HrlaifError:
        return False
    mine, *earlier = (sorted(_REDONE.findall(text)) for text in (command, *asked))
    others = [one for one in earlier if one != mine and any(what == "redo" for what, _ in one)]
    return not finished and bool(mine) and earlier[0] == mine and not others


def _say_deleted(folder: Path, name: str) -> None:
    """Says that work under way is lost; a damaged receipt tells nothing."""
    with suppress(DataError):
        receipt = read_receipt(folder, name)
        if receipt is not None and receipt.finished is None:
            say(f"{name}: what was begun is deleted; answers in the ledger are kept")


def run_stage(folder: Path, config: Config, name: str, *, command: str = "") -> Receipt:
    """One stage in this process, with its receipt begun first and finished last."""
    stage = next(s for s in stages(config) if s.name == name)
    clock = time.monotonic()
    with only_process(folder, ".stage.lock", wait=10), using(stage.compute(config)):
        receipt = held(folder, stage, config) or begin(
            folder,
            Receipt(
                stage=name,
                settings=stage.fingerprint(config),
                inputs=digests(folder, stage.reads),
                seed=config.seed,
                command=command,
            ),
        )
        with (
            Ledger(folder / LEDGER, stage=name, max_cost=config.compute.max_cost) as ledger,
            spending(ledger.paid),
        ):
            try:
                counts = dict(stage.work(config, folder))
            except BaseException:
                _add_seconds(folder, receipt, time.monotonic() - clock)
                raise
            cost = ledger.totals(name).row() | {"found_again": ledger.hits}
        seconds = round(receipt.seconds + time.monotonic() - clock, 1)
        return finish(folder, receipt, stage.writes, counts=counts, cost=cost, seconds=seconds)


def _add_seconds(folder: Path, receipt: Receipt, seconds: float) -> None:
    write_receipt(
        folder, receipt.model_copy(update={"seconds": round(receipt.seconds + seconds, 1)})
    )


def _not_too_silent(folder: Path, stage: Stage, config: Config) -> None:
    receipt = read_receipt(folder, stage.name)
    share = receipt.counts.get("abstained_share", 0.0) if receipt else 0.0
    if share > config.max_abstentions:
        path, what = _SILENT.get(stage.name, (stage.writes[0], "comparisons have no verdict"))
        raise TooManyAbstentions(
            f"{stage.name}: {share:.0%} of the {what}, more than the "
            f"{config.max_abstentions:.0%} allowed: see {folder / path}, then mend "
            f"the cause and --redo {stage.name}, or raise max_abstentions"
        )


def _in_own_process(context: Any, asked: tuple[Path, Config, str, str]) -> None:
    """Raises what the stage raised; Ctrl-C is passed on to it, once for each time it is pressed."""
    name = asked[2]
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(theirs, *asked), name=name)
    interrupted = False
    child.start()
    theirs.close()
    while child.exitcode is None:
        try:
            child.join()
        except KeyboardInterrupt:
            interrupted = True
            os.kill(child.pid or 0, signal.SIGINT)
    found: Failure | None = None
    with suppress(EOFError):
        found = ours.recv()
    if interrupted:
        raise Interrupted("interrupted; what was done is kept, the same command goes on")
    if found is not None:
        raise raised(found)
    if child.exitcode < 0:
        raise HrlaifError(
            f"{name}: its process was ended by signal {-child.exitcode} (9 is often a lack "
            "of memory): what was done is kept, the same command goes on"
        )
    if child.exitcode:
        # A fault of the program: the child has shown where.
        raise HrlaifError(f"{name} failed; the same command goes on from there")


def _context(*, preload: bool) -> Any:
    """How processes are made: with `preload` forked from one that has imported torch for them all.

    Not on a machine with a GPU, whose driver does not survive a fork, nor where there is no fork.
    """
    graphics = any(Path("/dev").glob("nvidia*")) or Path("/dev/kfd").exists()
    if graphics or not preload or not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()  # it would show a traceback at Ctrl-C
    finally:
        signal.signal(signal.SIGINT, before)
    return context


def _work(answer: Connection, folder: Path, config: Config, name: str, command: str) -> None:
    """A stage's process: what went wrong, if anything, is sent to the parent, which says it."""
    os.setpgid(0, 0)  # Ctrl-C comes from the parent alone, not from the terminal too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        run_stage(folder, config, name, command=command)
    except BaseException as error:
        if (found := failure(error)) is None:
            raise
        answer.send(found)
    answer.close()


def _die_with_parent() -> None:
    """Ends this process when its parent was killed: nothing works on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(137)
