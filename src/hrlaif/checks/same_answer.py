"""Does a response settle on the reference answer? A judge decides, for answers no rule can read.

HRLAIF (arXiv 2403.08309) verifies final answers before it labels; its question is not public, so
the wording is ours. Both orders are asked: a judge that follows the position has said nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from pydantic import Field

from hrlaif.checks.cut import CUT
from hrlaif.checks.marks import until_answer
from hrlaif.checks.text import ending, normal
from hrlaif.errors import UsageError
from hrlaif.llm.prompting import clip, fence_mark, load_template, question_text, render
from hrlaif.messages import spoken
from hrlaif.panels import coarsest
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Asked, Chat, Choice, Response, Unanswered, Verdict
from hrlaif.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
LABELS = ("1", "2")


@final
class SameAnswer(Settings):
    """Asks a judge whether the response and the reference mean the same, in both orders."""

    margin: float = Field(default=0.0, ge=0, lt=0.5)
    """No verdict when the mean probability is nearer to one half than this."""
    mass_floor: float = Field(default=0.05, ge=0, le=1)
    """No verdict when the judge gives both labels together less probability than this."""
    max_chars: int = Field(default=8000, ge=100)
    """Longer prompts and responses lose their beginning, visibly: answers stand at the end."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; two calls each, unless it is the reference to the letter."""
        if judge is None:
            raise UsageError("same_answer needs a judge: name one, such as --judge packaged:NAME")
        known = [_without_asking(response) for response in responses]
        chats = [
            self._question(response, swapped)
            for response, verdict in zip(responses, known, strict=True)
            if verdict is None
            for swapped in (False, True)
        ]
        told = iter(judge.choose(chats, LABELS))
        return [
            self._verdict(response, next(told), next(told)) if verdict is None else verdict
            for response, verdict in zip(responses, known, strict=True)
        ]

    def _question(self, response: Response, swapped: bool) -> Chat:
        prompt, reference = response.prompt, response.prompt.reference_answer or ""
        texts = load_template(PROMPTS, "same_answer", prompt.language)
        context, _ = clip(question_text(prompt, texts["roles"]), self.max_chars, keep="end")
        given, _ = clip(spoken(response.text), self.max_chars, keep="end")
        first, second = (given, reference) if swapped else (reference, given)
        mark = fence_mark(context, first, second)
        data = render(texts["sample"], prompt=context, first=first, second=second, mark=mark)
        head = f"{texts['preamble'].strip()}\n{texts['data_note'].strip()}"
        text = f"{head}\n\n{data.strip()}\n{texts['reminder'].strip()}\n{texts['ending']}"
        # For scripted judges: the reference stands in the response, to the letter.
        truth = float(normal(reference).lower() in normal(response.text).lower())
        return Chat.user(text, about=Asked(first=first, second=second, truth=truth))

    def _verdict(
        self, response: Response, first: Choice | Unanswered, second: Choice | Unanswered
    ) -> Verdict:
        told = []
        for choice in (first, second):
            if isinstance(choice, Unanswered):
                return _told(response, None, choice.reason)
            if choice.mass < self.mass_floor:
                reason = f"label mass {choice.mass:.3g} is below the floor {self.mass_floor}"
                return _told(response, None, reason)
            told.append(choice)
        orders = [round(choice.probabilities[0], 6) for choice in told]
        same = sum(orders) / 2
        evidence = {
            "source": coarsest(choice.source for choice in told),
            "mass": round(sum(choice.mass for choice in told) / 2, 6),
            "same_reference_first": orders[0],
            "same_response_first": orders[1],
            "confidence": round(max(same, 1.0 - same), 6),
        }
        if (orders[0] - 0.5) * (orders[1] - 0.5) <= 0:
            return _told(response, None, "the judge's two orders disagree", **evidence)
        if abs(same - 0.5) < self.margin:
            return _told(response, None, f"nearer to one half than {self.margin:g}", **evidence)
        return _told(response, same > 0.5, "same" if same > 0.5 else "different", **evidence)


def _without_asking(response: Response) -> Verdict | None:
    """What needs no judge: nothing to compare with, nothing said, or the same text."""
    reference = response.prompt.reference_answer
    if reference is None:
        return _told(response, None, "no reference answer")
    if response.finish_reason == "error":
        return _told(response, None, MISSING)
    if response.finish_reason == "length" and not until_answer(ending(response.text)):
        return _told(response, None, CUT)
    given, wanted = normal(spoken(response.text)).strip(), normal(reference).strip()
    if not any(character.isalnum() for character in given):
        return _told(response, None, "no answer in the response")
    return _told(response, True, "the same text", source="hard") if given == wanted else None


def _told(response: Response, passed: bool | None, reason: str, **evidence: object) -> Verdict:
    reference = response.prompt.reference_answer
    beside = {} if reference is None else {"reference": reference}
    return Verdict(
        id=response.key,
        check="same_answer",
        passed=passed,
        reason=reason,
        evidence={**beside, **evidence},
    )
