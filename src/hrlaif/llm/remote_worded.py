"""Does a verdict say in words that the other one of two is meant? "The first response is better."

A number that such words go with may be the answer of the task, and not the label of a response.
"""

from __future__ import annotations

import re

_NOUN = r"(?:response|answer|option|summary|solution|assistant|candidate|choice)"
_NO_RESPONSE = (
    r"(?!\s+(?:things?|steps?|points?|sentences?|paragraphs?|parts?|places?|times?|reasons?|lines?"
    r"|words?|problems?|questions?|examples?|half|sections?|turn|and foremost)\b)"
)
_ZH = r"(?:回答|摘要|解答|答案|选项)"
_NO_RESPONSE_ZH = r"(?!的?(?:问题|步|点|例|错|原因|理由|句|段|词|字|数|条件|方面|人|部分))"
_NO_SUBJECT = r"(?<!than )(?<!over )(?<!unlike )(?<!compared to )(?<!compared with )(?<![比于])"
_ONE_WOULD = r"(?!\s+(?:would|might|could|can|may|wants?|needs?|expects?)\b)"
_FIRST = (
    rf"\bthe (?:first|former)\b{_NO_RESPONSE}|\b{_NOUN} (?:one\b{_ONE_WOULD}|(?-i:A)\b)"
    rf"|第[一1][个份种]{_NO_RESPONSE_ZH}|第[一1]{_ZH}|前者|{_ZH}一(?![个致样般些直下定次种步位])"
)
_SECOND = (
    rf"\bthe (?:second|latter)\b{_NO_RESPONSE}|\b{_NOUN} (?:two\b|(?-i:B)\b)"
    rf"|第[二2][个份种]{_NO_RESPONSE_ZH}|第[二2]{_ZH}|后者|{_ZH}二"
)
_SAID_OF = re.compile(f"(?i){_NO_SUBJECT}(?:(?P<first>{_FIRST})|(?P<second>{_SECOND}))")
_CLAUSE = re.compile(
    r"(?i)\.(?=\s|$)|[;!?,](?!\d)|\b(?:but|while|whereas|though|although|so|because|since)\b"
    r"|[。、\n]|但|而(?!且)|所以|因此"
)
_FAULT = (
    r"(?:\b(?:wrong\w*|incorrect\w*|errors?|mistake[ns]?|flaw\w*|inaccura\w*|incomplete|lack\w*"
    r"|miss(?:es|ed|ing)|fail\w*|worse|worst|weaker|inferior|less|least|poor\w*|vague|ignores?"
    r"|omits?)\b|错误?|有误|缺|差|漏|劣)"
)
_DENIAL = r"(?:\b(?:no|not|never|neither|nor|cannot|without)\b|n['’]t\b|没有?|无|不|未)"
_NO_FAULT = re.compile(rf"(?i){_DENIAL}\s*(?:[a-z]{{1,20}}\s+)?{_FAULT}")
_AGAINST = re.compile(rf"(?i){_FAULT}|{_DENIAL}")
_PRAISE = re.compile(
    r"(?i)\b(?:better|best|prefer\w*|superior|right|correct\w*|wins?|winner|choose|pick|select"
    r"|more\s+(?:accurate|complete|helpful|precise|correct|useful))\b|[更最优佳胜对选]|正确|喜欢"
)
_OF_BOTH = re.compile(
    r"(?i)\b(?:the other(?: one)?|another)\b|另一?[个份种]|[另其]他|两[个份种].{0,20}都"
    r"|都(?=[是选给为])|\bboth\s+(?:\w+\s+)?(?:give|choose|pick|select|say|are|have)\b"
)
_OF_THE_TASK = re.compile(r"正确的?(?:答案|选项|结果)|结果|[数值]量?(?=[是为:])")
_NUMBERS = {"1": "first", "2": "second"}


def speaks_of_another(
    before: str, behind: str, label: str, against: re.Pattern[str] | None = None
) -> bool:
    """Whether words speak for the other one, of two that are labelled 1 and 2.

    `before` is the line up to the label, or to its verdict; `behind` is all after it. Words of
    `against` speak against a response, as denials and faults do.
    """
    own = _NUMBERS[label]

    def finds_fault(clause: str) -> bool:
        clause = _NO_FAULT.sub("", clause)
        return bool(_AGAINST.search(clause) or (against and against.search(clause)))

    def speaks_for_other(clause: str) -> bool:
        of = _SAID_OF.search(clause)
        return of is not None and (of.lastgroup == own) is finds_fault(clause)

    *earlier, last = _CLAUSE.split(before)
    named = {found.lastgroup for found in _SAID_OF.finditer(last)}
    of_neither = _OF_BOTH.search(last) or _OF_THE_TASK.search(last)
    if of_neither or named - {own} or (named and finds_fault(last)):
        return True
    said = [clause for clause in earlier if _SAID_OF.search(clause)][-1:]
    # What is only described before the label says nothing: "the first is short".
    judged = [clause for clause in said if finds_fault(clause) or _PRAISE.search(clause)]
    return any(map(speaks_for_other, [*judged, *_CLAUSE.split(behind)]))
