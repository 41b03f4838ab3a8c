"""Which letters are the options of a prompt, and which of them is its reference?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from hrlaif.checks.text import normal
from hrlaif.records import Prompt

IN_PROMPT = re.compile(r"(?<!\w)\(?([A-J])[).:](?=\s)")
"""The letter of an option that a prompt's text lists."""
_BOTH = re.compile(r"\(?([A-J])[).:]\s+(.+)")
_DRESS = re.compile(r"[*`_\"“”]")


def known_letters(prompt: Prompt) -> set[str]:
    """The letters of its options: of `choices`, else A to H, and on to J where its text lists all.

    `I` is a word, and the number of a statement: it is no option unless it stands in such a list,
    or is the reference.
    """
    if prompt.choices:
        return {chr(65 + n) for n in range(len(prompt.choices))}
    listed = {found for m in prompt.messages for found in IN_PROMPT.findall(m.content)}
    run = takewhile(listed.__contains__, "ABCDEFGHIJ")
    return {*"ABCDEFGH", *run, wanted_letter(prompt.reference_answer or "", ()) or "A"}


def wanted_letter(reference: str, choices: Sequence[str]) -> str | None:
    """The letter that a reference means: `B`, `(b)`, the option's own text, or both: `B. Paris`.

    None where it is no option, or is the letter of one and the text of another.
    """
    said = plain(reference).strip()
    texts = [plain(choice).strip() for choice in choices]
    by_text = chr(65 + texts.index(said)) if texts.count(said) == 1 else None
    if (both := _BOTH.fullmatch(said)) and by_text is None:
        return both[1] if both[2] in texts[ord(both[1]) - 65 :][:1] else None
    letter = said.strip("()[].: ").upper()
    if not re.fullmatch("[A-J]", letter) or ord(letter) - 65 >= (len(choices) or 10):
        return by_text
    return None if by_text not in (None, letter) else letter


def plain(text: str) -> str:
    """Without the dress that says nothing: bold, code, quotes, answer tags."""
    text = normal(text).replace("<answer>", "\nanswer: ").replace("</answer>", "\n")
    return _DRESS.sub("", text)
