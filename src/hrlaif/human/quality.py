"""Who reads before answering? Checks passed, the same answer again, sides, time, and the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from hrlaif.human.answers import Answer, passed_check
from hrlaif.human.results import Vote
from hrlaif.records import Row


def quality(cast: Sequence[Vote]) -> list[Row]:
    """A row a rater: how many, how fast, checks passed, the same again, sides, agreement."""
    by_rater: dict[str, list[Vote]] = defaultdict(list)
    for vote in cast:
        by_rater[vote.rater].append(vote)
    others = _majorities(cast)
    return [{"rater": name, **_quality(votes, others)} for name, votes in sorted(by_rater.items())]


def _quality(votes: Sequence[Vote], others: dict[str, Counter[Answer]]) -> Row:
    checks = [
        passed_check(v.answer, v.item) for v in votes if v.item.check and not v.answer.skipped
    ]
    first = {v.item.key: v.answer for v in votes if v.counts}
    again = [first[v.item.key] == v.answer for v in votes if v.again and v.item.key in first]
    seconds = [v.seconds for v in votes if v.seconds is not None]
    sides = [_left(v) for v in votes if _left(v) is not None]
    agreed = [m for v in votes if v.counts and (m := _with_others(v, others)) is not None]
    return {
        "answers": sum(v.counts for v in votes),
        "skipped": sum(v.answer.skipped is not None for v in votes),
        "seconds": round(median(seconds), 1) if seconds else None,
        "checks": [sum(checks), len(checks)],
        "same_again": [sum(again), len(again)],
        "left": [sum(map(bool, sides)), len(sides)],
        "with_others": [sum(agreed), len(agreed)],
    }


def _left(vote: Vote) -> bool | None:
    """True when the response shown first was preferred, or ranked first."""
    if vote.item.check or vote.answer.silent or not vote.shown:
        return None
    if vote.answer.prefers in ("a", "b"):
        return vote.shown[0] == "ab".index(vote.answer.prefers)
    return vote.shown[0] == vote.answer.ranking[0] if vote.answer.ranking else None


def _majorities(cast: Iterable[Vote]) -> dict[str, Counter[Answer]]:
    found: dict[str, Counter[Answer]] = defaultdict(Counter)
    for vote in cast:
        if vote.counts and not vote.answer.silent:
            found[vote.item.key][vote.answer] += 1
    return found


def _with_others(vote: Vote, found: dict[str, Counter[Answer]]) -> bool | None:
    """Whether the others' most frequent answer is this rater's; None where there is none."""
    if vote.answer.silent:
        return None
    mine = vote.answer
    rest = found[vote.item.key] - Counter([mine])
    best = rest.most_common(2)
    if not best or (len(best) == 2 and best[0][1] == best[1][1]):
        return None
    return best[0][0] == mine
