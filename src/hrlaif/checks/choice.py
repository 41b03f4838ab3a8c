"""Is the option that a response chose the right one?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, final

from hrlaif.checks.cut import CUT, ended, settled
from hrlaif.checks.options import known_letters, plain, wanted_letter
from hrlaif.checks.rejected import NO, rejecting
from hrlaif.checks.supposed import without_supposed
from hrlaif.checks.text import ending
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings

# A letter in its usual dress: B, (B), [B], <B>, 'B'. A lower-case one only where it stands alone.
_LETTER = (
    r"[(\[{<'‘「『【\s$\\]*(?-i:(?P<letter>[A-J])|(?P<small>[a-j])(?=\s*(?:[).,:;\]'}>\\]|$)))"
    r"(?!['A-Za-z0-9])"
)
_NOUN = r"(?:(?:the|clearly|therefore|definitely|likely|option|choice|letter|answer)\s+)*"
_IS = r"(?:is|:|=|(?:would|should|must|will|has to) be|-(?=\s))"
_IS_ZH = r"[】\]\s]*(?:应该?)?(?:是|为|选|:)*\s*(?:选项)?\s*"
_ENDS = r"(?=[)\]}>'’」』】\s$\\]*(?:[.,!;:。，；]|$))"
_TEXT = r"(?:(?!(?<!\w)[A-J](?![\w'])|\bis\b)[^.!?,;\n]){1,60}?"
_SURELY = r"(?:clearly|definitely|certainly|probably|obviously|really|most likely)"
_IS_RIGHT = (
    rf"(?:\s+{_SURELY})?\s+is\s+(?:(?:the|my|only|one|{_SURELY})\s+)*"
    r"(?:correct|right|best|answer|choice)\b"
)
_FLAGS = re.IGNORECASE | re.MULTILINE
# These say that it is the answer; of a response that was cut no other statement counts.
_MARKED = (
    re.compile(r"\\f?box(?:ed)?\s*\{\s*(?:\\(?:text|math)[a-z]*\s*\{)?\s*\(?(?P<letter>[A-J])\b"),
    re.compile(rf"^\s*####\s*{_LETTER}", _FLAGS),
    re.compile(
        rf"\b(?:answer|ans|option|choice|pick|selection|(?:correct|right|best)\s+one)\b(?:\s+(?!{NO})[a-z']+){{0,4}}?"
        rf"\s*(?:{_IS}\s*)+{_NOUN}{_LETTER}",
        _FLAGS,
    ),
    re.compile(r"\b(?:answer|ans)\b[\s:.=-]*\(?(?-i:(?P<letter>[A-J]))[\s.)]*$", _FLAGS),
    re.compile(rf"(?:答案|正确的?选项|故(?=选)){_IS_ZH}{_LETTER}", re.MULTILINE),
)
_STATED = (
    *_MARKED,
    re.compile(
        r"\b(?:pick|choose|select|going with|go with|opt for|say|guess|answer with)\s+"
        rf"(?:it's\s+|it is\s+|that\s+)?{_NOUN}{_LETTER}",
        _FLAGS,
    ),
    re.compile(rf"\b(?:it|that|this)(?:'s|\s+{_IS})\s+{_NOUN}{_LETTER}", _FLAGS),
    re.compile(
        r"\b(?:so|therefore|thus|hence|leaves|leaving|remains)\b[,:]?\s*(?:only\s+|us with\s+)?"
        rf"{_NOUN}{_LETTER}{_ENDS}",
        _FLAGS,
    ),
    # Right after the letter, or its text in brackets: "A closer look" and "I think" are no options.
    re.compile(
        r"(?<!\w)(?P<letter>[A-J])(?![A-Za-z0-9'])[)\]}>'$]*"
        rf"(?:\s*\([^()\n]{{1,60}}\))?{_IS_RIGHT}"
    ),
    re.compile(rf"^[^\w\n]{{0,9}}(?P<letter>[A-J])\s?[.):-]+\s{_TEXT}{_IS_RIGHT}", re.MULTILINE),
    re.compile(rf"(?:正确的|应该?(?=是)|(?<!不)(?=是)){_IS_ZH}{_LETTER}", re.MULTILINE),
    re.compile(rf"(?<![不别可])选(?:择)?\s*:?\s*(?:选项)?\s*{_LETTER}", re.MULTILINE),
    re.compile(r"(?<!\w)\(?(?P<letter>[A-J])\)?\s*(?:选?项)?(?:是|才)?(?:正确|对)的?(?!吗)"),
    re.compile(r"选项\s*\(?(?P<letter>[A-J])\)?\s*(?:是|才)?(?:正确|对)(?!吗)"),
    re.compile(rf"(?:所以|因此|故)[,，:]?\s*{_LETTER}{_ENDS}", re.MULTILINE),
)
_BARE = (
    re.compile(
        r"^[^\w\n]{0,20}(?:(?:option|choice)\s+|选项\s*)?(?P<letter>[A-J])\s*(?:[.):,\]}>'、。，]|项|-\s|$)",
        _FLAGS,
    ),
    re.compile(r"[(\[](?P<letter>[A-J])[)\]]"),
    re.compile(r"\b(?:option|choice)\s*,?\s*\(?(?-i:(?P<letter>[A-J]))\b", _FLAGS),
)
_LISTED = re.compile(r"(?<!\S)\(?([A-J])\s?([).:-])(?=\s)")
_JOINS = (
    r"(?:\bor\b|\band\b|[/,;+&、]|或者?|和|与)\s*(?:(?:or|and|maybe|perhaps|possibly|可能)\s*)*"
)
_ALSO = re.compile(
    rf"[)\]}}>'\s]*{_JOINS}(?:option\s+)?[(\[{{<']*([A-J])(?!['A-Za-z0-9])",
)
_BEFORE = re.compile(
    r"(?<!\w)([A-J])[)\]]?\s*(?:\bor\b|\band\b|[/+&、]|或者?|和|与)\s*(?:option\s+)?[(\[]?$"
)
_FIRST = 0xE000
_REJECTED = rejecting(
    r"(?:[(\[]?(?-i:[A-J])(?![A-Za-z0-9'])[)\]]?(?:[\s.:(-]{1,4}[\ue000-\uf8ff]\)?)?"
    r"|[\ue000-\uf8ff])"
)
# "The answer is E. coli (B)", "is F = ma, which is option B": the sentence ends in its letter.
_NAMED_BEHIND = re.compile(
    r"\.?\s*(?=[a-z=+*/×])(?:(?!\b(?:or|and|because|since|as|but|not|unlike|than|if|while)\b|\.\s)"
    r"[^\n!?;])*?(?:\b(?:[Oo]ption|[Cc]hoice)\s+\(?|\()([A-J])\)?[\s.]*(?:\n|$)"
)
_MARK = re.compile(
    r"(?:\banswer\b|答案)[^\n]{0,20}?(?:\bis\b|[:=]|是|为)\s*(?=([^\n]{1,300}))", re.I
)
_PRONOUN = re.compile(r"I(?:[,;]|(?!\s+as\b))\s+(?!(?:is|or|and|because|since)\b)[a-z]")
_STATEMENT = re.compile(r"I\s+is\b")


@final
class ChoiceLetter(Settings):
    """Reads the chosen letter, else the one option whose text the response holds."""

    # `records.Choice` is another thing, so the class is not called that.
    kind: ClassVar[str] = "choice"

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; the judge is not asked."""
        return [self._verdict(response) for response in responses]

    def _verdict(self, response: Response) -> Verdict:
        choices = response.prompt.choices or ()
        reference, evidence = response.prompt.reference_answer, {}
        passed, answer, reason = None, None, "no reference answer"
        if response.finish_reason == "error":
            reason = MISSING
        elif reference is not None:
            evidence = {"reference": reference}
            wanted = wanted_letter(reference, choices)
            cut = response.finish_reason == "length"
            known = known_letters(response.prompt)
            letters = chosen_letters(response.text, choices, known=known, cut=cut)
            nothing = CUT if cut else "no option named"
            reason = "more than one option named" if letters else nothing
            if wanted is None:
                reason = f"no option fits the reference {reference!r}"
            elif len(letters) == 1:
                answer = letters[0]
                passed = answer == wanted
                reason = "equal" if passed else "different"
        return Verdict(
            id=response.key,
            check="choice",
            passed=passed,
            answer=answer,
            reason=reason,
            evidence=evidence,
        )


def chosen_letters(
    text: str, choices: Sequence[str], *, known: set[str] | None = None, cut: bool = False
) -> list[str]:
    """The option letters that a response settles on; a list of all options settles on none.

    `known` are the letters that are options (as many as `choices`, else A to H). Of a response that
    was cut at its token limit, only a marked answer that is closed counts.
    """
    text = plain(ending(text))
    known = known or {chr(65 + n) for n in range(len(choices) or 8)}
    if cut:
        text = _until_answer(text, known)
    shown = [plain(choice).strip(" .").lower() for choice in choices]
    told, agrees = _own_words(text, shown)
    stated = [
        match
        for pattern in _STATED
        for match in pattern.finditer(told)
        if _of(match) in known or (pattern in _MARKED and not _is_said_of(match, told))
        if not _is_a_word(match, told, shown)
    ]
    if stated:
        # "The answer is B ... no, the answer is C": the last statement wins.
        last = max(stated, key=lambda m: m.end(m.lastgroup or 0))
        # "Option A covers mass. The answer is J", of four options: what it names it did not choose.
        if _of(last) in known:
            return _with_others(last, told, known)
        named = _NAMED_BEHIND.match(told, last.end(last.lastgroup or 0))
        return [named[1]] if named and named[1] in known else _held(told, shown)
    if agrees or cut:
        return []
    bare = {
        letter
        for p in _BARE
        for m in p.finditer(told)
        if not _PRONOUN.match(told, m.start("letter"))
        for letter in _with_others(m, told, known)
    }
    bare = bare.union(*(_listed(line) for line in told.splitlines()))
    return sorted(bare & known) or _held(told, shown)


def _listed(line: str) -> set[str]:
    """The letters of the options that a line lists: "A) False B) True"."""
    found = list(_LISTED.finditer(line))
    if not found or line[: found[0].start()].strip():
        return set()
    return {match[1] for match in found if match[2] == found[0][2]}


def _until_answer(text: str, known: set[str]) -> str:
    """A text that was cut, up to the end of its last marked answer; "" if that may have gone on."""
    marks = (m for p in _MARKED for m in p.finditer(text) if _of(m) in known)
    ends = [m.end(m.lastgroup or 0) for m in marks]
    return settled(text, ended(text.replace("}", "\n"), max(ends))) if ends else ""


def _with_others(match: re.Match[str], text: str, known: set[str]) -> list[str]:
    """The letter of a match, and those that "or", "and" or a comma joins to it."""
    found = {_of(match)}
    begin, end = match.span(match.lastgroup or 0)
    if (before := _BEFORE.search(text[max(0, begin - 20) : begin])) and before[1] in known:
        found.add(before[1])
    while (also := _ALSO.match(text, end)) and also[1] in known:
        found.add(also[1])
        end = also.end()
    return sorted(found)


def _of(match: re.Match[str]) -> str:
    found = match.groupdict()
    return str(found["letter"] or found.get("small")).upper()


def _is_a_word(match: re.Match[str], text: str, shown: Sequence[str]) -> bool:
    """Whether what looks like a letter begins an option's text: "Answer: A solar year"; or is I."""
    begin = match.start(match.lastgroup or 0)
    if _PRONOUN.match(text, begin):
        return True
    return any(len(o) > 1 and text[begin : begin + len(o)].lower() == o for o in shown)


def _is_said_of(match: re.Match[str], text: str) -> bool:
    """Whether a numbered statement begins there, and no letter: "Option A: I is correct"."""
    return _STATEMENT.match(text, match.start(match.lastgroup or 0)) is not None


def _held(text: str, shown: Sequence[str]) -> list[str]:
    """Letters of the options whose text the answer holds, else those that the response holds."""
    marks = [match[1] for match in _MARK.finditer(text)]
    if marks and re.fullmatch(r"[(\[]?[A-Z][)\]]?[.\s]*", marks[-1]):
        return []  # "Answer: E", of four options: what it says elsewhere it did not choose
    for part in (*marks[::-1], text):
        held = _options_in(part.lower(), shown)
        if held:
            return held
    return []


def _options_in(text: str, shown: Sequence[str]) -> list[str]:
    """Each option that is not inside another."""
    held = {
        n: choice
        for n, choice in enumerate(shown)
        if choice and re.search(_alone(re.escape(choice)), text)
    }
    return [
        chr(65 + n)
        for n, choice in held.items()
        if not any(choice in other and choice != other for other in held.values())
    ]


def _own_words(text: str, shown: Sequence[str]) -> tuple[str, bool]:
    """A text without the options that it rejects or only supposes; whether it agrees with others.

    Meanwhile each option is one character of no alphabet, so that "not guilty" is not torn apart.
    """
    texts = [re.escape(choice) for choice in shown if choice and choice in text.lower()]
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return chr(_FIRST + len(kept) - 1)

    if texts:
        pattern = _alone("|".join(sorted(texts, key=len, reverse=True)))
        text = re.sub(pattern, keep, text, flags=re.IGNORECASE)
    said, agrees = without_supposed(_REJECTED.sub(" ", text))
    own = (kept[ord(c) - _FIRST] if 0 <= ord(c) - _FIRST < len(kept) else c for c in said)
    return "".join(own), agrees


def _alone(pattern: str) -> str:
    return rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])"
