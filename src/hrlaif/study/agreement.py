"""How often does the judge name what people prefer, and how often do people themselves?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    Figure,
    cohen_kappa,
    krippendorff_alpha,
    mean,
    right,
    right_for_one_rater,
)
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item

_LEAST = 10  # values below which a group is not shown
_MOST = 24  # categories shown; the largest


@dataclass(frozen=True)
class Scored:
    """Items whose truth is known and no tie, each with the probability that a labeler gave to a."""

    rows: list[tuple[Item, float]]

    @classmethod
    def of(cls, items: Sequence[Item], answers: Sequence[Answer]) -> Scored:
        """Leaves out what the judge did not answer, and what people do not decide."""
        told = zip(items, answers, strict=True)
        return cls([(i, a.prob_a) for i, a in told if isinstance(a, Preference) and i.decided])

    def share(self, seed: int, mark: Callable[[Item, float], float] | None = None) -> Figure:
        """Mean mark, clustered by prompt; by default whether the label is right."""
        mark = mark or (lambda item, p: right(p, item.truth or 0.0))
        names = [item.prompt for item, _ in self.rows]
        return mean([mark(item, p) for item, p in self.rows], clusters=names, share=True, seed=seed)

    def where(self, keep: Callable[[Item, float], bool]) -> Scored:
        """Some of them."""
        return Scored([(item, p) for item, p in self.rows if keep(item, p)])

    def by_sureness(self, parts: int) -> list[Scored]:
        """Equal parts, the surest labels first."""
        rows = sorted(self.rows, key=lambda row: -abs(row[1] - 0.5))
        ends = [(len(rows) * n + parts - 1) // parts for n in range(parts + 1)]
        return [Scored(rows[a:b]) for a, b in pairwise(ends)]

    def baselines(self, seed: int) -> Row:
        """What needs no judge, on the same items: always the longer response, always the first."""
        longer = self.share(seed, lambda i, _: right(i.longer, i.truth or 0.0))
        first = self.share(seed, lambda i, _: right(1.0, i.truth or 0.0))
        return {"always_longer": longer.row(), "always_first": first.row()}

    def beside_baselines(self, seed: int) -> Row:
        """Agreement, and the two baselines on the same items."""
        return {"agreement": self.share(seed).row(), **self.baselines(seed)}


def agreement(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Every figure of one way of asking, as plain rows."""
    scored = Scored.of(items, answers)
    surest, faintest = scored.by_sureness(2)
    return {
        "agreement": scored.share(seed).row(),
        "unanimous": scored.where(lambda i, _: i.truth in (0.0, 1.0)).share(seed).row(),
        "one_rater": _one_rater(items, answers, seed).row(),
        "kappa": _kappa(scored, seed).row(),
        "confident_half": surest.share(seed).row(),
        "faint_half": faintest.share(seed).row(),
        "same_position": same_position(items, answers, seed=seed).row(),
        "mass": _mass(items, answers, seed).row(),
    }


def breakdown(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Agreement by category, language, confidence and by which response is longer.

    Each beside the two baselines on the same items.
    """
    scored = Scored.of(items, answers)
    quarters = zip(("surest", "sure", "unsure", "unsurest"), scored.by_sureness(4), strict=True)
    unequal = scored.where(lambda i, _: i.longer != 0.5)
    lengths = {
        "the better one is longer": unequal.where(_better_is_longer),
        "the better one is shorter": unequal.where(lambda i, p: not _better_is_longer(i, p)),
    }
    parts = {
        "by_category": _by(scored, lambda i: i.comparison.prompt.category or "none"),
        "by_language": _by(scored, lambda i: i.comparison.prompt.language or "unknown"),
        "by_confidence": dict(quarters),
        "by_length": lengths,
    }
    return {
        part: {name: group.beside_baselines(seed) for name, group in groups.items() if group.rows}
        for part, groups in parts.items()
    }


def baselines(items: Sequence[Item], *, seed: int) -> Row:
    """What needs no judge: always the longer response, always the first."""
    return Scored([(item, 0.5) for item in items if item.decided]).baselines(seed)


def raters(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Each rater's agreement with the judge and with the other raters, and alpha of all.

    Empty where the pairs carry no single votes.
    """
    voted = [(i, a) for i, a in zip(items, answers, strict=True) if i.votes]
    if not voted:
        return {}
    names = sorted({name for item, _ in voted for name in item.votes})
    told = [(i, a.prob_a) for i, a in voted if isinstance(a, Preference)]
    with_judge = [[*i.votes.values(), _hard(p)] for i, p in told]
    return {
        "raters": {
            name: {
                "judge": _with_rater(told, name, seed).row(),
                "others": _with_others([item for item, _ in voted], name, seed).row(),
            }
            for name in names
        },
        "between_raters": _between([item for item, _ in voted], seed).row(),
        "alpha_raters": krippendorff_alpha(
            [list(i.votes.values()) for i, _ in voted], level="ordinal", seed=seed
        ).row(),
        "alpha_with_judge": krippendorff_alpha(with_judge, level="ordinal", seed=seed).row(),
    }


def same_position(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Figure:
    """Share of labels whose two orders name different winners."""
    flips = [
        (item.prompt, float(a.evidence.flipped))
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and a.evidence and a.evidence.flipped is not None
    ]
    return mean([f for _, f in flips], clusters=[p for p, _ in flips], share=True, seed=seed)


def _one_rater(items: Sequence[Item], answers: Sequence[Answer], seed: int) -> Figure:
    """Chance that one rater drawn from those of a row prefers what the judge names; ties count."""
    rows = [
        (item.prompt, right_for_one_rater(a.prob_a, item.truth))
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and item.truth is not None
    ]
    return mean([v for _, v in rows], clusters=[p for p, _ in rows], share=True, seed=seed)


def _kappa(scored: Scored, seed: int) -> Figure:
    decided = [(i, p) for i, p in scored.rows if p != 0.5]
    return cohen_kappa(
        [(i.truth or 0.0) > 0.5 for i, _ in decided], [p > 0.5 for _, p in decided], seed=seed
    )


def _mass(items: Sequence[Item], answers: Sequence[Answer], seed: int) -> Figure:
    rows = [
        (item.prompt, a.evidence.mass)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and a.evidence and a.evidence.mass is not None
    ]
    return mean([v for _, v in rows], clusters=[p for p, _ in rows], seed=seed)


def _by(scored: Scored, name: Callable[[Item], str]) -> dict[str, Scored]:
    """The groups that are large enough to show, the largest first."""
    groups: dict[str, Scored] = defaultdict(lambda: Scored([]))
    for item, p in scored.rows:
        groups[name(item)].rows.append((item, p))
    large = [n for n in sorted(groups) if len(groups[n].rows) >= _LEAST]
    return {n: groups[n] for n in sorted(large, key=lambda n: -len(groups[n].rows))[:_MOST]}


def _better_is_longer(item: Item, _: float) -> bool:
    return (item.longer > 0.5) == ((item.truth or 0.0) > 0.5)


def _hard(p: float) -> float:
    return 0.5 if p == 0.5 else float(p > 0.5)


def _with_rater(told: Sequence[tuple[Item, float]], name: str, seed: int) -> Figure:
    marks = [(i.prompt, right(p, vote)) for i, p in told if (vote := i.votes.get(name, 0.5)) != 0.5]
    return mean([m for _, m in marks], clusters=[p for p, _ in marks], share=True, seed=seed)


def _with_others(items: Sequence[Item], name: str, seed: int) -> Figure:
    """How often another rater of the same pair, both undecided votes left out, says the same."""
    marks = [
        (item.prompt, float(item.votes[name] == vote))
        for item in items
        for other, vote in item.votes.items()
        if other != name and item.votes.get(name, 0.5) != 0.5 and vote != 0.5
    ]
    return mean([m for _, m in marks], clusters=[p for p, _ in marks], share=True, seed=seed)


def _between(items: Sequence[Item], seed: int) -> Figure:
    marks = [
        (item.prompt, float(x == y))
        for item in items
        for x, y in combinations(item.votes.values(), 2)
        if x != 0.5 and y != 0.5
    ]
    return mean([m for _, m in marks], clusters=[p for p, _ in marks], share=True, seed=seed)
