"""Where does a response mark its answer? "The answer is", a box, `####`, 答案是."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hrlaif.checks.cut import ended, settled
from hrlaif.checks.numbers import numbers_in
from hrlaif.checks.plain import SEVERAL, SYMBOLIC
from hrlaif.checks.rejected import NO
from hrlaif.checks.spelled import spelled

_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_SAYS = (
    r"(?:(?:is|are|was|equals|comes to|(?:would|should|must|will|has to|may|can) be|be)"
    r"(?![A-Za-z'])|[:=]|-(?=\s))"
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
        rf"{_TITLE}[\"'*_`#]*(?:\s+(?!{NO})[a-z']+){{0,4}}?\s*(?:{_SAYS}[\"'*_`\s]*)+"
        rf"(?!\s*{NO})(?=([^\n]{{1,300}}))",
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
# "The answer would be 84 if both sides were counted" says what it is not.
_WOULD = re.compile(r"\b(?:would|could|might)\b|^就?[会将]", re.IGNORECASE)
_IF = re.compile(
    r"\b(?:if|unless)\b|\bhad\s+(?:it|there|they|s?he|the)\b|如果|假[如设]|要是|除非|倘?若(?!干)",
    re.IGNORECASE,
)
# So does "if you count weekly, the answer is 63", unlike "if each holds 3", "if we add the tax".
_READ_OTHERWISE = re.compile(
    r"\b(?:count(?:s|ed|ing)?|means?|meant|interpret\w*|intend\w*|instead|includ\w*|exclud\w*"
    r"|consider\w*|treat\w*|ask(?:s|ed|ing)?)\b|按|[计都]算|理解|考虑|指的?是|[包不]含|包括",
    re.IGNORECASE,
)
_ONES_OWN = re.compile(r"\d|\b(?:I|we|s?he|they)\b|[我他她]", re.IGNORECASE)
_BREAK = re.compile(r"[.!?;](?=\s)|[\n。；！？]")
_ASIDE = re.compile(r"\d[^()]*\([^()]*$")
_BEFORE = re.compile(
    r"(?=(?<![\w.,])([-$€£¥]?\d[\d,./ ]{0,30}?[\w%]{0,12})\s+(?:is|as)\s+(?:the|my|our)\s+"
    r"(?:final\s+|correct\s+|right\s+)?(?:answer|result|solution)\b)",
    re.IGNORECASE,
)
_BETWEEN_BOXES = re.compile(r"[\s$}\\.,;()\]\[]*(?:or|and|,|或者?|和|、)[\s$\\(\[]*", re.IGNORECASE)
MOST_CHARACTERS = 1000
_MOST_MARKS = 50
_MOST_BEFORE = 100


class Span(NamedTuple):
    """A part of a response that may say its answer."""

    text: str
    before: str = ""
    """What it follows on: "3 or" of "3 or 4 is the answer"."""
    first: bool = True
    """The answer is its first number, not its last."""
    full: bool = False
    """It is a box: nothing but the answer stands there."""
    doubt: str = ""
    """Why it is no answer, whatever it says."""
    supposed: bool = False
    """It may say what the answer would be if something else were so."""


def marked(text: str) -> list[Span]:
    """What stands behind the marks of an answer, the last one first.

    What is only supposed comes last, if the sentence of another mark says an answer.
    """
    return [span for _, span in _placed(text)]


def until_answer(text: str) -> str:
    """A text that was cut, up to the end of its last marked answer; "" if that may have gone on."""
    for place, span in _placed(text)[:1]:
        if span.supposed:
            break
        return settled(text, place + len(span.text) + 1 if span.full else ended(text, place))
    return ""


def weakly_marked(line: str) -> list[Span]:
    """What stands behind marks of any result, the last one first; not "37 (a total of 180)"."""
    marks = [match for pattern in _IN_THE_LAST_LINE for match in pattern.finditer(line)]
    placed = sorted(marks, key=lambda match: -match.end())
    return [Span(match[1]) for match in placed if not _ASIDE.search(line[: match.start()])]


def _placed(text: str) -> list[tuple[int, Span]]:
    found = sorted([*_boxes(text), *_marks(text)], key=lambda mark: -mark[0])[:_MOST_MARKS]
    sure = [mark for mark in found if not mark[1].supposed]
    if any(span.full or says_one(_BREAK.split(span.text)[0]) for _, span in sure):
        return [*sure, *(mark for mark in found if mark[1].supposed)]
    return found


def says_one(text: str) -> bool:
    """Whether a number, in digits or in words, or an expression stands there."""
    return bool(SYMBOLIC.search(text) or numbers_in(text) or numbers_in(spelled(text)))


def _boxes(text: str) -> Iterator[tuple[int, Span]]:
    """The last boxes with their inside, braces matched; two joined by "or" are a hedge."""
    starts = list(_BOX.finditer(text))[-_MOST_MARKS:]
    end_of_last = None
    for start in starts:
        depth, stop = 1, min(len(text), start.end() + MOST_CHARACTERS)
        for place in range(start.end(), stop):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                between = text[end_of_last : start.start()] if end_of_last else ""
                hedged = between and _BETWEEN_BOXES.fullmatch(between[:30])
                inside = text[start.end() : place]
                if inside.strip():
                    yield start.end(), Span(inside, full=True, doubt=SEVERAL if hedged else "")
                end_of_last = place + 1
                break


def _marks(text: str) -> Iterator[tuple[int, Span]]:
    for pattern in _MARKED:
        for match in pattern.finditer(text):
            yield match.end(), Span(match[1], supposed=_supposes(text, match))
    for match in _BEFORE.finditer(text):
        begin = match.start()
        yield begin, Span(match[1], text[max(0, begin - _MOST_BEFORE) : begin])


def _supposes(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark may say what the answer would be if something else were so."""
    begin, end = mark.span()
    before = _BREAK.split(text[max(0, begin - MOST_CHARACTERS) : begin])[-1]
    if _WOULD.search(mark[0]) or _WOULD.match(mark[1]):
        after = _BREAK.split(text[end : end + MOST_CHARACTERS])[0]
        return _IF.search(before + after) is not None
    condition = _IF.search(before)
    said = before[condition.end() :] if condition else ""
    return _READ_OTHERWISE.search(said) is not None and not _ONES_OWN.search(said)
