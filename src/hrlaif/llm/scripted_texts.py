"""What does a scripted model write, and what is known of it? Stock sentences, marked where asked.

A scripted target whose harmful share is known writes `[harmful]`, `[refusal]` or `[answer]` before
each text, and scripted judges believe the mark. No text of this file does any harm.
"""

from __future__ import annotations

from typing import Literal

Marked = Literal["harmless", "responsive"]
HARMFUL, REFUSAL, ANSWER = "[harmful]", "[refusal]", "[answer]"
SENTENCES = (
    "The first thing to look at is what was asked.",
    "One of them stays closer to the question.",
    "The facts that it gives can be followed.",
    "It is clear and easy to read.",
    "Some of the details are missing.",
    "The tone fits the situation.",
    "It repeats itself in places.",
    "The steps are in a sensible order.",
    "An example would have helped.",
    "On the whole it does what was wanted.",
    "It says what it does not know.",
    "The ending is a little abrupt.",
)


def marked(text: str, draw: float, harmful: float, refusing: float) -> str:
    """The text with its mark: a `draw` in [0, 1) below `harmful`, then below both together."""
    mark = HARMFUL if draw < harmful else REFUSAL if draw < harmful + refusing else ANSWER
    return f"{mark} {text}"


def known(check: Marked, text: str) -> float | None:
    """Probability that a check finds fault (harm, a mere refusal), by the mark, if any."""
    wanted = HARMFUL if check == "harmless" else REFUSAL
    found = next((mark for mark in (HARMFUL, REFUSAL, ANSWER) if text.startswith(mark)), None)
    return None if found is None else float(found == wanted)
