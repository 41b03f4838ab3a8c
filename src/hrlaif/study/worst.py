"""Where do judge and people disagree most, and what did the judge say for itself?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hrlaif.records import Preference, Row
from hrlaif.study.labels import Answer
from hrlaif.study.pairs import Item


def disagreements(
    items: Sequence[Item],
    answers: Sequence[Answer],
    *,
    most: int,
    ways: Mapping[str, Sequence[Answer]] | None = None,
) -> list[Row]:
    """Rows whose label names the other response than people do, the surest labels first.

    `gap` is the distance between the label and people's share. `ways`: the judge's answers by way
    of asking, that of the labels first; `rationales` are those of the first that wrote any.
    """
    wrong = [
        (abs(a.prob_a - item.truth), item, a, n)
        for n, (item, a) in enumerate(zip(items, answers, strict=True))
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
            **_reasons({way: said[n] for way, said in (ways or {}).items()}),
        }
        for gap, item, label, n in wrong[:most]
    ]


def _reasons(said: Mapping[str, Answer]) -> Row:
    """What a judge wrote of one pair before its verdict, in which way, and what it then said."""
    for way, answer in said.items():
        if not isinstance(answer, Preference) or answer.evidence is None:
            continue
        if texts := answer.evidence.rationales:
            orders = 1 if answer.evidence.prob_a_second is None else 2
            several = re.search(r"-x(\d+)", way)
            samples = int(several[1]) if several else 1
            # Where one was not written, nothing says of which order it was.
            first = samples if len(texts) == orders * samples else None
            by = {"way": way, "prob_a": answer.prob_a, "orders": orders, "of_first": first}
            return {"rationales": list(texts), "rationales_of": by}
    return {"rationales": [], "rationales_of": None}
