"""Would the judge rank the models that wrote these responses as people do?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from hrlaif.records import Preference, Row
from hrlaif.statistics import Games, bradley_terry
from hrlaif.study.features import style_gaps
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item

_LEAST = 3


def ranking(items: Sequence[Item], answers: Sequence[Answer], *, seed: int) -> Row:
    """Bradley-Terry of the models by people and by the judge, with and without style.

    On the pairs whose two authors are known and that both decided on; empty with fewer than three
    models, or where some model met no other.
    """
    known = [
        (item, a)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference) and item.truth is not None and all(item.models)
        and item.models[0] != item.models[1]
    ]  # fmt: skip
    models = sorted({name for item, _ in known for name in item.models})
    if len(models) < _LEAST or not _connected(known, models):
        return {}
    gaps = [style_gaps(item.comparison) for item, _ in known]
    style: dict[str, Sequence[float]] = {
        name: [g[name] for g in gaps] for name in gaps[0] if any(g[name] for g in gaps)
    }

    def ranked(wins: Callable[[Item, Preference], float], *, styled: bool) -> Row:
        games = Games(
            [item.models[0] for item, _ in known],
            [item.models[1] for item, _ in known],
            [wins(item, a) for item, a in known],
            [item.prompt for item, _ in known],
        )
        return bradley_terry(games, style=style if styled else None, seed=seed).row()

    found = {
        f"{who}{' at equal style' if styled else ''}": ranked(wins, styled=styled)
        for who, wins in (("people", _by_people), ("judge", _by_judge))
        for styled in (False, True)
    }
    return {
        "games": len(known),
        "by": found,
        "same_order": _same_order(found["people"]["strength"], found["judge"]["strength"]),
    }


def _by_people(item: Item, label: Preference) -> float:
    return item.truth or 0.0


def _by_judge(item: Item, label: Preference) -> float:
    return label.prob_a


def _same_order(one: Row, other: Row) -> Row:
    """How many pairs of models both rank alike."""
    pairs = list(combinations(sorted(one), 2))
    alike = sum(
        (one[x]["value"] - one[y]["value"]) * (other[x]["value"] - other[y]["value"]) > 0
        for x, y in pairs
    )
    return {"alike": alike, "of": len(pairs)}


def _connected(known: Sequence[tuple[Item, Preference]], models: Sequence[str]) -> bool:
    """True when every model met every other at least through others."""
    reached, grown = {models[0]}, True
    while grown:
        more = {name for item, _ in known if reached & set(item.models) for name in item.models}
        grown = not more <= reached
        reached |= more
    return len(reached) == len(models)
