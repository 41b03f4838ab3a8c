"""Which category is a prompt of? A judge chooses where the source does not say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hrlaif.llm.prompting import (
    clip,
    fence_mark,
    load_template,
    render,
    transcript,
    with_options,
)
from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Choice, Prompt

MAX_CHARS = 2000
MASS_FLOOR = 0.05
"""A judge that gives all categories together less probability than this has chosen none."""
_ROLES = {"user": "Human", "assistant": "Assistant"}


def categorize(prompts: Sequence[Prompt], judge: LanguageModel) -> list[Prompt]:
    """The same prompts; those without a category get the most probable one, or stay without.

    Of a long prompt the judge reads the end, and no system turn. Of the same turns it is asked
    once: an id may stand for several prompts. Two that are equally probable are none.
    """
    shown = [with_options(p).messages for p in prompts]
    whose = list(zip(shown, prompts, strict=True))
    unknown = list(dict.fromkeys(turns for turns, p in whose if p.category is None))
    if not unknown:
        return list(prompts)
    texts = load_template(Path(__file__).parent, "categorize", "en")
    names = [c["name"] for c in texts["categories"]]
    letters = [chr(65 + n) for n in range(len(names))]
    pairs = zip(letters, texts["categories"], strict=True)
    options = "\n".join(f"{letter}. {c['name']}: {c['description']}" for letter, c in pairs)
    chats = []
    for turns in unknown:
        asked = [turn for turn in turns if turn.role != "system"] or turns
        text, _ = clip(transcript(asked, _ROLES), MAX_CHARS, keep="end")
        data = render(texts["sample"], prompt=text, mark=fence_mark(text), options=options)
        head = f"{texts['preamble'].strip()}\n{texts['data_note'].strip()}"
        chats.append(Chat.user(f"{head}\n\n{data.strip()}\n{texts['ending']}"))
    found = {}
    for turns, choice in zip(unknown, judge.choose(chats, letters), strict=True):
        if isinstance(choice, Choice) and choice.mass >= MASS_FLOOR:
            second, best = sorted(range(len(names)), key=choice.probabilities.__getitem__)[-2:]
            if choice.probabilities[second] < choice.probabilities[best]:
                found[turns] = names[best]
    return [
        p.model_copy(update={"category": found.get(turns)}) if p.category is None else p
        for turns, p in whose
    ]
