"""What is a column called? `Response A`, `response1` and `response_a` all hold a response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

STEMS = ("response", "output", "answer", "completion", "human_ref")
_ENDS = ("abcd", "0123", "1234")
_SIDE = re.compile(rf"({'|'.join(STEMS)})_?([a-d]|\d)")
_MAY_BE_EMPTY = {f"{stem}_{end}" for stem in STEMS for ends in _ENDS for end in ends}
_MAY_BE_EMPTY |= {*STEMS, "a", "b", "chosen", "rejected"}


@lru_cache(maxsize=1024)
def plain(name: str) -> str:
    """`Response A`, `response-a`, `responseA` and `response_a` are one name."""
    words = re.sub(r"[\s_-]+", "_", name.strip().lower())
    side = _SIDE.fullmatch(words)
    return f"{side[1]}_{side[2]}" if side else words


def named(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row by plain names, without what is null, as tables are read without their empty cells.

    Where two columns have one name, that which was plain already counts.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if all(plain(name) == name for name in given):
        return given
    found = {plain(name): value for name, value in given.items()}
    return {**found, **{k: v for k, v in given.items() if plain(k) == k}}


def may_be_empty(column: str) -> bool:
    """Whether an empty cell of a table is an empty response, not a missing one."""
    return plain(column) in _MAY_BE_EMPTY


def answered(values: Mapping[str, Any]) -> bool:
    """Whether a row has responses in columns of their own."""
    return "responses" in values or any(map(may_be_empty, values))


def sides_of(values: Mapping[str, Any]) -> list[str]:
    """The columns of a row's responses in order: two or more, or none where there are no two."""
    for stem in ("", *(f"{stem}_" for stem in STEMS)):
        for ends in _ENDS if stem else _ENDS[:1]:
            first, second, *more = (f"{stem}{end}" for end in ends)
            if first in values and second in values:
                return [first, second, *(n for n in more if values.get(n) is not None)]
    return []


def from_0(values: Mapping[str, Any]) -> bool:
    """Whether the sides are counted from 0: `response_0` is the first, `response_1` the second."""
    return any(name.endswith("_0") for name in sides_of(values)[:1])
