"""How would a judge fare without a defence? The same question asked as most tools ask it.

No fence round the data, nothing repeated after it, and the verdict read from what the judge writes
instead of from the probabilities of its labels. For measuring what the defence is worth; never for
labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import final

from pydantic import Field

from hrlaif.llm.prompting import clip, question_text
from hrlaif.messages import spoken
from hrlaif.protocols import LanguageModel
from hrlaif.records import (
    Abstention,
    Asked,
    Chat,
    Comparison,
    Completion,
    Evidence,
    Preference,
    Unanswered,
)
from hrlaif.settings import Settings

_VERDICT = re.compile(r"[12]")
TOKENS = 4
_ROLES = {"user": "User", "assistant": "Assistant"}


@final
class Undefended(Settings):
    """Plain texts one after another, and the first 1 or 2 that the judge writes."""

    max_chars: int = Field(default=8000, ge=100)
    """Longer prompts lose their beginning, longer responses their end."""

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """Both orders; a is preferred with 1, 0.5 or 0 when both, one or none of them says so."""
        chats = [self._question(side) for c in comparisons for side in (c, c.swapped())]
        written = judge.generate(chats, temperature=0.0, max_tokens=TOKENS)
        verdicts = [_read(answer) for answer in written]
        name = f"undefended/{judge.name}"
        return [
            _combined(c, verdicts[2 * n], verdicts[2 * n + 1], name)
            for n, c in enumerate(comparisons)
        ]

    def _question(self, comparison: Comparison) -> Chat:
        shown, _ = clip(question_text(comparison.prompt, _ROLES), self.max_chars, keep="end")
        texts = [spoken(side.text) for side in (comparison.a, comparison.b)]
        first, second = (clip(text, self.max_chars, keep="start")[0] for text in texts)
        text = (
            "Which of the two responses to the request is better? Answer with 1 or 2 only.\n\n"
            f"Request: {shown}\n\nResponse 1: {first}\n\nResponse 2: {second}\n\nAnswer: "
        )
        about = Asked(first=texts[0], second=texts[1], truth=comparison.gold_or_human)
        return Chat.user(text, about=about)


def _read(answer: Completion | Unanswered) -> float | str:
    """1 for the first, 0 for the second, or why there is no verdict."""
    if isinstance(answer, Unanswered):
        return answer.reason
    found = _VERDICT.search(answer.text)
    return "no verdict in what was written" if found is None else float(found[0] == "1")


def _combined(
    comparison: Comparison, first: float | str, second: float | str, labeler: str
) -> Preference | Abstention:
    for verdict in (first, second):
        if isinstance(verdict, str):
            return Abstention(comparison=comparison, labeler=labeler, reason=verdict)
    assert isinstance(first, float)
    assert isinstance(second, float)
    both = (first, 1.0 - second)
    evidence = Evidence(
        source="hard",
        prob_a_first=both[0],
        prob_a_second=both[1],
        flipped=both[0] != both[1],
    )
    return Preference(
        comparison=comparison, prob_a=sum(both) / 2, labeler=labeler, evidence=evidence
    )
