"""What can be set about a study?"""

from __future__ import annotations

from typing import Any, Literal, final

from pydantic import Field, field_validator

from hrlaif.settings import Settings


@final
class Study(Settings):
    """How much is asked, beside the sweep over all pairs and ways of asking."""

    probes: int = Field(default=20, ge=0)
    """Pairs of every probe of bias, and of every family of injections; 0 leaves both out."""
    budget: int = Field(default=50, ge=0)
    """Labels that a person could check."""
    check_by: Literal["random", "doubt", "disagreement"] = "doubt"
    """Which labels: any, more of those that the judge doubts, or that the variants split over."""
    attacks: bool = True
    """Measure injection resistance, with the defence and without."""
    worse: bool = False
    """The task asks which response is worse: then no refusal is a probe, no question is asked in
    two languages, and the place that is named is not the preferred one."""
    sample_tokens: int = Field(default=400, ge=1)
    """Most tokens of the judge's own samples, for its preference for itself; longer ones are left
    out and counted."""
    disagreements: int = Field(default=40, ge=0)
    """Pairs shown on the page on which judge and people differ, worst first."""
    poison: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3)
    """Shares of the labels that are turned round before a reward model learns from them: above 0
    and at most 0.5, where labels tell nothing more."""
    seed: int = Field(default=0, ge=0)
    """Of the halves and of every bootstrap."""

    @field_validator("poison", mode="before")
    @classmethod
    def _ascending(cls, given: Any) -> list[float]:
        """Numbers, or text with commas between them."""
        shares = given.split(",") if isinstance(given, str) else given
        for share in shares:
            if not _is_share(share):
                raise ValueError(
                    f"'{share}' is no share of labels to turn round: give some above 0 and at most "
                    "0.5, such as 0.05,0.15"
                )
        return sorted({float(share) for share in shares})


def _is_share(value: Any) -> bool:
    try:
        return 0 < float(value) <= 0.5
    except (TypeError, ValueError):
        return False
