"""How often does the judge name what people prefer, and how often do people themselves?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    Figure,
    cohen_kappa,
    effective,
    equal_parts,
    krippendorff_alpha,
    light_kappa,
    mean,
    right,
    right_for_one_rater,
)
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item, leaning

_LEAST = 10  # values below which a group is not shown
_MOST = 24  # categories shown; the largest
_SURE = ("surest", "sure", "unsure", "unsurest")
_APART = ("nearly equal", "somewhat different", "different", "very different")


@dataclass(frozen=True)
class Scored:
    """Items whose truth is known and no tie, each with the probability that a labeler gave to a."""

    rows: list[tuple[Item, float]]

    @classmethod
    def of(cls, items: Sequence[Item], answers: Sequence[Answer]) -> Scored:
        """Leaves out what the judge did not answer, and what people do not decide."""
        told = zip(items, answers, strict=True)
        return cls([(i, a.prob_a) for i, a in told if isinstance(a, Preference) and i.decided])

    @property
    def prompts(self) -> list[str]:
        """Each row's prompt, by which intervals are clustered."""
        return [item.prompt for item, _ in self.rows]

    @property
    def weights(self) -> list[float]:
        """How many pairs each row stands for."""
        return [item.weight for item, _ in self.rows]

    def share(self, seed: int, mark: Callable[[Item, float], float] | None = None) -> Figure:
        """Mean mark, weighed and clustered by prompt; by default whether the label is right."""
        mark = mark or (lambda item, p: right(p, item.truth or 0.0))
        return _share([(item, mark(item, p)) for item, p in self.rows], seed)

    def where(self, keep: Callable[[Item, float], bool]) -> Scored:
        """Some of them."""
        return Scored([(item, p) for item, p in self.rows if keep(item, p)])

    def by(self, key: Callable[[Item, float], float], parts: int) -> list[Scored]:
        """About equal parts, the lowest first; rows of one key are never parted."""
        keys = [key(item, p) for item, p in self.rows]
        places = equal_parts(keys, parts, weights=self.weights)
        return [Scored([self.rows[n] for n in part]) for part in places]

    def by_sureness(self, parts: int) -> list[Scored]:
        """About equal parts, the surest labels first; fewer where many are as sure."""
        return self.by(lambda _, p: -abs(p - 0.5), parts)

    def baselines(self, seed: int) -> Row:
        """What needs no judge, on the same items: always the longer response, always the first."""
        return _rules([(item, item.truth or 0.0) for item, _ in self.rows], right, seed)

    def beside_baselines(self, seed: int) -> Row:
        """Agreement, and the two baselines on the same items."""
        return {"agreement": self.share(seed).row(), **self.baselines(seed)}


def agreement(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Every figure of one way of asking, as plain rows.

    `baselines` has what needs no judge beside each agreement, on the pairs that it stands on.
    """
    scored = Scored.of(items, answers)
    unanimous = scored.where(lambda i, _: i.unanimous)
    halves = scored.by_sureness(2)
    surest, faintest = halves if len(halves) == 2 else (Scored([]), Scored([]))
    rated = [
        (item, a.prob_a, item.rater_share)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and item.rater_share is not None
    ]
    return {
        "agreement": scored.share(seed).row(),
        "effective": round(effective(np.array(scored.weights)), 1),
        "unanimous": unanimous.share(seed).row(),
        "one_rater": _share([(i, right_for_one_rater(p, s)) for i, p, s in rated], seed).row(),
        "ceiling": _share([(i, max(s, 1 - s)) for i, _, s in rated], seed).row(),
        "kappa": _kappa(scored, seed).row(),
        "confident_half": surest.share(seed).row(),
        "faint_half": faintest.share(seed).row(),
        "same_position": same_position(items, answers, seed=seed).row(),
        "mass": _mass(items, answers, seed).row(),
        "baselines": {
            "agreement": scored.baselines(seed),
            "unanimous": unanimous.baselines(seed),
            "one_rater": _rules([(i, s) for i, _, s in rated], right_for_one_rater, seed),
            "confident_half": surest.baselines(seed),
            "faint_half": faintest.baselines(seed),
        },
    }


def breakdown(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Agreement by category, language, confidence and by how different the lengths are.

    Each beside the two baselines on the same items. The last two are quarters, with the range of
    what they are divided by: of max(p, 1 - p), and of the share by which the shorter is shorter.
    """
    scored = Scored.of(items, answers)
    parts = {
        "by_category": _by(scored, lambda i: i.comparison.prompt.category or "none"),
        "by_language": _by(scored, lambda i: i.comparison.prompt.language or "unknown"),
    }
    found: Row = {
        part: {name: group.beside_baselines(seed) for name, group in groups.items()}
        for part, groups in parts.items()
    }
    sure = _quarters(scored.by_sureness(4), _SURE, lambda _, p: max(p, 1 - p), seed)
    apart = scored.by(lambda i, _: i.length_difference, 4)
    lengths = _quarters(apart, _APART, lambda i, _: i.length_difference, seed)
    return found | {"by_confidence": sure, "by_length": lengths}


def baselines(items: Sequence[Item], *, seed: int) -> Row:
    """What needs no judge: always the longer response, always the first."""
    return Scored([(item, 0.5) for item in items if item.decided]).baselines(seed)


def raters(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Each rater's agreement with the judge and with the other raters, and alpha of all.

    The judge's stands beside what needs no judge, on the same pairs.

    Empty where the pairs carry no single votes.
    """
    voted = [(i, a) for i, a in zip(items, answers, strict=True) if i.votes]
    if not voted:
        return {}
    names = sorted({name for item, _ in voted for name in item.votes})
    rated = [item for item, _ in voted]
    told = [(i, a.prob_a) for i, a in voted if isinstance(a, Preference)]
    with_judge = [[*i.votes.values(), leaning(p)] for i, p in told]
    sides = [{name: vote for name, vote in i.votes.items() if vote != 0.5} for i in rated]
    return {
        "raters": {
            name: {
                **_with_rater(told, name, seed),
                "kappa": _kappa_with_rater(told, name, seed).row(),
                "others": _with_others(rated, name, seed).row(),
            }
            for name in names
        },
        "between_raters": _between(rated, seed).row(),
        "kappa_raters": light_kappa(sides, **_drawn(rated), seed=seed).row(),
        "alpha_raters": _alpha([list(i.votes.values()) for i in rated], rated, seed).row(),
        "alpha_with_judge": _alpha(with_judge, [i for i, _ in told], seed).row(),
    }


def same_position(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Figure:
    """Share of labels whose two orders name different winners."""
    flips = [
        (item.prompt, float(a.evidence.flipped))
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and a.evidence and a.evidence.flipped is not None
    ]
    return mean([f for _, f in flips], clusters=[p for p, _ in flips], share=True, seed=seed)


def _drawn(items: Sequence[Item]) -> dict[str, Any]:
    """Whole prompts, and each pair by how many it stands for."""
    return {"clusters": [i.prompt for i in items], "weights": [i.weight for i in items]}


def _share(marks: Sequence[tuple[Item, float]], seed: int) -> Figure:
    drawn = _drawn([item for item, _ in marks])
    return mean([mark for _, mark in marks], **drawn, share=True, seed=seed)


def _rules(
    told: Sequence[tuple[Item, float]], mark: Callable[[float, float], float], seed: int
) -> Row:
    """Always the longer response and always the first, marked against what people say of a."""
    longer = _share([(i, mark(i.longer, said)) for i, said in told], seed)
    first = _share([(i, mark(1.0, said)) for i, said in told], seed)
    return {"always_longer": longer.row(), "always_first": first.row()}


def _kappa(scored: Scored, seed: int) -> Figure:
    """Of the better responses and those that the judge names; labels that name none left out."""
    kept = scored.where(lambda _, p: p != 0.5)
    better = [(i.truth or 0.0) > 0.5 for i, _ in kept.rows]
    named = [p > 0.5 for _, p in kept.rows]
    return cohen_kappa(better, named, **_drawn([i for i, _ in kept.rows]), seed=seed)


def _kappa_with_rater(told: Sequence[tuple[Item, float]], name: str, seed: int) -> Figure:
    """The same of one rater's votes; both undecided left out."""
    kept = [(i, p) for i, p in told if p != 0.5 and i.votes.get(name, 0.5) != 0.5]
    votes = [i.votes[name] > 0.5 for i, _ in kept]
    return cohen_kappa(votes, [p > 0.5 for _, p in kept], **_drawn([i for i, _ in kept]), seed=seed)


def _alpha(units: Sequence[Sequence[float]], items: Sequence[Item], seed: int) -> Figure:
    return krippendorff_alpha(units, level="ordinal", **_drawn(items), seed=seed)


def _mass(items: Sequence[Item], answers: Sequence[Answer], seed: int) -> Figure:
    rows = [
        (item.prompt, a.evidence.mass)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and a.evidence and a.evidence.mass is not None
    ]
    return mean([v for _, v in rows], clusters=[p for p, _ in rows], share=True, seed=seed)


def _quarters(
    groups: Sequence[Scored],
    names: tuple[str, str, str, str],
    key: Callable[[Item, float], float],
    seed: int,
) -> Row:
    """Named from the one end to the other; middle names fall away where there are fewer groups."""
    kept = {4: names, 3: (names[0], names[2], names[3]), 2: (names[0], names[3])}
    found = {}
    for name, group in zip(kept.get(len(groups), ("all alike",)), groups, strict=False):
        keys = [round(key(item, p), 6) for item, p in group.rows]
        ends = {"from": min(keys), "to": max(keys)}
        found[name] = {**ends, **group.beside_baselines(seed)}
    return found


def _by(scored: Scored, name: Callable[[Item], str]) -> dict[str, Scored]:
    """The groups that are large enough to show, the largest first."""
    groups: dict[str, Scored] = defaultdict(lambda: Scored([]))
    for item, p in scored.rows:
        groups[name(item)].rows.append((item, p))
    large = [n for n in sorted(groups) if len(groups[n].rows) >= _LEAST]
    return {n: groups[n] for n in sorted(large, key=lambda n: -len(groups[n].rows))[:_MOST]}


def _with_rater(told: Sequence[tuple[Item, float]], name: str, seed: int) -> Row:
    voted = [(i, p, vote) for i, p in told if (vote := i.votes.get(name, 0.5)) != 0.5]
    judge = _share([(i, right(p, vote)) for i, p, vote in voted], seed)
    return {"judge": judge.row(), **_rules([(i, vote) for i, _, vote in voted], right, seed)}


def _with_others(items: Sequence[Item], name: str, seed: int) -> Figure:
    """How often another rater of the same pair, both undecided votes left out, says the same."""
    marks = [
        (item, float(item.votes[name] == vote))
        for item in items
        for other, vote in item.votes.items()
        if other != name and item.votes.get(name, 0.5) != 0.5 and vote != 0.5
    ]
    return _share(marks, seed)


def _between(items: Sequence[Item], seed: int) -> Figure:
    marks = [
        (item, float(x == y))
        for item in items
        for x, y in combinations(item.votes.values(), 2)
        if x != 0.5 and y != 0.5
    ]
    return _share(marks, seed)
