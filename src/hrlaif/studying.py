"""What does a study of judges ask, and of whom? At most, counted before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence

from hrlaif import study
from hrlaif.estimates import (
    Asked,
    Sizes,
    Work,
    labels,
    longest,
    of_labeler,
    of_pairs,
    of_reward,
    size_of,
    size_of_responses,
    tokens_of,
)
from hrlaif.labeling import Pairwise
from hrlaif.llm.prompting import with_options
from hrlaif.protocols import Labeler, LanguageModel, Reward
from hrlaif.records import Candidate, Comparison
from hrlaif.study import parallel
from hrlaif.study.attacked import fits, response
from hrlaif.study.besides import sampled
from hrlaif.study.injections import FAMILIES, Family
from hrlaif.study.probes import comparisons, harmless, language
from hrlaif.study.probes import of as probes_of
from hrlaif.study.undefended import TOKENS

_UNDEFENDED = 40
"""Tokens of the question without a defence beside the prompt and the responses."""


def of_study(asked: study.Asked, judges: Sequence[LanguageModel]) -> list[Asked]:
    """All ways of asking about all pairs; probes, samples and attacks by the dearest way."""
    pairs = [item.comparison for item in asked.items]
    ways = different([variant.labeler for variant in asked.variants])
    size = size_of(pairs)
    dearest = max(ways, key=lambda way: labels(way, *size).read)
    both = study.Variant("probes", dearest).both_orders().labeler
    found: list[Asked] = []
    for judge, grader in zip(judges, asked.graders, strict=True):
        for way in ways:
            found += of_pairs(way, judge, pairs)
        found += _probed(asked, both, judge)
        found += _samples(asked, both, judge, len(judges))
        found += _attacked(asked, both, judge, grader)
    return found


def different(ways: Sequence[Labeler]) -> list[Labeler]:
    """Those that ask questions of their own: one order alone is among both orders."""
    kept: dict[str, Labeler] = {}
    for way in ways:
        if not isinstance(way, Pairwise):
            kept[repr(way)] = way
            continue
        key = repr(way.model_copy(update={"single_order": False}))
        if key not in kept or not way.single_order:
            kept[key] = way
    return list(kept.values())


def _probed(asked: study.Asked, way: Labeler, judge: LanguageModel) -> list[Asked]:
    items, count = asked.drawn(harmless), asked.settings.probes
    most = longest(way)
    pairs = [
        pair
        for probe in probes_of(asked.settings)
        for pair in comparisons(probe, items, count, most=most)
    ]
    questions = [] if asked.settings.worse else parallel.comparisons(count)
    return of_pairs(way, judge, [*pairs, *questions])


def _samples(asked: study.Asked, way: Labeler, judge: LanguageModel, judges: int) -> list[Asked]:
    """The judge's own answers, which every judge then compares with what people prefer."""
    shown = longest(way)
    items = asked.some(lambda i: sampled(i, shown))
    pairs, most = [item.comparison for item in items], asked.settings.sample_tokens
    read = tokens_of([with_options(pair.prompt) for pair in pairs])
    written = Work(len(pairs), read, len(pairs) * most)
    size = size_of(pairs, shown)
    both = Sizes(judges * size.number, size.prompt, (size.response + most) / 2)
    return [(written, judge), *of_labeler(way, judge, both)]


def _attacked(
    asked: study.Asked, way: Labeler, judge: LanguageModel, grader: Reward | None
) -> list[Asked]:
    """Every injection in one response of each pair: by labels, without a defence, and by grades."""
    if not asked.settings.attacks:
        return []
    most = longest(way)
    pairs = [item.comparison for item in asked.some(lambda i: fits(i, most))]
    attacked = _changed(FAMILIES, pairs)
    size = size_of([*pairs, *attacked], most)
    calls = 2 * size.number
    read = calls * (_UNDEFENDED + size.prompt + 2 * size.response)
    found = of_pairs(way, judge, attacked)
    found.append((Work(calls, int(read), calls * TOKENS), judge))
    if grader is not None:
        sides = [response(pair, side) for pair in pairs for side in "ab"]
        single = [family for family in FAMILIES if not family.placed]
        sides += [response(pair, "b") for pair in _changed(single, pairs)]
        graded = size_of_responses(sides, getattr(grader, "max_chars", None))
        found.append((of_reward(grader, graded), judge))
    return found


def _changed(families: Sequence[Family], pairs: Sequence[Comparison]) -> list[Comparison]:
    """Each pair attacked by each family."""
    return [
        pair.model_copy(update={"b": Candidate(text=family.attack(pair.b.text, n, words))})
        for family in families
        for n, pair in enumerate(pairs)
        for words in [language(pair.prompt, pair.b.text)]
    ]
