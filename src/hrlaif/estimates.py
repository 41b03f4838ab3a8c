"""How many calls and tokens does some work take, and of which model? At most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hrlaif.categories import MAX_CHARS
from hrlaif.checks import Answer, ChoiceLetter, Number
from hrlaif.labeling import Human, Hybrid, Pairwise, Panel, Verified
from hrlaif.messages import spoken
from hrlaif.protocols import Labeler, LanguageModel, Reward
from hrlaif.records import Comparison, Prompt, Response
from hrlaif.reward import Direct
from hrlaif.reward.checked import Checked
from hrlaif.reward.parts import parts

_PREAMBLE = {"base": 90, "detailed": 280}
_EXEMPLAR = 150
QUESTION = 220
"""Tokens of a check's question beside the response."""
_GRADE = 130
"""Tokens of a grade's question beside the prompt and the response."""
_CATEGORIES = 280
"""Tokens of the question for a prompt's category beside the prompt."""
_DENSE = re.compile(r"[\u3000-\u9fff\uac00-\ud7a3\uff00-\uff65]")
"""Chinese, Japanese and Korean characters, with the marks between them."""
_BY_RULE = (Number, ChoiceLetter, Answer)
"""Checks that ask no judge."""


@dataclass(frozen=True)
class Work:
    """Calls and tokens of one model in one stage."""

    calls: int = 0
    read: int = 0
    written: int = 0
    passes: float = 1.0
    """Forward passes' worth of work a token: about 3 in training, 1 in labelling."""
    shared: int = 0
    """Of the tokens read, those that a local model computes once for several questions."""
    voted: int = 0
    """Of the calls, those for a label, which a server without log-probabilities gives by votes."""
    voted_read: int = 0
    """Of the tokens read, those of these calls."""

    @property
    def counted(self) -> tuple[int, int, int]:
        """Calls, tokens read, tokens written."""
        return self.calls, self.read, self.written

    @classmethod
    def of_labels(cls, calls: int, read: int, *, shared: int = 0) -> Work:
        """Questions for labels alone, of which nothing is written."""
        return cls(calls, read, shared=shared, voted=calls, voted_read=read)


Asked = tuple[Work, LanguageModel | None]
"""What is asked of whom; None where it is not known."""


class Sizes(NamedTuple):
    """How many items there are, and the tokens of a prompt and of a response in the mean."""

    number: int
    prompt: float
    response: float


def of_pairs(labeler: Labeler, judge: LanguageModel, pairs: Sequence[Comparison]) -> list[Asked]:
    """What labelling these pairs takes; equal responses are not asked about."""
    unlike = [pair for pair in pairs if not pair.identical]
    size = size_of(unlike, longest(labeler))
    found = of_labeler(labeler, judge, size)
    if checks(labeler):
        found.append((of_check(size._replace(number=2 * len(unlike))), judge))
    if isinstance(labeler, Hybrid) and labeler.categorize:
        found.append((categories([pair.prompt for pair in pairs]), judge))
    return found


def longest(labeler: object) -> int | None:
    """Characters to which a labeler cuts a text, the most of its parts; None where it does not."""
    routes = getattr(labeler, "by_category", {}).values()
    names = ("labeler", "between_right_ones", "otherwise")
    parts = [*routes, *(getattr(labeler, name, None) for name in names)]
    inside = [longest(one) for one in parts if one is not None and not isinstance(one, Human)]
    found = inside or [getattr(labeler, "max_chars", None)]
    return None if None in found else max(most for most in found if most is not None)


def size_of(pairs: Sequence[Comparison], most: int | None = None) -> Sizes:
    """How many they are, and how long, each text cut to the most characters that are sent."""
    texts = [_cut(side.text, most) for pair in pairs for side in (pair.a, pair.b)]
    prompt = each([p.prompt for p in pairs], most)
    return Sizes(len(pairs), prompt, sum(texts) / max(len(texts), 1))


def size_of_responses(responses: Sequence[Response], most: int | None = None) -> Sizes:
    """How many they are, and how long, each text cut to the most characters that are sent."""
    texts = [_cut(r.text, most) for r in responses]
    prompt = each([r.prompt for r in responses], most)
    return Sizes(len(texts), prompt, sum(texts) / max(len(texts), 1))


def _cut(text: str, most: int | None) -> float:
    return tokens(spoken(text)[:most])


def of_labeler(labeler: Labeler, judge: LanguageModel, pairs: Sizes) -> list[Asked]:
    """Orders, samples and judges of each pair; of several routes the dearest, people ask nobody."""
    if isinstance(labeler, Human):
        return []
    routes: tuple[Labeler, ...] = ()
    if isinstance(labeler, Verified):
        routes = (labeler.between_right_ones, labeler.otherwise)
    elif isinstance(labeler, Hybrid):
        routes = (*labeler.by_category.values(), labeler.otherwise)
    if routes:
        found = [of_labeler(route, judge, pairs) for route in routes]
        return max(found, key=lambda asked: sum(work.calls for work, _ in asked))
    work = labels(labeler, *pairs)
    return [(work, one) for one in (judge, *getattr(labeler, "others", ()))]


def labels(labeler: Labeler, pairs: int, prompt_tokens: float, response_tokens: float) -> Work:
    """Calls and tokens of one judge; a labeler that asks in another way is taken for Pairwise."""
    asked = labeler.labeler if isinstance(labeler, Panel) else labeler
    how = asked if isinstance(asked, Pairwise) else Pairwise()
    orders = pairs * (1 if how.single_order else 2)
    shots = how.shots * (_EXEMPLAR + 60 * how.rationale)
    read = _PREAMBLE[how.preamble] + shots + prompt_tokens + 2 * response_tokens
    texts = orders * how.samples
    if not how.rationale:
        # The preamble is computed once, the prompt once for both orders.
        once = orders * (_PREAMBLE[how.preamble] + shots) + (orders - pairs) * prompt_tokens
        return Work.of_labels(orders, int(orders * read), shared=int(once))
    reasons = how.rationale_tokens // 4
    label = Work.of_labels(texts, int(texts * (read + reasons)))
    whole = label.read + int(texts * read)
    return replace(label, calls=2 * texts, read=whole, written=texts * reasons)


def checks(labeler: Labeler) -> bool:
    """Whether a judge is asked about each response before any two are compared."""
    if isinstance(labeler, Hybrid):
        return any(map(checks, labeler.by_category.values()))
    return isinstance(labeler, Verified) and not isinstance(labeler.check, _BY_RULE)


def of_check(responses: Sizes, check: object = None) -> Work:
    """A judge's verdicts in both orders; nothing where a rule tells."""
    asked = 0 if isinstance(check, _BY_RULE) else 2 * responses.number
    return Work.of_labels(asked, int(asked * (QUESTION + responses.prompt + responses.response)))


def of_responses(
    check: object, judge: LanguageModel | None, responses: Sequence[Response]
) -> list[Asked]:
    """What checking these responses takes; nothing without a judge."""
    size = size_of_responses(responses, getattr(check, "max_chars", None))
    return [] if judge is None else [(of_check(size, check), judge)]


def of_reward(reward: Reward, responses: Sizes) -> Work:
    """The judge's share in scoring responses: a grade each, and what checks ask."""
    found: Iterable[Any] = parts(reward)
    works = [grades(responses) for part in found if isinstance(part, Direct)]
    works += [of_check(responses, p.check) for p in parts(reward) if isinstance(p, Checked)]
    return Work.of_labels(sum(work.calls for work in works), sum(work.read for work in works))


def longest_of_reward(reward: Reward) -> int | None:
    """Characters to which its parts that ask a judge cut a text, the most of them."""
    found: Iterable[Any] = parts(reward)
    asking = [part.check if isinstance(part, Checked) else part for part in found]
    known = [part.max_chars for part in asking if hasattr(part, "max_chars")]
    return max(known, default=None)


def grades(responses: Sizes) -> Work:
    """One call a response."""
    read = responses.number * (_GRADE + responses.prompt + responses.response)
    return Work.of_labels(responses.number, int(read))


def categories(prompts: Sequence[Prompt]) -> Work:
    """One call for each different prompt without a category."""
    unknown = list({p.messages: p for p in prompts if p.category is None}.values())
    read = len(unknown) * _CATEGORIES + tokens_of(unknown, MAX_CHARS)
    return Work.of_labels(len(unknown), read)


def tokens_of(prompts: Sequence[Prompt], most: int | None = None) -> int:
    """Of all their turns, of each prompt at most so many characters."""
    return int(sum(tokens("".join(m.content for m in p.messages)[:most]) for p in prompts))


def each(prompts: Sequence[Prompt], most: int | None = None) -> float:
    """Tokens of a prompt in the mean."""
    return tokens_of(prompts, most) / max(len(prompts), 1)


def tokens(text: str) -> float:
    """About: four characters a token in English, one and a half in Chinese, Japanese and Korean."""
    dense = 0 if text.isascii() else len(_DENSE.findall(text))
    return dense / 1.5 + (len(text) - dense) / 4
