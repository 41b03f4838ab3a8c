"""Which numbers stand in a text? Exactly: signs, thousands, decimals, fractions, scales."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from hrlaif.checks.text import normal

Percent = Literal["unit", "hundredths"]

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.^])(?P<sign>[-+])?\s?[$€£¥]?\s?(?P<inner>-(?=[\d.]))?"
    r"(?:(?P<whole>\d+)\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|(?P<a>\d+)\s*/\s*(?P<b>\d+)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?|\d{1,3}(?: \d{3})+(?![\d/]|[.,]\d)"
    r"|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?))"
    r"(?!\d|/\s*\d)"
)
_SCALE = re.compile(
    r"\s*(?:(?P<word>hundred|thousand|million|billion|trillion)\b|(?P<k>k)(?![A-Za-z0-9])"
    r"|(?P<han>万亿|万|亿|千(?![米克瓦卡焦赫伏帕字])))",
    re.IGNORECASE,
)
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 1000, "千": 1000, "万": 10**4, "亿": 10**8, "万亿": 10**12,
}  # fmt: skip
_PERCENT = re.compile(r"\s*(?:\\?%|percent\b|per cent\b)", re.IGNORECASE)
_FRAC = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))")
_SCIENTIFIC = re.compile(
    r"(?<=\d)\s*(?:x|\*|×|·|\\times|\\cdot)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})(?!\d)\s*\}?"
)
_POWER = re.compile(r"(?<![\w.])(\d{1,4})\s*(?:\^|\*\*)\s*\{?\s*(\d{1,2})(?!\d)\s*\}?")
_MINUS = re.compile(r"(?:\b(?:minus|negative)\s+|零下|负)(?=[$€£¥]?\d)", re.IGNORECASE)
_MIXED = re.compile(r"(?<=\d)\s*又\s*(?=\d+\s*/)")
_OF_HUNDRED = re.compile(r"百分之\s*(\d+(?:\.\d+)?)")
_MOST_DIGITS = 400


class Found(NamedTuple):
    """A number of a text, and where its digits and scale stand."""

    value: Fraction
    start: int
    end: int


def prepared(text: str) -> str:
    """LaTeX fractions, powers, scientific notation and minus words in forms that `found` reads."""
    text = normal(text).replace("\\!", "").replace("{,}", ",").replace("\\,", "")
    text = _FRAC.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", text)
    text = _SCIENTIFIC.sub(r"e\1", text)
    text = _POWER.sub(lambda m: str(int(m[1]) ** int(m[2])), text)
    text = _MIXED.sub(" ", _OF_HUNDRED.sub(r"\1%", text))
    return _MINUS.sub("-", text)


def found(text: str, percent: Percent = "unit") -> Iterator[Found]:
    """The numbers of a prepared text, from left to right."""
    for m in _NUMBER.finditer(text):
        if len(m[0]) > _MOST_DIGITS:
            continue
        try:
            if m["plain"]:
                value = Fraction(m["plain"].replace(",", "").replace(" ", ""))
            elif m["a"]:
                value = Fraction(int(m["a"]), int(m["b"]))
            else:
                value = int(m["whole"]) + Fraction(int(m["top"]), int(m["bottom"]))
        except ZeroDivisionError:
            continue
        end = m.end()
        if scale := _SCALE.match(text, end):
            value, end = value * _SCALES[scale[0].strip().lower()], scale.end()
        if percent == "hundredths" and _PERCENT.match(text, end):
            value /= 100
        # In "5 - 3" the sign is an operation; in "-3" or "= -3" it belongs to the number.
        before = text[max(0, m.start() - 9) : m.start()].rstrip()
        negative = (m["sign"] == "-" and not before[-1:].isdigit()) or bool(m["inner"])
        yield Found(-value if negative else value, m.start(), end)


def numbers_in(text: str, percent: Percent = "unit") -> list[Fraction]:
    """The values of all numbers of a text as it was written."""
    return [number.value for number in found(prepared(text), percent)]
