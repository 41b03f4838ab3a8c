"""Run the stages of a folder: skip what is done, resume what was begun, refuse what is stale."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrlaif.config import Config
from hrlaif.errors import HrlaifError, TooManyAbstentions, UsageError
from hrlaif.llm.ledger import Ledger, Totals
from hrlaif.pipeline import Stage, stages
from hrlaif.progress import say, spending
from hrlaif.run import (
    Receipt,
    Stopwatch,
    begin,
    digests,
    finish,
    forget,
    only_process,
    read_receipt,
    refuse_stale,
)
from hrlaif.settings import using

LEDGER = "ledger.sqlite"


def run(
    folder: Path, config: Config, arguments: Sequence[str], *, until: str | None = None
) -> None:
    """Every stage that is not done, each in a process of its own, so that memory is freed.

    `arguments` are the command line's, with which a stage's process reads the same configuration.
    Raises what a stage raised, as an error with the stage's exit code.
    """
    wanted = named(config, until)
    with only_process(folder):
        for number, stage in enumerate(wanted, start=1):
            head = f"[{number}/{len(wanted)}] {stage.name}"
            if (done := finished(folder, stage, config)) is not None:
                say(f"{head}: done ({done.seconds:.0f} s)")
            else:
                say(f"{head} -> {', '.join(stage.writes)}")
                _in_own_process([*arguments, "--only", stage.name])
            _not_too_silent(folder, stage, config)


def named(config: Config, until: str | None) -> list[Stage]:
    """The stages up to and with `until`; raises UsageError for an unknown name."""
    found = stages(config)
    if until is None:
        return found
    names = [stage.name for stage in found]
    if until not in names:
        raise UsageError(f"stage {until!r} is none of {', '.join(names)}")
    return found[: names.index(until) + 1]


def redo(folder: Path, config: Config, name: str) -> None:
    """Forgets a stage and everything after it; answers in the ledger are kept and found again."""
    later = named(config, None)[len(named(config, name)) - 1 :]
    with only_process(folder):
        for stage in later:
            forget(folder, stage.name, stage.writes)


def finished(folder: Path, stage: Stage, config: Config) -> Receipt | None:
    """The receipt of a stage whose work is whole; StaleRunError if it is of other settings."""
    receipt = read_receipt(folder, stage.name)
    if receipt is None or receipt.finished is None:
        return None
    refuse_stale(receipt, stage.fingerprint(config), digests(folder, stage.reads))
    missing = [name for name in stage.writes if not (folder / name).exists()]
    if missing:
        raise HrlaifError(f"{folder / missing[0]} is gone: put it back, or --redo {stage.name}")
    return receipt


def run_stage(folder: Path, config: Config, name: str, *, command: str = "") -> Receipt:
    """One stage in this process, with its receipt begun first and finished last."""
    stage = next(s for s in stages(config) if s.name == name)
    watch = Stopwatch()
    with only_process(folder, ".stage.lock", wait=10), using(config.compute):
        receipt = begin(
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
            spending(lambda: spent(ledger)),
        ):
            try:
                counts = dict(stage.work(config, folder))
            except BaseException:
                _add_seconds(folder, receipt, watch.seconds)
                raise
            cost = cost_of(ledger.totals(name)) | {"found_again": ledger.hits}
        seconds = receipt.seconds + watch.seconds
        return finish(folder, receipt, stage.writes, counts=counts, cost=cost, seconds=seconds)


def spent(ledger: Ledger) -> str:
    """`$0.12` for a progress bar; nothing where nothing is paid."""
    cost = ledger.spent()
    return f"${cost:.4f}" if cost else ""


def cost_of(totals: Totals) -> dict[str, Any]:
    """A receipt's cost: calls, tokens, seconds, dollars."""
    return {
        "calls": totals.calls,
        "prompt_tokens": totals.prompt_tokens,
        "completion_tokens": totals.completion_tokens,
        "seconds": round(totals.seconds, 1),
        "usd": round(totals.cost, 6),
        "unpriced_calls": totals.unpriced_calls,
    }


def _add_seconds(folder: Path, receipt: Receipt, seconds: float) -> None:
    from hrlaif.run import write_receipt

    write_receipt(folder, receipt.model_copy(update={"seconds": receipt.seconds + seconds}))


def _not_too_silent(folder: Path, stage: Stage, config: Config) -> None:
    receipt = read_receipt(folder, stage.name)
    share = receipt.counts.get("abstained_share", 0.0) if receipt else 0.0
    if share > config.max_abstentions:
        raise TooManyAbstentions(
            f"{stage.name}: {share:.0%} of the comparisons have no verdict, more than the "
            f"{config.max_abstentions:.0%} allowed: see {folder / 'abstentions.jsonl'}, then "
            "mend the cause and --redo label, or raise max_abstentions"
        )


def _in_own_process(arguments: Sequence[str]) -> None:
    """Raises HrlaifError with the child's exit code; its message has been printed by the child."""
    environment = os.environ | {"HRLAIF_PARENT": str(os.getpid())}
    child = subprocess.Popen([sys.executable, "-m", "hrlaif", *arguments], env=environment)
    while True:
        try:
            code = child.wait()
            break
        except KeyboardInterrupt:
            # The terminal sends Ctrl-C to the child too; wait until it has saved its work.
            continue
    if code:
        failure = HrlaifError("")
        failure.exit_code = 130 if code < 0 else code  # type: ignore[misc]
        raise failure


def die_with_parent() -> None:
    """Ends this stage's process soon after its parent was killed: nothing works on unseen."""
    parent = int(os.environ.get("HRLAIF_PARENT", "0"))
    if parent:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(137)
