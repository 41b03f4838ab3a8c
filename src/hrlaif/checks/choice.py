"""Is the option that a response chose the right one?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, final

from hrlaif.checks.text import normal
from hrlaif.protocols import LanguageModel
from hrlaif.records import Response, Verdict
from hrlaif.settings import Settings

# A letter in its usual dress: B, (B), [B], *B*, "B". A lower-case one only where it stands alone.
_LETTER = (
    r"[(\[*\"'`$]*(?-i:(?P<letter>[A-J])|(?P<small>[a-j])(?=\s*(?:[).,:;\]*\"'`]|$)))"
    r"(?!['A-Za-z0-9_])"
)
_STATED = (
    re.compile(r"\\boxed\{\s*(?:\\(?:text|mathrm|textbf)\{)?\s*\(?(?P<letter>[A-J])\b"),
    re.compile(
        r"\b(?:answer|option|choice)\s*(?:is|:|=|would be|should be|must be)+\s*"
        rf"(?:clearly\s+|therefore\s+)?(?:the\s+)?(?:option\s+|choice\s+|letter\s+)?{_LETTER}",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"\b(?:answer|ans)\b[\s:.=-]*\(?(?-i:(?P<letter>[A-J]))[\s.)*]*$", re.I | re.M),
    re.compile(
        r"(?<!not )(?<!n't )\b(?:pick|choose|select|go with|opt for)\s+"
        rf"(?:option\s+|choice\s+|answer\s+|letter\s+)?{_LETTER}",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(
        r"(?<!\w)\(?(?P<letter>[A-J])\)?\s+is\s+(?:(?:the|only|clearly|most likely)\s+)*"
        r"(?:correct|right|best|answer)\b"
    ),
    re.compile(
        rf"(?:答案|正确选项|正确的选项|正确的)\s*(?:应该|应)?(?:是|为|选|:)*\s*(?:选项)?\s*{_LETTER}",
        re.MULTILINE,
    ),
    re.compile(rf"(?<![不别可])选(?:择)?\s*(?:选项)?\s*{_LETTER}", re.MULTILINE),
    re.compile(r"(?<!\w)\(?(?P<letter>[A-J])\)?\s*(?:选?项)?(?:是|才)?(?:正确|对)的?(?!吗)"),
)
_BARE = (
    re.compile(
        r"^\W*(?:(?:option|choice)\s+|选项\s*)?(?P<letter>[A-J])\s*(?:[.):,\]*]|$)",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(r"[(\[](?P<letter>[A-J])[)\]]"),
)
_ALSO = re.compile(r"[)\]*\"'`]*\s*(?:or|and|/|,|或者?|和|、)\s*[(\[*]*([A-J])(?!['A-Za-z0-9_])")


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
        if reference is not None:
            evidence = {"reference": reference}
            wanted = _wanted(reference, choices)
            letters = chosen_letters(response.text, choices)
            reason = "no option named" if not letters else "more than one option named"
            if wanted is None:
                reason = f"the reference {reference!r} is no option"
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


def chosen_letters(text: str, choices: Sequence[str]) -> list[str]:
    """The option letters that a response settles on; a list of all options settles on none."""
    text = normal(text)
    # Without the options, A to H: "I" is a word.
    known = {chr(65 + n) for n in range(len(choices) or 8)}
    stated = [m for p in _STATED for m in p.finditer(text) if _of(m) in known]
    if stated:
        # "The answer is B ... no, the answer is C": the last statement wins.
        last = max(stated, key=lambda m: m.end())
        also = _ALSO.match(text, last.end())
        return sorted({_of(last), also[1]}) if also and also[1] in known else [_of(last)]
    bare = {_of(m) for p in _BARE for m in p.finditer(text)} & known
    return sorted(bare) or _held(text, choices)


def _of(match: re.Match[str]) -> str:
    found = match.groupdict()
    return str(found["letter"] or found.get("small")).upper()


def _held(text: str, choices: Sequence[str]) -> list[str]:
    """Letters of the options whose whole text stands in the response, each not inside another."""
    shown = [normal(choice).strip().lower() for choice in choices]
    held = {
        n: choice
        for n, choice in enumerate(shown)
        if choice and re.search(rf"(?<![a-z0-9]){re.escape(choice)}(?![a-z0-9])", text.lower())
    }
    return [
        chr(65 + n)
        for n, choice in held.items()
        if not any(choice in other and choice != other for other in held.values())
    ]


def _wanted(reference: str, choices: Sequence[str]) -> str | None:
    """The letter that a reference means: `B`, `(b)`, or the option's own text."""
    plain = normal(reference).strip()
    texts = [normal(choice).strip() for choice in choices]
    if texts.count(plain) == 1:
        return chr(65 + texts.index(plain))
    letter = plain.strip("()[].: ").upper()
    return letter if re.fullmatch("[A-J]", letter) else None
