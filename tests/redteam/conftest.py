"""A target and a writer that say what a test tells them to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hrlaif.llm import Scripted
from hrlaif.records import (
    Chat,
    Choice,
    Completion,
    Message,
    Prompt,
    Unanswered,
)
from hrlaif.redteam import Seed


class Told:
    """Writes what `say` makes of a chat, and keeps the chats; judges as a Scripted would."""

    chunk = 8

    def __init__(self, say: Callable[[Chat], str | Unanswered], judge: Any = None, name="told"):
        self.say, self.chats, self.name = say, [], name
        self.judge = judge or Scripted(accuracy=1.0)

    def generate(self, chats: Sequence[Chat], **how: Any) -> list[Completion | Unanswered]:
        self.chats += chats
        said = [self.say(chat) for chat in chats]
        return [s if isinstance(s, Unanswered | Completion) else Completion(text=s) for s in said]

    def choose(
        self, chats: Sequence[Chat], choices: Sequence[str], *, seed: int = 0
    ) -> list[Choice | Unanswered]:
        return self.judge.choose(chats, choices, seed=seed)


def seed(number=0, text=None, hazard="fraud", language="en", harmful=True):
    turns = (Message(role="user", content=text or f"Request number {number}, please."),)
    prompt = Prompt(id=f"s{number}", messages=turns, language=language, harmful=harmful)
    return Seed(prompt, hazard)


@pytest.fixture
def seeds():
    """20 harmful seeds of 4 hazards."""
    return [seed(n, hazard=f"hazard {n % 4}") for n in range(20)]


@pytest.fixture
def benign():
    """12 benign seeds."""
    return [seed(n + 100, hazard="same_word", harmful=False) for n in range(12)]
