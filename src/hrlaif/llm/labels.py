"""Which tokens spell a label, and how probable is each label as the whole answer?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hrlaif.errors import UsageError
from hrlaif.llm.chat import text_ids

Path = tuple[int, ...]
Forms = Mapping[Path, int]  # token ids of one surface form -> index of its label


def surface_forms(tokenizer: Any, rendered: str, choices: Sequence[str]) -> dict[Path, int]:
    """The token sequences that spell each label after this prompt, with and without a space.

    Raises UsageError when two labels are spelled alike.
    """
    prompt = text_ids(tokenizer, rendered)
    found: dict[Path, int] = {}
    for index, choice in enumerate(choices):
        for text in {choice, f" {choice.lstrip()}"}:
            path = _spelled(tokenizer, rendered, prompt, text)
            if found.setdefault(path, index) != index:
                raise UsageError(
                    f"labels {choices[found[path]]!r} and {choice!r} are the same tokens "
                    "to this model: use labels that differ in their first word"
                )
    return found


def _spelled(tokenizer: Any, rendered: str, prompt: list[int], text: str) -> Path:
    both = text_ids(tokenizer, rendered + text)
    if both[: len(prompt)] == prompt and len(both) > len(prompt):
        return tuple(both[len(prompt) :])
    # The tokenizer merges the label with what precedes it, which a model writing on cannot do.
    line = list(tokenizer("\n", add_special_tokens=False)["input_ids"])
    both = list(tokenizer("\n" + text, add_special_tokens=False)["input_ids"])
    if both[: len(line)] == line and len(both) > len(line):
        return tuple(both[len(line) :])
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def asked_tokens(forms: Forms) -> dict[Path, list[int]]:
    """For each beginning of a form, the tokens whose probability after it is needed."""
    found: dict[Path, list[int]] = {}
    for path in sorted(forms):
        for end in range(len(path)):
            ids = found.setdefault(path[:end], [])
            if path[end] not in ids:
                ids.append(path[end])
    return found


def label_probabilities(forms: Forms, logprobs: Mapping[Path, Mapping[int, float]]) -> list[float]:
    """Probability of each label as the whole answer: the sum over its forms.

    P(form) = prod_i P(t_i | prompt, t_<i) x (1 - sum of P(t | prompt, form) over the tokens t with
    which a longer form goes on): with labels 1 and 10, P(1) excludes P(10). `logprobs[path][t]`
    is log P(t | prompt, path).
    """
    found = [0.0] * (max(forms.values()) + 1)
    for path, label in forms.items():
        log_p = sum(logprobs[path[:end]][path[end]] for end in range(len(path)))
        goes_on = sum(math.exp(value) for value in logprobs.get(path, {}).values())
        found[label] += math.exp(log_p) * max(0.0, 1.0 - goes_on)
    return found
