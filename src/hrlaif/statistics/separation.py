"""Is a fit of wins by length held by its ridge alone? What to know of a length-controlled rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hrlaif.statistics.figures import Figure, Floats

TOLD_BY_LENGTH = "length tells all wins apart: no win rate at equal length is known"
_RUNAWAY = 10.0  # log-odds beyond this are held by the ridge alone
_FAR = 0.2  # LC this far from raw is worth a warning


class Sizes(NamedTuple):
    """What the terms of a fit are worth in log-odds, whatever the unit of their features."""

    length: float
    difficulty: float
    own: float
    """At mean difficulty."""

    @classmethod
    def of(cls, beta: Floats, reach: float, difficulty: Floats | None) -> Sizes:
        """Of phi, psi (where there is a difficulty [N]) and theta; a length feature of `reach`."""
        hard, psi = (np.zeros(1), 0.0) if difficulty is None else (difficulty, float(beta[1]))
        own = abs(float(beta[-1]) + psi * float(hard.mean()))
        return cls(abs(float(beta[0])) * reach, abs(psi) * float(hard.std()), own)

    def told_by_length(self) -> bool:
        """True where length alone tells wins apart, so that no pull of it is large enough.

        Where the difficulty of prompts does, prompts are won or lost at any length: LC is raw.
        """
        return self.length > max(_RUNAWAY, self.difficulty)


def warnings_of(sizes: Sizes, rate: float, raw: Figure) -> tuple[str, ...]:
    """What a reader has to know of a length-controlled `rate` beside the raw one."""
    found = []
    if max(sizes) > _RUNAWAY:
        found.append("separated: wins are told apart perfectly, a ridge of 1e-6 holds the fit")
    if raw.value is not None and abs(rate - raw.value) > _FAR:
        found.append(f"length moves the win rate by {rate - raw.value:+.2f}: read the responses")
    return tuple(found)
