"""What rows are in a .jsonl, .json, .csv, .tsv or .parquet file, a hub data set or stdin?"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.machine import install
from hrlaif.rows.tables import csv_rows, parquet_of, parquet_rows, write_parquet

_GZIP = b"\x1f\x8b"
_DATA = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".txt", ".xlsx", ".zip", ".yaml")


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
    if name != "-" and not path.exists():
        yield from _hub_rows(name)
    elif path.is_dir():
        raise DataError(f"{name} is a folder: name one of its files")
    elif kinds[-1:] == [".parquet"]:
        yield from (SourceRow(*row) for row in parquet_rows(path))
    else:
        shown = _shown(name)
        try:
            with _opened(name) as stream:
                yield from _parser(kinds)(stream, shown)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{shown}: not a whole gzip file ({error}): fetch it again") from None
        except OSError as error:
            raise DataError(f"{shown} cannot be read ({error.strerror}): check it") from None


@contextmanager
def _opened(name: str) -> Iterator[Any]:
    """The lines of a file or of standard input, unpacked where they are packed."""
    if name == "-":
        # A pipe cannot go back, and is not read ahead: whoever asks for ten rows waits for ten.
        first = sys.stdin.buffer.readline()
        if first.startswith(_GZIP):
            with gzip.open(io.BytesIO(first + sys.stdin.buffer.read())) as stream:
                yield stream
        else:
            yield chain([first], sys.stdin.buffer)
    else:
        with gzip.open(name) if name.lower().endswith(".gz") else open(name, "rb") as stream:
            yield stream


def _parser(kinds: list[str]) -> Callable[[Any, str], Iterator[SourceRow]]:
    last = "".join([kind for kind in kinds if kind != ".gz"][-1:])
    if last in (".csv", ".tsv"):
        between = "\t" if last == ".tsv" else ""
        return lambda stream, name: (
            SourceRow(*row) for row in csv_rows(_text(stream.read(), name), name, between=between)
        )
    return _json_array if last == ".json" else _json_lines


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin1"
        raise DataError(
            f"{where}: not UTF-8 (byte {error.start}): save the file as UTF-8, "
            f"for example with `iconv -f {found} -t utf-8`"
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


def _hub_rows(name: str) -> Iterator[SourceRow]:
    """`owner/name` or `owner/name:split` of the Hugging Face hub."""
    found = re.fullmatch(r"(\w[\w.-]*/[\w.-]+)(?::([\w\[\]:%]+))?", name)
    if not found or found[1].lower().endswith(_DATA):
        raise DataError(f"{name}: no such file: check its name")
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{name}: no such file; if it is a hub data set, `{install('hub')}`"
        ) from None
    try:
        rows = datasets.load_dataset(found[1], split=found[2] or "train", streaming=True)
        for number, row in enumerate(rows, start=1):
            yield SourceRow(
                f"{name}, row {number}", {k: v for k, v in row.items() if v is not None}
            )
    except Exception as error:  # the library raises its own and its transports' errors
        raise DataError(f"{name}: no such file, and not to be had from the hub ({error})") from None


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """A file that is written whole or not at all: a temporary sibling, then a rename.

    Its folder is made; a name that ends in .gz is compressed, equal bytes to equal bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    yield packed
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):  # a name that nobody gave
            error.filename = str(path)
        raise


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows whole or not at all, lines or by its name Parquet; returns how many."""
    if path.suffix == ".parquet":
        parquet_of(path)  # where it is not installed, no temporary file is left behind
        with whole(path) as file:
            return write_parquet(file, path, rows)
    count = 0
    with whole(path) as file:
        for row in rows:
            file.write(line_of(row).encode("utf-8"))
            count += 1
    return count


def line_of(row: Mapping[str, Any]) -> str:
    """One row as one line. Lone surrogates are escaped, so that every string can be written."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=True, allow_nan=False)
    return text + "\n"
