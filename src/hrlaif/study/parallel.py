"""Is the judge as good in Chinese as in English? The same questions, asked in both languages."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from hrlaif.records import Candidate, Comparison, Message, Prompt

LANGUAGES = ("en", "zh")


def comparisons(count: int) -> list[Comparison]:
    """The first `count` questions of parallel.yaml, English and Chinese in turn.

    Both have the question's id as their prompt's, and the right side in `gold_preference`.
    """
    return [
        _comparison(question, language)
        for question in _questions()[:count]
        for language in LANGUAGES
    ]


def _comparison(question: dict[str, Any], language: str) -> Comparison:
    texts, name = question[language], f"parallel/{question['id']}"
    asked = Message(role="user", content=texts["question"])
    return Comparison(
        id=f"{name}/{language}",
        prompt=Prompt(id=name, messages=(asked,), language=language),
        a=Candidate(text=texts["a"]),
        b=Candidate(text=texts["b"]),
        gold_preference=float(question["right"] == "a"),
    )


@cache
def _questions() -> list[dict[str, Any]]:
    import yaml

    text = resources.files("hrlaif.study").joinpath("parallel.yaml").read_text("utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["questions"]
    return found
