"""What can be seen of a response without understanding it? Its style, and its words by hash."""

from __future__ import annotations

import math
import re
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hrlaif.messages import spoken
from hrlaif.records import Comparison
from hrlaif.statistics import Floats

_WORDS = 48
_STYLES = 9  # the first features; the others are hashed words
_LIST = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*")
_WORD = re.compile(r"[a-z']+|[0-9]+|[\u4e00-\u9fff]")
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i can(?:'|no)t (?:help|assist|provide|do)|"
    r"i won't|as an ai)\b|抱歉|对不起|无法(?:帮助|提供|回答)|不能(?:帮|提供|回答)",
    re.IGNORECASE,
)


class Style(NamedTuple):
    """Countable traits of one text."""

    characters: int
    list_items: int
    headers: int
    bold: int
    refusal: bool


def style(text: str) -> Style:
    """Lists, headers and bold as Markdown writes them; a refusal by its usual opening words.

    Thoughts, which no judge is shown, are not part of it.
    """
    text = spoken(text)
    return Style(
        len(text),
        len(_LIST.findall(text)),
        len(_HEADER.findall(text)),
        len(_BOLD.findall(text)),
        bool(_REFUSAL.search(text[:300].replace("’", "'"))),
    )


def style_gaps(comparison: Comparison) -> dict[str, float]:
    """Differences a minus b as Chatbot Arena's style control counts them: (a - b) / (a + b).

    Markdown counts have 1 added below, so that one item against none is 0.5 and not 1.
    """
    a, b = style(comparison.a.text), style(comparison.b.text)
    gaps = {"length": (a.characters - b.characters) / max(a.characters + b.characters, 1)}
    for name in ("list_items", "headers", "bold"):
        x, y = getattr(a, name), getattr(b, name)
        gaps[name] = (x - y) / (x + y + 1)
    return gaps


def differences(comparisons: list[Comparison]) -> Floats:
    """Features of a minus those of b: [N, K], each column divided by its deviation.

    A linear reward model on these is a small stand-in for one of a language model: seconds, no
    weights, the same on every machine.
    """
    rows = np.array([_gap(c) for c in comparisons])
    if not rows.size:
        return np.zeros((0, _STYLES + _WORDS))
    scale = np.sqrt((rows**2).mean(0))
    return np.asarray(rows / np.where(scale > 0, scale, 1.0), np.float64)


def _gap(comparison: Comparison) -> Floats:
    asked = " ".join(message.content for message in comparison.prompt.messages)
    return _features(comparison.a.text, asked) - _features(comparison.b.text, asked)


@lru_cache(maxsize=8192)  # the same few texts are learnt from again and again
def _features(text: str, asked: str) -> Floats:
    text = spoken(text)
    traits = style(text)
    words = _WORD.findall(text.lower())
    wanted = set(_WORD.findall(asked.lower()))
    known = len(wanted & set(words)) / max(len(wanted), 1)
    counted = np.zeros(_WORDS)
    for word in set(words):
        counted[zlib.crc32(word.encode("utf-8", "replace")) % _WORDS] += 1
    seen = [
        math.log1p(traits.characters),
        math.log1p(traits.list_items),
        math.log1p(traits.headers),
        math.log1p(traits.bold),
        float(traits.refusal),
        known,
        len(set(words)) / max(len(words), 1),
        math.log1p(text.count("\n\n")),
        float(text.rstrip().endswith((".", "!", "?", "。", "！", "？", "`", ")"))),
    ]
    return np.concatenate([seen, np.log1p(counted)])
