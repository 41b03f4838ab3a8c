"""Which way of asking is best? Chosen on one half of the prompts, reported on the other.

RLAIF (arXiv 2309.00267) compares prompts on the rows it reports. Choosing the best of many on the
rows of the report overstates it, so here the choice never sees the test half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hrlaif.records import Preference, Row
from hrlaif.statistics import Figure, against_base, mean, paired, right
from hrlaif.study.agreement import Scored, agreement
from hrlaif.study.labels import Labels
from hrlaif.study.pairs import Item


class Halves(NamedTuple):
    """All items, and the positions of the two halves."""

    items: Sequence[Item]
    dev: Sequence[int]
    test: Sequence[int]

    def of(self, positions: Sequence[int]) -> list[Item]:
        """The items at these positions."""
        return [self.items[n] for n in positions]


def chosen(halves: Halves, labels: Mapping[str, Labels], *, seed: int) -> str:
    """The variant with the highest `points` on the dev half; the first listed among equals."""
    scores = {name: points(halves, made, seed=seed).value or 0.0 for name, made in labels.items()}
    return max(scores, key=lambda name: scores[name])


def points(halves: Halves, made: Labels, *, seed: int) -> Figure:
    """Agreement on all decided pairs of the dev half, where a pair without a verdict is a coin.

    By this the choice is made: a way that answers a few easy pairs is not the best.
    """
    said = [(halves.items[n], made.answers[n]) for n in halves.dev if halves.items[n].decided]
    return mean(
        [right(a.prob_a if isinstance(a, Preference) else 0.5, i.truth or 0.0) for i, a in said],
        clusters=[i.prompt for i, _ in said],
        weights=[i.weight for i, _ in said],
        share=True,
        seed=seed,
    )


def table(halves: Halves, labels: Mapping[str, Labels], *, seed: int) -> Row:
    """A row a variant: test-half figures, dev agreement, the difference from the first, cost."""
    test, dev = halves.of(halves.test), halves.of(halves.dev)
    differences = against_first(halves, labels, seed=seed)
    rows = {}
    for name, made in labels.items():
        found = agreement(test, [made.answers[n] for n in halves.test], seed=seed)
        on_dev = Scored.of(dev, [made.answers[n] for n in halves.dev]).share(seed)
        rows[name] = {
            **found,
            "agreement_dev": on_dev.row(),
            "points_dev": points(halves, made, seed=seed).row(),
            "against_base": differences.get(name),
            "abstentions": made.abstentions(),
            "cost": made.cost(),
        }
    return rows


def against_first(halves: Halves, labels: Mapping[str, Labels], *, seed: int) -> Row:
    """Each variant minus the first on the test rows that both answered, Holm-corrected."""
    known = [n for n in halves.test if halves.items[n].decided]
    if len(labels) < 2 or not known:
        return {}
    items = halves.of(known)
    marks = {}
    for name, made in labels.items():
        said = [made.answers[n] for n in known]
        marks[name] = [
            right(a.prob_a, i.truth or 0.0) if isinstance(a, Preference) else None
            for i, a in zip(items, said, strict=True)
        ]
    found = against_base(
        marks,
        next(iter(labels)),
        clusters=[i.prompt for i in items],
        weights=[i.weight for i in items],
        share=True,
        seed=seed,
    )
    return {name: one.row() for name, one in found.items()}


def against_longer(halves: Halves, made: Labels, *, seed: int) -> Row:
    """Agreement minus that of always naming the longer response, on the test rows answered."""
    scored = Scored.of(halves.of(halves.test), [made.answers[n] for n in halves.test])
    if not scored.rows:
        return {}
    found = paired(
        [right(p, item.truth or 0.0) for item, p in scored.rows],
        [right(item.longer, item.truth or 0.0) for item, _ in scored.rows],
        clusters=scored.prompts,
        weights=scored.weights,
        share=True,
        seed=seed,
    )
    return {"difference": found.difference.row(), "p": found.p}
