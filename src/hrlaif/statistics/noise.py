"""How many labels were turned round by accident? What a model of the other labels says of them.

The model sees the responses and not the label it is asked about. Let A be how often it names the
better response, and rho the share of labels flipped whatever the responses are. Then it agrees with
the labels in rho + (1 - 2 rho) A, which is at most 1 - rho: a bound that supposes nothing else. The
rate supposes that log-odds tell the truth, P(label = 1) = rho + (1 - 2 rho) sigmoid(slope margin),
as Bootkrajang and Kaban do (ECML 2012). Errors that the model has learnt from the labels, such as a
judge's taste for length, are in neither.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from hrlaif.statistics.alignment import right
from hrlaif.statistics.figures import Figure, Floats, mean, numbered
from hrlaif.statistics.logistic import sigmoid

_RATES = np.linspace(0.0, 0.49, 50)
_SLOPES = np.geomspace(0.1, 100.0, 61)  # of a typical margin; 12 % apart
_CHI2 = 3.841458820694124  # 95 % point with one degree of freedom


class Noise(NamedTuple):
    """What was found about the labels."""

    held_out: Figure
    """How often labels name what the model prefers; where it prefers neither, half."""
    at_most: Figure
    """1 - held_out: random flips are no more than this, whatever the model is."""
    rate: Figure
    """Share of random flips, within at_most; unknown unless held_out is shown to be above 0.5."""


def noise(
    margins: Sequence[float] | Floats,
    labels: Sequence[float] | Floats,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Noise:
    """From log-odds of the first response [N], by a model that saw no label of the same cluster.

    Labels are hard, 1 for the first. The interval of the rate is that of the profile likelihood,
    which also holds at its bound 0; rows of one cluster count as one there.
    """
    m, y = np.asarray(margins, np.float64), np.asarray(labels, np.float64)
    marks = [right(0.5 + float(np.sign(a)) / 2, b) for a, b in zip(m, y, strict=True)]
    held_out = mean(marks, clusters=clusters, share=True, seed=seed)
    ends = (None if v is None else 1 - v for v in (held_out.value, held_out.high, held_out.low))
    at_most = Figure(**dict(zip(("value", "low", "high"), ends, strict=True)), n=y.size)
    rate = Figure(value=None, low=None, high=None, n=y.size)
    if at_most.high is not None and at_most.high < 0.5:
        rates = _RATES[at_most.high >= _RATES]
        _, count = numbered(clusters, y.size)
        likelihood = _profile(m, y, rates) * count / y.size
        likely = rates[likelihood >= likelihood.max() - _CHI2 / 2]
        best = float(rates[likelihood.argmax()])
        rate = Figure(value=best, low=float(likely[0]), high=float(likely[-1]), n=y.size)
    return Noise(held_out, at_most, rate)


def _profile(margins: Floats, labels: Floats, rates: Floats) -> Floats:
    """Log-likelihood at each rate, by the best of the slopes."""
    usual = np.sqrt((margins**2).mean())
    best = np.full(rates.size, -np.inf)
    for slope in _SLOPES / usual:
        p = sigmoid(slope * np.where(labels > 0.5, margins, -margins))
        seen = rates[:, None] + (1 - 2 * rates[:, None]) * p
        best = np.maximum(best, np.log(np.maximum(seen, 1e-12)).sum(1))
    return best
