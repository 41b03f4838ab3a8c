"""A labeler of your own: of two answers that the judge finds about equal, prefer the shorter.

    PYTHONPATH=examples hrlaif label examples/pairs.jsonl -o labels.jsonl \
        --judge scripted: --labeler own_labeler:ShorterOfEqual

In a configuration: `labeling: {labeler: {kind: "own_labeler:ShorterOfEqual", margin: 0.2}}`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hrlaif import Abstention, Comparison, Pairwise, Preference, Settings
from hrlaif.protocols import LanguageModel


class ShorterOfEqual(Settings):
    """Asks as `Pairwise` does, then breaks near-ties by length."""

    margin: float = 0.1
    """About equal: the probability is closer to one half than this."""

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One answer a comparison; what the judge did not say stays unsaid."""
        return [self._settled(answer) for answer in Pairwise().label(comparisons, judge)]

    def _settled(self, answer: Preference | Abstention) -> Preference | Abstention:
        named = answer.model_copy(update={"labeler": f"shorter/{answer.labeler}"})
        if isinstance(named, Abstention) or abs(named.prob_a - 0.5) >= self.margin:
            return named
        a, b = len(named.comparison.a.text), len(named.comparison.b.text)
        side = (b > a) - (b < a)
        if side == 0:
            return named
        prob_a = 0.5 + self.margin * side
        return named.model_copy(update={"prob_a": prob_a, "reason": "about equal: the shorter one"})
