"""Would the judge rank the models that wrote these responses as people do?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    TOLD_BY_STYLE,
    Games,
    bounded,
    bradley_terry,
    same_order,
    told_apart,
    told_by_style,
)
from hrlaif.study.features import style_gaps
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item

_LEAST = 3


def ranking(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Bradley-Terry of the models by people and by the judge, with and without style.

    On the pairs whose two authors are known and that both decided on. People win by the share of
    their votes, the judge by what it names; "judge, soft" takes its probabilities, by which
    strengths shrink where it is unsure. Empty with fewer than three models, and where some of them
    won, or lost, every game against the others: no strength is large enough for that.
    """
    known = [
        (item, a)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and item.truth is not None and all(item.models)
        and item.models[0] != item.models[1]
    ]  # fmt: skip
    models = sorted({name for item, _ in known for name in item.models})
    people = [item.truth or 0.0 for item, _ in known]
    judge = [0.5 if a.prob_a == 0.5 else float(a.prob_a > 0.5) for _, a in known]

    def games(wins: Sequence[float]) -> Games:
        first, second = ([item.models[side] for item, _ in known] for side in (0, 1))
        weights = [item.weight for item, _ in known]
        return Games(first, second, wins, [item.prompt for item, _ in known], weights)

    if len(models) < _LEAST or not all(bounded(games(wins)) for wins in (people, judge)):
        return {}
    gaps = [style_gaps(item.comparison) for item, _ in known]
    style, left_out = told_apart(games(people), {name: [g[name] for g in gaps] for name in gaps[0]})
    sides = [bradley_terry(games(wins), style=style, resamples=1) for wins in (people, judge)]
    if any(told_by_style(side) for side in sides):
        style, left_out = {}, left_out | dict.fromkeys(style, TOLD_BY_STYLE)
    ways = {
        "people": (people, None),
        "people at equal style": (people, style),
        "judge": (judge, None),
        "judge at equal style": (judge, style),
        "judge, soft": ([a.prob_a for _, a in known], None),
    }
    by = {
        name: bradley_terry(games(wins), style=with_style, seed=seed).row()
        for name, (wins, with_style) in ways.items()
    }
    order = _alike(by["people"]["strength"], by["judge"]["strength"])
    tau = same_order(games(people), judge, seed=seed)
    return {
        "games": len(known),
        "by": by,
        "style_left_out": left_out,
        "same_order": order | {"tau": tau.row()},
    }


def _alike(one: Row, other: Row) -> Row:
    """How many pairs of models both rank alike."""
    pairs = list(combinations(sorted(one), 2))
    alike = sum(
        (one[x]["value"] - one[y]["value"]) * (other[x]["value"] - other[y]["value"]) > 0
        for x, y in pairs
    )
    return {"alike": alike, "of": len(pairs)}
