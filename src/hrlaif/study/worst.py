"""Where do judge and people disagree most, and what did the judge say for itself?"""

from __future__ import annotations

from collections.abc import Sequence

from hrlaif.records import Preference, Row
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item


def disagreements(items: Sequence[Item], answers: Sequence[Answer], *, most: int) -> list[Row]:
    """Rows whose label names the other response than people do, the surest labels first.

    `gap` is the distance between the label and people's share.
    """
    wrong = [
        (abs(a.prob_a - item.truth), item, a)
        for item, a in zip(items, answers, strict=True)
        if isinstance(a, Preference)
        and item.truth is not None
        and (a.prob_a - 0.5) * (item.truth - 0.5) < 0
    ]
    wrong.sort(key=lambda found: (-found[0], found[1].comparison.id))
    return [
        {
            **item.comparison.row(),
            "gap": round(gap, 6),
            "prob_a": label.prob_a,
            "people": item.truth,
            "votes": dict(item.votes),
            "flipped": label.evidence.flipped if label.evidence else None,
            "rationales": list(label.evidence.rationales) if label.evidence else [],
        }
        for gap, item, label in wrong[:most]
    ]
