"""What did this judge say of these comparisons, asked in this way, and what did it cost?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hrlaif.llm import ledger as book
from hrlaif.llm.call import NO_CALLS, Totals
from hrlaif.progress import track
from hrlaif.protocols import Labeler, LanguageModel, pairs_at_once
from hrlaif.reasons import counted
from hrlaif.records import Abstention, Comparison, Preference, Row
from hrlaif.settings import Settings

Answer = Preference | Abstention


class Variant(NamedTuple):
    """A way of asking, under a short name such as `base-2shot`."""

    name: str
    labeler: Labeler

    @property
    def most_characters(self) -> int | None:
        """How much of a response it shows; None where it shows all."""
        most: int | None = getattr(self.labeler, "max_chars", None)
        return most

    def both_orders(self) -> Variant:
        """The same under this name, in both orders also where the way asks in one.

        Pairs that are made have what is asked for always on one side: in one order they would tell
        the pull of the place and no more.
        """
        way = self.labeler
        if isinstance(way, Settings) and getattr(way, "single_order", False):
            return self._replace(labeler=way.model_copy(update={"single_order": False}))
        return self


class Labels(NamedTuple):
    """One answer a comparison, in their order."""

    answers: list[Answer]
    used: Totals
    """What the calls behind them cost, whenever they were paid."""

    def abstentions(self) -> Row:
        """How many answers are missing, by reason."""
        return silent(self.answers)

    def cost(self) -> Row:
        """Of all labels, and of one: model calls, their seconds, tokens and US dollars."""
        n = max(len(self.answers), 1)
        used = self.used
        known = not used.unpriced_calls
        return {
            "calls": used.calls,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "seconds_a_label": round(used.seconds / n, 4),
            "usd_a_label": round(used.cost / n, 8) if known else None,
        }


def silent(answers: Iterable[Answer]) -> Row:
    """How many of these are missing, by reason."""
    return counted(a.reason for a in answers if isinstance(a, Abstention))


def ask(
    variant: Variant, judge: LanguageModel, comparisons: Sequence[Comparison], *, what: str
) -> Labels:
    """Asks in chunks; answers that the ledger knows are not asked for again, so a study resumes."""
    ledger = book.current()
    before = ledger.used if ledger else NO_CALLS
    answers: list[Answer] = []
    size = pairs_at_once(judge, variant.labeler)
    with track(what, len(comparisons), unit="pairs") as bar:
        for begin in range(0, len(comparisons), size):
            group = comparisons[begin : begin + size]
            answers += variant.labeler.label(group, judge)
            bar.advance(len(group))
    used = ledger.used.plus(before, -1) if ledger else NO_CALLS
    return Labels(answers, used)
