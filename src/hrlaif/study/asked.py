"""What is a study made of?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hrlaif.protocols import Reward
from hrlaif.records import digest
from hrlaif.study.labels import Variant
from hrlaif.study.learning import Trainer
from hrlaif.study.pairs import Item
from hrlaif.study.settings import Study


class Asked(NamedTuple):
    """What a study is made of."""

    items: Sequence[Item]
    variants: Sequence[Variant]
    """The first is the base that others are compared with."""
    settings: Study
    graders: Sequence[Reward | None]
    """For each judge, how it grades single responses; None leaves grades out."""
    trainer: Trainer
    """Makes a reward model of labels, for the learning curve and the poison."""

    def drawn(self, fit: Callable[[Item], bool]) -> list[Item]:
        """All fitting items in a seeded order rather than the file's; people's word comes first."""
        found = [item for item in self.items if fit(item)]
        seed = self.settings.seed
        return sorted(found, key=lambda i: (i.truth is None, digest([seed, i.comparison.id])))

    def some(self, fit: Callable[[Item], bool]) -> list[Item]:
        """The first of those drawn, as many as are probed."""
        return self.drawn(fit)[: self.settings.probes]

    def variant(self, name: str) -> Variant:
        """The way of asking of this name."""
        return next(v for v in self.variants if v.name == name)
