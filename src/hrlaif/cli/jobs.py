"""One file in, one file out, saved a chunk at a time and resumable by the same command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hrlaif.errors import TooManyAbstentions, UsageError
from hrlaif.llm import Local
from hrlaif.llm.ledger import Ledger
from hrlaif.messages import digest
from hrlaif.progress import number, say, spending
from hrlaif.protocols import Reward
from hrlaif.reasons import counted
from hrlaif.records import Record, Row
from hrlaif.rows import read_rows, write_rows
from hrlaif.rows.names import named
from hrlaif.run import (
    Receipt,
    map_rows,
    only_process,
    parse_receipt,
    refuse_stale,
    sha256,
    texts_of,
    write_text,
)
from hrlaif.settings import Compute, Settings, plain, using

T = TypeVar("T", bound=Record)


class Job:
    """Rows of one file asked and saved a chunk at a time, resumable by the same command."""

    def __init__(
        self,
        out: Path,
        stage: str,
        asked: Mapping[str, Settings | None],
        source: str,
        compute: Compute,
    ):
        if out.suffix != ".jsonl":
            raise UsageError(f"-o {out}: name a .jsonl file")
        self.out = out
        self.partial = out.with_name(out.name + ".partial")
        self.note = out.with_name(out.name + ".partial.json")
        self.stage = stage
        self.compute = compute
        self.aside = out.with_name(out.stem + ".abstentions.jsonl")
        self.source = Path(source)
        refuse_overwriting(self.source, self.out, self.aside)
        settings = {name: None if part is None else plain(part) for name, part in asked.items()}
        inputs = texts_of(settings) | weights_read(asked.values())
        self.receipt = Receipt(stage=stage, settings=settings, inputs=inputs)

    def run(
        self,
        items: Sequence[T],
        work: Callable[[Sequence[T]], Sequence[Record]],
        *,
        chunk: int,
        key: Callable[[T], str],
        unit: str,
        told: Callable[[Row], bool] | None = None,
    ) -> tuple[list[Row], dict[str, int], Row]:
        """All rows, those that are not `told` by reason, and what they cost.

        Writes OUT, and where `told` is given what is not into OUT.abstentions. Raises HrlaifError
        where another process works on OUT, until the last of its files is written.
        """
        self.receipt.inputs[str(self.source)] = held(self.source, items)
        with only_process(self.out.parent, f".{self.out.name}.lock", file=self.out):
            guard(self.note, self.receipt, self.partial, f"delete {self.partial}, or")
            path = ledger_beside(self.out)
            with (
                using(self.compute),
                Ledger(path, stage=self.stage, max_cost=self.compute.max_cost) as ledger,
                spending(ledger.paid),
            ):
                rows = map_rows(
                    self.partial, items, work, chunk=chunk, key=key, what=self.stage, unit=unit
                )
                cost = cost_of(ledger)
            return rows, self._finish(rows, told), cost

    def _finish(self, rows: Sequence[Row], told: Callable[[Row], bool] | None) -> dict[str, int]:
        """Splits the rows, and forgets that they were under way; abstentions by reason."""
        silent = [row for row in rows if told and not told(row)]
        if told:
            write_rows(self.aside, silent)
        with replacing(self.out):
            write_rows(self.out, [row for row in rows if not told or told(row)])
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        return counted(row["reason"] or "no reason given" for row in silent)


def ledger_beside(out: Path) -> Path:
    """The ledger of the calls that a file was written from."""
    return out.with_name(out.stem + ".ledger.sqlite")


def held(source: Path, items: Sequence[Record]) -> str:
    """sha256 of a file; of what no file holds, standard input or a hub id, a digest of its rows."""
    return sha256(source) if source.is_file() else digest([item.row() for item in items])


def weights_read(parts: Iterable[object]) -> dict[str, str]:
    """By its path a sketch of each local model and reward model that these parts compute with."""
    from hrlaif.pipeline import members_of, weights_of
    from hrlaif.reward.parts import models

    there = list(parts)
    rewards = [part for part in there if isinstance(part, Reward)]
    trained = [Local(path=path) for reward in rewards for path in models(reward)]
    found = weights_of([*there, *trained])
    for reward in rewards:
        found |= members_of(reward)
    return found


def refuse_overwriting(source: Path, *outputs: Path) -> None:
    """Raises UsageError, before any work, where an output is a folder, or what is read."""
    for path in outputs:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file")
        if path.exists() and source.exists() and path.samefile(source):
            raise UsageError(f"{path} would be replaced, and it is what is read: name another -o")


def refuse_losing(path: Path, *columns: str) -> None:
    """Raises UsageError where what people said in a file would be replaced."""
    if not path.is_file() or not path.stat().st_size:
        return
    for row in read_rows(path):
        values = named(row.values)
        for column in columns:
            if values.get(column) not in (None, "", {}, []):
                raise UsageError(f"{path} holds what people said in {column}: move it elsewhere")


@contextmanager
def replacing(path: Path) -> Iterator[None]:
    """Says so where its block writes another result than the one that stood there."""
    before = sha256(path) if path.exists() else None
    yield
    if before and before != sha256(path):
        say(f"{path} held the result of other inputs or settings, which is replaced")


@contextmanager
def working(out: Path, stage: str, compute: Compute) -> Iterator[Ledger]:
    """A folder that only this process works in, and its ledger."""
    with (
        only_process(out),
        using(compute),
        Ledger(out / "ledger.sqlite", stage=stage, max_cost=compute.max_cost) as ledger,
        spending(ledger.paid),
    ):
        yield ledger


def guard(note: Path, receipt: Receipt, partial: Path, way_out: str) -> None:
    """Notes what work was begun with; raises StaleRunError when that was something else.

    Where nothing is in the partial file yet, nothing was begun.
    """
    if note.exists() and partial.exists() and partial.stat().st_size:
        begun = parse_receipt(note, f"delete it and {partial}")
        refuse_stale(begun, receipt.settings, receipt.inputs, f"{way_out} name another -o")
    write_text(note, receipt.model_dump_json())


def cost_of(ledger: Ledger) -> Row:
    """Calls, tokens, seconds and US dollars (None: not known) of all that the ledger holds."""
    return ledger.totals().row() | {"found_again": ledger.hits}


_AGREEMENT = {
    "overall": "labels",
    "unanimous": "  people's word 0 or 1",
    "confident_half": "  on the confident half",
    "one_order": "one order only",
    "same_position": "same position preferred",
    "always_longer": "always the longer",
    "always_first": "always the first",
}


def label_lines(summary: Row, max_chars: int) -> list[str]:
    """What a person reads after labelling; longer texts than `max_chars` were cut."""
    lines = [
        f"{number(summary['labelled'], 'label')} in {summary['out']}",
        *silence(summary["abstentions"]),
        *cut_texts(summary["truncated"], summary["labelled"], max_chars),
    ]
    found = summary.get("agreement")
    if found:
        lines.append("agreement with the known preference (95 % interval):")
        for name, words in _AGREEMENT.items():
            figure = found.get(name)
            # Where people's word is 0 or 1 of every row, it is the line above once more.
            again = name == "unanimous" and figure == found.get("overall")
            if figure and figure["value"] is not None and not again:
                lines.append(f"  {words:24} {shown(figure)}")
    return lines


def shown(figure: Row) -> str:
    """A figure as text, with its interval where there is one."""
    if figure["value"] is None:
        return "unknown"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (n {figure['n']})"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, n {figure['n']})"


def cut_texts(cut: int, count: int, max_chars: int) -> list[str]:
    """A line where texts were longer than a judge is shown."""
    if not cut:
        return []
    return [f"  {cut} of {count} pairs were cut to {max_chars:,} characters (--max-chars)"]


def silence(counts: dict[str, int]) -> list[str]:
    """A line for each reason for which there is no verdict."""
    return [f"  {count} without a verdict: {reason}" for reason, count in counts.items()]


def not_too_silent(
    asked: int, silent: int, allowed: float, where: Path | str, what: str = "rows have no verdict"
) -> None:
    """Raises TooManyAbstentions, which says where to see why."""
    if asked and silent / asked > allowed:
        raise TooManyAbstentions(
            f"{silent} of {asked} {what}, more than the {allowed:.0%} allowed: see {where}"
        )
