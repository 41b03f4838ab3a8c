"""What has this run folder done already, and may I go on? Receipts, resume, refusing stale work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from hrlaif.errors import DataError, HrlaifError, StaleRunError
from hrlaif.llm.own_texts import own_tasks
from hrlaif.machine import hardware, versions
from hrlaif.progress import track
from hrlaif.records import Record, Row
from hrlaif.rows.files import line_of
from hrlaif.settings import answering, flatten

T = TypeVar("T")


class Receipt(Record):
    """What a stage was asked, what it read, and, once it is done, what it made and took."""

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    """File or folder of the run -> sha256."""
    seed: int = 0
    begun: str = ""
    finished: str | None = None
    seconds: float = 0.0
    """Wall time of all attempts together."""
    counts: dict[str, Any] = Field(default_factory=dict)
    cost: dict[str, Any] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def receipt_path(folder: Path, stage: str) -> Path:
    """Where a stage's receipt lies."""
    return folder / "receipts" / f"{stage}.json"


def read_receipt(folder: Path, stage: str) -> Receipt | None:
    """The receipt of a stage, or None when it never began."""
    path = receipt_path(folder, stage)
    if not path.exists():
        return None
    return parse_receipt(path, f"--redo {stage}")


def parse_receipt(path: Path, way_out: str) -> Receipt:
    """The receipt in a file; raises DataError where the file is damaged."""
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except ValidationError:
        raise DataError(
            f"{path} is damaged, so nothing can be said about its work: {way_out}"
        ) from None


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Atomically: a reader sees the old receipt or the new one."""
    path = receipt_path(folder, receipt.stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, receipt.model_dump_json(indent=2))


def write_text(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Of a file, or of a folder's files with their names; checkpoints on the way are left out."""
    total = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                total.update(block)
        return total.hexdigest()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file.relative_to(path).as_posix()
        if not name.startswith("step_"):
            total.update(f"{name}\0{sha256(file)}\0".encode())
    return total.hexdigest()


def sketch(path: Path) -> str:
    """Of a model's folder or file: names, sizes, and the first and last MiB of each file.

    A training step moves all weights, so this tells two models apart without reading gigabytes.
    """
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            total.update(f"{file.name}\0{size}\0".encode() + stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            total.update(stream.read(1 << 20))
    return total.hexdigest()


def texts_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of each file of criteria of the user's own that settings name."""
    return {name: sha256(Path(name)) for name in own_tasks(settings) if Path(name).is_file()}


def digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """sha256 of a stage's inputs; a folder's comes from the receipt of the stage that made it."""
    known: dict[str, str] = {}
    for path in (folder / "receipts").glob("*.json"):
        with suppress(DataError):  # a damaged one is told when its own stage's turn comes
            known |= parse_receipt(path, f"--redo {path.stem}").outputs
    found = {}
    for name in names:
        path = folder / name
        if not path.exists():
            raise HrlaifError(
                f"{path} is missing: run the stage that makes it, `hrlaif run {folder}`"
            )
        found[name] = known[name] if path.is_dir() and name in known else sha256(path)
    return found


def refuse_stale(
    receipt: Receipt, settings: Mapping[str, Any], inputs: Mapping[str, str], way_out: str = ""
) -> None:
    """Raises StaleRunError naming the first setting or input that differs from the receipt's.

    How long and how often a remote model is tried, and its price and key, may differ. Raises
    HrlaifError naming a file that is not there.
    """
    way_out = way_out or f"use a new run folder, or --redo {receipt.stage}"
    given = json.loads(json.dumps(settings))
    old, new = flatten(answering(receipt.settings)), flatten(answering(given))

    # A changed kind explains all other changes below it, so the outermost is named first; another
    # path explains that a file is another.
    def order(name: str) -> tuple[bool, bool, int, str]:
        return name.startswith("files."), not name.endswith("kind"), name.count("."), name

    for name in sorted(old.keys() | new.keys(), key=order):
        if old.get(name) != new.get(name):
            if name.startswith("files.") and new.get(name) is None:
                raise HrlaifError(
                    f"{name.removeprefix('files.')} is not there, seen from {Path.cwd()}: go to "
                    f"the folder where {receipt.stage} was begun, or put it back"
                )
            raise StaleRunError(
                f"{receipt.stage} was begun with {name} = {old.get(name)!r}, "
                f"now {new.get(name)!r}: set it back, {way_out}"
            )
    for name in sorted(receipt.inputs.keys() | inputs.keys()):
        if receipt.inputs.get(name) != inputs.get(name):
            raise StaleRunError(f"{receipt.stage} was begun with another {name}: {way_out}")


@contextmanager
def only_process(
    folder: Path, name: str = ".lock", *, file: Path | None = None, wait: float = 0.0
) -> Iterator[None]:
    """One process a folder, or a `file` in it.

    Raises HrlaifError when another still holds it after `wait` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        held = f"in {folder.resolve()}" if file is None else f"on {file.resolve()}"
        raise HrlaifError(
            f"another process works {held}: wait for it, or stop it and run the same command"
        ) from None
    try:
        yield
    finally:
        lock.release()


def map_rows(
    partial: Path,
    items: Sequence[T],
    work: Callable[[Sequence[T]], Sequence[Record]],
    *,
    chunk: int,
    key: Callable[[T], str],
    what: str,
    unit: str,
) -> list[Row]:
    """One row an item, in order, saved a chunk at a time; goes on where a killed process stopped.

    Chunks are cut by position, so a resumed run asks the same batches as an undisturbed one.
    Raises StaleRunError when the partial file was made of other items.
    """
    rows = _resumed(partial, [key(item) for item in items], chunk)
    partial.parent.mkdir(parents=True, exist_ok=True)
    with (
        partial.open("a", encoding="utf-8") as stream,
        track(what, len(items), unit=unit, done=len(rows)) as bar,
    ):
        for begin in range(len(rows), len(items), chunk):
            group = items[begin : begin + chunk]
            new = [record.row() for record in work(group)]
            if len(new) != len(group):
                raise HrlaifError(f"{what}: {len(new)} answers to {len(group)} questions")
            stream.write("".join(map(line_of, new)))
            stream.flush()
            os.fsync(stream.fileno())
            rows += new
            bar.advance(len(group))
    return rows


def _resumed(partial: Path, keys: Sequence[str], chunk: int) -> list[Row]:
    """Whole chunks that are already there; a torn or uneven tail is cut off the file."""
    if not partial.exists():
        return []
    rows: list[Row] = []
    ends: list[int] = []
    with partial.open("rb") as stream:
        for raw in stream:
            try:
                row = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                row = None
            if not isinstance(row, dict):
                break
            rows.append(row)
            ends.append((ends[-1] if ends else 0) + len(raw))
    if len(rows) > len(keys) or any(r.get("id") != k for r, k in zip(rows, keys, strict=False)):
        raise StaleRunError(
            f"{partial} was made of other rows: delete it to begin anew, or name another output"
        )
    kept = len(rows) if len(rows) == len(keys) else len(rows) // chunk * chunk
    os.truncate(partial, ends[kept - 1] if kept else 0)
    return rows[:kept]


def forget(folder: Path, stage: str, outputs: Sequence[str]) -> None:
    """Deletes a stage's outputs, partial files and receipt, for --redo.

    What it wrote with earlier settings goes too: nobody writes it anew, and a page would show it.
    """
    earlier = None
    with suppress(DataError):  # a damaged one goes with the rest
        earlier = read_receipt(folder, stage)
    for name in {*outputs, *(earlier.outputs if earlier else ())}:
        for path in (folder / name, folder / f"{name}.partial"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    receipt_path(folder, stage).unlink(missing_ok=True)


def begin(folder: Path, receipt: Receipt) -> Receipt:
    """Writes the receipt without `finished`, with the time and the machine, and returns it."""
    started = receipt.model_copy(
        update={"begun": now(), "versions": versions(), "hardware": hardware()}
    )
    write_receipt(folder, started)
    return started


def finish(folder: Path, receipt: Receipt, outputs: Sequence[str], **facts: Any) -> Receipt:
    """Writes the receipt with `finished` last, so that its presence means the work is whole."""
    made = {name: sha256(folder / name) for name in outputs}
    done = receipt.model_copy(update={"finished": now(), "outputs": made, **facts})
    write_receipt(folder, done)
    return done
