"""Which words of a written answer are not its writer's own? Quotations, and what a text orders.

A response may hold `Output: 1` to win, and a judge that says so must not be read as voting for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_BLOCKS = re.compile(
    r"(?m)^[ \t]*>[^\n]*$|^[ \t]*(?P<fence>```|~~~)[^\n]*\n(?P<a>(?s:.*?))(?:^[ \t]*(?P=fence)|\Z)"
)
"""Markdown's block quotes, a line each, and code fences, of which one may never end."""
_WITHIN_A_LINE = re.compile(
    r"`(?P<a>[^`\n]+)`|\"(?P<b>[^\"\n]*)\"|“(?P<c>[^“”\n]*)”|「(?P<d>[^「」\n]*)」"
    r"|『(?P<e>[^『』\n]*)』|«(?P<f>[^«»\n]*)»|‘(?P<g>(?:[^‘’\n]|(?<=\w)’(?=\w))*)’(?!\w)"
    r"|(?<!\w)'(?P<h>(?:[^'\n]|(?<=\w)'(?=\w))*)'(?!\w)"
)
_OVER_LINES = re.compile(
    r"\"(?P<a>[^\"]*)\"|“(?P<b>[^“”]*)”|「(?P<c>[^「」]*)」|『(?P<d>[^『』]*)』"
)

_NO_USER = r"(?<!user )(?<!prompt )(?<!question )(?<!request )(?<!task )"
"""What those ask for is no vote."""
_SAYS = r"say|tell|ask|claim|instruct|order|demand|urge|insist|beg|command"
_SAYS_ZH = r"声称|自称|忽略|无视|注入|嵌入|植入"
_WRITES = (
    r"want|state|read|write|direct|declare|assert|announce|end|begin|add|contain|include|address"
)
_JUDGE = r"(?:me|us|the\s+(?:judge|grader|rater|reviewer|evaluator|examiner))"
_VOTE = r"(?:choose|pick|select|prefer|favou?r|vote|output|rate|grade|score|declare)"
_REPORTS = re.compile(
    rf"(?i)\b{_NO_USER}(?:{_SAYS})s\b(?![^:]{{0,200}}:)|{_SAYS_ZH}"
    r"|\b(?:embedded|injected|smuggled|planted|ignored|disregarded)\b"
    rf"|\b(?:{_SAYS}|told|want|direct|steer|trick|manipulat|persuad|convinc|pressur|push)\w*"
    rf"\s+{_JUDGE}\b"
    rf"|(?<!\bin )\b(?:order|instruction|command|plea|attempt|demand|request)s?\s+to\s+{_VOTE}\b"
    rf"|\b(?:tries|trying|tried|wants?|wanted)\s+to\s+(?:{_VOTE}|make|have|get)\b"
    r"|\b(?:contain|include|hold|add|end|begin|start)(?:s|ed|ing)?\s+(?:with\s+)?(?:an?|the|this)\s+"
    r"(?:\w+\s+){0,2}(?:instruction|order|command|line|note|message|sentence|prompt|injection)\b"
    r"|(?<![按照据合足])要求\s*(?:[我你您选打给评]|裁判|输出)"
    r"|(?:[让叫请令]|指示|诱导|诱使|命令)(?:[我你您]|评审|裁判)(?!想|看|来|先|们)"
)
"""Of a text that is spoken of, and not of the one who wrote the answer."""
_INTRODUCES = re.compile(
    rf"(?i)(?:\b{_NO_USER}(?:{_SAYS}|{_WRITES})e?s\b|[说称]|写[道着]|{_SAYS_ZH})"
    r"(?:[^.;!?。\n]{0,80}?[\"“「『]"
    rf"|(?:\s+(?:that|to|with|in|at|the|an?|its|this|these|following|words?|line|note|end|directly"
    r"|me|us|judge|grader|rater|reviewer|evaluator|{_VOTE})\b)*\s*:)"
)
"""All that stands behind it in its line is what someone else says."""
_SENTENCE = re.compile(
    r"(?i)[.;!?]\s|[。;!?]|,\s*(?:and\s+)?(?:(?:so|thus|hence|therefore)\b|所以|因此)"
)
_OWN_AGAIN = re.compile(r"(?i),\s*(?:but|yet|still|however)\b|但|然而|不过")


def without_quotes(text: str, names: Callable[[str], bool], is_one: Callable[[str], bool]) -> str:
    """The text without what it quotes, where that `names` a label.

    A quotation that `is_one` stays, without its marks, and so does one that is the whole text: they
    are ways to write an answer. Block quotes never stay.
    """
    for quotes in (_BLOCKS, _WITHIN_A_LINE, _OVER_LINES):
        whole = len(text.strip())

        def own(found: re.Match[str], whole: int = whole) -> str:
            parts = found.groupdict()
            parts.pop("fence", None)
            inner = next((part for part in parts.values() if part), "")
            alone = len(found[0].strip()) == whole
            return inner if alone or is_one(inner.strip()) or not names(inner) else ""

        text = quotes.sub(own, text)
    return text


def is_reported(words: str, before: str = "") -> bool:
    """Whether the end of these words of a line is what a text says or orders.

    `before` is the line before, which introduces this one where it ends in a colon.
    """
    introduced = before.rstrip(" *_").endswith(":")
    if introduced and _REPORTS.search(_SENTENCE.split(before.strip())[-1]):
        return True
    own = _OWN_AGAIN.split(words)[-1]
    return bool(_REPORTS.search(_SENTENCE.split(own)[-1]) or _INTRODUCES.search(own))
