"""RLHF is RLAIF with human rows: the label is what people said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from hrlaif.protocols import LanguageModel
from hrlaif.records import Abstention, Comparison, Evidence, Preference
from hrlaif.settings import Settings


@final
class Human(Settings):
    """Takes each row's `human_preference`; rows without one are abstentions."""

    rater: str = "people"
    """Stands in the rows' `labeler` as `human/people`."""

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """The human preference of each row; the judge is not asked."""
        return [self._label(comparison) for comparison in comparisons]

    def _label(self, comparison: Comparison) -> Preference | Abstention:
        labeler = f"human/{self.rater}"
        if comparison.human_preference is None:
            return Abstention(comparison=comparison, labeler=labeler, reason="no human preference")
        return Preference(
            comparison=comparison,
            prob_a=comparison.human_preference,
            labeler=labeler,
            evidence=Evidence(source="human"),
        )
