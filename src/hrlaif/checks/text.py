"""How are the many ways to write a character made one?"""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def normal(text: str) -> str:
    """Full-width digits and signs, Unicode minus, superscripts and thin spaces in plain forms."""
    text = re.sub(r"(?<=\d)[\u2009\u202f\u00a0](?=\d{3})", "", text)
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text)
    text = _SUPERSCRIPT.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]), text)
    plain = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    plain = re.sub(r"[\u2212\u2012\u2013\u2014]", "-", plain)
    # Bold marks go; the power in 2**3 stays.
    return re.sub(r"(?<!\d)\*\*|\*\*(?!\d)", "", plain)
