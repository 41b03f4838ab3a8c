"""What do several judges say together of one comparison? The mean of those who answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from hrlaif.records import Abstention, Evidence, LabelSource, Preference

_LADDER = ("hard", "votes", "scored", "logprobs")
"""From the coarsest source of a probability to the finest."""


def together(
    told: Sequence[Preference | Abstention], names: Sequence[str], quorum: int | None = None
) -> Preference | Abstention:
    """What these judges, one answer each, say together of a comparison: the mean of those who said.

    Without a quorum more than half must have answered.
    """
    comparison = told[0].comparison
    labeler = f"panel/{told[0].labeler.replace(names[0], '+'.join(names), 1)}"
    said = {n: t for n, t in zip(names, told, strict=True) if isinstance(t, Preference)}
    if len(said) < (quorum or len(names) // 2 + 1):
        silent: dict[str, list[str]] = {}
        for name, one in zip(names, told, strict=True):
            if isinstance(one, Abstention):
                silent.setdefault(one.reason, []).append(name)
        parts = [f"{', '.join(who)} did not: {why}" for why, who in silent.items()]
        reason = "; ".join([f"{len(said)} of {len(names)} judges answered", *parts])
        if not said and len(silent) == 1:
            (reason,) = silent
        return Abstention(comparison=comparison, labeler=labeler, reason=reason)
    return Preference(
        comparison=comparison,
        prob_a=round(fmean(one.prob_a for one in said.values()), 7),
        labeler=labeler,
        evidence=_evidence(said),
    )


def coarsest(sources: Iterable[LabelSource]) -> LabelSource:
    """The source that says how fine the mean of several probabilities is.

    What no judge's answer was read from, such as a check's verdict, is finer than all that was.
    """
    return min(sources, key=lambda s: _LADDER.index(s) if s in _LADDER else len(_LADDER))


def _evidence(said: dict[str, Preference]) -> Evidence:
    """Means of what stands in every judge's, and the judges' own words and probabilities."""
    judges = {name: one.prob_a for name, one in said.items()}
    found = {name: one.evidence for name, one in said.items() if one.evidence}
    if not found:  # of labelers that keep none
        return Evidence(source="hard", judges=judges)
    first = _mean([one.prob_a_first for one in found.values()])
    second = _mean([one.prob_a_second for one in found.values()])
    return Evidence(
        source=coarsest(one.source for one in found.values()),
        mass=_mean([one.mass for one in found.values()]),
        prob_a_first=first,
        prob_a_second=second,
        flipped=None if first is None or second is None else (first - 0.5) * (second - 0.5) < 0,
        rationales=tuple(f"{n}: {text}" for n, one in found.items() for text in one.rationales),
        truncated=any(one.truncated for one in found.values()),
        judges=judges,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 6) if len(known) == len(values) else None
