"""How sure may the labels be? Calibrated probabilities beside the raw ones, by recorded maps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hrlaif.errors import DataError, UsageError
from hrlaif.labeling.hybrid import Hybrid
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.labeling.panel import Panel
from hrlaif.labeling.verified import Verified
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Preference
from hrlaif.statistics import Calibration, read_calibration

_PANEL = (
    "no calibration is of the labels of a panel: leave out labeling.calibrations, or ask one judge"
)
_MEND = (
    "set its task, preamble, shots, rationale, samples and single_order to what was studied, or "
    "run `hrlaif study` with this judge and way of asking, and add its map to labeling.calibrations"
)


def calibrations(paths: Sequence[str]) -> list[Calibration]:
    """The maps that `hrlaif study` wrote; raises DataError for a file that is none."""
    return [read_calibration(Path(path)) for path in paths]


def calibrated(label: Preference, maps: Sequence[Calibration]) -> Preference:
    """The same label, with `evidence.calibrated` by the method of each map that is of its labeler.

    What no judge said stays as it is. Raises DataError where all maps were fitted to the labels of
    other judges or ways of asking: what one judge means by 0.8 says nothing of another.
    """
    if not maps or not label.of_a_judge:
        return label
    if label.evidence is None:
        raise DataError(f"{label.comparison.id}: a label without evidence cannot be calibrated")
    # "verified/number+pairwise/...": what was asked is behind it.
    asked = re.sub(r"^verified/[^+]*\+", "", label.labeler)
    fitting = [one for one in maps if one.labeler in ("", asked)]
    if not fitting and asked.startswith("panel/"):
        raise DataError(f"{label.comparison.id}: {_PANEL}")
    if not fitting:
        raise DataError(
            _unfitting(maps, f"labeling.labeler asks for {label.comparison.id} as {asked}")
        )
    found = dict(label.evidence.calibrated or {})
    found |= {one.method: round(one.apply(label.prob_a), 7) for one in fitting}
    evidence = label.evidence.model_copy(update={"calibrated": found})
    return label.model_copy(update={"evidence": evidence})


def refuse_unfitting(
    labeler: Labeler, judge: LanguageModel, maps: Sequence[Calibration], wanted: str
) -> None:
    """Raises UsageError, before any label, where a map is missing for a way that may be asked.

    `wanted`: the method that a reward model, or DPO, is to learn from, or raw. Nothing is known of
    how labelers of one's own ask.
    """
    for where, way in _ways(labeler, judge, "labeling.labeler"):
        methods = {one.method for one in maps if one.labeler in ("", way)}
        if maps and not methods:
            panel = f"{where}: {_PANEL}"
            said = _unfitting(maps, f"{where} asks as {way}")
            raise UsageError(panel if way == "panel" else said)
        if wanted != "raw" and wanted not in methods:
            raise UsageError(
                f"{wanted} probabilities are to be learnt from, and {where}, which asks as {way}, "
                f"has no map of that kind: add the file calibration/JUDGE.{wanted}.json of `hrlaif "
                "study` to labeling.calibrations, or set reward.probabilities (of dpo: "
                "policy.algorithm.probabilities) to raw"
            )


def _ways(labeler: Labeler, judge: LanguageModel, where: str) -> Iterator[tuple[str, str]]:
    """The settings that ask a judge for labels, and how its labels are named."""
    if isinstance(labeler, Pairwise):
        yield where, labeler.way(judge)
    elif isinstance(labeler, Panel):
        yield where, "panel"
    elif isinstance(labeler, Verified):
        yield from _ways(labeler.between_right_ones, judge, f"{where}.between_right_ones")
        if "ask" in (labeler.both_wrong, labeler.unverifiable):
            yield from _ways(labeler.otherwise, judge, f"{where}.otherwise")
        elif labeler.without_reference == "ask":
            unasked = f"where all prompts have a reference answer, set {where}.without_reference"
            yield from _ways(labeler.otherwise, judge, f"{where}.otherwise ({unasked} to abstain)")
    elif isinstance(labeler, Hybrid):
        for category, route in labeler.by_category.items():
            yield from _ways(route, judge, f"{where}.by_category.{category}")
        yield from _ways(labeler.otherwise, judge, f"{where}.otherwise")


def _unfitting(maps: Sequence[Calibration], other: str) -> str:
    """That maps are of other ways of asking, and what can be done."""
    known = ", ".join(dict.fromkeys(one.labeler for one in maps))
    return f"the calibrations were fitted to {known}, and {other}: {_MEND}"
