"""How sure may the labels be? Calibrated probabilities beside the raw ones, by recorded maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.records import Preference
from hrlaif.statistics import Calibration, read_calibration


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
        raise DataError(
            f"{label.comparison.id}: no calibration is of the labels of a panel: leave out "
            "labeling.calibrations, or ask one judge"
        )
    if not fitting:
        known = ", ".join(dict.fromkeys(one.labeler for one in maps))
        raise DataError(
            f"this calibration was fitted to {known}, and the label of {label.comparison.id} is of "
            f"{asked}: run `hrlaif study` with this judge and way of asking, and add its map to "
            "labeling.calibrations"
        )
    found = dict(label.evidence.calibrated or {})
    found |= {one.method: round(one.apply(label.prob_a), 7) for one in fitting}
    evidence = label.evidence.model_copy(update={"calibrated": found})
    return label.model_copy(update={"evidence": evidence})
