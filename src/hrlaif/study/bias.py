"""What else than quality does this judge follow? Its bias card, every figure with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    NOTHING,
    Figure,
    Floats,
    bootstrapped,
    difference,
    mean,
    right,
    sign_test,
)
from hrlaif.statistics.logistic import fit
from hrlaif.study.agreement import same_position
from hrlaif.study.features import style
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item
from hrlaif.study.probes import Probe


class Told(NamedTuple):
    """An answered comparison."""

    item: Item
    label: Preference


def told(items: Sequence[Item], answers: Sequence[Answer]) -> list[Told]:
    """Those that the judge answered."""
    return [
        Told(item, answer)
        for item, answer in zip(items, answers, strict=True)
        if isinstance(answer, Preference)
    ]


SHARE, DIFFERENCE, LOG_ODDS = "share", "difference of shares", "log-odds"


def line(kind: str, name: str, figure: Figure, unit: str = DIFFERENCE) -> Row:
    """A line of the card. `fair` is what an unbiased judge would have: 0.5 of shares, else 0."""
    fair = 0.5 if unit == SHARE else 0.0
    return {"kind": kind, "name": name, "figure": figure.row(), "fair": fair, "unit": unit}


def position(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Same-position share, its direction with a sign test, and the lean towards the first.

    RLAIF (arXiv 2309.00267), appendix on position bias: of the pairs on which both orders name the
    same position, how many name the first.
    """
    orders = [
        (t.item.prompt, t.label.evidence.prob_a_first, t.label.evidence.prob_a_second)
        for t in told(items, answers)
        if t.label.evidence
        and t.label.evidence.prob_a_first is not None
        and t.label.evidence.prob_a_second is not None
    ]
    if not orders:
        return []
    names = [name for name, _, _ in orders]
    lean = [(first + 1.0 - second) / 2 for _, first, second in orders]
    flips = [(n, first) for n, first, second in orders if (first - 0.5) * (second - 0.5) < 0]
    to_first = [float(first > 0.5) for _, first in flips]
    direction = mean(to_first, clusters=[n for n, _ in flips], share=True, seed=seed)
    same = same_position(items, answers, seed=seed)
    p = sign_test(int(sum(to_first)), len(to_first))
    return [
        line("position", "same position preferred", same, SHARE) | {"fair": 0.0},
        line("position", "the first, when place decides", direction, SHARE) | {"p": p},
        line("position", "probability of the first", mean(lean, clusters=names, seed=seed), SHARE),
    ]


def excess(
    items: Sequence[Item], answers: Sequence[Answer], has: Callable[[Item], float], *, seed: int
) -> Figure:
    """How much more often the judge prefers the response with a trait than people do, paired.

    `has` gives 1 when only a has it (or has more of it), 0 when only b, 0.5 when neither: those
    pairs, and the ones that people do not decide, are left out.
    """
    rows = [
        (t.item.prompt, right(t.label.prob_a, h), right(t.item.truth or 0.0, h))
        for t in told(items, answers)
        if (h := has(t.item)) != 0.5 and t.item.decided
    ]
    names = [name for name, _, _ in rows]
    return difference([j for _, j, _ in rows], [p for _, _, p in rows], clusters=names, seed=seed)


def observed(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Length, lists and refusals in the pairs as they are, against what people prefer there."""
    traits: tuple[tuple[str, str, Callable[[Item], float]], ...] = (
        ("length", "the longer, beyond people", lambda i: i.longer),
        ("format", "more list items, beyond people", lambda i: _more(i, "list_items")),
        ("format", "more bold, beyond people", lambda i: _more(i, "bold")),
        ("refusal", "the refusal, beyond people", lambda i: _more(i, "refusal")),
    )
    lines = []
    for kind, name, has in traits:
        figure = excess(items, answers, has, seed=seed)
        if figure.n:
            lines.append(line(kind, name, figure))
    pull = length_pull(items, answers, seed=seed)
    if pull.n:
        lines.append(line("length", "one deviation longer", pull, LOG_ODDS))
    return lines


def length_pull(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Figure:
    """phi of P(judge prefers a) = sigmoid(phi gap / sd + psi (2 truth - 1)): length beside truth.

    The soft labels are regressed, so phi is in the judge's own log-odds.
    """
    rows = [t for t in told(items, answers) if t.item.truth is not None]
    gaps = np.array([t.item.length_gap for t in rows], float)
    if len(rows) < 3 or np.ptp(gaps) == 0:
        return NOTHING
    truth = np.array([2 * (t.item.truth or 0.0) - 1 for t in rows])
    x = np.column_stack([gaps / gaps.std(ddof=1), truth])
    y = np.array([t.label.prob_a for t in rows])

    def phi(weights: Floats) -> Floats:
        return fit(x, y, weights)[:, 0]

    return bootstrapped(phi, len(rows), clusters=[t.item.prompt for t in rows], seed=seed)


def probed(probe: Probe, answers: Sequence[Answer], *, seed: int) -> Row:
    """Mean probability of the changed copy, over what was answered."""
    rows = [(a.comparison.prompt.id, 1 - a.prob_a) for a in answers if isinstance(a, Preference)]
    figure = mean([v for _, v in rows], clusters=[p for p, _ in rows], seed=seed)
    return line("probe", probe.name, figure, SHARE) | {"worse": probe.worse}


def by_language(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Agreement on Chinese prompts minus that on English ones."""
    rows = [t for t in told(items, answers) if t.item.decided]
    marks = np.array([right(t.label.prob_a, t.item.truth or 0.0) for t in rows])
    chinese = np.array([(t.item.comparison.prompt.language or "").startswith("zh") for t in rows])
    english = np.array([(t.item.comparison.prompt.language or "").startswith("en") for t in rows])
    if chinese.sum() < 2 or english.sum() < 2:
        return []

    def gap(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            parts = [(weights @ (marks * g)) / (weights @ g.astype(float)) for g in groups]
        return np.asarray(parts[0] - parts[1], np.float64)

    groups = (chinese, english)
    names = [t.item.prompt for t in rows]
    figure = bootstrapped(gap, len(rows), clusters=names, seed=seed)
    return [line("language", "agreement, Chinese less English", figure)]


def self_preference(
    own: Sequence[Answer], others: Sequence[Sequence[Answer]], *, seed: int
) -> list[Row]:
    """Its own samples (b) against the responses people prefer (a): by itself, and beside others.

    With other judges on the same pairs, the difference is free of how good its samples are.
    """
    said = {a.comparison.id: 1 - a.prob_a for a in own if isinstance(a, Preference)}
    if not said:
        return []
    figure = mean(list(said.values()), seed=seed)
    lines = [line("self", "own samples over people's pick", figure, SHARE)]
    elsewhere: dict[str, list[float]] = {}
    for answers in others:
        for a in answers:
            if isinstance(a, Preference) and a.comparison.id in said:
                elsewhere.setdefault(a.comparison.id, []).append(1 - a.prob_a)
    if elsewhere:
        ids = list(elsewhere)
        gap = difference(
            [said[i] for i in ids], [float(np.mean(elsewhere[i])) for i in ids], seed=seed
        )
        lines.append(line("self", "own, beyond other judges", gap))
    return lines


def _more(item: Item, trait: str) -> float:
    a, b = (
        getattr(style(text), trait) for text in (item.comparison.a.text, item.comparison.b.text)
    )
    return 0.5 if a == b else float(a > b)
