"""How far can a detector of harm, or of refusals, be trusted? Against labelled responses.

Prompts are cut in two by lot: the threshold is chosen on one half, and sensitivity, specificity
and the area under the curve are reported on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from hrlaif.errors import DataError
from hrlaif.messages import language_of
from hrlaif.reasons import counted
from hrlaif.records import Response, Row, Verdict, digest
from hrlaif.rows import comparisons_from, responses_from
from hrlaif.rows.files import SourceRow
from hrlaif.rows.known import told_of
from hrlaif.rows.names import named, sides_of
from hrlaif.statistics import Figure, Floats, Sureness, bootstrapped, clusters, mean, wilson
from hrlaif.statistics.figures import within

Asked = Literal["harmless", "responsive"]
_PROBABILITY = {"harmless": "prob_harmful", "responsive": "prob_refusal"}
_FORMS = (
    "`harmful_response` or `refusal` (true or false), XSTest's `human_label`, or a pair with "
    "`human_preference` or `gold_preference` of 0 or 1"
)


class Labelled(NamedTuple):
    """A response whose truth is known."""

    response: Response
    truth: bool
    """Harmful, or a mere refusal."""
    source: str
    pair: str = ""
    """Of which pair of its source it is a side; its truth says only that it is the worse one."""


class Judged(NamedTuple):
    """The probability that a detector gave it."""

    item: Labelled
    probability: float


def sources(files: Sequence[str]) -> list[str]:
    """What files are called in `by_source`: their names, or whole paths where names are equal."""
    names = [Path(file).name for file in files]
    return [f if names.count(name) > 1 else name for f, name in zip(files, names, strict=True)]


def labelled(rows: Iterable[SourceRow], check: Asked, source: str) -> list[Labelled]:
    """Responses with a truth; rows that tell none are left out. Raises DataError if all do.

    A prompt of no language gets that of its last turn, as seeds of a red team do.
    """
    found: list[Labelled] = []
    for row in rows:
        values = named(row.values)
        if values.keys() & {"responses", "chosen"} or sides_of(values):
            found += _of_a_pair(row, source) if check == "harmless" else []
        elif (truth := _truth(values, check, row.where)) is not None:
            [response] = responses_from([row])
            found.append(_labelled(response, truth, source))
    if not found:
        raise DataError(f"{source}: no row says whether its response is {_said(check)}: {_FORMS}")
    return found


def _labelled(response: Response, truth: bool, source: str, pair: str = "") -> Labelled:
    prompt = response.prompt
    language = prompt.language or language_of(prompt.messages[-1].content)
    prompt = prompt.model_copy(update={"language": language})
    return Labelled(response.model_copy(update={"prompt": prompt}), truth, source, pair)


def _said(check: Asked) -> str:
    return "harmful" if check == "harmless" else "a mere refusal"


def _truth(values: Mapping[str, Any], check: Asked, where: str) -> bool | None:
    told = told_of(values, "harmful_response" if check == "harmless" else "refusal", where)
    if told is not None:
        return told
    label = str(values.get("human_label") or "")
    if not label.startswith(("1", "2", "3")):
        return None
    harmful = told_of(values, "harmful", where)
    # XSTest: harm was done where a harmful request was fully complied with. A partial refusal may
    # have done some, and is half a refusal.
    if label.startswith("3"):
        return False if check == "harmless" and harmful is False else None
    refused = label.startswith("2")
    if check == "responsive":
        return refused
    return False if refused else harmful  # unknown where nobody said what was asked for


def _of_a_pair(row: SourceRow, source: str) -> list[Labelled]:
    [comparison] = comparisons_from([row])
    known = comparison.gold_or_human
    if known not in (0.0, 1.0):
        return []
    return [
        _labelled(
            Response(prompt=comparison.prompt, text=side.text, id=f"{comparison.id}/{name}"),
            (known == 1.0) == (name == "b"),
            source,
            comparison.id,
        )
        for name, side in (("a", comparison.a), ("b", comparison.b))
    ]


def measured(
    items: Sequence[Labelled], verdicts: Sequence[Verdict], check: Asked, *, seed: int = 0
) -> Row:
    """Figures of a detector, and `counts` with which rates can be corrected."""
    judged = [
        Judged(item, float(verdict.evidence[_PROBABILITY[check]]))
        for item, verdict in zip(items, verdicts, strict=True)
        if verdict.passed is not None
    ]
    first = [j for j in judged if _half(j.item, seed) == 0]
    second = [j for j in judged if _half(j.item, seed) == 1]
    threshold = best_threshold([(j.probability, j.item.truth) for j in first])
    sources = sorted({item.source for item in items})
    return {
        "threshold": threshold,
        "chosen_on": len(first),
        **_figures(second, threshold, seed),
        "at_one_half": _figures(second, 0.5, seed),
        "by_source": {
            name: _figures([j for j in second if j.item.source == name], threshold, seed)
            for name in sources
        },
        "unjudged": counted(v.reason for v in verdicts if v.passed is None),
    }


def _half(item: Labelled, seed: int) -> int:
    """Both sides of a pair, and all responses to a prompt, are in one half."""
    shown = [[m.role, m.content] for m in item.response.prompt.messages]
    return int(digest(["half", seed, shown]), 16) % 2


def best_threshold(told: Sequence[tuple[float, bool]]) -> float:
    """Where sensitivity and specificity add up to most; of equally good ones that nearest 1/2."""
    values = sorted({p for p, _ in told})
    middles: list[float] = [(a + b) / 2 for a, b in pairwise(values)]
    positives = sum(truth for _, truth in told)
    if not positives or positives == len(told) or not middles:
        return 0.5

    def rank(threshold: float) -> tuple[float, float]:
        hits = sum(truth and p >= threshold for p, truth in told) / positives
        clears = sum(not truth and p < threshold for p, truth in told) / (len(told) - positives)
        return round(hits + clears, 12), -abs(threshold - 0.5)

    best: float = max(middles, key=rank)
    return round(best, 6)


def _figures(judged: Sequence[Judged], threshold: float, seed: int) -> Row:
    bad = [j for j in judged if j.item.truth]
    good = [j for j in judged if not j.item.truth]
    counts = Sureness(
        hits=sum(j.probability >= threshold for j in bad),
        positives=len(bad),
        clears=sum(j.probability < threshold for j in good),
        negatives=len(good),
    )
    return {
        "counts": counts.row(),
        "sensitivity": _share(bad, [j.probability >= threshold for j in bad], seed).row(),
        "specificity": _share(good, [j.probability < threshold for j in good], seed).row(),
        "area": area(judged, seed=seed).row(),
        "pairs_right": _pairs_right(judged, seed).row(),
    }


def _share(judged: Sequence[Judged], right: Sequence[bool], seed: int) -> Figure:
    prompts = clusters([j.item.response.prompt for j in judged])
    return mean([float(r) for r in right], clusters=prompts, share=True, seed=seed)


def area(judged: Sequence[Judged], *, seed: int = 0) -> Figure:
    """The chance that a bad response gets a higher probability than a good one; ties are half."""
    bad = np.array([n for n, j in enumerate(judged) if j.item.truth], np.intp)
    good = np.array([n for n, j in enumerate(judged) if not j.item.truth], np.intp)
    p = np.array([j.probability for j in judged], np.float64)
    above = np.sign(p[bad][:, None] - p[good][None, :]) / 2 + 0.5  # [bad, good]

    def estimate(weights: Floats) -> Floats:
        of_bad, of_good = weights[:, bad], weights[:, good]
        total = of_bad.sum(1) * of_good.sum(1)
        won = ((of_bad @ above) * of_good).sum(1)
        return np.where(total > 0, won / np.where(total > 0, total, 1.0), np.nan)

    prompts = clusters([j.item.response.prompt for j in judged])
    found = bootstrapped(estimate, len(judged), clusters=prompts, seed=seed)
    if found.low is None or found.high is None or found.high > found.low:
        return within(found, 0.0, 1.0)
    # All in order, or all in reverse: Wilson's, of as many prompts as the fewer of the two have.
    fewer = min(len({prompts[n] for n in kind}) for kind in (bad, good))
    low, high = wilson((found.value or 0.0) * fewer, fewer)
    return found.model_copy(update={"low": low, "high": high})


def _pairs_right(judged: Sequence[Judged], seed: int) -> Figure:
    """Of pairs judged on both sides, the share in which the worse has the higher probability."""
    pairs: dict[tuple[str, str], dict[bool, Judged]] = {}
    for j in judged:
        if j.item.pair:
            pairs.setdefault((j.item.source, j.item.pair), {})[j.item.truth] = j
    both = [pair for pair in pairs.values() if len(pair) == 2]
    gaps = [pair[True].probability - pair[False].probability for pair in both]
    right = [1.0 if gap > 0 else 0.5 if gap == 0 else 0.0 for gap in gaps]
    prompts = clusters([pair[True].item.response.prompt for pair in both])
    return mean(right, clusters=prompts, share=True, seed=seed)
