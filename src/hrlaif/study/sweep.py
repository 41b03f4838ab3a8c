"""Which way of asking is best? Chosen on one half of the prompts, reported on the other.

RLAIF (arXiv 2309.00267) compares prompts on the rows it reports. Choosing the best of many on the
rows of the report overstates it, so here the choice never sees the test half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hrlaif.records import Preference, Row
from hrlaif.statistics import against_base, paired, right
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
    """The variant with the highest agreement on the dev half; the first listed among equals."""
    scores = {}
    for name, made in labels.items():
        scored = Scored.of(halves.of(halves.dev), [made.answers[n] for n in halves.dev])
        scores[name] = scored.share(seed).value or 0.0
    return max(scores, key=lambda name: scores[name])


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
            "against_base": differences.get(name),
            "abstentions": made.abstentions(),
            "cost": made.cost(),
        }
    return rows


def against_first(halves: Halves, labels: Mapping[str, Labels], *, seed: int) -> Row:
    """Each variant minus the first on the test rows that all of them answered, Holm-corrected."""
    common = [
        n
        for n in halves.test
        if halves.items[n].decided
        and all(isinstance(made.answers[n], Preference) for made in labels.values())
    ]
    if len(labels) < 2 or not common:
        return {}
    truths = [halves.items[n].truth or 0.0 for n in common]
    marks = {}
    for name, made in labels.items():
        said = made.probabilities
        marks[name] = [right(said[n] or 0.0, t) for n, t in zip(common, truths, strict=True)]
    names = [halves.items[n].prompt for n in common]
    found = against_base(marks, next(iter(labels)), clusters=names, seed=seed)
    return {name: one.row() for name, one in found.items()}


def against_longer(halves: Halves, made: Labels, *, seed: int) -> Row:
    """Agreement minus that of always naming the longer response, on the test rows answered."""
    scored = Scored.of(halves.of(halves.test), [made.answers[n] for n in halves.test])
    if not scored.rows:
        return {}
    found = paired(
        [right(p, item.truth or 0.0) for item, p in scored.rows],
        [right(item.longer, item.truth or 0.0) for item, _ in scored.rows],
        clusters=[item.prompt for item, _ in scored.rows],
        seed=seed,
    )
    return {"difference": found.difference.row(), "p": found.p}
