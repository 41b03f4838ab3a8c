"""Does the policy get more answers right than before, where the right answer is known?

HRLAIF (arXiv 2403.08309): preference can rise while correctness falls, so both are measured. What
a check cannot tell is neither right nor wrong: it is left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hrlaif.evaluation.win_rate import NO_CATEGORY
from hrlaif.protocols import Check, LanguageModel
from hrlaif.records import Response, Verdict
from hrlaif.statistics import NOTHING, Figure, Measured, difference, mean


@final
class Accuracy(Measured):
    """Share of responses found right, before and after RL."""

    before: Figure
    after: Figure
    gain: Figure
    """After minus before, paired, on the responses that could be verified both times."""
    before_at_least: Figure
    """What could not be verified counted as wrong: the lower bound."""
    after_at_least: Figure
    unverifiable_before: int
    unverifiable_after: int
    without_reference: int
    """Responses (before) to prompts with no reference answer; not checked."""
    by_category: dict[str, dict[str, Figure]]
    """Category -> `before` and `after`: math and multiple choice are different abilities."""


def accuracy(
    before: Sequence[Response],
    after: Sequence[Response],
    check: Check,
    judge: LanguageModel | None = None,
    *,
    seed: int = 0,
) -> Accuracy:
    """Checks all responses with a reference answer; paired by prompt id and order of samples."""
    asked = [r for r in before if r.prompt.reference_answer is not None]
    answered = [r for r in after if r.prompt.reference_answer is not None]
    verdicts = check.check([*asked, *answered], judge)
    old, new = verdicts[: len(asked)], verdicts[len(asked) :]

    def share(responses: Sequence[Response], found: Sequence[Verdict], *, strict: bool) -> Figure:
        kept = [
            (r.prompt.id, float(v.passed or False))
            for r, v in zip(responses, found, strict=True)
            if strict or v.passed is not None
        ]
        names = [name for name, _ in kept]
        return mean([value for _, value in kept], clusters=names, share=True, seed=seed)

    def each(responses: Sequence[Response], found: Sequence[Verdict]) -> dict[str, Figure]:
        groups: dict[str, list[tuple[Response, Verdict]]] = {}
        for response, verdict in zip(responses, found, strict=True):
            groups.setdefault(response.prompt.category or NO_CATEGORY, []).append(
                (response, verdict)
            )
        return {
            name: share([r for r, _ in group], [v for _, v in group], strict=False)
            for name, group in sorted(groups.items())
        }

    by_category = {"before": each(asked, old), "after": each(answered, new)}
    return Accuracy(
        by_category={
            name: {side: figures.get(name, NOTHING) for side, figures in by_category.items()}
            for name in sorted({*by_category["before"], *by_category["after"]})
        },
        before=share(asked, old, strict=False),
        after=share(answered, new, strict=False),
        gain=_gain(_passed(asked, old), _passed(answered, new), seed),
        before_at_least=share(asked, old, strict=True),
        after_at_least=share(answered, new, strict=True),
        unverifiable_before=sum(v.passed is None for v in old),
        unverifiable_after=sum(v.passed is None for v in new),
        without_reference=len(before) - len(asked),
    )


def _passed(
    responses: Sequence[Response], verdicts: Sequence[Verdict]
) -> dict[tuple[str, int], bool | None]:
    """(prompt id, nth response to it) -> verdict."""
    found: dict[tuple[str, int], bool | None] = {}
    seen: dict[str, int] = {}
    for response, verdict in zip(responses, verdicts, strict=True):
        name = response.prompt.id
        found[name, seen.get(name, 0)] = verdict.passed
        seen[name] = seen.get(name, 0) + 1
    return found


def _gain(
    old: dict[tuple[str, int], bool | None], new: dict[tuple[str, int], bool | None], seed: int
) -> Figure:
    pairs = [
        (key[0], float(now), float(then))
        for key, then in old.items()
        if then is not None and (now := new.get(key)) is not None
    ]
    names = [name for name, _, _ in pairs]
    after, before = [n for _, n, _ in pairs], [t for _, _, t in pairs]
    return difference(after, before, clusters=names, share=True, seed=seed)
