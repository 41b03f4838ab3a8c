"""Which of two responses is better, in the mean of several judges? And how far apart are they?

After Verga et al., arXiv 2404.18796: smaller judges of several families instead of one large judge,
so that what one family likes of its own counts for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Self, final

from pydantic import Field, model_validator

from hrlaif.errors import UsageError
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.llm import AnyModel
from hrlaif.protocols import LanguageModel
from hrlaif.records import Abstention, Comparison, Evidence, Preference
from hrlaif.settings import Settings

_LADDER = ("hard", "votes", "scored", "logprobs")
"""From the coarsest source of a probability to the finest."""


@final
class Panel(Settings):
    """The mean of the labels of the run's judge and of others beside it."""

    others: tuple[AnyModel, ...] = Field(min_length=1)
    """The judges beside the run's own, best of other families."""
    labeler: Pairwise = Pairwise()
    """How each of them is asked."""
    quorum: int | None = Field(default=None, ge=1)
    """So many of them must answer; more than half when empty."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.quorum and self.quorum > 1 + len(self.others):
            raise ValueError(
                f"quorum: {self.quorum} of {1 + len(self.others)} judges cannot answer"
            )
        return self

    @property
    def rationale(self) -> bool:
        """Whether reasons are written first."""
        return self.labeler.rationale

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One answer a comparison: the mean in probability space, with what each judge said.

        An abstention where fewer than the quorum answered. Raises UsageError when a judge would be
        asked twice, whose word would then count twice.
        """
        judges = [judge, *self.others]
        names = [one.name for one in judges]
        if len(set(names)) < len(names):
            raise UsageError(f"a panel asks each judge once, and this one has {', '.join(names)}")
        each = [self.labeler.label(comparisons, one) for one in judges]
        return [self._together(told, names) for told in zip(*each, strict=True)]

    def _together(
        self, told: Sequence[Preference | Abstention], names: Sequence[str]
    ) -> Preference | Abstention:
        comparison = told[0].comparison
        labeler = f"panel/{told[0].labeler.replace(names[0], '+'.join(names), 1)}"
        said = {n: t for n, t in zip(names, told, strict=True) if isinstance(t, Preference)}
        if len(said) < (self.quorum or len(names) // 2 + 1):
            reasons = dict.fromkeys(t.reason for t in told if isinstance(t, Abstention))
            reason = f"{len(said)} of {len(names)} judges answered: {'; '.join(reasons)}"
            if not said and len(reasons) == 1:
                (reason,) = reasons
            return Abstention(comparison=comparison, labeler=labeler, reason=reason)
        return Preference(
            comparison=comparison,
            prob_a=round(fmean(one.prob_a for one in said.values()), 7),
            labeler=labeler,
            evidence=_evidence(said),
        )


def _evidence(said: dict[str, Preference]) -> Evidence:
    """Means of what stands in every judge's, and the judges' own words and probabilities."""
    found = {name: one.evidence for name, one in said.items() if one.evidence}
    first = _mean([one.prob_a_first for one in found.values()])
    second = _mean([one.prob_a_second for one in found.values()])
    return Evidence(
        source=min((one.source for one in found.values()), key=_LADDER.index),
        mass=_mean([one.mass for one in found.values()]),
        prob_a_first=first,
        prob_a_second=second,
        flipped=None if first is None or second is None else (first - 0.5) * (second - 0.5) < 0,
        rationales=tuple(f"{n}: {text}" for n, one in found.items() for text in one.rationales),
        truncated=any(one.truncated for one in found.values()),
        judges={name: one.prob_a for name, one in said.items()},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 6) if len(known) == len(values) else None
