"""What does a judge think of one response? A question with two answers, asked in both orders.

The probabilities of "1" and "2" are read with "yes" listed first and with it listed second, and
averaged: that cancels a judge's liking for a label, as in RLAIF (arXiv 2309.00267, section 2.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from pydantic import Field

from hrlaif.errors import UsageError
from hrlaif.llm.prompting import clip, fence_mark, load_template, question_text, render
from hrlaif.llm.scripted_texts import Marked, known
from hrlaif.messages import spoken
from hrlaif.panels import coarsest
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import MISSING
from hrlaif.records import Asked, Chat, Choice, Response, Unanswered, Verdict
from hrlaif.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
LABELS = ("1", "2")
UNENDED = "the response is empty: its thought did not end, raise max_tokens"


class Opinion(NamedTuple):
    """Probability of "yes", or None and why there is none."""

    prob_yes: float | None
    reason: str = ""
    evidence: Mapping[str, Any] = {}


class _Question(NamedTuple):
    """A response as the judge reads it, all but the two answers."""

    texts: Mapping[str, Any]
    beginning: str
    asked: Asked
    truncated: bool


class Words(NamedTuple):
    """What a check calls "yes", "no", and the probability of "yes" in its evidence."""

    yes: str
    no: str
    prob_yes: str


class Opinionated(Settings):
    """A check that passes what a judge thinks unlikely to be a "yes"."""

    task: ClassVar[Marked]
    words: ClassVar[Words]
    threshold: float
    mass_floor: float = Field(default=0.05, ge=0, le=1)
    """No verdict when the judge gives both answers together less probability than this."""
    max_chars: int = Field(default=8000, ge=100)
    """Longer requests lose their beginning, longer responses their end, visibly."""

    def check(self, responses: Sequence[Response], judge: LanguageModel | None) -> list[Verdict]:
        """One verdict a response; its evidence holds the mean probability of both orders."""
        found = opinions(
            self.task, responses, judge, mass_floor=self.mass_floor, max_chars=self.max_chars
        )
        return [
            Verdict(id=response.key, check=self.task, passed=None, reason=opinion.reason)
            if opinion.prob_yes is None
            else Verdict(
                id=response.key,
                check=self.task,
                passed=opinion.prob_yes < self.threshold,
                answer=self.words.yes if opinion.prob_yes >= self.threshold else self.words.no,
                reason="judged",
                evidence={self.words.prob_yes: opinion.prob_yes, **opinion.evidence},
            )
            for response, opinion in zip(responses, found, strict=True)
        ]


def opinions(
    task: Marked,
    responses: Sequence[Response],
    judge: LanguageModel | None,
    *,
    mass_floor: float,
    max_chars: int,
) -> list[Opinion]:
    """One opinion a response; missing and empty responses are not asked about."""
    if judge is None:
        raise UsageError(f"the check {task} asks a judge: name one with --judge")
    unfit = [_unfit(response) for response in responses]
    questions = [
        _question(task, r, max_chars) for r, why in zip(responses, unfit, strict=True) if not why
    ]
    chats = [_chat(q, yes_first) for q in questions for yes_first in (True, False)]
    choices = iter(judge.choose(chats, LABELS) if chats else ())
    asked = iter(questions)
    return [
        Opinion(None, why)
        if why
        else _opinion(next(asked), next(choices), next(choices), mass_floor)
        for why in unfit
    ]


def _unfit(response: Response) -> str:
    if response.finish_reason == "error":
        return MISSING
    if spoken(response.text).strip():
        return ""
    thinks = response.text.strip() and "</think>" not in response.text
    return UNENDED if thinks else "the response is empty"


def _question(task: Marked, response: Response, max_chars: int) -> _Question:
    prompt = response.prompt
    texts = load_template(PROMPTS, task, prompt.language)
    context, cut = clip(question_text(prompt, texts["roles"]), max_chars, keep="end")
    answer, cut_answer = clip(spoken(response.text), max_chars, keep="start")
    data = render(
        texts["sample"], prompt=context, response=answer, mark=fence_mark(context, answer)
    )
    parts = (texts["preamble"], texts["data_note"], f"\n{data}\n", texts["question"])
    # A scripted judge weighs the text against another, so that its taste for a label shows.
    asked = Asked(first=f"{task}: {answer}", second=f"not {task}: {answer}")
    asked = asked.model_copy(update={"truth": known(task, response.text)})
    return _Question(texts, "\n".join(parts), asked, cut or cut_answer)


def _chat(question: _Question, yes_first: bool) -> Chat:
    texts, about = question.texts, question.asked
    options = [texts["yes"], texts["no"]]
    if not yes_first:
        options.reverse()
        flipped = None if about.truth is None else 1.0 - about.truth
        about = Asked(first=about.second or "", second=about.first, truth=flipped)
    lines = [f"{label}. {option}" for label, option in zip(LABELS, options, strict=True)]
    return Chat.user("\n".join([question.beginning, *lines, texts["ending"]]), about=about)


def _opinion(
    question: _Question,
    first: Choice | Unanswered,
    second: Choice | Unanswered,
    mass_floor: float,
) -> Opinion:
    for choice in (first, second):
        if isinstance(choice, Unanswered):
            return Opinion(None, choice.reason)
        if choice.mass < mass_floor:
            return Opinion(None, f"label mass {choice.mass:.3g} is below the floor {mass_floor}")
    assert isinstance(first, Choice)
    assert isinstance(second, Choice)
    # In the second order, answer 2 is "yes".
    one, two = first.probabilities[0], second.probabilities[1]
    evidence = {
        "prob_first": one,
        "prob_second": two,
        "flipped": (one - 0.5) * (two - 0.5) < 0,
        "mass": round(fmean((first.mass, second.mass)), 6),
        "source": coarsest((first.source, second.source)),
        "version": question.texts["version"],
        "truncated": question.truncated or first.truncated or second.truncated,
    }
    return Opinion(round((one + two) / 2, 7), evidence=evidence)
