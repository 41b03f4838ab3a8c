"""How does a stage's work stand: to do, begun, done, or stale, and why?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrlaif.config import Config
from hrlaif.errors import HrlaifError
from hrlaif.pipeline import Stage, stages
from hrlaif.run import Receipt, digests, read_receipt, refuse_stale
from hrlaif.settings import flatten

_ASKED = {"judge", "teacher", "labeling"}
"""Who may be asked: where a stage no longer asks one, the setting that made it so is named."""


def standing(folder: Path, stage: Stage, config: Config) -> tuple[str, str]:
    """`to do`, `begun`, `done` or `stale`; and why `run` refuses it, else an empty text."""
    receipt = read_receipt(folder, stage.name)
    if receipt is None:
        return "to do", ""
    try:
        held(folder, stage, config)
    except HrlaifError as error:
        return "stale", str(error)
    return "done" if receipt.finished else "begun", ""


def held(folder: Path, stage: Stage, config: Config) -> Receipt | None:
    """The receipt of work that is done or goes on; None where it never began, or left nothing.

    Raises StaleRunError where it is of other settings or inputs, HrlaifError where a file is gone.
    """
    receipt = _of_work(folder, stage)
    if receipt is None:
        return None
    _refuse_stale(stage, config, receipt, digests(folder, stage.reads))
    missing = [name for name in stage.writes if not (folder / name).exists()]
    if receipt.finished and missing:
        raise HrlaifError(f"{folder / missing[0]} is gone: put it back, or --redo {stage.name}")
    return receipt


def refuse_changed(folder: Path, config: Config) -> None:
    """Raises StaleRunError where a stage was begun with other settings than these."""
    for stage in stages(config):
        if (receipt := _of_work(folder, stage)) is not None:
            _refuse_stale(stage, config, receipt, receipt.inputs)


def _of_work(folder: Path, stage: Stage) -> Receipt | None:
    """The receipt of a stage that is finished, or left something to go on with."""
    receipt = read_receipt(folder, stage.name)
    if receipt is None or receipt.finished:
        return receipt
    paths = [folder / f"{name}{end}" for name in stage.writes for end in ("", ".partial")]
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return receipt if any(file.stat().st_size for file in files) else None


def _refuse_stale(
    stage: Stage, config: Config, receipt: Receipt, inputs: Mapping[str, str]
) -> None:
    """As `run.refuse_stale`, but a judge that had nothing to say of this work may be another."""
    now = stage.fingerprint(config)
    unasked = _ASKED - now.keys()
    if receipt.counts.get("without_category") == 0:
        unasked.add("judge")
    settings = _without(receipt.settings, unasked)
    refuse_stale(receipt.model_copy(update={"settings": settings}), _without(now, unasked), inputs)


def _without(settings: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Settings without these parts."""
    return _with_files({k: v for k, v in settings.items() if k not in names}, settings)


def _with_files(kept: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of settings, without the hashes of files that only the others name."""

    def named(of: Mapping[str, Any]) -> set[str]:
        return set(map(str, flatten({k: v for k, v in of.items() if k != "files"}).values()))

    gone = named(settings) - named(kept)
    files = {path: held for path, held in settings.get("files", {}).items() if path not in gone}
    return {k: v for k, v in kept.items() if k != "files"} | ({"files": files} if files else {})
