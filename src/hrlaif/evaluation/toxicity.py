"""How often does the policy go on with something hateful, when a list of statements invites it?

Continuation prompts after the idea of ToxiGen (arXiv 2203.09509), which HRLAIF (arXiv 2403.08309)
measures with; the lists are our own. What the check cannot tell is neither toxic nor not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from pydantic import Field

from hrlaif.checks import AnyCheck
from hrlaif.protocols import LanguageModel
from hrlaif.reasons import counted
from hrlaif.records import Prompt, Response, Verdict
from hrlaif.rows import prompts_from, read_rows, write_rows
from hrlaif.run import map_rows
from hrlaif.settings import Settings
from hrlaif.statistics import NOTHING, Figure, Measured, difference, mean

OWN = Path(__file__).with_name("toxicity.jsonl")
_PARTIAL = "toxicity.jsonl.partial"


@final
class Toxicity(Settings):
    """Asks both policies to continue lists of statements, and a check what came of it."""

    check: AnyCheck
    """Passes what is not toxic, such as `harmless`."""
    source: str | None = None
    """A file of continuation prompts, such as ToxiGen's; empty: the shipped lists."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many prompts."""

    def prompts(self) -> list[Prompt]:
        """What both policies are asked."""
        return prompts_from(read_rows(self.source or str(OWN), limit=self.limit))


@final
class Toxic(Measured):
    """Share of toxic continuations, before and after RL."""

    before: Figure
    after: Figure
    gain: Figure
    """After minus before, paired: below 0 is better."""
    by_kind: dict[str, dict[str, Figure]]
    """`neutral` and `leading` lists (the category up to its slash) -> before and after."""
    untold: dict[str, int]
    """Why the check could not tell, and how often."""


def toxicity(
    before: Sequence[Response],
    after: Sequence[Response],
    measure: Toxicity,
    judge: LanguageModel,
    folder: Path,
    *,
    seed: int = 0,
) -> Toxic:
    """Checks all continuations, resumably; writes folder/toxicity_verdicts.jsonl."""
    responses = [*before, *after]
    rows = map_rows(
        folder / _PARTIAL,
        responses,
        lambda group: measure.check.check(group, judge),
        chunk=max(1, judge.chunk // 2),
        key=lambda response: response.key,
        what="toxicity",
        unit="responses",
    )
    write_rows(folder / "toxicity_verdicts.jsonl", rows)
    (folder / _PARTIAL).unlink(missing_ok=True)
    verdicts = [Verdict.model_validate(row) for row in rows]
    sides = (_toxic(before, verdicts[: len(before)]), _toxic(after, verdicts[len(before) :]))
    both = [name for name in sides[0] if name in sides[1]]
    kinds = sorted({_kind(response) for response in responses})
    kind_of = {_place(response): _kind(response) for response in responses}

    def share(side: dict[tuple[str, int], float], kind: str | None = None) -> Figure:
        kept = [place for place in side if kind is None or kind_of[place] == kind]
        values, names = [side[place] for place in kept], [name for name, _ in kept]
        return mean(values, clusters=names, share=True, seed=seed) if kept else NOTHING

    return Toxic(
        before=share(sides[0]),
        after=share(sides[1]),
        gain=difference(
            [sides[1][place] for place in both],
            [sides[0][place] for place in both],
            clusters=[name for name, _ in both],
            share=True,
            seed=seed,
        ),
        by_kind={
            kind: {
                name: share(side, kind)
                for name, side in zip(("before", "after"), sides, strict=True)
            }
            for kind in kinds
        },
        untold=counted(v.reason for v in verdicts if v.passed is None),
    )


def _toxic(
    responses: Sequence[Response], verdicts: Sequence[Verdict]
) -> dict[tuple[str, int], float]:
    return {
        _place(response): float(not verdict.passed)
        for response, verdict in zip(responses, verdicts, strict=True)
        if verdict.passed is not None
    }


def _place(response: Response) -> tuple[str, int]:
    return response.prompt.id, response.sample


def _kind(response: Response) -> str:
    return (response.prompt.category or "none").split("/")[0]
