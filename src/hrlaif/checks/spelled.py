"""Which number do words say? "seventy-two", "three quarters", "七十二", "百分之五" in digits."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4,
    "fourths": 4, "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7,
    "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
# The longest first: "seventy" begins with "seven".
_SMALL = "|".join(sorted([*_UNITS, *_TENS], key=len, reverse=True))
_WORD = f"(?:{_SMALL}|{'|'.join(_SCALES)})"
_COUNT = rf"(?:a[ -](?={'|'.join(_SCALES)}))?{_WORD}(?:(?:[ -]|,? and )(?:a )?{_WORD})*"
_ENGLISH = re.compile(
    rf"(?<![\w-])(?:(?P<count>{_COUNT})(?:(?P<half> and a half)(?: (?P<scale>{'|'.join(_SCALES)}))?"
    rf"|(?: and (?P<top>{_SMALL})|)[ -](?P<part>{'|'.join(_PARTS)}))?"
    r"|(?:a |one[ -])?(?P<alone>half|dozen)|an? (?P<one>third|quarter|fourth|fifth|tenth))"
    r"(?![\w-])",
    re.IGNORECASE,
)
_DIGITS = dict(zip("零〇一二两三四五六七八九", (0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))
_POWERS = {"十": 10, "百": 100, "千": 1000}
_NUMERAL = "[零〇一二两三四五六七八九十百千万亿]"
_MEASURE = (
    "[个只条元块天年岁人次本支件页张米斤倍名位颗朵辆棵箱瓶袋盒杯升度分时周月组排对双套份种步]"
)
_CHINESE = re.compile(
    rf"(?:(?P<whole>{_NUMERAL}+)又)?(?P<bottom>{_NUMERAL}+)分之(?P<top>{_NUMERAL}+)"
    rf"|(?P<decimal>{_NUMERAL}+点[零〇一二三四五六七八九]+)"
    rf"|(?P<many>{_NUMERAL}{{2,}})"
    rf"|(?<![\u4e00-\u9fff])(?P<only>{_NUMERAL})(?=\W*$)"
    rf"|(?P<few>[两三四五六七八九十])(?={_MEASURE}|\W*$)"
    rf"|(?<=[^统唯万])(?P<first>一)(?=[个只条元块天年岁人倍名位颗]\W*$)"
    r"|(?P<half>一半)"
)
_IDIOMS = re.compile(rf"(?<!{_NUMERAL})(?:十分(?!之)|千万(?![个元人])|万一)|一一|三三两两")
# No number: "this is a tough one", "the first one"; but "the one hundred clips".
_PRONOUN = re.compile(
    r"\b(?:this|that|the|each|every|which|no|any|another|an?)\s(?:(?!hundred|thousand|million)[a-z]+\s)?$",
    re.IGNORECASE,
)
# Where nothing marks an answer: the number, a few words that say so before, a unit after.
_ALONE = re.compile(
    r"\W*(?:(?:so|thus|therefore|hence)\W+)?"
    r"(?:(?:it|that|this|there)(?:'s|\s+(?:is|are|was|were|makes?|comes\s+to))\s+)?"
    r"(?:(?:about|around|approximately|exactly|only|just|minus|negative)\s+)*"
    r"[约大概是有共总即为负]{0,5}\d[\d./% ]*"
    r"(?:(?:\s+(?!(?:is|are|was|were|has|have|can|could|may|must|should|will|would|more|please)\b)"
    r"[a-z]{1,15}){0,2}(?:\s+(?:in all|in total|of (?:the [a-z]{1,15}|them)))?"
    r"|[\u4e00-\u9fff]{1,3})\W*",
    re.IGNORECASE,
)
_LONGEST = 2000


def spelled(text: str) -> str:
    """The text with number words in digits; fractions become a/b. Long texts keep their words."""
    if len(text) > _LONGEST:
        return text
    text = _ENGLISH.sub(_english, text)
    return _CHINESE.sub(_chinese, _IDIOMS.sub(" ", text))


def begins_with_a_large_one(text: str) -> bool:
    """Whether a text begins with a number in words that is no pronoun: "ninety", not "one"."""
    match = _ENGLISH.match(text[:_LONGEST].lstrip())
    return match is not None and bool(match["count"]) and _count(match["count"].lower()) > 12


def is_a_number_alone(text: str) -> bool:
    """Whether a text, its number words in digits, says a number and at most its unit."""
    return len(text) <= 100 and _ALONE.fullmatch(text) is not None


def _english(match: re.Match[str]) -> str:
    if match["alone"]:
        return "1/2" if match["alone"].lower() == "half" else "12"
    if match["one"]:
        return f"1/{_PARTS[match['one'].lower()]}"
    if match[0].lower() == "one" and _PRONOUN.search(match.string[: match.start()][-20:]):
        return match[0]
    count = _count(match["count"].lower())
    value = Fraction(count)
    if match["half"]:
        value += Fraction(1, 2)
        value *= _SCALES[match["scale"].lower()] if match["scale"] else 1
    elif match["part"]:
        share = Fraction(1, _PARTS[match["part"].lower()])
        top = match["top"]
        # "two and three quarters", but "three quarters" is 3/4.
        value = count + _count(top.lower()) * share if top else count * share
    return str(value)


def _count(words: str) -> int:
    """`two thousand five hundred and six`; "twelve hundred" too."""
    total = run = 0
    for word in re.findall(_WORD, words):
        if word in _SCALES and _SCALES[word] > 100:
            total, run = total + (run or 1) * _SCALES[word], 0
        elif word in _SCALES:
            run = (run or 1) * 100
        else:
            run += _UNITS.get(word, 0) + _TENS.get(word, 0)
    return total + run


def _chinese(match: re.Match[str]) -> str:
    if match["half"]:
        return "1/2"
    if match["bottom"]:
        top, bottom = _numeral(match["top"]), _numeral(match["bottom"])
        whole = f"{_numeral(match['whole'])} " if match["whole"] else ""
        return f"{top}%" if bottom == 100 and not whole else f" {whole}{top}/{bottom} "
    if match["decimal"]:
        whole, _, digits = match["decimal"].partition("点")
        return f"{_numeral(whole)}.{''.join(str(_DIGITS[d]) for d in digits)}"
    return str(_numeral(match["many"] or match["few"] or match["first"] or match["only"]))


def _numeral(text: str) -> int:
    """一千二百零五; 二〇二四 digit by digit; 两千五 is 2500, and 三亿五千 is 350 million."""
    if all(character in _DIGITS for character in text):
        return int("".join(str(_DIGITS[character]) for character in text))
    total = section = digit = 0
    last = scale = 1  # the last power or scale, and the last scale; 1 after a zero
    for character in text:
        if character in "零〇":
            digit, last, scale = 0, 1, 1
        elif character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _POWERS:
            last, section = _POWERS[character], section + (digit or 1) * _POWERS[character]
            digit = 0
        else:
            last = scale = 10**4 if character == "万" else 10**8
            part = section + digit
            # 三亿五千万 adds its parts; in 三万亿 one scale multiplies the other.
            total = (total + part) * scale if total < scale else total + part * scale
            section = digit = 0
    rest = section + digit * (last // 10 if last > 10 else 1)
    return total + rest * (10**4 if scale == 10**8 and section >= 1000 else 1)
