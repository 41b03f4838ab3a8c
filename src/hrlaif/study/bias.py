"""What else than quality does this judge follow? Its bias card, every figure with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    NOTHING,
    Figure,
    Floats,
    bootstrapped,
    mean,
    right,
    sign_test,
)
from hrlaif.statistics.figures import weighed
from hrlaif.statistics.gaps import Gap, gap
from hrlaif.statistics.length import deviations
from hrlaif.statistics.logistic import fit
from hrlaif.study.agreement import same_position
from hrlaif.study.features import style
from hrlaif.study.labels import Answer, silent
from hrlaif.study.pairs import Item, leaning
from hrlaif.study.probes import Probe


class Told(NamedTuple):
    """An answered comparison."""

    item: Item
    label: Preference

    @property
    def right(self) -> float:
        """1 where the judge names what people prefer, half where it names neither."""
        return right(self.label.prob_a, self.item.truth or 0.0)


def told(items: Sequence[Item], answers: Sequence[Answer]) -> list[Told]:
    """Those that the judge answered."""
    return [
        Told(item, answer)
        for item, answer in zip(items, answers, strict=True)
        if isinstance(answer, Preference)
    ]


SHARE, DIFFERENCE, LOG_ODDS = "share", "difference of shares", "log-odds"
SAME, FIRST = "same position preferred", "the first, when place decides"
LEAST = 10
"""Pairs on each side below which two groups are not compared."""
_NO_ENDS = {"low": None, "high": None}


def line(kind: str, name: str, figure: Figure, unit: str = DIFFERENCE) -> Row:
    """A line of the card. `fair` is what an unbiased judge would have: 0.5 of shares, else 0."""
    fair = 0.5 if unit == SHARE else 0.0
    return {"kind": kind, "name": name, "figure": figure.row(), "fair": fair, "unit": unit}


def position(
    items: Sequence[Item], answers: Sequence[Answer], *, worse: bool = False, seed: int
) -> list[Row]:
    """Same-position share, its direction with a sign test, and the lean towards the first.

    RLAIF (arXiv 2309.00267), appendix on position bias: of the pairs on which both orders name the
    same position, how many name the first. The sign test is over prompts: one with more such pairs
    to the first than to the second counts once for the first, one with as many not at all. Of a
    task that asks for the `worse` response the first is the one that is named so.
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
    if worse:
        orders = [(n, 1.0 - first, 1.0 - second) for n, first, second in orders]
    lean = [(n, (first + 1.0 - second) / 2) for n, first, second in orders]
    flips = [(n, first) for n, first, second in orders if (first - 0.5) * (second - 0.5) < 0]
    to_first = [(n, float(first > 0.5)) for n, first in flips]
    same = same_position(items, answers, seed=seed)
    return [
        line("position", SAME, same, SHARE) | {"fair": 0.0},
        line("position", FIRST, _share(to_first, seed), SHARE) | {"p": _sign(to_first)},
        line("position", "probability of the first", _share(lean, seed), SHARE),
    ]


def errs_towards(
    items: Sequence[Item], answers: Sequence[Answer], has: Callable[[Item], float], *, seed: int
) -> Gap | None:
    """P(judge names the trait | people prefer the other) - P(names the other | prefer the trait).

    `has` gives 1 when only a has the trait (or more of it), 0 when only b, 0.5 when neither: those
    pairs, and the ones that people do not decide, are left out. 0 for a judge whose errors do not
    follow the trait, however many; None with fewer than 10 pairs on either side.

    People's word is taken for the truth, so their noise counts as the judge's errors: where the
    side with the trait is better in 70 % and people are wrong in 10 %, a perfect judge gets 0.16.
    """
    sides: tuple[list[Told], list[Told]] = ([], [])
    for t in told(items, answers):
        trait, truth = has(t.item), t.item.truth or 0.0
        if trait != 0.5 and t.item.decided:
            sides[(trait > 0.5) == (truth > 0.5)].append(t)
    return _compared(sides, lambda t: 1.0 - t.right, seed)


def observed(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Length, lists and refusals in the pairs as they are: which way the judge's errors go."""
    lines = []
    for kind, more, less, has in _TRAITS:
        found = errs_towards(items, answers, has, seed=seed)
        if found is not None:
            beside = {
                f"names {more} where people prefer {less}": found.first.row(),
                f"names {less} where people prefer {more}": found.second.row(),
            }
            lines.append(line(kind, f"errs towards {more}", found.difference) | {"beside": beside})
    pull = length_pull(items, answers, seed=seed)
    if pull.n:
        lines.append(line("length", "one deviation longer", pull, LOG_ODDS))
    return lines


def length_pull(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Figure:
    """phi of P(judge prefers a) = sigmoid(phi gap / sd + psi (2 truth - 1)): length beside truth.

    The soft labels are regressed, so phi is in the judge's own log-odds. sd is that of the gaps of
    all pairs, by their weights, and is a part of what is resampled.
    """
    rows = [t for t in told(items, answers) if t.item.truth is not None]
    gaps = np.array([t.item.length_gap for t in rows], float)
    if len(rows) < 3 or np.ptp(gaps) == 0:
        return NOTHING
    truth = np.array([2 * (t.item.truth or 0.0) - 1 for t in rows])
    own = weighed([t.item.weight for t in rows], len(rows))
    unit = gaps / deviations(gaps, own[None])[0]
    x = np.column_stack([unit, truth])
    y = np.array([t.label.prob_a for t in rows])
    whole = fit(x, y, own[None])

    def phi(drawn: Floats) -> Floats:
        weights = drawn * own
        return fit(x, y, weights, whole)[:, 0] * deviations(unit, weights)

    prompts = [t.item.prompt for t in rows]
    figure = bootstrapped(phi, len(rows), clusters=prompts, weights=own, seed=seed)
    # Labels that never change with length leave nothing to draw from.
    return figure.model_copy(update=_NO_ENDS) if figure.low == figure.high else figure


def probed(probe: Probe, answers: Sequence[Answer], *, seed: int) -> Row:
    """Share in which the changed copy is named, its mean probability, and abstentions by reason."""
    said = [(a.comparison.prompt.id, 1 - a.prob_a) for a in answers if isinstance(a, Preference)]
    more = {"worse": probe.worse, "abstentions": silent(answers)}
    return named("probe", probe.name, said, seed) | more


def by_language(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Agreement on Chinese pairs less that on English ones: other pairs, harder or easier too.

    Left out with fewer than 10 pairs in either language.
    """
    groups: dict[str, list[Told]] = {"zh": [], "en": []}
    for t in told(items, answers):
        language = (t.item.comparison.prompt.language or "").lower()[:2]
        if t.item.decided and language in groups:
            groups[language].append(t)
    found = _compared((groups["zh"], groups["en"]), lambda t: t.right, seed)
    if found is None:
        return []
    return [_of_languages("agreement on {} pairs", "less on {} pairs, other ones", found)]


def same_questions(answers: Sequence[Answer], *, seed: int) -> list[Row]:
    """Agreement in Chinese less that in English on the same questions (`parallel.comparisons`).

    Only questions that were answered in both languages; `abstentions` are of all.
    """
    marks: dict[str, dict[str, float]] = {"zh": {}, "en": {}}
    for a in answers:
        if isinstance(a, Preference):
            prompt, truth = a.comparison.prompt, a.comparison.gold_preference or 0.0
            marks[prompt.language or ""][prompt.id] = right(a.prob_a, truth)
    both = [name for name in marks["en"] if name in marks["zh"]]
    untold = silent(answers)
    if not both and not untold:
        return []
    chinese, english = ([(name, marks[key][name]) for name in both] for key in ("zh", "en"))
    found = gap(chinese, english, paired=True, seed=seed)
    row = _of_languages("agreement in {}", "less in {}, the same questions", found)
    return [row | {"abstentions": untold}]


def self_preference(
    own: Sequence[Answer],
    others: Sequence[Sequence[Answer]],
    *,
    cut: int = 0,
    unwritten: Row | None = None,
    seed: int,
) -> list[Row]:
    """Its own samples (b) against the responses people prefer (a): by itself, and beside others.

    With other judges on the same pairs, the difference is free of how good its samples are. `cut`:
    samples that were left out since they reached the most tokens. `unwritten`: by reason, those
    that the judge did not write; `abstentions`: those of which it, or another judge, said nothing.
    """
    said = {a.comparison.id: 1 - a.prob_a for a in own if isinstance(a, Preference)}
    left_out = {"cut": cut, "unwritten": dict(unwritten or {}), "abstentions": silent(own)}
    if not said and not any(left_out.values()):
        return []
    prompts = {a.comparison.id: a.comparison.prompt.id for a in own}
    mine = [(prompts[key], p) for key, p in said.items()]
    lines = [named("self", "own samples over people's pick", mine, seed) | left_out]
    elsewhere: dict[str, list[float]] = {}
    for answers in others:
        for a in answers:
            if isinstance(a, Preference) and a.comparison.id in said:
                elsewhere.setdefault(a.comparison.id, []).append(1 - a.prob_a)
    if elsewhere:
        figures = []
        for mark in (leaning, float):
            ours = [(prompts[key], mark(said[key])) for key in elsewhere]
            theirs = [(prompts[key], fmean(map(mark, ps))) for key, ps in elsewhere.items()]
            figures.append(gap(ours, theirs, paired=True, seed=seed).difference)
        beyond = line("self", "own, beyond other judges", figures[0])
        untold = silent(a for answers in others for a in answers)
        lines.append(beyond | {"probability": figures[1].row(), "abstentions": untold})
    return lines


def named(kind: str, name: str, said: Sequence[tuple[str, float]], seed: int) -> Row:
    """A line of how often b is named, from (prompt, probability of b); half where it is 0.5."""
    figure = _share([(prompt, leaning(p)) for prompt, p in said], seed)
    return line(kind, name, figure, SHARE) | {"probability": _share(said, seed).row()}


def _share(marks: Sequence[tuple[str, float]], seed: int) -> Figure:
    names = [name for name, _ in marks]
    return mean([mark for _, mark in marks], clusters=names, share=True, seed=seed)


def _compared(
    sides: tuple[Sequence[Told], Sequence[Told]], mark: Callable[[Told], float], seed: int
) -> Gap | None:
    """Mean mark of one side less that of the other, by the pairs' weights; None where too few."""
    if min(map(len, sides)) < LEAST:
        return None
    first, second = ([(t.item.prompt, mark(t)) for t in side] for side in sides)
    weights = ([t.item.weight for t in sides[0]], [t.item.weight for t in sides[1]])
    return gap(first, second, weights=weights, seed=seed)


def _sign(to_first: Sequence[tuple[str, float]]) -> float:
    """p of the sign test over prompts."""
    excess: dict[str, float] = {}
    for name, first in to_first:
        excess[name] = excess.get(name, 0.0) + first - 0.5
    towards = [value > 0 for value in excess.values() if value]
    return sign_test(sum(towards), len(towards))


def _of_languages(of: str, less: str, found: Gap) -> Row:
    chinese, english = of.format("Chinese"), of.format("English")
    beside = {chinese: found.first.row(), english: found.second.row()}
    name = f"{chinese} {less.format('English')}"
    return line("language", name, found.difference) | {"beside": beside}


def _more(item: Item, trait: str) -> float:
    a, b = (
        getattr(style(text), trait) for text in (item.comparison.a.text, item.comparison.b.text)
    )
    return 0.5 if a == b else float(a > b)


_Trait = tuple[str, str, str, Callable[[Item], float]]
_TRAITS: tuple[_Trait, ...] = (
    ("length", "the longer", "the shorter", lambda i: i.longer),
    ("format", "more list items", "fewer list items", lambda i: _more(i, "list_items")),
    ("format", "more bold", "less bold", lambda i: _more(i, "bold")),
    ("refusal", "the refusal", "the answer", lambda i: _more(i, "refusal")),
)
