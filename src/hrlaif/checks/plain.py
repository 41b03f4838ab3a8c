"""Is a number all that is said there? "3\\sqrt2", "2x", "less than 5" and "4 or 5" say more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from hrlaif.checks.clauses import UNCLEAR, qualifies
from hrlaif.checks.numbers import Found, Percent, found, prepared
from hrlaif.checks.rounded import Twin, twins

NO_PLAIN_NUMBER = "the answer is not a plain number"
SEVERAL = "more than one answer"
# Every command but those that say nothing of the value.
SYMBOLIC = re.compile(
    r"\\(?!(?:text[a-z]*|math(?:bf|rm|it)|mbox|f?box(?:ed)?|underline|color|left|right|q?quad|circ"
    r"|degree|times|cdot|div|approx|displaystyle|therefore|because|[Rr]ightarrow|implies|to)(?![A-Za-z]))"
    r"[A-Za-z]+|[π√±∞]"
)
_TIMES = r"(?:[*×÷]|\\times|\\cdot|\\div)"
_ONE_LETTER_UNIT = "(?-i:[mgshlLkKpcCFVANJW])"
_GOES_ON = re.compile(
    r"[\s)\]}]*\^|-\^|_\{?\d"  # (-2)^2, 101_2
    r"|:(?!00(?!\d))\d|\d|\s+\d|\.\."  # 3:4, 3万5, 2 million 500, 0.33...
    rf"|(?!{_ONE_LETTER_UNIT})[A-Za-z](?![A-Za-z])|\s(?-i:[xyzn])(?![\w'])"  # 2x, but 5 m
    r"|\s*\*?\s*(?:pi|sqrt|log|ln|sin|cos|tan)(?![A-Za-z])|\((?:\d|-|[a-z](?![a-z]))"
    rf"|(?:\s*+[A-Za-z%]++){{0,3}}+[\s$)\]}}]*+(?:\+\s*[\w\\($]|{_TIMES}\s*[($]*(?:\d|\\|[xyzn]\b)"
    r"|/\s*[($]*(?:\d|[xyzn]\b)|-\s?[xyzn]\b)",
    re.IGNORECASE,
)
_GOES_ON_IN_FULL = re.compile(rf"\s*!|\s+(?!{_ONE_LETTER_UNIT})[A-Za-z](?![A-Za-z'])")
_LED_BY = re.compile(
    r"(?:\b(?:less|more|greater|fewer)\s+than|[大小多少高低]于|超过|不到|不足"
    r"|(?<![\w</])[a-z]\s*[<>])\s*[-$€£¥]*$"
    r"|(?:sqrt|log|ln|sin|cos|tan)[_\d]*\s*\(?\s*-?$"
    rf"|(?:\d|[)\]}}]|(?<![A-Za-z])[A-Za-z])\s*(?:[/^]|{_TIMES})\s*[($€£¥]*-?$|\d\s*x\s*[$€£¥]*$"
    r"|(?:^|=|\b(?:is|of))\s*\d{1,9}:$|[万亿]$"
    r"|\d[)\]}\s]*[+-]\s*[$€£¥]*$"
    r"|(?:[)\]}]|(?<![A-Za-z])[a-z])(?:[+-]\s*|\s+[+-]\s+)[$€£¥]*$",
    re.IGNORECASE,
)
_BOUND_IN_FULL = re.compile(r"[<>≤≥]=?\s*[-$€£¥]*$")
_SIGNS = re.compile(r"[-+$€£¥\s]*")
_UNIT = r"(?:\s*[^\W\d]{1,12}\.?){0,2}"
_NAME = r"(?P<name>[A-Za-z]\s*=\s*)?"
_OR = re.compile(
    rf"{_UNIT}\s*[,;]?\s*(?:\bor\b|\bto\b|或者?|还是|到|至|~|-|,?也?可能是?)"
    r"(?:\s*(?:maybe|perhaps|possibly|even|about|around|also|可能|是)){0,2}"
    rf"\s*[$€£¥(]*\s*{_NAME}",
    re.IGNORECASE,
)
_AND = re.compile(
    rf"{_UNIT}\s*(?:[,;、]|,?\s*\b(?:and|as well as)\b|[和与及])\s*[$€£¥]?\s*{_NAME}", re.IGNORECASE
)
_LIST_END = re.compile(rf"{_UNIT}\s*(?:$|[,;.!?)\]}}、。]|\\|\b(?:and|or)\b|[或和])", re.IGNORECASE)
_NAMED = re.compile(r"(?<![\w)])[A-Za-z]\s*=\s*$")
_MEASURES = (
    r"hours?|hrs?|h|minutes?|mins?|seconds?|secs?|s|days?|weeks?|months?|years?"
    r"|小时|分钟?|秒|天|周|个?月|年",
    r"miles?|yards?|feet|foot|ft|inch(?:es)?|in|km|cm|mm|m|千?米|厘米",
    r"dollars?|cents?|euros?|pounds?|pence|元|角|分",
    r"pounds?|lbs?|ounces?|oz|kg|g|lit(?:er|re)s?|ml|千克|克|公?斤|两",
)
_COMPOUND = [
    re.compile(
        rf"\s*-?({measure})\.?\s*,?\s*(?:and\b|又)?\s*\d[\d.,/]*\s*-?(?!\1)(?:{measure})(?![A-Za-z])",
        re.IGNORECASE,
    )
    for measure in _MEASURES
]


class Read(NamedTuple):
    """The one number that a text says, or None and why; and `nearly`, as the text rounds it."""

    value: Fraction | None
    reason: str = ""
    nearly: Fraction | None = None
    twin: Twin = ""


def read(
    text: str, before: str = "", percent: Percent = "unit", *, first: bool, full: bool = False
) -> Read:
    """The first or the last number of a text that follows on another, if that is all it says.

    A text in `full` is nothing but the answer, as in a box: "5!" is a factorial there.
    """
    head = prepared(before)
    whole = head + prepared(text)
    if SYMBOLIC.search(whole, len(head)):
        return Read(None, NO_PLAIN_NUMBER)
    numbers = list(found(whole, percent))
    here = [n for n, number in enumerate(numbers) if number.end > len(head)]
    if not here:
        return Read(None, NO_PLAIN_NUMBER if full else "no number in the response")
    n = here[0] if first else here[-1]
    pairs = pairwise(numbers[max(0, n - 1) : n + 2])
    if any(_hedged(whole, *pair) for pair in pairs):
        return Read(None, SEVERAL)
    if _says_more(whole, numbers[n], full=full):
        return Read(None, NO_PLAIN_NUMBER)
    nearly, twin = _nearly(whole, numbers, n, full=full)
    begin = n - 1 if twin and not first else n
    if not first and begin and _is_a_detail(whole, *numbers[begin - 1 : begin + 1]):
        return Read(None, UNCLEAR)
    return Read(numbers[n].value, nearly=nearly, twin=twin)


def _nearly(
    text: str, numbers: Sequence[Found], n: int, *, full: bool
) -> tuple[Fraction | None, Twin]:
    """What stands beside number `n` as the same number, rounded or not: "1/6, about 0.167"."""
    for one, other in pairwise(range(max(0, n - 1), min(n + 2, len(numbers)))):
        beside = numbers[one if other == n else other]
        twin = twins(text, numbers[one], numbers[other])
        if twin and not _says_more(text, beside, full=full):
            return beside.value, twin
    return None, ""


def _is_a_detail(text: str, one: Found, other: Found) -> bool:
    between, rest = text[one.end : other.start], text[other.start : other.end + 40]
    return one.value != other.value and qualifies(between, rest)


def _says_more(text: str, number: Found, *, full: bool) -> bool:
    """Whether a number is part of an expression, or a bound."""
    signs = _SIGNS.match(text, number.start)
    digits = signs.end() if signs else number.start
    lead = text[max(0, number.start - 40) : digits]
    after = text[number.end : number.end + 80]
    return bool(
        _LED_BY.search(lead)
        or _GOES_ON.match(after)
        or (full and (_GOES_ON_IN_FULL.match(after) or _BOUND_IN_FULL.search(lead)))
    )


def _hedged(text: str, one: Found, other: Found) -> bool:
    """Whether two numbers are several answers: "4 or 5", "4-5", "3 and 4", "2 feet 5 inches"."""
    between, after = text[one.end : other.start], text[other.end :]
    if any(compound.match(text, one.end) for compound in _COMPOUND):
        return True
    if one.value == other.value or twins(text, one, other):
        return False
    if _OR.fullmatch(between):
        return True
    also = _AND.fullmatch(between)
    if also and also["name"]:
        return _NAMED.search(text[max(0, one.start - 9) : one.start]) is not None
    return also is not None and _LIST_END.match(after) is not None
