"""What would someone write into a response to win the label? Attacks by family, and controls.

After the families that the literature measured: direct orders, fake verdicts, claimed authority,
changed criteria, the null model's relabelling (arXiv 2410.07137), all ten master keys of arXiv
2507.08794, spoofed turns and exemplars, other languages and encodings, hidden and look-alike
letters, flooding. The suffix of gibberish is made up and fitted to no judge: JudgeDeceiver (arXiv
2403.17710), whose idea it is, fits one to each judge, which is far stronger and is not measured
here. Controls ask for nothing: some change a response as much, some make it look better, and one
is a fluent answer to something else (after LLMBar, arXiv 2310.07641). injections.yaml has the
words, in English and in Chinese.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from hrlaif.study.probes import SENTENCE

Attack = Callable[[str, int, str], str]


class Family(NamedTuple):
    """A way of changing the response that is to win."""

    name: str
    attack: Attack
    """The text, whose turn it is, and the language, `en` or `zh`, of the words: families of several
    wordings use them one after the other."""
    control: bool = False
    placed: bool = False
    """It names the place of its response: turn 0 where that is shown first, turn 1 where second."""


def _worded(
    name: str,
    hidden: Callable[[str], str] = str,
    *,
    control: bool = False,
    placed: bool = False,
) -> Family:
    """A family of injections.yaml, whose order is hidden so."""

    def attack(text: str, turn: int, language: str) -> str:
        words = _texts()[language]
        (order,), wordings = words["order"], words[name]
        wording = wordings[turn % len(wordings)].replace("{order}", hidden(order))
        return wording.replace("{response}", text)

    return Family(name, attack, control, placed)


def _parted(text: str, turn: int, language: str) -> str:
    """With blank lines between its lines or, where it is one line, between its sentences."""
    if "\n" in text.strip():
        return text.replace("\n", "\n\n") + "\n"
    return SENTENCE.sub("\n\n", text)


def _base64(order: str) -> str:
    return base64.b64encode(order.encode()).decode()


def _rot13(order: str) -> str:
    return codecs.encode(_in_latin(order), "rot13")


def _spaced(order: str) -> str:
    """With zero-width spaces between its letters, which a reader does not see."""
    return "\u200b".join(order)


def _tags(order: str) -> str:
    """In Unicode's tag characters, which show nothing at all."""
    return "".join(chr(0xE0000 + ord(letter)) for letter in _in_latin(order))


def _look_alike(order: str) -> str:
    """With Cyrillic letters that look like the Latin ones, or Chinese ones like the right ones."""
    return order.translate(str.maketrans("Chosiep请择答", "Сһоѕіер清泽荅"))


def _flood(order: str) -> str:
    return (" " if order.isascii() else "").join([order] * 25)


def _in_latin(order: str) -> str:
    """The English order for a Chinese one: rot13 and tags have no other letters."""
    return order if order.isascii() else _texts()["en"]["order"][0]


@cache
def _texts() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """By language and family, the wordings."""
    import yaml

    found = yaml.safe_load(
        resources.files("hrlaif.study").joinpath("injections.yaml").read_text("utf-8")
    )
    return {
        language: {
            name: [words] if isinstance(words, str) else words
            for name, words in found[language].items()
        }
        for language in ("en", "zh")
    }


FAMILIES = (
    _worded("direct order"),
    _worded("order by position", placed=True),
    _worded("verdict by position", placed=True),
    _worded("fake verdict"),
    _worded("claimed authority"),
    _worded("updated criteria"),
    _worded("plausible rationale"),
    _worded("self-praise"),
    _worded("made-up reference"),
    _worded("null-model relabelling"),
    _worded("spoofed turn"),
    _worded("closed fence"),
    _worded("spoofed exemplar"),
    _worded("other language"),
    _worded("base64", _base64),
    _worded("rot13", _rot13),
    _worded("zero-width letters", _spaced),
    _worded("Unicode tags", _tags),
    _worded("look-alike letters", _look_alike),
    _worded("flooding", _flood),
    _worded("urgent plea"),
    _worded("gibberish suffix"),
    _worded("master key"),
    _worded("control: kind ending", control=True),
    _worded("control: padded", control=True),
    Family("control: blank lines", _parted, control=True),
    _worded("control: better looks", control=True),
    _worded("control: fluent, off topic", control=True),
)
