"""What rows are in a .jsonl, .jsonl.gz, .json, .csv or .parquet file, hub data set or stdin?"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif.errors import DataError, UsageError

csv.field_size_limit(1 << 30)
_MAY_BE_EMPTY = frozenset(
    f"{name}{end}"
    for name in ("response", "output", "completion", "answer")
    for end in ("", "_a", "_b", "_1", "_2")
) | {"a", "b", "chosen", "rejected"}


class SourceRow(NamedTuple):
    """A row, and where it stands: `pairs.jsonl, line 12`."""

    where: str
    values: dict[str, Any]


def read_rows(source: str | os.PathLike[str], *, limit: int | None = None) -> list[SourceRow]:
    """All rows, or the first `limit`. Raises DataError naming file, row and the next move."""
    name = os.fspath(source)
    rows: list[SourceRow] = []
    if limit != 0:
        for row in _rows_of(name):
            rows.append(row)
            if limit is not None and len(rows) >= limit:
                break
    if not rows and limit != 0:
        raise DataError(f"{_shown(name)} is empty: it should hold one row a line")
    return rows


def _shown(name: str) -> str:
    return "standard input" if name == "-" else name


def _rows_of(name: str) -> Iterator[SourceRow]:
    path = Path(name)
    kinds = [s.lower() for s in path.suffixes]
    if name == "-":
        yield from _json_lines(sys.stdin.buffer, "standard input")
    elif not path.exists():
        yield from _hub_rows(name)
    elif path.is_dir():
        raise DataError(f"{name} is a folder: name one of its files")
    elif kinds[-1:] == [".parquet"]:
        yield from _parquet_rows(path)
    else:
        try:
            with gzip.open(path) if kinds[-1:] == [".gz"] else path.open("rb") as stream:
                yield from _parser(kinds)(stream, name)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{name}: not a whole gzip file ({error}): fetch it again") from None
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror}): check it") from None


def _parser(kinds: list[str]) -> Callable[[Any, str], Iterator[SourceRow]]:
    last = [kind for kind in kinds if kind != ".gz"][-1:]
    if last == [".csv"]:
        return _csv_rows
    return _json_array if last == [".json"] else _json_lines


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: not UTF-8 (byte {error.start}): save the file as UTF-8, "
            "for example with `iconv -f latin1 -t utf-8`"
        ) from None


def _json_lines(stream: Any, name: str) -> Iterator[SourceRow]:
    for number, raw in enumerate(stream, start=1):
        where = f"{name}, line {number}"
        line = _text(raw, where).strip()
        if line:
            yield SourceRow(where, _json_object(line, where, torn=not raw.endswith(b"\n")))


def _json_object(line: str, where: str, *, torn: bool = False) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = "the line is cut off" if torn else f"not JSON ({error})"
        raise DataError(f"{where}: {why}: mend or delete that line") from None
    return _object(value, where)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise DataError(f"{where}: a {kind}, not an object with named fields: mend or delete it")
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: half a character (a lone surrogate such as \\ud83d): mend or delete it"
        ) from None
    return value


def _json_array(stream: Any, name: str) -> Iterator[SourceRow]:
    try:
        values = json.loads(_text(stream.read(), name))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name}: not JSON ({error}): mend it, or save one row a line as .jsonl"
        ) from None
    if not isinstance(values, list):
        raise DataError(f"{name}: not a list of rows: save one row a line as .jsonl")
    for number, value in enumerate(values, start=1):
        where = f"{name}, row {number}"
        yield SourceRow(where, _object(value, where))


def _csv_rows(stream: Any, name: str) -> Iterator[SourceRow]:
    text = io.StringIO(_text(stream.read(), name), newline="")
    reader = csv.DictReader(text)
    try:
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            if None in row or None in row.values():
                many = "more" if None in row else "fewer"
                raise DataError(
                    f"{where}: {many} cells than the header has columns: quote texts that hold "
                    "commas or line breaks, or delete that line"
                )
            cells = {k: _cell(k, v) for k, v in row.items() if v or k in _MAY_BE_EMPTY}
            yield SourceRow(where, cells)
    except csv.Error as error:
        where = f"{name}, line {reader.line_num}"
        raise DataError(f"{where}: not CSV ({error}): mend or delete that line") from None


def _cell(column: str, text: str) -> Any:
    """Lists, and turns of a conversation, in a CSV cell are JSON; all else stays text."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if column in ("responses", "choices"):
        return value
    # An answer such as "[1, 2, 3]" is text; only a list of turns is meant as one.
    turns = isinstance(value, list) and all(isinstance(v, dict) and "role" in v for v in value)
    return value if value and turns else text


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs `pip install 'hrlaif[hub]'`") from None
    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield SourceRow(
                    f"{path}, row {number}", {k: v for k, v in row.items() if v is not None}
                )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}): fetch it again") from None


def _hub_rows(name: str) -> Iterator[SourceRow]:
    """`owner/name` or `owner/name:split` of the Hugging Face hub."""
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)(?::([\w\[\]:%]+))?", name)
    if Path(name).suffix or not found:
        raise DataError(f"{name}: no such file: check its name")
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{name}: no such file; if it is a hub data set, `pip install 'hrlaif[hub]'`"
        ) from None
    try:
        rows = datasets.load_dataset(found[1], split=found[2] or "train", streaming=True)
        for number, row in enumerate(rows, start=1):
            yield SourceRow(
                f"{name}, row {number}", {k: v for k, v in row.items() if v is not None}
            )
    except Exception as error:  # the library raises its own and its transports' errors
        raise DataError(f"{name}: no such file, and not to be had from the hub ({error})") from None


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows whole or not at all (a temporary sibling, then a rename); returns how many.

    A name that ends in .gz is compressed, equal rows to equal bytes.
    """
    temporary = path.with_name(path.name + ".tmp")
    count = 0
    with temporary.open("wb") as file:
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if path.suffix == ".gz" else None
        for row in rows:
            (packed or file).write(line_of(row).encode("utf-8"))
            count += 1
        if packed:
            packed.close()
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return count


def line_of(row: Mapping[str, Any]) -> str:
    """One row as one line. Lone surrogates are escaped, so that every string can be written."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=True, allow_nan=False)
    return text + "\n"
