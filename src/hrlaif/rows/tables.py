"""What rows are in a table? CSV with commas, semicolons or tabs, and Parquet in and out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from hrlaif.errors import DataError, UsageError
from hrlaif.machine import install
from hrlaif.rows.names import may_be_empty, plain

csv.field_size_limit(1 << 30)
_BETWEEN = {",": "commas", ";": "semicolons", "\t": "tabs"}
Placed = tuple[str, dict[str, Any]]
"""Where a row stands, and its cells by column."""


def csv_rows(text: str, name: str, *, between: str = "") -> Iterator[Placed]:
    """Rows of a table whose first line is the header; it shows what stands between cells.

    Raises DataError, naming the line where the row begins, for a row that is no CSV.
    """
    stream = io.StringIO(text, newline="")
    between = between or _between(stream)
    # Not strict, a quotation mark that nothing closes would take the rest of the file for a cell.
    reader = csv.reader(stream, delimiter=between, strict=True)
    names: list[str] = []
    began = 1
    try:
        for cells in reader:
            where, began = f"{name}, line {began}", reader.line_num + 1
            if names and cells:
                if len(cells) != len(names):
                    many = "more" if len(cells) > len(names) else "fewer"
                    raise DataError(
                        f"{where}: {many} cells than the header has columns: quote texts that hold "
                        f"{_BETWEEN[between]} or line breaks, or delete that line"
                    )
                row = zip(names, cells, strict=True)
                yield where, {k: _cell(k, v) for k, v in row if v or may_be_empty(k)}
            names = names or cells
    except csv.Error as error:
        raise DataError(
            f"{name}, line {began}: not CSV ({error}): a text that begins with a quotation mark "
            'ends with one and has those inside it twice, as """Yes"" is right"; write it so, or '
            "give the rows as .jsonl"
        ) from None


def _between(stream: IO[str]) -> str:
    """What cuts the header: commas, or, as spreadsheets of many countries write, semicolons."""

    def columns(delimiter: str) -> int:
        stream.seek(0)
        try:
            return len(next(csv.reader(stream, delimiter=delimiter), []))
        except csv.Error:
            return 0

    best = "," if columns(",") > 1 else max(_BETWEEN, key=columns)
    stream.seek(0)
    return best


def _cell(column: str, text: str) -> Any:
    """Lists, and turns of a conversation, in a cell are JSON; all else stays text."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if plain(column) in ("responses", "choices"):
        return value
    # An answer such as "[1, 2, 3]" is text; only a list of turns is meant as one.
    turns = isinstance(value, list) and all(isinstance(v, dict) and "role" in v for v in value)
    return value if value and turns else text


def parquet_of(path: Path) -> Any:
    """The library that reads and writes Parquet. Raises UsageError where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs `{install('hub')}`") from None
    return parquet


def parquet_rows(path: Path) -> Iterator[Placed]:
    """Rows of a Parquet file, without the cells that hold nothing."""
    parquet = parquet_of(path)
    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", {k: v for k, v in row.items() if v is not None}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}): fetch it again") from None


def write_parquet(file: Any, path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows into an open file as one table, null where a row lacks a column; how many."""
    parquet = parquet_of(path)
    import pyarrow

    kept = list(rows)
    names = dict.fromkeys(name for row in kept for name in row)
    table = pyarrow.table({name: [row.get(name) for row in kept] for name in names})
    parquet.write_table(table, file)
    return len(kept)
