"""On which number does a response settle? The last one marked as the answer, else the last one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from hrlaif.checks.numbers import Found, Percent, found, numbers_in, prepared
from hrlaif.checks.spelled import begins_with_a_large_one, spelled
from hrlaif.checks.text import ending

SYMBOLIC = re.compile(r"\\(?:pi|sqrt|log|ln|sin|cos|tan|begin|infty|pm)\b|[π√±∞]")
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_SAYS = (
    r"(?:is|are|was|equals|comes to|(?:would|should|must|will|has to|may|can) be|be|[:=]|-(?=\s))"
)
_TITLE = (
    r"(?:\bfinal answer|\banswers?|(?<![A-Za-z])ans(?=[.:\s=-])|^\s*A(?=\s*:)|^\s*solution(?=\s*:))"
)
# The answer of these marks comes first; what follows in its sentence explains it. A look ahead, so
# that a later mark on the same line is found too.
_MARKED = (
    re.compile(r"^\s*####\s*(?=([^\n]+))", re.MULTILINE),
    re.compile(r"<answer>\s*(?=([^<]{1,300}))", re.IGNORECASE),
    re.compile(
        rf"{_TITLE}[\"'*_`#]*(?:\s+(?!not\b)[a-z']+){{0,4}}?\s*(?:{_SAYS}[\"'*_`\s]*)+(?!\s*not\b)"
        r"(?=([^\n]{1,300}))",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"\b(?:final )?answer[:*_#\s]*\n+[*_#\s]*(?=([^\n]{1,300}))", re.IGNORECASE),
    re.compile(
        r"(?:答案|应该?(?=[是为])|(?:而|其实|应该?)(?=是))"
        r"[】\]\"*\s]*(?:应该?)?(?:是|为|:|=|\s|\*)*(?<![不])(?=([^\n]{1,300}))",
        re.MULTILINE,
    ),
)
# These name intermediate results too, so they count in the last line alone.
_IN_THE_LAST_LINE = (
    re.compile(
        r"\b(?:result|total|sum|value)\b[^\n\d]{0,30}?\b(?:is|are|equals|:)\s*(?=([^\n]{1,300}))",
        re.I,
    ),
    re.compile(r"(?:结果|[总一]共|共计|合计|等于)\s*(?:是|为|有|:|=)*\s*(?=([^\n]{1,300}))"),
)
_ROUNDED = re.compile(
    r"\bround(?:s|ed)?\s+(?:it\s+)?(?:(?:up|down|off)\s+)?to\s+(?:about\s+)?"
    r"(?!\d+\s*(?:decimal|d\.?p|sig|place))(?=[-$€£¥]?\d)",
    re.IGNORECASE,
)
# What follows a mark is a sum to be worked out: "9 frogs / 27 frogs * 100 = ...".
_EXPRESSION = re.compile(r"\W*\d[\d.,]*(?:\s*[A-Za-z%]+){0,3}\s*[+*/×÷-]\s*[$€£¥(]*\d")
_BEFORE = re.compile(
    r"(?=(?<![\w.,])([-$€£¥]?\d[\d,./ ]{0,30}?[\w%]{0,12})\s+(?:is|as)\s+(?:the|my|our)\s+"
    r"(?:final\s+|correct\s+|right\s+)?(?:answer|result|solution)\b)",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"(?:\b(?:not|rather than|instead of|isn't)\s+|(?:而?不是|而非)\s*)[-$€£¥]?\d[\d,./]*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[。；！？]")
_UNIT = r"(?:\s*[^\W\d]{1,12}\.?){0,2}"
_OR = re.compile(
    rf"{_UNIT}\s*[,;]?\s*(?:\bor\b|\bto\b|或者?|还是|到|至|~|-|,?也?可能是?)"
    r"(?:\s*(?:maybe|perhaps|possibly|even|about|around|also|可能|是)){0,2}\s*[$€£¥(]*\s*",
    re.IGNORECASE,
)
_AND = re.compile(rf"{_UNIT}\s*(?:[,;、]|,?\s*\b(?:and|as well as)\b|[和与及])\s*[$€£¥]?\s*", re.I)
_LIST_END = re.compile(rf"{_UNIT}\s*(?:$|[,;.!?)\]}}、。]|\\|\b(?:and|or)\b|[或和])", re.IGNORECASE)
_BETWEEN_BOXES = re.compile(r"[\s$}\\.,;()\]\[]*(?:or|and|,|或者?|和|、)[\s$\\(\[]*", re.IGNORECASE)
_OPERATION = re.compile(r"\d\s*[+*/×÷]\s*\d|=")
_MOST_CHARACTERS = 1000
_MOST_MARKS = 50


class Final(NamedTuple):
    """The number that a response settles on, or None and why; `span` is the part that says it."""

    value: Fraction | None
    reason: str
    span: str


class _Span(NamedTuple):
    text: str
    first: bool
    """The answer is its first number, not its last."""
    hedged: bool = False


def final_number(text: str, percent: Percent = "unit") -> Final:
    """The last answer marked as one, else the last number; "4 or 5" and a list are none."""
    plain = ending(text)
    if not numbers_in(plain):
        plain = spelled(plain)
    span = _answer_span(plain)
    shown = _REJECTED.sub(" ", prepared(span.text))
    numbers = list(found(shown, percent))
    if SYMBOLIC.search(span.text):
        return Final(None, "the answer is not a plain number", span.text)
    if not numbers:
        return Final(None, "no number in the response", span.text)
    if span.hedged or _hedged(shown, numbers, first=span.first):
        return Final(None, "more than one answer", span.text)
    return Final(numbers[0 if span.first else -1].value, "", span.text)


def _answer_span(text: str) -> _Span:
    marked = [*_boxes(text), *_marks(text, _MARKED)]
    for _, inside, hedged in sorted(marked, key=lambda m: -m[0])[:_MOST_MARKS]:
        sentence = _SENTENCE_END.split(inside)[0]
        told = sentence if _says_one(sentence) else inside
        if _says_one(told):
            told = told if numbers_in(told) and not begins_with_a_large_one(told) else spelled(told)
            return _result(told, marked=True)._replace(hedged=hedged)
    lines = (line[-_MOST_CHARACTERS:] for line in reversed(text.splitlines()))
    line = next((line for line in lines if numbers_in(line)), "")
    weak = [(place, inside) for place, inside, _ in _marks(line, _IN_THE_LAST_LINE)]
    for _, inside in sorted(weak, reverse=True):
        # An equation after such a mark has its result at its end: "the total is 3 + 4 = 7".
        if numbers_in(inside) and "=" not in inside:
            return _Span(inside, True)
    return _result(line, marked=False)


def _says_one(text: str) -> bool:
    return bool(SYMBOLIC.search(text) or numbers_in(text) or numbers_in(spelled(text)))


def _result(span: str, *, marked: bool) -> _Span:
    """An equation's result stands last: "3 x 4 = 12"; a rounded one after it."""
    head, equals, result = span.rpartition("=")
    words = len(re.findall(r"[A-Za-z]{2,}|[\u4e00-\u9fff]", head))
    if equals and numbers_in(result) and (not marked or words <= 2 or _EXPRESSION.match(head)):
        span, marked = result, True
    *_, rounded = (0, *(match.end() for match in _ROUNDED.finditer(span)))
    return _Span(span[rounded:], marked or rounded > 0)


def _boxes(text: str) -> Iterator[tuple[int, str, bool]]:
    """The last boxes with their inside, braces matched; two joined by "or" are a hedge."""
    starts = list(_BOX.finditer(text))[-_MOST_MARKS:]
    end_of_last = None
    for start in starts:
        depth, stop = 1, min(len(text), start.end() + _MOST_CHARACTERS)
        for place in range(start.end(), stop):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                between = text[end_of_last : start.start()] if end_of_last else ""
                hedged = bool(between and _BETWEEN_BOXES.fullmatch(between[:30]))
                yield start.end(), text[start.end() : place], hedged
                end_of_last = place + 1
                break


def _marks(text: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[tuple[int, str, bool]]:
    for pattern in patterns:
        for match in pattern.finditer(text):
            yield match.end(), match[1], False
    if patterns is _MARKED:
        for match in _BEFORE.finditer(text):
            yield match.start(), match[1], False


def _hedged(text: str, numbers: list[Found], *, first: bool) -> bool:
    """Whether the number that would be taken is one of several: "4 or 5", "4-5", "3, 4 and 5"."""
    if len(numbers) < 2 or len({number.value for number in numbers}) == 1:
        return False
    one, other = numbers[:2] if first else numbers[-2:]
    if one.value == other.value:
        return False
    between, after = text[one.end : other.start], text[other.end :]
    if _OR.fullmatch(between):
        return not _OPERATION.search(text)
    return bool(_AND.fullmatch(between) and _LIST_END.match(after))
