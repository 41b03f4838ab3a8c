"""What does a red team ask, and of whom? Counted before anything is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hrlaif.estimates import QUESTION, Asked, Work
from hrlaif.redteam import Asked as Given
from hrlaif.redteam import Models, RedTeam, read_seeds
from hrlaif.redteam.attack import attack_tokens

_ATTACK = 60
"""Tokens of a request to which a red team wants a harmful answer."""
_TURNS = 3
"""Of an escalation."""


def of_campaign(how: RedTeam, who: Models, given: Given) -> list[Asked]:
    """At most: as if every attack worked, and every rewrite took all its tries."""
    seeds, benign = len(given.seeds), len(given.benign)
    varied = min(how.most_variations, seeds * len(how.families)) * how.variations
    attacks = seeds * len(how.families) + len(given.plainly) + varied
    turns = (_TURNS - 1) * (seeds + varied) if "escalation" in how.families else 0
    translated = seeds + varied if "translation" in how.families else 0
    harmful = attacks + len(given.imported)
    rewrites = how.tries * (harmful + benign)
    written = varied + translated
    return [
        (_replies(how, attacks + benign + turns), who.target),
        (Work(written, written * QUESTION, written * attack_tokens(how)), who.attacker),
        (_verdicts(how, harmful + 2 * benign + 2 * rewrites), who.judge),
        (_rewrites(how, rewrites), who.rewriter),
    ]


def red_team(how: RedTeam, own: int) -> Work:
    """The judge's share of a run's stage: verdicts, and rewrites of the third that is harmful."""
    attempts, benign = _attacks(how, "train", own)
    rewrites = _rewrites(how, attempts // 3)
    verdicts = _verdicts(how, attempts + 2 * rewrites.calls + 2 * benign)
    calls, read, written = (sum(p) for p in zip(verdicts.counted, rewrites.counted, strict=True))
    return replace(verdicts, calls=calls, read=read, written=written)


def attacked(how: RedTeam, own: int) -> Work:
    """The policy's share: an answer to each attack, reworded ones too, and to benign prompts."""
    attempts, benign = _attacks(how, "train", own)
    return _replies(how, attempts + min(how.most_variations, how.variations * attempts) + benign)


def harm(how: RedTeam) -> Work:
    """Two orders a verdict, of both policies, on the seeds kept for the end."""
    attacks, benign = _attacks(how, "heldout")
    return _verdicts(how, 2 * (attacks + 2 * benign))


def harmed(how: RedTeam) -> Work:
    """The answers of both policies that are judged there."""
    return _replies(how, 2 * sum(_attacks(how, "heldout")))


def _attacks(how: RedTeam, half: Literal["train", "heldout"], own: int = 0) -> tuple[int, int]:
    """How many attacks, a twelfth of the run's own prompts among them, and benign prompts."""
    harmful = len(read_seeds(how.seeds, "harmful", half=half, limit=how.limit))
    benign = len(read_seeds(how.benign, "benign", half=half, limit=how.limit))
    return harmful * len(how.families) + own // 12, benign


def _replies(how: RedTeam, count: int) -> Work:
    return Work(count, count * _ATTACK, count * how.max_tokens)


def _verdicts(how: RedTeam, count: int) -> Work:
    """Two orders each."""
    return Work.of_labels(2 * count, 2 * count * (QUESTION + how.max_tokens))


def _rewrites(how: RedTeam, count: int) -> Work:
    return Work(count, count * (QUESTION + how.max_tokens), count * how.rewrite_tokens)
