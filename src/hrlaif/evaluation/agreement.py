"""How often does the labeler name the response that people prefer?

AI labeler alignment (RLAIF arXiv 2309.00267, section on evaluation): the more probable response
against the human choice. A human tie (0.5) decides nothing: it is left out and counted. A label of
exactly 0.5 names no winner: it is half right. Without a human label, a gold one (a checked answer)
stands in, and is counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, final

from hrlaif.evaluation.win_rate import NO_CATEGORY, same_position
from hrlaif.messages import spoken
from hrlaif.records import Preference
from hrlaif.statistics import Figure, Measured, clusters, equal_parts, mean, right


@final
class Agreement(Measured):
    """Agreement of labels with people, beside what needs no judge at all."""

    overall: Figure
    unanimous: Figure
    """Only rows of which people's preference is 0 or 1: the word of one, of most, or of all."""
    confident_half: Figure
    """The half of the rows on which the labeler was surest; rows as sure are in the same half."""
    faint_half: Figure
    by_category: dict[str, Figure]
    one_order: Figure
    """What either order alone would have reached, on the rows asked in both."""
    both_orders: Figure
    """The mean of the two orders, on the same rows."""
    same_position: Figure
    always_longer: Figure
    """Baseline: the longer response, in characters; equal lengths are half right."""
    always_first: Figure
    """Baseline: responses[0]."""
    human_ties: int
    """Rows left out because people call them a tie."""
    without_reference: int
    """Rows with neither a human nor a gold preference."""
    gold: int
    """Rows measured against a gold preference."""


class _Judged(NamedTuple):
    row: Preference
    truth: float


def agreement(preferences: Sequence[Preference], *, seed: int = 0) -> Agreement:
    """Figures clustered by prompt. Rows that people or rewrites made are not judged at all."""
    made = [row for row in preferences if not _is_not_a_judge(row)]
    judged, ties, without, gold = [], 0, 0, 0
    for row in made:
        truth = row.comparison.human_or_gold
        if truth is None:
            without += 1
        elif truth == 0.5:
            ties += 1
        else:
            gold += row.comparison.human_preference is None
            judged.append(_Judged(row, truth))

    def share(rows: Sequence[_Judged], right: Callable[[_Judged], float] = _label_right) -> Figure:
        names = clusters(item.row.comparison.prompt for item in rows)
        return mean([right(item) for item in rows], clusters=names, share=True, seed=seed)

    halves = equal_parts([-abs(item.row.prob_a - 0.5) for item in judged], 2)
    surest, faintest = halves if len(halves) == 2 else ([], [])
    both = [item for item in judged if _orders(item.row)]
    categories: dict[str, list[_Judged]] = defaultdict(list)
    for item in judged:
        categories[item.row.comparison.prompt.category or NO_CATEGORY].append(item)
    return Agreement(
        overall=share(judged),
        unanimous=share([i for i in judged if i.row.comparison.human_preference in (0.0, 1.0)]),
        confident_half=share([judged[n] for n in surest]),
        faint_half=share([judged[n] for n in faintest]),
        by_category={name: share(rows) for name, rows in sorted(categories.items())},
        one_order=share(both, _one_order_right),
        both_orders=share(both),
        same_position=same_position(made, seed=seed),
        always_longer=share(judged, _longer_right),
        always_first=share(judged, lambda item: right(1.0, item.truth)),
        human_ties=ties,
        without_reference=without,
        gold=gold,
    )


def _is_not_a_judge(row: Preference) -> bool:
    source = row.evidence.source if row.evidence else None
    return source in ("human", "rewrite") or row.labeler.startswith(("human/", "redteam/"))


def _orders(row: Preference) -> tuple[float, float] | None:
    evidence = row.evidence
    if evidence is None or evidence.prob_a_first is None or evidence.prob_a_second is None:
        return None
    return evidence.prob_a_first, evidence.prob_a_second


def _label_right(item: _Judged) -> float:
    return right(item.row.prob_a, item.truth)


def _one_order_right(item: _Judged) -> float:
    first, second = _orders(item.row) or (0.5, 0.5)
    return (right(first, item.truth) + right(second, item.truth)) / 2


def _longer_right(item: _Judged) -> float:
    gap = len(spoken(item.row.comparison.a.text)) - len(spoken(item.row.comparison.b.text))
    return right(0.5 if gap == 0 else float(gap > 0), item.truth)
