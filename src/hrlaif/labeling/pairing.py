"""Which responses are compared? Pairs of different answers to one prompt, in a seeded order."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, NamedTuple, final

from pydantic import Field

from hrlaif.messages import spoken
from hrlaif.progress import say
from hrlaif.records import Candidate, Comparison, Prompt, Response
from hrlaif.settings import Settings

Passed = Mapping[str, bool | None]
"""Key of a response -> what a check found; responses that no check saw are not in it."""
Found = frozenset[bool | None]
"""What a check found in two responses."""
Asks = Callable[[Prompt, Found], bool]
"""Whether a labeler asks its judge about two responses to a prompt of which a check found this."""
_DECIDED, _RIGHT = frozenset({True, False}), frozenset({True})


class _Checked(NamedTuple):
    passed: Passed
    asks: Asks | None


@final
class Pairing(Settings):
    """Makes comparisons out of sampled responses."""

    per_prompt: int = Field(default=1, ge=1)
    """At most this many pairs of one prompt; of a checked one, pairs of right over wrong."""
    between_right_ones: int = Field(default=1, ge=0)
    """At most this many pairs of two right answers to a checked prompt, within `per_prompt`."""
    most_of_category: Mapping[str, Annotated[float, Field(gt=0, le=1)]] = {}
    """Category -> the largest share of all pairs that it may have: pairs above it are left out.
    Where only such categories are there, the shares count in proportion."""

    def pair(
        self,
        responses: Sequence[Response],
        *,
        seed: int,
        passed: Passed | None = None,
        asks: Asks | None = None,
    ) -> list[Comparison]:
        """Pairs within each prompt, of different texts; a seeded coin says which is a.

        Where a check saw the responses (`passed`), right is paired with wrong first, then right
        with right, and last what the labeler `asks` its judge about although that decides nothing.
        """
        by_prompt: dict[str, list[Response]] = {}
        for response in responses:
            if response.finish_reason == "error":
                continue  # The model gave none; what is missing is not a bad answer.
            by_prompt.setdefault(response.prompt.id, []).append(response)
        checked = _Checked(passed or {}, asks)
        made = [c for group in by_prompt.values() for c in self._pairs(group, seed, checked)]
        return self._mixed(made, seed)

    def _pairs(self, group: Sequence[Response], seed: int, checked: _Checked) -> list[Comparison]:
        coin = random.Random(f"{seed}/{group[0].prompt.id}")
        pairs = [
            (x, y)
            for x, y in itertools.combinations(group, 2)
            if spoken(x.text).strip() != spoken(y.text).strip()
        ]
        made = []
        for x, y in self._chosen(pairs, checked, coin):
            first, second = (x, y) if coin.random() < 0.5 else (y, x)
            key = f"{x.prompt.id}/{first.sample}-{second.sample}"
            a, b = Candidate.of(first), Candidate.of(second)
            made.append(Comparison(id=key, prompt=x.prompt, a=a, b=b))
        return made

    def _chosen(
        self, pairs: Sequence[tuple[Response, Response]], checked: _Checked, coin: random.Random
    ) -> list[tuple[Response, Response]]:
        passed, asks = checked
        if not any(response.key in passed for pair in pairs for response in pair):
            return coin.sample(pairs, min(self.per_prompt, len(pairs)))
        found = [(pair, frozenset(passed.get(r.key) for r in pair)) for pair in pairs]
        decided = [pair for pair, values in found if values == _DECIDED]
        right = [pair for pair, values in found if values == _RIGHT]
        chosen = coin.sample(decided, min(self.per_prompt, len(decided)))
        room = min(self.between_right_ones, self.per_prompt - len(chosen), len(right))
        chosen += coin.sample(right, room)
        others = [
            pair
            for pair, values in found
            if asks and values not in (_DECIDED, _RIGHT) and asks(pair[0].prompt, values)
        ]
        return chosen + coin.sample(others, min(self.per_prompt - len(chosen), len(others)))

    def _mixed(self, pairs: list[Comparison], seed: int) -> list[Comparison]:
        """Leaves out pairs of categories above their share, drawn by lot; the order stays."""
        if not self.most_of_category:
            return pairs
        counts = Counter(c.prompt.category or "" for c in pairs)
        kept = allowed(counts, self.most_of_category)
        for category, count in counts.items():
            if gone := count - kept[category]:
                say(f"{gone} of {count} pairs of {category} left out: pairing.most_of_category")
        coin = random.Random(f"{seed}/mix")
        chosen: set[str] = set()
        for category, count in kept.items():
            ids = [c.id for c in pairs if (c.prompt.category or "") == category]
            chosen.update(coin.sample(ids, count))
        return [c for c in pairs if c.id in chosen]


def allowed(counts: Mapping[str, int], most: Mapping[str, float]) -> dict[str, int]:
    """The most pairs of each category such that none exceeds its share of what is kept.

    From all pairs down: n_c <= floor(share_c * total), until nothing changes. Shares that no mix
    can keep, since those of the categories that are there sum to less than 1, are raised to 1 in
    proportion.
    """
    kept = dict(counts)
    whole = sum(most.get(c, 1.0) for c in counts)
    if 0 < whole < 1:
        most = {c: most.get(c, 1.0) / whole for c in counts}
    while True:
        total = sum(kept.values())
        # Floats: 0.3 of 10 is 3, and not the floor of 2.9999.
        lower = {c: min(n, int(most.get(c, 1.0) * total + 1e-9)) for c, n in kept.items()}
        if lower == kept:
            return kept
        kept = lower
