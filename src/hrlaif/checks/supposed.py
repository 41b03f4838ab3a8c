"""What does a response only suppose, or say that others choose? "It is tempting to pick A".

Options that stand there are not its choice, unless it says that they are right.
"""

from __future__ import annotations

import re

_WORD, _ANY = r"[a-z]{1,20}\s+", r"[\w-]{1,20}\s+"
_LETTER = r"[(\[{<'‘「『【\s$]{0,6}(?<![A-Za-z0-9])(?-i:[A-J])(?![A-Za-z0-9'])"
_OPTION = rf"(?:{_LETTER}|[(\s]{{0,6}}[\ue000-\uf8ff])"
# To the end of the clause; a reason belongs to it, a contrast and a conclusion do not.
_STOP = (
    r"(?!\b(?:but|however|yet|though|although|whereas|while|instead|the\s+(?:correct|right|best)"
    rf"|(?:so|thus|therefore|hence)(?:\s+(?:the|my|option|choice)\b|{_OPTION}))|[但而])"
)
_REST = rf"(?:{_STOP}[^.,;:!?\n。])*"
_NEAR = rf"(?:{_STOP}[^.,;:!?\n。]){{0,40}}?"
_THAT = (
    r"\s+(?:(?:that|it's|it\s+is|it\s+must\s+be|the|correct|right|answer|is|option|choice|letter)"
    r"\s+){0,5}"
)
_SAYS = (
    r"(?:(?:say|pick|select|think|believe|guess|assume|argue|claim|expect|suspect|feel|lean)s?|said"
    r"|cho(?:o?ses?)|picked|selected|thought|believed|guessed|assumed|answers?\s+with|go(?:es)?\s+"
    r"(?:with|for)|went\s+with|opt(?:s|ed)?\s+for|falls?\s+for)\b"
)
_CHOOSE = (
    r"\b(?:(?:pick|select|say|go|think|guess|opt)(?:ing)?|choos(?:e|ing)|assum(?:e|ing)|answering"
    r")\b"
)
_OTHERS = (
    r"\b(?:students?|people|persons?|many|some|most|others?|they|he|she|someone|somebody|anyone"
    r"|everyone|everybody|beginners?|novices?|readers?|learners?|users?|players?|friends?|teachers?"
    r"|candidates?|folks|[a-z]{1,20}-takers?)\b"
    r"(?:\s+(?!(?:I|we|my|our|should|must|I'\w+|we'\w+)\b)[\w'-]{1,20}){0,4}?\s+"
)
_MAY = rf"\b(?:you|one)\s+(?:might|may|could|would)\s+(?:{_ANY}){{0,3}}?"
_IT_IS = r"(?:\b(?:it(?:'s|\s+is|\s+was)|I\s+(?:am|was)|an?|the|my|is)\s+)?"
_SLIP = (
    r"(?:mistakes?|errors?|traps?|pitfalls?|misconceptions?|instincts?|impulse|inclination|reflex)"
)
_USUAL = (
    r"(?:wrong|incorrect|common|popular|usual|typical|frequent|naive"
    r"|obvious(?=[^\n]{0,200}?\b(?:but|however|though|yet|actually)\b))"
)
_IF = (
    r"\b(?:if|whether|unless|suppos(?:e|ing)|assum(?:e|ing)|imagine|let(?:'s|\s+us|\s+me)\s+say"
    r"|at\s+first(?:\s+(?:glance|sight|look))?|initially|superficially)\b(?:\s*,)?"
)
_SUPPOSED_ZH = (
    r"(?:(?:很多|许多|有些|有的|有|不少|大多数|一些|部分)(?:人|同学|学生|考生|读者)|大家|同学们|学生"
    r"|考生|容易(?=[误错选被])|误(?=选|以为|认为)|可能会|也许会|往往|如果|假如|假设|要是|若|乍看"
    r"|表面上|看似)"
)
_SUPPOSED = (
    rf"(?:{_OTHERS}|{_MAY}){_SAYS}(?:{_THAT}{_OPTION}|{_NEAR}{_LETTER})",
    rf"{_IT_IS}(?:{_WORD}){{0,2}}?\b{_SLIP}\b{_NEAR}{_CHOOSE}",
    rf"{_IT_IS}(?:{_WORD})?\b(?:tempt\w*|(?:easy|natural|{_USUAL})\s+to\s+{_CHOOSE})",
    rf"\b(?:an?|the|one)\s+(?:{_WORD})?{_USUAL}\s+(?:{_WORD})?(?:answer|choice|pick|option|guess)\b",
    rf"{_IF}(?:{_NEAR}{_LETTER}|{_THAT}{_OPTION}\s+(?:is|was|were|looks?|seems?)\b)",
    rf"{_SUPPOSED_ZH}[^.,;:!?\n。]{{0,12}}?{_OPTION}",
)
_THOUGHT_OF = re.compile(f"(?:{'|'.join(_SUPPOSED)}){_REST}", re.IGNORECASE)
_TEMPTS = re.compile(
    rf"(?:\b(?:option|choice|answer)\s+)?{_OPTION}[)\]]?\s+(?:is|was|looks|seems|sounds|appears|may"
    rf"|might|would|could)\s+(?:{_ANY}){{0,3}}?(?:tempting|attractive|an?\s+(?:trap|distractor"
    rf"|{_USUAL}\s+(?:{_WORD})?(?:mistake|error|choice|answer|guess|pick)))\b{_REST}",
    re.IGNORECASE,
)
_CHOOSES = re.compile(
    r"(?P<lead>(?:(?<=[.,;:!?\n。])|^)[^.,;:!?\n。]*?)"
    r"\b(?:pick|choose|select|going\s+with|go\s+with|opt\s+for|say|guess|answer\s+with)"
    rf"{_THAT}{_OPTION}{_REST}(?P<asked>\?)?",
    re.IGNORECASE,
)
# Whose choice it is: an order, one's own, or what is best.
_OWN = re.compile(
    r"^\W*(?:\w{1,2}[.)]\s+)?(?:please\s+|just\s+|\w+ly\s+)*$"
    r"|\b(?:and|so|then|but|now|therefore|thus|hence|not|never|n't)\s+(?:\w+ly\s+)?$"
    r"|\bneedless\s+to\s+$|\b(?:must|should|ought|let's|let\s+(?:us|me)|(?:have|has|need|needs)\s+to)\b"
    r"|\b(?:best|better|right|correct|safe|safest|sense|wise|wiser)\b"
    r"|\b(?:I|we|you)(?:'(?:d|ll|m|re|ve))?(?:\s+(?:would|will|should|must|can|do|did|am|are|was|have"
    r"|had|to|need|want|going|think|guess|believe|decided?|inclined|tend|lean(?:ing)?|rather|also|still"
    r"|now|then|only|just|even|likely|so|that|I|we|might|may|could|not|never|n't|don't|\w+ly))*\s+$",
    re.IGNORECASE,
)
_RIGHTLY = re.compile(
    r"\b(?:correctly|rightly|are\s+(?:\w+\s+)?(?:right|correct))\b|正确地", re.IGNORECASE
)
_AGREES = re.compile(
    r"\bI\s+(?:\w+\s+)?agree\b|\b(?:they|he|she|people|this|that|which|and)(?:'re|'s|\s+(?:is|are))\s+"
    r"(?:also\s+|indeed\s+)?(?:right|correct|true)\b|\b(?:so|as)\s+(?:do|would)\s+I\b|\bme,?\s+too\b"
    r"|我(?:也)?同意|他们是对的",
    re.IGNORECASE,
)


def without_supposed(text: str) -> tuple[str, bool]:
    """A text without what it only supposes; and whether it agrees with what others choose.

    Options may stand there as letters or as characters of the private use area.
    """
    kept = _TEMPTS.sub(" ", _THOUGHT_OF.sub(_unless_right, text))
    kept = _CHOOSES.sub(_if_own, kept)
    return kept, kept != text and _AGREES.search(text) is not None


def _if_own(match: re.Match[str]) -> str:
    own = _OWN.search(match["lead"]) and not match["asked"]
    return match[0] if own else _unless_right(match)


def _unless_right(match: re.Match[str]) -> str:
    return match[0] if _RIGHTLY.search(match[0]) else " "
