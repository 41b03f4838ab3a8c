"""How sure may this judge be? Calibration fitted on the dev half, measured on the test half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hrlaif.records import Preference, Row
from hrlaif.statistics import (
    Calibration,
    all_right,
    brier,
    ece,
    isotonic,
    reliability,
    temperature,
)
from hrlaif.study.agreement import Scored
from hrlaif.study.labels import Answer


class Fitted(NamedTuple):
    """The two maps, and what they are worth."""

    maps: Mapping[str, Calibration]
    figures: Row


def calibrate(dev: Scored, test: Scored, *, judge: str, labeler: str, seed: int) -> Fitted:
    """Temperature and isotonic maps of one judge's labels; empty without decided dev pairs."""
    if not dev.rows:
        return Fitted({}, {})
    said, truth = [p for _, p in dev.rows], [item.truth or 0.0 for item, _ in dev.rows]
    maps: dict[str, Calibration] = {
        c.method: c.model_copy(update={"judge": judge, "labeler": labeler})
        for c in (fit(said, truth, weights=dev.weights) for fit in (temperature, isotonic))
    }
    figures: Row = {"raw": quality(test, None, seed=seed)}
    figures |= {name: quality(test, c, seed=seed) for name, c in maps.items()}
    figures["slope"] = maps["temperature"].slope
    figures["fitted_to"] = len(dev.rows)
    figures["all_right"] = all_right(said, truth)
    return Fitted(maps, figures)


def quality(scored: Scored, calibration: Calibration | None, *, seed: int) -> Row:
    """ECE, Brier and bins of confidences max(p, 1 - p) against being right, soft truths kept.

    The squared error of a label of 0.5 is that from the truth: 0.25 where people are of one mind.
    """
    drawn: Row = {"clusters": scored.prompts, "weights": scored.weights, "seed": seed}
    sure, outcome, named = [], [], []
    for item, p in scored.rows:
        q = p if calibration is None else calibration.apply(p)
        truth = item.truth or 0.0
        sure.append(max(q, 1 - q))
        # The label names the response that p favours, whatever the map does to its strength.
        named.append(truth if p >= 0.5 else 1 - truth)
        outcome.append(0.5 if p == 0.5 else named[-1])  # a tie is right half of the time
    return {
        "ece": ece(sure, outcome, **drawn).row(),
        "brier": brier(sure, named, **drawn).row(),
        "bins": [b.row() for b in reliability(sure, outcome, **drawn)],
    }


def with_calibrated(answers: Sequence[Answer], maps: Mapping[str, Calibration]) -> list[Answer]:
    """The same answers with calibrated probabilities beside the raw ones."""
    return [calibrated(a, maps) if isinstance(a, Preference) else a for a in answers]


def calibrated(label: Preference, maps: Mapping[str, Calibration]) -> Preference:
    """One label with `evidence.calibrated`; a label without evidence stays as it is."""
    if label.evidence is None or not maps:
        return label
    found = {name: round(c.apply(label.prob_a), 7) for name, c in maps.items()}
    evidence = label.evidence.model_copy(update={"calibrated": found})
    return label.model_copy(update={"evidence": evidence})
