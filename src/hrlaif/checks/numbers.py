"""Which numbers stand in a text? Exactly: signs, thousands, decimals, fractions, scales."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from hrlaif.checks.text import normal

Percent = Literal["unit", "hundredths"]

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.^])(?P<sign>[-+])?\s?(?P<money>[$€£¥])?\s?(?P<inner>-(?=[\d.]))?"
    r"(?:(?P<whole>\d+)\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|(?P<a>\d+)\s*/\s*(?P<b>\d+)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?"
    r"|\d{1,3}(?: \d{3})+(?:\.\d+)?(?![\d/]|[.,]\d)"
    r"|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?))"
    r"(?!\d|/\s*\d)"
)
_SCALE = re.compile(
    r"\s*(?:(?P<word>hundred|thousand|million|billion|trillion)\b|(?P<k>k)(?![A-Za-z0-9])"
    r"|(?P<han>万亿|[百千]?[万亿]|千(?![米克瓦卡焦赫伏帕字])|百(?!分)))",
    re.IGNORECASE,
)
# Only after a currency sign, and not where a dollar closes a formula: "$2.5M", but not "$3M$".
_MONEY_SCALE = re.compile(r"(?:\s?[MB]|m|mn|bn)(?![\w^\\]|[\s.,]*\$)")
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 1000, "百": 100, "千": 1000, "万": 10**4, "百万": 10**6, "千万": 10**7,
    "亿": 10**8, "百亿": 10**10, "千亿": 10**11, "万亿": 10**12,
    "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9,
}  # fmt: skip
_PERCENT = re.compile(r"\s*(?:\\?%|percent\b|per cent\b)", re.IGNORECASE)
_FRAC = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))")
_SCIENTIFIC = re.compile(r"(?<=\d)\s*(?:x|\*|×|·|\\times|\\cdot)\s*10\s*\^\s*([-+]?\d{1,3})(?!\d)")
_POWER = re.compile(r"(?<![\w.])(\d{1,4})\s*(?:\^|\*\*)\s*(-?\d{1,3})(?!\d|\s*[/^]|\.\d)")
_BRACED = re.compile(r"\^\s*\{\s*([-+]?\d{1,3})\s*\}")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ\b)")
_WORDS = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|rm|it)|mbox)\s*\{([^{}]{0,200})\}")
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
    text = _BRACED.sub(r"^\1", _DEGREES.sub("°", _WORDS.sub(r" \1 ", text)))
    text = _FRAC.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", text)
    text = _POWER.sub(_power, _SCIENTIFIC.sub(r"e\1", text))
    text = _MIXED.sub(" ", _OF_HUNDRED.sub(r"\1%", text))
    return _MINUS.sub("-", text)


def found(text: str, percent: Percent = "unit") -> Iterator[Found]:
    """The numbers of a prepared text, from left to right: "3万5千" is one, and "12 thousand"."""
    last, scale = None, ""
    for number, scale_of_number in _parts(text, percent):
        if last and _adds(text[last.end : number.start], scale, number, scale_of_number):
            rest = -number.value if last.value < 0 else number.value
            last = Found(last.value + rest, last.start, number.end)
        else:
            if last:
                yield last
            last = number
        scale = scale_of_number
    if last:
        yield last


def numbers_in(text: str, percent: Percent = "unit") -> list[Fraction]:
    """The values of all numbers of a text as it was written."""
    return [number.value for number in found(prepared(text), percent)]


def _parts(text: str, percent: Percent) -> Iterator[tuple[Found, str]]:
    """Each number with its own scale: of "3万5千", 3万 and 5千."""
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
        end, word = m.end(), ""
        if scale := _SCALE.match(text, end) or (m["money"] and _MONEY_SCALE.match(text, end)):
            word, end = scale[0].strip().lower(), scale.end()
            value *= _SCALES[word]
        if percent == "hundredths" and _PERCENT.match(text, end):
            value /= 100
        # In "5 - 3" the sign is an operation; in "-3" or "= -3" it belongs to the number.
        before = text[max(0, m.start() - 9) : m.start()].rstrip()
        negative = (m["sign"] == "-" and not before[-1:].isdigit()) or bool(m["inner"])
        yield Found(-value if negative else value, m.start(), end), word


def _adds(between: str, scale: str, number: Found, scale_of_number: str) -> bool:
    """Whether a number goes on the one before: 3万5千, 2万3000, 2 million 500 thousand.

    Not "3万5": it is 35,000 to most who say it.
    """
    if not scale or not 0 < number.value < _SCALES[scale]:
        return False
    if scale.isascii():
        return between.isspace() and scale_of_number.isalpha()
    return not between and (bool(scale_of_number) or number.value >= 10)


def _power(match: re.Match[str]) -> str:
    """10^3 in digits, and 10^-3 as 1/1000; what is too long stays a power."""
    base, exponent = int(match[1]), int(match[2])
    digits = str(base ** abs(exponent))
    if len(digits) > _MOST_DIGITS // 2 or (exponent < 0 and not base):
        return match[0]
    return f"1/{digits}" if exponent < 0 else digits
