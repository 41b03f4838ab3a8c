"""Which of two responses is better, in the mean of several judges? And how far apart are they?

After Verga et al., arXiv 2404.18796: smaller judges of several families instead of one large judge,
so that what one family likes of its own counts for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

from pydantic import Field, model_validator

from hrlaif.errors import UsageError
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.llm import AnyModel, Remote
from hrlaif.llm.remote_loop import side_by_side
from hrlaif.panels import together
from hrlaif.protocols import LanguageModel
from hrlaif.records import Abstention, Comparison, Preference
from hrlaif.settings import Settings


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
        each = self._asked(comparisons, judges)
        return [together(told, names, self.quorum) for told in zip(*each, strict=True)]

    def _asked(
        self, comparisons: Sequence[Comparison], judges: Sequence[LanguageModel]
    ) -> list[list[Preference | Abstention]]:
        """Judges behind an address are asked side by side, those in this process in turn."""
        elsewhere = [one for one in judges if isinstance(one, Remote)]
        with side_by_side(len(elsewhere)) as submit:
            under_way = {
                one.name: submit(self.labeler.label, comparisons, one) for one in elsewhere
            }
            here = {
                one.name: self.labeler.label(comparisons, one)
                for one in judges
                if one.name not in under_way
            }
            told = here | {name: answers.result() for name, answers in under_way.items()}
        return [told[one.name] for one in judges]
