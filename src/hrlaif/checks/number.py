"""Is the final number of a response the right one?

A percent sign, a currency and a unit are no part of a number: "42%", "$42" and "42 km" are 42.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import final

from hrlaif.checks.text import normal
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings

_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.^])(?P<sign>[-+])?\s?[$€£¥]?\s?"
    r"(?:(?P<whole>\d+)\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|(?P<a>\d+)\s*/\s*(?P<b>\d+)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?))"
    r"(?!\d|/\s*\d)"
)
_FRAC = re.compile(r"\\[dt]?frac\s*(?:\{\s*(-?\d+)\s*\}|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))")
_SCIENTIFIC = re.compile(
    r"(?<=\d)\s*(?:x|\*|×|·|\\times|\\cdot)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})(?!\d)\s*\}?"
)
_POWER = re.compile(r"(?<![\w.])(\d{1,4})\s*(?:\^|\*\*)\s*\{?\s*(\d{1,2})(?!\d)\s*\}?")
_SYMBOLIC = re.compile(r"\\(?:pi|sqrt|log|ln|sin|cos|tan|begin|infty|pm)\b|[π√±∞]")
# The answer of these marks comes first; what follows in its sentence explains it.
_MARKED = (
    re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}"),
    re.compile(r"^\s*####\s*(.+)$", re.MULTILINE),
    # A look ahead, so that a later mark on the same line is found too.
    re.compile(r"\banswer\s*(?:is|:|=)+(?!\s*not\b)\s*(?=([^\n]{1,300}))", re.IGNORECASE),
    re.compile(r"(?:答案|结果)\s*(?:应该)?(?:是|为|:|=)+\s*(?=([^\n]{1,300}))"),
)
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[。；！？]")
_HEDGE = re.compile(
    r"(?<![\d,./])\d[\d,./]*(?:[^\n.\d]{0,12}\bor\b[^\n.\d]{0,12}|\s*(?:to|或者?|还是|到|~|-)\s*)(?=\d)"
    r"|\bbetween\b[^\n.\d]{0,12}\d[\d,./]*[^\n.\d]{0,12}\band\b[^\n.\d]{0,12}(?=\d)",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"\d\s*[+*/×÷]\s*\d|=")
_MOST_CHARACTERS = 1000
_MOST_DIGITS = 400


@final
class Number(Settings):
    """Reads the final number (last \\boxed, `####`, "the answer is", else the last number)."""

    tolerance: float = 1e-6
    """Relative; numbers nearer than this are equal."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked. Percent signs and units are ignored."""
        return [self._verdict(response) for response in responses]

    def _verdict(self, response: Response) -> Verdict:
        reference = response.prompt.reference_answer
        wanted = [] if reference is None else numbers_in(reference)
        passed, reason, answer = None, "", None
        if reference is None:
            reason = "no reference answer"
        elif len(wanted) != 1 or _SYMBOLIC.search(normal(reference)):
            reason = f"the reference {reference!r} is not one number"
        else:
            given, reason = final_number(response.text)
            if given is not None:
                near = Fraction(self.tolerance) * max(Fraction(1), abs(wanted[0]))
                passed = abs(given - wanted[0]) <= near
                reason, answer = "equal" if passed else "different", _shown(given)
        return Verdict(
            id=response.key,
            check="number",
            passed=passed,
            answer=answer,
            reason=reason,
            evidence={"reference": reference} if reference is not None else {},
        )


def final_number(text: str) -> tuple[Fraction | None, str]:
    """The number that a response settles on, or None and why there is none."""
    span, first = _final_span(normal(text))
    found = numbers_in(span)
    if not found:
        return None, "no number in the response"
    if len(set(found)) > 1 and _hedged(span, first):
        return None, "more than one answer"
    if _SYMBOLIC.search(span):
        return None, "the answer is not a plain number"
    return found[0 if first else -1], ""


def _final_span(text: str) -> tuple[str, bool]:
    """The part that states the answer, and whether its first number is it, or its last."""
    marks = [m for pattern in _MARKED for m in pattern.finditer(text)]
    marks.sort(key=lambda m: m.start(1), reverse=True)
    span = next((m[1] for m in marks if numbers_in(m[1])), "")
    marked = bool(span)
    if marked:
        sentence = _SENTENCE_END.split(span)[0]
        span = sentence if numbers_in(sentence) else span
    else:
        lines = (line[-_MOST_CHARACTERS:] for line in reversed(text.splitlines()))
        span = next((line for line in lines if numbers_in(line)), "")
    # An equation's result stands last: "3 x 4 = 12".
    head, equals, result = span.rpartition("=")
    words = len(re.findall(r"[A-Za-z]{2,}|[\u4e00-\u9fff]", head))
    if equals and numbers_in(result) and (not marked or words <= 2):
        return result, True
    return span, marked


def _hedged(span: str, first: bool) -> bool:
    """Whether the number that would be taken stands in "4 or 5", "4-5", "between 4 and 5"."""
    pairs = list(_HEDGE.finditer(span))
    if not pairs or _OPERATION.search(span):
        return False
    if first:
        return not numbers_in(span[: pairs[0].start()])
    return len(numbers_in(span[pairs[-1].end() :])) == 1


def numbers_in(text: str) -> list[Fraction]:
    """All numbers of a text, exactly: signs, thousands, decimals, fractions, mixed numbers."""
    text = normal(text).replace("\\!", "").replace("{,}", ",").replace("\\,", "")
    text = _FRAC.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", text)
    text = _SCIENTIFIC.sub(r"e\1", text)
    text = _POWER.sub(lambda m: str(int(m[1]) ** int(m[2])), text)
    found = []
    for m in _NUMBER.finditer(text):
        if len(m[0]) > _MOST_DIGITS:
            continue
        try:
            if m["plain"]:
                value = Fraction(m["plain"].replace(",", ""))
            elif m["a"]:
                value = Fraction(int(m["a"]), int(m["b"]))
            else:
                value = int(m["whole"]) + Fraction(int(m["top"]), int(m["bottom"]))
        except ZeroDivisionError:
            continue
        # In "5 - 3" the sign is an operation; in "-3" or "= -3" it belongs to the number.
        before = text[max(0, m.start() - 9) : m.start()].rstrip()
        negative = m["sign"] == "-" and not before[-1:].isdigit()
        found.append(-value if negative else value)
    return found


def _shown(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    try:
        return f"{float(value):g}"
    except OverflowError:
        return str(value)
