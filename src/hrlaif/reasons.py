"""Why are there no verdicts? Counted by reason; those that differ by what they quote are one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_TEXT = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_QUOTED = re.compile(
    rf"(?<=mass )[\d.e-]+|\d+(?= tokens)|(?<=: ){_TEXT}|(?<=the reference ){_TEXT}"
)

MISSING = "the response is missing: its model gave none"


def counted(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason was given, the most common first; empty ones are none.

    Reasons that differ in a mass, a number of tokens or a quoted text alone are counted together,
    under the range of the numbers and the first of the texts.
    """
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for reason in filter(None, reasons):
        fixed = tuple(_QUOTED.split(reason))
        groups.setdefault(fixed, []).append(_QUOTED.findall(reason))
    counts: dict[str, int] = {}
    for fixed, told in sorted(groups.items(), key=lambda group: -len(group[1])):
        values = [_spelled(column) for column in zip(*told, strict=True)]
        counts["".join(map("".join, zip(fixed, [*values, ""], strict=True)))] = len(told)
    return counts


def _spelled(values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return distinct[0]
    if distinct[0][0] in "'\"":
        return f"{distinct[0]} and others, {len(distinct)} in all"
    return f"{min(distinct, key=float)} to {max(distinct, key=float)}"
