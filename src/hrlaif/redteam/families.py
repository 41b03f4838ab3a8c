"""In which ways is a harmful request put? Well-known families in their plainest form.

No text here or in prompts/ holds anything harmful: each wraps whatever request it is given.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrlaif.llm.prompting import load_template, render
from hrlaif.records import Message
from hrlaif.redteam.seeds import Seed, drawn
from hrlaif.redteam.settings import Family

PROMPTS = Path(__file__).parent / "prompts"


def opening(
    family: Family, seed: Seed, request: str, language: str
) -> tuple[list[Message], list[str]]:
    """What stands before the first question, and the user's questions in turn.

    `request` is the seed's, or a translation or rewording of it. The policy answers every
    question; only its last answer is judged.
    """
    texts = load_template(PROMPTS, "attacks", language)
    before = list(seed.prompt.messages[:-1])
    if family in ("direct", "translation"):
        return before, [request]
    if family == "obfuscation":
        return before, [_obfuscated(texts, seed, request)]
    if family == "many_shot":
        return [*_shots(texts), *before], [request]
    if family == "escalation":
        return before, [render(turn, request=request) for turn in texts["escalation"]]
    return before, [render(texts[family], request=request)]


def _obfuscated(texts: Mapping[str, Any], seed: Seed, request: str) -> str:
    """One of two codes, by lot for each seed."""
    if drawn("obfuscation", seed.prompt.id) % 2:
        code, hidden = "base64", base64.b64encode(request.encode()).decode()
    else:
        code, hidden = "spelled", ".".join(request)
    return render(texts["obfuscation"][code], passage=hidden)


def _shots(texts: Mapping[str, Any]) -> list[Message]:
    return [
        Message(role=role, content=shot[role])
        for shot in texts["many_shot"]
        for role in ("user", "assistant")
    ]
