"""Which responses are compared? Pairs of different answers to one prompt, in a seeded order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import final

from pydantic import Field

from hrlaif.records import Candidate, Comparison, Response
from hrlaif.settings import Settings


@final
class Pairing(Settings):
    """Makes comparisons out of sampled responses."""

    per_prompt: int = Field(default=1, ge=1)
    """At most this many pairs of one prompt."""

    def pair(self, responses: Sequence[Response], *, seed: int) -> list[Comparison]:
        """Pairs within each prompt, of different texts; a seeded coin says which is a."""
        by_prompt: dict[str, list[Response]] = {}
        for response in responses:
            if response.finish_reason == "error":
                continue  # The model gave none; what is missing is not a bad answer.
            by_prompt.setdefault(response.prompt.id, []).append(response)
        return [c for group in by_prompt.values() for c in self._pairs(group, seed)]

    def _pairs(self, group: Sequence[Response], seed: int) -> list[Comparison]:
        coin = random.Random(f"{seed}/{group[0].prompt.id}")
        pairs = [
            (x, y) for x, y in itertools.combinations(group, 2) if x.text.strip() != y.text.strip()
        ]
        made = []
        for x, y in coin.sample(pairs, min(self.per_prompt, len(pairs))):
            first, second = (x, y) if coin.random() < 0.5 else (y, x)
            key = f"{x.prompt.id}/{first.sample}-{second.sample}"
            a, b = Candidate.of(first), Candidate.of(second)
            made.append(Comparison(id=key, prompt=x.prompt, a=a, b=b))
        return made
