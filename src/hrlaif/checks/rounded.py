"""Is one number given twice, exactly and rounded? "1/6 ≈ 0.167", "1/6 (about 16.7%)"."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

from hrlaif.checks.numbers import Found

_NEARLY = re.compile(
    r"[\s$)\]}]*(?:\\?%|(?!or\b)[A-Za-z]{1,12}\.?)?[\s$]*"
    r"(?:[,(]*\s*(?:(?:or|which\s+is|that\s+is|i\.e\.,?)\s+)?(?:about|approximately|approx\.|roughly"
    r"|around|nearly|almost|≈|≃|(?<=\()~|\\approx|大?约(?:为|是|等于)?)|(?P<bare>\(|=))[\s$€£¥]*",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"(\d[\d,]*)(?:\.(\d+))?$|()\.(\d+)$")
_PERCENT = re.compile(r"\s*\\?%")


Twin = Literal["", "coarse", "fine"]


def twins(text: str, one: Found, other: Found) -> Twin:
    """Whether a prepared text gives the second of two neighbouring numbers as nearly the first.

    That is so where it says so, or a fraction's decimals follow in brackets or after "=", and the
    digits agree: "7.4 ≈ 9" and "2.5 (1 in May)" are two numbers. Coarse is what has no decimals.
    """
    nearly = _NEARLY.fullmatch(text, one.end, other.start)
    decimal = _DECIMAL.search(text[other.start : other.end])
    if nearly is None or decimal is None:
        return ""
    whole, places = decimal[1] or "0", decimal[2] or decimal[4] or ""
    percent = _PERCENT.match(text, other.end) is not None
    fine = len(places) > 1 or (percent and len(whole + places) > 1)
    written = Fraction(f"{whole.replace(',', '')}.{places or 0}")
    if not written or (nearly["bare"] and ("/" not in text[one.start : one.end] or not fine)):
        return ""
    zeros = 0 if places else len(whole) - len(whole.rstrip("0"))
    # Of "16.7%" read as hundredths, the last digit is a thousandth.
    unit = Fraction(10) ** (zeros - len(places)) * abs(other.value) / written
    exact = [one.value, one.value * 100] if percent else [one.value]
    if not any(_nearly(value, other.value, unit) for value in exact):
        return ""
    return "fine" if fine else "coarse"


def _nearly(exact: Fraction, decimal: Fraction, unit: Fraction) -> bool:
    """Whether a decimal is a number rounded or cut to a unit of its last digit."""
    cut = abs(exact) - abs(decimal)
    return exact * decimal > 0 and (abs(cut) <= unit / 2 or 0 <= cut < unit)
