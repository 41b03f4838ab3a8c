"""How sure may the labels be? Calibrated probabilities beside the raw ones, by recorded maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.records import Preference
from hrlaif.statistics import Calibration, read_calibration


def calibrations(paths: Sequence[str]) -> list[Calibration]:
    """The maps that `hrlaif study` wrote; raises DataError for a file that is none."""
    return [read_calibration(Path(path)) for path in paths]


def calibrated(label: Preference, maps: Sequence[Calibration]) -> Preference:
    """The same label, with `evidence.calibrated` by each map's method.

    Raises DataError when a map was fitted to the labels of another judge or way of asking: what one
    judge means by 0.8 says nothing of another.
    """
    if not maps:
        return label
    if label.evidence is None:
        raise DataError(f"{label.comparison.id}: a label without evidence cannot be calibrated")
    found = dict(label.evidence.calibrated or {})
    for one in maps:
        if one.labeler and one.labeler != label.labeler:
            raise DataError(
                f"this calibration was fitted to {one.labeler}, and the labels are of "
                f"{label.labeler}: run `hrlaif study` with this judge and way of asking"
            )
        found[one.method] = round(one.apply(label.prob_a), 7)
    evidence = label.evidence.model_copy(update={"calibrated": found})
    return label.model_copy(update={"evidence": evidence})
