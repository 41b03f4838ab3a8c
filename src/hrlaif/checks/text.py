"""How are the many ways to write a character made one?"""

from __future__ import annotations

import re
import unicodedata

from hrlaif.messages import spoken

_LONGEST = 6000  # characters read, from the end: answers stand there
_SUPERSCRIPT = re.compile("⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def normal(text: str) -> str:
    """Full-width digits and signs, Unicode minus, superscripts and thin spaces in plain forms."""
    text = re.sub(r"(?<=\d)[\u2009\u202f\u00a0](?=\d{3})", "", text)
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)
    text = _SUPERSCRIPT.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]), text)
    plain = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    plain = re.sub(r"[\u2212\u2010-\u2014]", "-", plain)
    # Bold marks go; the power in 2**3 stays.
    return re.sub(r"(?<!\d)\*\*|\*\*(?!\d)", "", plain)


def ending(text: str) -> str:
    """The part that may state the answer: after all thinking, at most 6,000 characters.

    Nothing where a thought never ends. Empty lines go: patterns that look for the beginning of a
    line would search them all.
    """
    said = spoken(text)[-_LONGEST:].rpartition("</think>")[2]
    return re.sub(r"\s*\n\s*", "\n", normal(said))
