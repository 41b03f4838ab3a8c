"""Which numbers of a response count nothing that was asked? "Step 2", "[1]", "Confidence: 95%"."""

from __future__ import annotations

import re

_ASIDE = re.compile(
    r"^[\W_]*(?:(?:double[- ]?|cross-?)?check(?:ing)?|(?:to )?verif(?:y|ication)"
    r"|references?|sources?|citations?|confidence(?: level| score)?|certainty"
    r"|(?:word|character|token)s?(?: count)?|检验|验算|检查|参考(?:文献|资料)?|置信度|字数)"
    r"[\W_]*?[:：)][^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ORDINAL = re.compile(
    r"\b(?:steps?|methods?|approach|ways?|solution|equation|eq\.|figure|fig\.|footnote)\s*"
    r"(?:no\.?\s*|[#(])?\d{1,2}\b(?!\s*[./]\s*\d)(?:\s*(?:and|or|,|&|-)\s*\d{1,2}\b)*"
    r"|(?:步骤|方法|解法)\s*\d{1,2}|第\s*\d{1,2}\s*(?:步|种方法)"
    r"|\[\d{1,3}(?:\s*[,-]\s*\d{1,3})*\]"
    r"|\b\d{1,2}\s*(?:decimal|significant)\s*(?:place|digit|figure)?s?\b|\b\d{1,2}\s*d\.?p\b"
    r"|\b\d{1,3}\s*%\s*(?:sure|confident|certain)\b",
    re.IGNORECASE,
)
_FIRST = re.compile(r"^\W*1[.)]\s+\S", re.MULTILINE)
_ITEM = re.compile(r"^(\W*)\d{1,2}[.)]\s+(?=\S)", re.MULTILINE)


def without_asides(text: str) -> str:
    """Without the numbers of steps, methods, list items, references and digits shown.

    Lines that only check, cite, or say how sure or how long the response is, go as a whole.
    """
    if _FIRST.search(text):
        text = _ITEM.sub(r"\1", text)
    return _ORDINAL.sub(" ", _ASIDE.sub("", text))
