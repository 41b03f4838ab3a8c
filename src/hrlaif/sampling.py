"""Ask the policy each prompt several times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from pydantic import Field

from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Completion, Prompt, Response
from hrlaif.settings import Settings


@final
class Sampling(Settings):
    """How responses are drawn."""

    samples: int = Field(default=2, ge=1)
    """Responses a prompt."""
    temperature: float = Field(default=0.9, ge=0)
    """0 is greedy."""
    max_tokens: int = Field(default=128, ge=1)
    """Longer responses are cut, and marked `finish_reason: length`."""

    def questions(self, prompts: Sequence[Prompt]) -> list[tuple[Prompt, int]]:
        """(prompt, sample) in order, the samples of a prompt side by side."""
        return [(prompt, k) for prompt in prompts for k in range(self.samples)]

    def sampler(
        self, model: LanguageModel, *, name: str, seed: int
    ) -> Callable[[Sequence[tuple[Prompt, int]]], list[Response]]:
        """A function from questions to responses; an unanswered one is empty and says `error`."""

        def ask(questions: Sequence[tuple[Prompt, int]]) -> list[Response]:
            chats = [Chat(messages=prompt.messages, sample=k) for prompt, k in questions]
            answers = model.generate(
                chats, temperature=self.temperature, max_tokens=self.max_tokens, seed=seed
            )
            return [
                _response(p, k, name, a) if isinstance(a, Completion) else _silent(p, k, name)
                for (p, k), a in zip(questions, answers, strict=True)
            ]

        return ask


def key(question: tuple[Prompt, int], name: str) -> str:
    """The response's key, known before it is sampled."""
    return f"{question[0].id}/{name}/{question[1]}"


def _response(prompt: Prompt, sample: int, name: str, answer: Completion) -> Response:
    return Response(
        prompt=prompt,
        text=answer.text,
        model=name,
        sample=sample,
        finish_reason=answer.finish_reason,
        tokens=answer.completion_tokens,
    )


def _silent(prompt: Prompt, sample: int, name: str) -> Response:
    return Response(
        prompt=prompt, text="", model=name, sample=sample, finish_reason="error", tokens=0
    )
