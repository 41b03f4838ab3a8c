"""Which probability does a reward model learn from: what the judge said, or a calibrated one?"""

from __future__ import annotations

from typing import Literal

from hrlaif.errors import DataError
from hrlaif.records import Preference

Probabilities = Literal["raw", "temperature", "isotonic"]


def learnt_from(label: Preference, which: Probabilities) -> Preference:
    """The label with the probability to learn from as its `prob_a`.

    People's votes, rewrites and checked answers are not a judge's and stay as they are. Raises
    DataError for a judge's label that lacks the calibration.
    """
    if which == "raw" or not label.of_a_judge:
        return label
    known = label.evidence.calibrated if label.evidence else None
    if not known or which not in known:
        raise DataError(
            f"preferences.jsonl, row {label.comparison.id}: no {which} probability beside the raw "
            "one: set labeling.calibrations to files of `hrlaif study`, or reward.probabilities "
            "to raw"
        )
    return label.model_copy(update={"prob_a": known[which]})
