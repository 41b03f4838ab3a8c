"""On which number does a response settle? The last one marked as the answer, else the last one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from hrlaif.checks.asides import without_asides
from hrlaif.checks.clauses import (
    COMMA,
    CONCLUDES,
    GIVES_A_REASON,
    REASON,
    UNCLEAR,
    only_explains,
    says_another,
    sentences,
    without_reason,
)
from hrlaif.checks.cut import CUT
from hrlaif.checks.marks import (
    MOST_CHARACTERS,
    Span,
    marked,
    says_one,
    until_answer,
    weakly_marked,
)
from hrlaif.checks.numbers import Percent, numbers_in
from hrlaif.checks.plain import read
from hrlaif.checks.rejected import rejecting
from hrlaif.checks.rounded import Twin
from hrlaif.checks.spelled import begins_with_a_large_one, is_a_number_alone, spelled
from hrlaif.checks.text import ending

_ROUNDED = re.compile(
    r"\bround(?:s|ed)?\s+(?:it\s+)?(?:(?:up|down|off)\s+)?to\s+(?:about\s+)?"
    r"(?!\d+\s*(?:decimal|d\.?p|sig|place))(?=[-$€£¥]?\d)",
    re.IGNORECASE,
)
# What follows a mark is a sum to be worked out: "9 frogs / 27 frogs * 100 = ...".
_EXPRESSION = re.compile(r"\W*\d[\d.,]*(?:\s*[A-Za-z%]+){0,3}\s*[+*/×÷-]\s*[$€£¥(]*\d")
_REJECTED = rejecting(r"(?:\$?\\f?box(?:ed)?\{)?[-$€£¥]?\d(?:[,./]?\d){0,15}+[}$)]{0,3}+")
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[。；！？]")
_LIST = re.compile(r"\([^()]*[,;][^()]*\)")
_BECAUSE = rf"(?:{REASON}|(?:as|where|given|if|when|for(?! an? (?:grand )?total))\b|其中)"
_EXPLAINS = re.compile(rf"(?:(?:and|but)\s+)?{_BECAUSE}", re.IGNORECASE)
_EXPLAINS_WITHIN = re.compile(rf"(?<=\s){_BECAUSE}", re.IGNORECASE)
_SETTLES = re.compile(
    r"=|\b(?:so|thus|therefore|hence|then|since|because|altogether|finally|overall|in all|total"
    r"|answer|result|equals?|makes?|gives?|remain(?:s|ing)?|(?:is|are|was|were) left)\b|\bleft\W*$"
    r"|所以|因此|答|共|结果|剩",
    re.IGNORECASE,
)
# After the mark of an answer: a sentence whose first number is not the answer, or may not be.
_BESIDE = re.compile(
    r"\W*(?:(?:after|before|in(?!\s+(?:all|total)\b)|of|from|with|when|if|because|since|given|as|by"
    r"|on|at|for)\b|因为|由于|如果|当)",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"\W*(?:[A-Za-z']+\s+){2}.{0,200}\d.{0,200},\s*(?:and\s+)?(?:so|thus|therefore|hence|making)\b"
    r"(?=.*\d)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"=|\d.*(?:\b(?:so|thus|therefore|hence|leav(?:es|ing)|making)\b|所以|因此|剩).*\d",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]{3}|[\u4e00-\u9fff]{3}")
UNSETTLED = "the last number contradicts an earlier one, and neither is marked as the answer"
"""Why a response of several sentences settles on no number."""


class Final(NamedTuple):
    """The number that a response settles on, or None and why; `span` is the part that says it.

    `nearly` is the same number as the response itself rounds it, or unrounded: "1/6, about 0.167".
    """

    value: Fraction | None
    reason: str
    span: str
    nearly: Fraction | None = None
    twin: Twin = ""


def final_number(text: str, percent: Percent = "unit", *, cut: bool = False) -> Final:
    """The last answer marked as one, else the last number; "4 or 5" and a list are none.

    Where no digit stands, unmarked words are an answer only if they are the whole response. Of a
    response that was cut at its token limit, only a marked answer that is closed counts.
    """
    said = ending(text)
    plain = _without_rejected(until_answer(said) if cut else said)
    in_words = not numbers_in(plain)
    if in_words:
        plain = _without_rejected(spelled(plain))
    span = _told(marked(plain)[: 1 if cut else None])
    if span is None:
        return Final(None, CUT, "") if cut else _unmarked(plain, percent, in_words=in_words)
    return _read(span, percent)


def _read(span: Span, percent: Percent) -> Final:
    if span.doubt:
        return Final(None, span.doubt, span.text)
    found = read(span.text, span.before, percent, first=span.first, full=span.full)
    return Final(found.value, found.reason, span.text, found.nearly, found.twin)


def _without_rejected(text: str) -> str:
    """The "not" stays, so that what follows it is not taken for the answer."""
    return _REJECTED.sub(lambda match: f"{match['no'] or ''} ", text)


def _told(spans: Sequence[Span]) -> Span | None:
    """The first of these that says a number or an expression; a box says one in any case."""
    for span in spans:
        sentence = _SENTENCE_END.split(span.text)[0]
        told = sentence if not span.full and says_one(sentence) else span.text
        if says_one(told):
            told = told if numbers_in(told) and not begins_with_a_large_one(told) else spelled(told)
            return _result(span._replace(text=told))
        if span.full:
            return span
    return None


def _result(span: Span) -> Span:
    """A marked equation's result stands last: "3 x 4 = 12"; a rounded one after it.

    So does that of a sentence which begins beside the point: "Answer: in 3 days he walks 12 miles".
    """
    head, equals, result = span.text.rpartition("=")
    words = len(re.findall(r"[A-Za-z]{2,}|[\u4e00-\u9fff]", head))
    if equals and numbers_in(result) and (words <= 2 or _EXPRESSION.match(head)):
        span = span._replace(text=result, before=span.before + head + equals)
    elif not equals and not span.full and _BESIDE.match(span.text):
        span = span._replace(text=without_reason(span.text) or span.text, first=False)
    elif not equals and not span.full and _LATER.match(span.text):
        span = span._replace(doubt=UNCLEAR)
    return _rounded(span)


def _unmarked(text: str, percent: Percent, *, in_words: bool) -> Final:
    """What the last sentence with a number says, if it concludes or none contradicts it."""
    shortened = "\n".join(line[-MOST_CHARACTERS:] for line in text.splitlines())
    told = [said for line in without_asides(shortened).splitlines() for said in sentences(line)]
    while len(told) > 1 and only_explains(told[-1]):
        told.pop()
    last = told[-1] if told else ""
    if span := _weakly_told(last):
        return _read(span, percent)
    if in_words and not is_a_number_alone(text):
        return _read(Span(""), percent)
    found = _of_sentence(last, percent)
    settled = len(told) < 2 or _SETTLES.search(last) or not _WORD.search(last)
    if found.value is None or settled:
        return found
    weak = _weakly_told(told[-2])
    before = _read(weak, percent) if weak else _of_sentence(told[-2], percent)
    return found if before.value == found.value else Final(None, UNSETTLED, found.span)


def _weakly_told(line: str) -> Span | None:
    # An equation after such a mark has its result at its end: "the total is 3 + 4 = 7", and so has
    # what is drawn from it: "the total is 180, so 37 are left".
    spans = [span for span in weakly_marked(line) if not _GOES_ON.search(span.text)]
    return next((span for span in spans if numbers_in(span.text)), None)


def _of_sentence(sentence: str, percent: Percent) -> Final:
    """What a sentence with a number says without its reasons."""
    kept, whole = without_reason(sentence), _read(_equation(sentence), percent)
    if says_another(sentence):
        return Final(None, UNCLEAR, sentence)
    if kept is None:
        return whole if "=" in sentence else Final(None, UNCLEAR, sentence)
    told = _read(_equation(kept), percent)
    # "It cost $60 because 40 + 30 = 70" says two things.
    contradicted = "=" in sentence[len(kept) :] and "=" not in kept and told.value != whole.value
    return Final(None, UNCLEAR, sentence) if contradicted else told


def _equation(sentence: str) -> Span:
    """Of a sentence what its last equation comes to, else its last number."""
    head, equals, result = sentence.rpartition("=")
    if not equals or not numbers_in(result):
        return _rounded(Span(sentence, first=False))
    span = Span(result, head + equals)
    return _rounded(span) if _ROUNDED.search(result) else _after_equation(span)


def _rounded(span: Span) -> Span:
    *_, end = (0, *(match.end() for match in _ROUNDED.finditer(span.text)))
    return span._replace(text=span.text[end:], before="", first=True) if end else span


def _after_equation(span: Span) -> Span:
    """The last clause that does not explain the result, else the result."""
    sentence = _LIST.sub(" ", span.text)
    places = [comma.end() for comma in COMMA.finditer(sentence)]
    said, explains = span, bool(places and GIVES_A_REASON.search(sentence[: places[0]]))
    for place, stop in pairwise([*places, len(sentence)]):
        clause = sentence[place:stop]
        explains = bool(_EXPLAINS.match(clause)) or (explains and not CONCLUDES.match(clause))
        if not explains and numbers_in(clause):
            told = _EXPLAINS_WITHIN.split(clause)[0]
            text = told if numbers_in(told) else clause
            said = Span(text, span.before + sentence[:place], first=False)
    return said
