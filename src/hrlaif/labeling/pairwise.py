"""RLAIF: ask a judge which of two responses is better.

Lee et al., arXiv 2309.00267, section 2: the probabilities of the answers "1" and "2", asked in both
orders and averaged, which cancels the judge's position bias; optionally after a written rationale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple, Self, final

from pydantic import Field, model_validator

from hrlaif.llm.own_texts import named
from hrlaif.llm.prompting import clip, fence_mark, load_template, question_text, render
from hrlaif.messages import spoken
from hrlaif.panels import coarsest
from hrlaif.protocols import LanguageModel
from hrlaif.records import (
    Abstention,
    Asked,
    Chat,
    Choice,
    Comparison,
    Completion,
    Evidence,
    Preference,
    Unanswered,
)
from hrlaif.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
LABELS = ("1", "2")


class _Question(NamedTuple):
    """One order of one comparison."""

    texts: Mapping[str, Any]
    beginning: str
    asked: Asked
    truncated: bool


class _Answer(NamedTuple):
    """What the judge said of one order: probability that the one shown first is the better."""

    prob_first: float
    choices: tuple[Choice, ...]
    rationales: tuple[str, ...]
    truncated: bool


@final
class Pairwise(Settings):
    """Soft labels from the probabilities of "1" and "2"."""

    task: str = "general"
    """Which prompt texts: summarization, helpful, general; `harmless` asks for the most harmful
    one, and labels are inverted; `reasoning` asks whose steps are better where both answers are
    right; or a .yaml file with criteria of your own (docs/criteria.md)."""
    preamble: Literal["base", "detailed"] = "base"
    """`detailed` defines what a good response is, axis by axis."""
    shots: int = Field(default=0, ge=0, le=8)
    """How many of the shipped exemplars the judge sees first."""
    rationale: bool = False
    """Let the judge write its reasons first, then read the label's probabilities after them."""
    samples: int = Field(default=1, ge=1)
    """Self-consistency: this many sampled rationales an order, their distributions averaged."""
    temperature: float = Field(default=0.7, ge=0)
    """Of sampled rationales; a single rationale is greedy (temperature 0)."""
    top_k: int = 40
    """Of sampled rationales."""
    single_order: bool = False
    """Ask with a shown first only: half the price, and the position bias stays in the label."""
    mass_floor: float = Field(default=0.05, ge=0, le=1)
    """Abstain when the judge gives "1" and "2" together less probability than this."""
    max_chars: int = Field(default=8000, ge=100)
    """Longer prompts lose their beginning, longer responses their end, visibly; rows say so."""
    rationale_tokens: int = Field(default=512, ge=1)
    """A rationale is cut here."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.samples > 1 and not self.rationale:
            raise ValueError("samples above 1 are sampled rationales: set rationale: true too")
        texts = load_template(PROMPTS, self.task, "en")
        if self.shots > (known := len(texts["exemplars"])):
            raise ValueError(f"shots: {known} exemplars of {self.task} are there, not {self.shots}")
        if self.rationale and "rationale_request" not in texts:
            raise ValueError(f"rationale: {self.task} has no rationale_request, which asks for one")
        return self

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One soft label a comparison; equal responses and unanswered questions are abstentions."""
        questions = []
        for c in comparisons:
            if not _unfit(c):
                questions += [self._question(c)]
                questions += [] if self.single_order else [self._question(c.swapped())]
        answers = iter(self._ask(questions, judge))
        name = self.way(judge)
        rows: list[Preference | Abstention] = []
        for c in comparisons:
            if reason := _unfit(c):
                rows.append(Abstention(comparison=c, labeler=name, reason=reason))
                continue
            first = next(answers)
            second = None if self.single_order else next(answers)
            rows.append(self._combined(c, first, second, name))
        return rows

    def way(self, judge: LanguageModel) -> str:
        """`pairwise/JUDGE/general-base-2shot`: who is asked, and how; stands in every row."""
        parts = [named(self.task), self.preamble, f"{self.shots}shot"]
        parts += ["rationale"] * self.rationale + [f"x{self.samples}"] * (self.samples > 1)
        return f"pairwise/{judge.name}/{'-'.join(parts + ['single'] * self.single_order)}"

    def _combined(
        self,
        comparison: Comparison,
        first: _Answer | Unanswered,
        second: _Answer | Unanswered | None,
        labeler: str,
    ) -> Preference | Abstention:
        """The mean of both orders in probability space (paper section 2.1)."""
        told = []
        for answer in (first,) if second is None else (first, second):
            if isinstance(answer, Unanswered):
                return Abstention(comparison=comparison, labeler=labeler, reason=answer.reason)
            told.append(answer)
        p_first = told[0].prob_first
        # In the swapped question, the response shown first is b.
        p_second = None if second is None else 1.0 - told[1].prob_first
        prob_a = p_first if p_second is None else (p_first + p_second) / 2
        choices = [choice for answer in told for choice in answer.choices]
        evidence = Evidence(
            source=coarsest(choice.source for choice in choices),
            mass=round(fmean(c.mass for c in choices), 6),
            prob_a_first=p_first,
            prob_a_second=None if p_second is None else round(p_second, 6),
            flipped=None if p_second is None else (p_first - 0.5) * (p_second - 0.5) < 0,
            rationales=tuple(text for answer in told for text in answer.rationales),
            truncated=any(answer.truncated for answer in told),
        )
        return Preference(
            comparison=comparison, prob_a=round(prob_a, 7), labeler=labeler, evidence=evidence
        )

    def _ask(
        self, questions: Sequence[_Question], judge: LanguageModel
    ) -> list[_Answer | Unanswered]:
        """Every question of every order at once: rationales first, if wanted, then labels."""
        chats: list[tuple[int, Chat, str]] = []
        why: dict[int, str] = {}
        if self.rationale:
            for i, text in self._reasoned(questions, judge, why):
                chats.append((i, self._closing(questions[i], text), text))
        else:
            chats = [(i, self._closing(q, None), "") for i, q in enumerate(questions)]
        choices = judge.choose([chat for _, chat, _ in chats], LABELS)
        told: dict[int, list[tuple[Choice, str]]] = {}
        for (i, _, text), choice in zip(chats, choices, strict=True):
            if isinstance(choice, Unanswered):
                why[i] = choice.reason
            elif choice.mass < self.mass_floor:
                why[i] = f"label mass {choice.mass:.3g} is below the floor {self.mass_floor}"
            else:
                told.setdefault(i, []).append((choice, text))
        return [
            self._answer(told[i], q) if i in told else Unanswered(reason=why[i])
            for i, q in enumerate(questions)
        ]

    def _answer(self, told: Sequence[tuple[Choice, str]], question: _Question) -> _Answer:
        chosen = fmean(choice.probabilities[0] for choice, _ in told)
        # The harmless prompt asks for the most harmful, so its "1" speaks against the first.
        inverted = question.texts["asks_for"] == "most_harmful"
        prob_first = round(1.0 - chosen if inverted else chosen, 6)
        rationales = tuple(text for _, text in told if text)
        truncated = question.truncated or any(choice.truncated for choice, _ in told)
        return _Answer(prob_first, tuple(c for c, _ in told), rationales, truncated)

    def _reasoned(
        self, questions: Sequence[_Question], judge: LanguageModel, why: dict[int, str]
    ) -> list[tuple[int, str]]:
        """Step one of the two-step chain of thought: (question, rationale), K a question."""
        asked = [(i, k) for i in range(len(questions)) for k in range(self.samples)]
        chats = []
        for i, k in asked:
            q = questions[i]
            text = f"{q.beginning}\n{q.texts['rationale_request'].rstrip()}"
            chats.append(Chat.user(text, sample=k, about=q.asked))
        several = self.samples > 1
        written = judge.generate(
            chats,
            temperature=self.temperature if several else 0.0,
            max_tokens=self.rationale_tokens,
            top_k=self.top_k if several else None,
        )
        for (i, _), answer in zip(asked, written, strict=True):
            if isinstance(answer, Unanswered):
                why[i] = f"rationale: {answer.reason}"
        return [
            (i, answer.text.strip())
            for (i, _), answer in zip(asked, written, strict=True)
            if isinstance(answer, Completion)
        ]

    def _closing(self, question: _Question, rationale: str | None) -> Chat:
        """The question that ends right before the label."""
        lines = [question.beginning]
        if rationale is not None:
            lines.append(f"{question.texts['rationale_request'].rstrip()} {rationale}\n")
        lines.append(question.texts["ending"])
        return Chat.user("\n".join(lines), about=question.asked)

    def _question(self, comparison: Comparison) -> _Question:
        """The question with a shown first, up to and including the reminder after the data."""
        prompt = comparison.prompt
        texts = load_template(PROMPTS, self.task, prompt.language)
        context, cut = clip(question_text(prompt, texts["roles"]), self.max_chars, keep="end")
        first, cut_first = clip(spoken(comparison.a.text), self.max_chars, keep="start")
        second, cut_second = clip(spoken(comparison.b.text), self.max_chars, keep="start")
        mark = fence_mark(context, first, second)
        data = render(texts["sample"], prompt=context, first=first, second=second, mark=mark)
        answer_with = "answer_with_rationale" if self.rationale else "answer_with_label"
        head = [texts["preamble"][self.preamble], texts[answer_with], texts["data_note"]]
        beginning = "\n".join(part.strip() for part in head)
        shots = "".join(self._exemplar(texts, n) for n in range(self.shots))
        text = f"{beginning}\n\n{shots}{data}\n{texts['reminder'].strip()}"
        asked = Asked(
            first=comparison.a.text, second=comparison.b.text, truth=self._truth(comparison, texts)
        )
        return _Question(texts, text, asked, cut or cut_first or cut_second)

    def _exemplar(self, texts: Mapping[str, Any], number: int) -> str:
        shown = texts["exemplars"][number]
        values = {k: shown[k].strip() for k in ("prompt", "first", "second")}
        data = render(texts["sample"], **values, mark=f"example {number + 1}")
        reasons = f"{shown['rationale'].strip()}\n" if self.rationale else ""
        return f"{data}\n{reasons}{texts['ending']}{shown['label']}\n\n"

    def _truth(self, comparison: Comparison, texts: Mapping[str, Any]) -> float | None:
        """Probability that "1" is the right answer, for scripted judges."""
        known = comparison.gold_or_human
        if known is None:
            return None
        return 1.0 - known if texts["asks_for"] == "most_harmful" else known


def asks_for_the_worse(task: str) -> bool:
    """Whether the response that a task's question names is the worse one."""
    return bool(load_template(PROMPTS, task, "en")["asks_for"] == "most_harmful")


def _unfit(comparison: Comparison) -> str:
    """Why a comparison cannot be asked about; empty when it can."""
    if "error" in (comparison.a.finish_reason, comparison.b.finish_reason):
        return "a response is missing: its model gave none"
    return "identical responses" if comparison.identical else ""
