"""Is the answer of a response that was cut at its token limit whole? "3" may have become "37".

Only an answer that is marked and closed counts, and only where nothing after it reopens it.
"""

from __future__ import annotations

import re

CUT = "cut before its answer"
"""Why a response that ended at its token limit has no verdict."""
# "37." at the very end may have become 37.5.
_END = re.compile(r"[.!?](?=\s)|。|\n|</answer>")
_REOPENS = re.compile(
    r"\b(?:wait|hmm+|but|however|actually|no|not|or|wrong|incorrect|mistake\w*|error|instead|sorry"
    r"|correct\w*|check\w*|re-?check\w*|verify|reconsider|answer)\b|n't\b|box|####"
    r"|等等|但|不|或|错|应|检查|验算|重新|答",
    re.IGNORECASE,
)


def ended(text: str, begin: int) -> int | None:
    """Where the sentence or the line of an answer that begins there ends; None: it goes on."""
    found = _END.search(text, begin)
    return found.end() if found else None


def settled(text: str, end: int | None) -> str:
    """A cut text up to the end of its last answer; "" where that is open or doubted after."""
    return "" if end is None or _REOPENS.search(text, end) else text[:end]
