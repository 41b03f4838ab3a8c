"""What does a response say that the answer is not? "not 5", "never choose B", "Paris is wrong"."""

from __future__ import annotations

import re

NO = r"(?:not|never|cannot|[a-z]{2,7}n't)\b"
_NOT = (
    rf"(?P<no>\b(?:{NO}|rather\s+than|instead\s+of)(?:\s+(?:be|been|equals?|to|exactly|necessarily"
    r"|possibly|likely|really|actually|ever|going|go|with|choose|pick|select|say|the|answer|option"
    r"|choice|letter)(?=\s)){0,4}\s+"
    r"|(?:不(?:可能|应该?|会|能|该)?(?:是|为|等于|选择?)|[并而绝]非|[别勿]选|≠|!=)\s*(?:选项)?)"
)
_WRONG = (
    r"(?:\s+(?:is|was|seems|looks|would\s+be|must\s+be)\s+"
    r"(?:(?:also|clearly|simply|just|definitely)\s+)?(?:wrong|incorrect|false|impossible|invalid)\b"
    r"|\s+(?:is|was|can|could|would|should|does)(?:n?'t|\s*not|\s+never)\s+(?:be\s+)?"
    r"(?:(?:the|a|my|our)\s+)?(?:(?:final|best|right|correct|good)\s+)?"
    r"(?:right|correct|answer|best|valid|possible|solution|fit|work|match|apply)\b"
    r"|\s*(?:选?项)?(?:不是(?:正确)?(?:的?答案|的)|不对|不正确|是?错误?的))"
)


def rejecting(thing: str) -> re.Pattern[str]:
    """A pattern of a thing that a text rejects. Its group `no` holds the "not" before, if any."""
    either = rf"{thing}(?:\s+n?or\s+{thing}){{0,3}}"
    return re.compile(rf"{_NOT}{either}(?:\s*,?\s*but\b)?|{thing}{_WRONG}", re.IGNORECASE)
