"""Which part of a sentence says its result? "37 are left because he sold 143" says 37.

What explains after a result is left out; where it is not plain which of two numbers is the result
("$40 after a 20% discount"), there is none.
"""

from __future__ import annotations

import re
from itertools import pairwise

from hrlaif.checks.numbers import numbers_in

UNCLEAR = "it is not clear which of several numbers is the answer"
"""Why a sentence with a result and other numbers beside it settles on none."""
REASON = r"(?:(?:because|since(?!\s+[12]\d{3}\b)|due to|owing to|thanks to)\b|因为|由于)"
CONCLUDES = re.compile(
    r"(?:and\s+)?(?:so|thus|therefore|hence|which|making|leaving|giving)\b|所以|因此", re.IGNORECASE
)
# What stands after the result of an equation, and is a clause of its own.
COMMA = re.compile(r"(?:[,;](?!\d{3}(?!\d))|:(?!\d))\s*")
_END = re.compile(
    r"(?<!^\d)(?<!^\d\d)(?<!\bi\.e)(?<!\be\.g)(?<!\bapprox)[.!?;](?=\s|$)|[。；！？]", re.IGNORECASE
)
GIVES_A_REASON = re.compile(rf"(?<![A-Za-z]){REASON}", re.IGNORECASE)
_ONLY_A_REASON = re.compile(
    rf"\W*(?:(?:this|that|it)(?:'s|\s+is|\s+was)\s+(?:just\s+|simply\s+)?|这是)?{REASON}",
    re.IGNORECASE,
)
_ANOTHER_CLAUSE = re.compile(r"(?:\b(?:and|but|so|then)|又|而|但)\W*$", re.IGNORECASE)
_WORDS = r"(?:[\w'-]+\s+)"
_BEFORE_A_DETAIL = (
    r"(?:after|before|from|for|in(?!\s+all\b)|with|at(?!\s+(?:least|most)\b)|than|per|every|during"
    r"|within|since|by|on|plus|minus|times|of\s+which|out\s+of|compared\s+(?:to|with)|divided\s+by"
    r"|multiplied\s+by|including|excluding|except|versus|vs\.?|to\s+(?!about\b|around\b|nearly\b"
    r"|roughly\b|exactly\b|only\b|just\b|over\b|an?\b|the\b)[a-z]+)"
)
_BEFORE_A_CLAUSE = (
    r"(?:when|if|while|whereas|where|given|unless|as|though|although|once|until|having|and|which|who"
    r"|(?<!so\s)that)"
)
# The number after such words qualifies the one before: "37 after 143", "12 miles in 3 days".
_QUALIFIES = re.compile(
    rf"(?:^|[\s,;])(?:{_BEFORE_A_DETAIL}\s+{_WORDS}{{0,2}}"
    rf"|{_BEFORE_A_CLAUSE}\s+{_WORDS}{{0,4}})[$€£¥(]*$"
    rf"|,\s*(?:an?|down|up)\s+{_WORDS}{{0,2}}[$€£¥]*$|(?::|\s-)\s+{_WORDS}{{1,4}}[$€£¥]*$"
    rf"|^[\s%,]*(?:[A-Za-z]+\s+){{0,2}}of\s+(?:(?:the|his|her|their|its|these|those)\s+)?"
    rf"{_WORDS}?[$€£¥]*$"
    r"|(?:其中|除以|乘以|比|每|如果|经过|用了?|花了?)[^\d,，]{0,6}$",
    re.IGNORECASE,
)
_COMPARES = re.compile(
    rf"[\s%\\]*{_WORDS}{{0,2}}(?:less|more|fewer|higher|lower|off|older|younger)\b", re.IGNORECASE
)
# But "for a total of 72", "leaving him with 37", "and together they are 72" say a result.
_RESULTS = re.compile(
    r"\b(?:total|sum|average)\s+(?:(?:of|is|was|are)\s+)?(?:about\s+|only\s+)?[$€£¥]*$"
    rf"|\b(?:altogether|together)\s+(?:(?!in\b|for\b|at\b|after\b|on\b)[\w'-]+\s+){{0,3}}[$€£¥]*$"
    rf"|\b(?:is|are|was|were)\s+left\s+with\s+$|\b(?:leaves|leaving|ends?(?:\s+up)?|results?)\s+"
    rf"{_WORDS}{{0,2}}(?:with|in|at)\s+{_WORDS}{{0,2}}$"
    rf"|\band\s+{_WORDS}{{0,3}}?(?:got|gets?|makes?|gives?|so|thus|therefore|hence|then|now|finally"
    rf"|equals?)\s+{_WORDS}{{0,3}}$"
    rf"|\bto\s+(?:get|give|make|reach|obtain|total|be|equal|find)\s+{_WORDS}{{0,2}}[$€£¥]*$"
    rf"|\bwhich\s+(?:makes?|gives?|leaves?|equals?|means|is|are|totals?|comes)\s+{_WORDS}{{0,3}}[$€£¥]*$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+$€£¥\s]*[\d.,/]*\d")
_SO_ZH = re.compile(r"所以|因此")
_RESULTS_ZH = re.compile(r"[共剩答得即需还总]|结果|等于|就是|只[有要]|因为|由于|其中")
# A clause of only these is no result: "3小时后", "第5秒", "2号车厢", "48除以6", "如果买3支".
_CIRCUMSTANCE_ZH = re.compile(
    r"^(?:\W*[当在][^得]*|[^是为有要需用花得]*)(?:后|(?<!小)时|中|内|前|(?<!时)间|(?<!\d)里)\W*$"
    r"|^\W*(?:若|如果|当)|\d\s*(?:除以|乘以|减去|加上)\s*\d+\W*$"
    r"|^\W*(?:第\d+(?:天|年|秒|周|次|小时|分钟|个?月|季度)|\d{4}年|\d+(?:月份?|号\w{0,3}))\W*$"
)
_SAME_AGAIN_ZH = re.compile(r"\W*(?:即|也就是|或)")
_IN_BRACKETS = re.compile(r"\([^()]*$")
_DASH = re.compile(r"-\s")


def sentences(line: str) -> list[str]:
    """The sentences of a line that hold a number; a list's "1." begins one."""
    places = [0, *(match.end() for match in _END.finditer(line)), len(line)]
    parts = (line[a:b] for a, b in pairwise(places))
    return [part for part in parts if numbers_in(part)]


def only_explains(sentence: str) -> bool:
    """Whether a sentence gives a reason, and no later clause of it a number."""
    if not _ONLY_A_REASON.match(sentence):
        return False
    comma = COMMA.search(sentence)
    return comma is None or not numbers_in(sentence[comma.end() :])


def without_reason(sentence: str) -> str | None:
    """A sentence up to the reason that it gives for a number; None: a number follows the reason.

    "Since 143 are sold, 37 are left" and "..., and since 143 are sold, 37 are left" stay whole.
    """
    for reason in GIVES_A_REASON.finditer(sentence):
        head, tail = sentence[: reason.start()], sentence[reason.end() :]
        if not numbers_in(head) or not numbers_in(tail) or _ANOTHER_CLAUSE.search(head):
            continue
        later = [tail[comma.end() :] for comma in COMMA.finditer(tail)]
        if not later or not numbers_in(later[0]):
            return head
        return sentence if any(CONCLUDES.match(clause) for clause in later) else None
    return sentence


def says_another(sentence: str) -> bool:
    """Whether a clause without a result follows a Chinese conclusion: "所以多8元，小明有3元"."""
    so = _SO_ZH.search(sentence)
    drawn = sentence[so.end() :] if so else ""
    told = [clause for clause in COMMA.split(drawn) if numbers_in(clause)]
    if len(told) < 2 or "=" in drawn or _RESULTS_ZH.search(told[-1]):
        return False
    *_, before, last = told
    if not _SAME_AGAIN_ZH.match(last) and _CIRCUMSTANCE_ZH.search(before):
        return False
    if "每" in before and len(numbers_in(last)) > 1:
        return False  # "每箱12瓶,5箱是60瓶"
    return numbers_in(last)[-1] != numbers_in(before)[-1]


def qualifies(between: str, rest: str) -> bool:
    """Whether a number is a detail of the one before, by what stands between them and its rest.

    The rest begins with the number itself, whose sign may be a dash: "37 are left - 143 were sold".
    """
    number = _NUMBER.match(rest)
    if "," in between and number and _COMPARES.match(rest, number.end()):
        return True
    if _IN_BRACKETS.search(between) or (_DASH.match(rest) and between[-2:-1].isalpha()):
        return True
    return bool(_QUALIFIES.search(between[-80:])) and not _RESULTS.search(between[-80:])
