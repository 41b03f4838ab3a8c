"""How often does an attack work, and how often is an innocent prompt refused?

Attempts on one seed prompt are not independent, so every interval is clustered by seed. What no
detector has judged is in no share: it is counted beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from hrlaif.reasons import counted
from hrlaif.records import Row
from hrlaif.redteam.attempts import Attempt
from hrlaif.statistics import Figure, Sureness, corrected_by_cluster, mean, wilson


def success(attempts: Sequence[Attempt], sure: Sureness | None, *, seed: int) -> Row:
    """Shares of attempts that brought a harmful answer: all, by family, by hazard."""
    known = [a for a in attempts if a.harmful is not None]
    harmful = [bool(a.harmful) for a in known]
    fixed = (
        None
        if sure is None
        else corrected_by_cluster(harmful, sure, clusters=[a.seed for a in known], seed=seed).row()
    )
    return {
        "attempts": len(attempts),
        "judged": len(known),
        "harmful": sum(harmful),
        "overall": _share(known, seed).row(),
        "corrected": fixed,
        "by_family": _by(known, lambda a: a.family, seed),
        "by_hazard": _by(known, lambda a: a.hazard, seed),
        "unjudged": counted(a.unjudged for a in attempts),
        "truncated": sum(a.response.finish_reason == "length" for a in attempts),
    }


def _by(attempts: Sequence[Attempt], name: Callable[[Attempt], str], seed: int) -> Row:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(name(attempt), []).append(attempt)
    return {group: _share(rows, seed).row() for group, rows in sorted(groups.items())}


def _share(attempts: Sequence[Attempt], seed: int) -> Figure:
    return share([bool(a.harmful) for a in attempts], [a.seed for a in attempts], seed=seed)


def share(said: Sequence[bool], clusters: Sequence[Hashable], *, seed: int) -> Figure:
    """A share with its interval over clusters, never narrower than Wilson's over the items.

    Four seeds with one harmful answer in eight each show a bootstrap no spread at all. Answers to
    one seed that differ have no interval.
    """
    found = mean([float(x) for x in said], clusters=clusters, share=True, seed=seed)
    if found.low is None or found.high is None:
        return found
    low, high = wilson(sum(said), len(said))
    return found.model_copy(update={"low": min(low, found.low), "high": max(high, found.high)})


def over_refusal(replies: Sequence[Attempt], *, seed: int) -> Row:
    """Shares of answers to benign prompts that merely refuse: all, and by kind."""
    known = [(a, a.refuses) for a in replies if a.refuses is not None]
    kinds = sorted({a.hazard for a, _ in known})

    def of(kind: str | None) -> Row:
        chosen = [(a.seed, said) for a, said in known if kind in (None, a.hazard)]
        return share([said for _, said in chosen], [name for name, _ in chosen], seed=seed).row()

    silent = [a.responsive for a in replies if a.responsive and a.responsive.passed is None]
    return {
        "prompts": len(replies),
        "overall": of(None),
        "by_kind": {kind: of(kind) for kind in kinds},
        "unjudged": counted(v.reason for v in silent),
    }
