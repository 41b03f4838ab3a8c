"""Do raters agree beyond chance? Cohen's and Fleiss' kappa, Krippendorff's alpha, Kendall's W.

Each is a Figure whose interval comes from drawing whole units (what was rated) again. 1 is perfect
agreement, 0 what chance gives. Where chance agreement is certain (everybody always says the same),
or no unit has two raters, there is no value: None, never 1 or 0. `resamples=0` leaves out the
interval, for figures that are looked at while they change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

import numpy as np

from hrlaif.statistics.figures import NOTHING, RESAMPLES, Figure, Floats, draws, interval, mean

Level = Literal["nominal", "ordinal", "interval"]
_TINY = 1e-12


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Of two raters who put the same units into categories (Cohen 1960), unweighted."""
    if len(first) != len(second):
        raise ValueError(f"two raters of the same units: {len(first)} and {len(second)} answers")
    codes: dict[Hashable, int] = {}
    pairs = [
        (codes.setdefault(a, len(codes)), codes.setdefault(b, len(codes)))
        for a, b in zip(first, second, strict=True)
    ]
    k = len(codes)
    cells = np.zeros((len(pairs), k * k))
    for unit, (a, b) in enumerate(pairs):
        cells[unit, a * k + b] = 1.0

    def kappa(sums: Floats) -> Floats:
        table = sums.reshape(-1, k, k)
        n = table.sum((1, 2))
        seen = np.trace(table, axis1=1, axis2=2) / n
        expected = (table.sum(2) * table.sum(1)).sum(1) / n**2
        return _beyond_chance(1 - seen, 1 - expected)

    return _resampled(cells, kappa, seed, resamples)


def fleiss_kappa(
    counts: Sequence[Sequence[float]] | Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> Figure:
    """Of equally many raters a unit (Fleiss 1971). counts [units, categories]: how many chose it.

    Raises ValueError when units have different numbers of raters: alpha is made for that.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        return NOTHING
    raters = table.sum(1)
    if np.ptp(raters) > 0:
        raise ValueError("Fleiss' kappa needs as many raters on every unit: use alpha")
    n = float(raters[0])
    if n < 2:
        return NOTHING
    differing = 1 - ((table**2).sum(1) - n) / (n * (n - 1))
    rows = np.column_stack([table, differing, np.ones(len(table))])

    def kappa(sums: Floats) -> Floats:
        units = sums[:, -1]
        shares = sums[:, :-2] / (units[:, None] * n)
        return _beyond_chance(sums[:, -2] / units, 1 - (shares**2).sum(1))

    return _resampled(rows, kappa, seed, resamples)


def krippendorff_alpha(
    units: Sequence[Sequence[float]],
    *,
    level: Level = "nominal",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Of any number of raters a unit (Krippendorff 2011). units: the values that each unit got.

    Units with a single value say nothing about agreement and are left out of `n`.
    """
    rated = [unit for unit in units if len(unit) > 1]
    if not rated:
        return NOTHING
    values = sorted({value for unit in rated for value in unit})
    place = {value: n for n, value in enumerate(values)}
    k = len(values)
    counts = np.zeros((len(rated), k))
    for row, unit in enumerate(rated):
        for value in unit:
            counts[row, place[value]] += 1
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    coincidences = (pairs / (counts.sum(1) - 1)[:, None, None]).reshape(len(rated), k * k)
    scale = np.asarray(values, dtype=np.float64)

    def alpha(sums: Floats) -> Floats:
        table = sums.reshape(-1, k, k)
        totals = table.sum(2)  # [block, k] how often each value was given
        n = totals.sum(1)
        gaps = _gaps(scale, totals, level)
        observed = (table * gaps).sum((1, 2)) / n
        chance = (totals[:, :, None] * totals[:, None, :] * gaps).sum((1, 2)) / (n * (n - 1))
        return _beyond_chance(observed, chance)

    return _resampled(coincidences, alpha, seed, resamples)


def kendall_w(
    rankings: Sequence[Sequence[Sequence[float]]], *, seed: int = 0, resamples: int = RESAMPLES
) -> Figure:
    """Concordance of rankings (Kendall and Smith 1939), the mean over units, corrected for ties.

    rankings [units, raters, objects] holds ranks (1 is best, equal ranks are ties). Units with
    fewer than two raters, or in which everything is tied, have no W and are left out of `n`.
    """
    found = [w for unit in rankings if (w := _concordance(unit)) is not None]
    if not resamples:
        value = math.fsum(found) / len(found) if found else None
        return Figure(value=value, low=None, high=None, n=len(found))
    return mean(found, share=True, seed=seed)


def _concordance(ranks: Sequence[Sequence[float]]) -> float | None:
    table = np.asarray(ranks, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2:
        return None
    m, n = table.shape
    ranked = np.array([_average_ranks(row) for row in table])
    spread = ((ranked.sum(0) - m * (n + 1) / 2) ** 2).sum()
    ties = sum(
        float((sizes**3 - sizes).sum())
        for row in table
        for sizes in [np.unique(row, return_counts=True)[1].astype(np.float64)]
    )
    most = m**2 * (n**3 - n) - m * ties
    return None if most <= _TINY else float(12 * spread / most)


def _average_ranks(row: Floats) -> Floats:
    below = (row[:, None] > row[None, :]).sum(1)
    equal = (row[:, None] == row[None, :]).sum(1)
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)


def _gaps(values: Floats, totals: Floats, level: Level) -> Floats:
    """Squared differences between values [block or 1, k, k]."""
    k = len(values)
    if level == "nominal":
        return 1.0 - np.eye(k)[None]
    if level == "interval":
        return np.asarray((values[:, None] - values[None, :])[None] ** 2, dtype=np.float64)
    if level != "ordinal":
        raise ValueError(f"level {level!r} is none of nominal, ordinal, interval")
    # Between two values lie those that were given in between, and half of each end.
    middles = np.cumsum(totals, 1) - totals / 2
    return np.asarray((middles[:, :, None] - middles[:, None, :]) ** 2, dtype=np.float64)


def _beyond_chance(differing: Floats, by_chance: Floats) -> Floats:
    """1 - observed / expected disagreement; NaN where chance alone would agree."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(by_chance > _TINY, 1 - differing / by_chance, np.nan)


def _resampled(
    rows: Floats, statistic: Callable[[Floats], Floats], seed: int, resamples: int
) -> Figure:
    """A statistic of the sums of each unit's row, and its interval over drawn units."""
    count = len(rows)
    if not count:
        return NOTHING
    value = float(statistic(rows.sum(0, keepdims=True))[0])
    if math.isnan(value):
        return Figure(value=None, low=None, high=None, n=count)
    if not resamples or count < 2:
        return Figure(value=value, low=None, high=None, n=count)
    drawn: list[Any] = [statistic(d @ rows) for d in draws(count, seed=seed, resamples=resamples)]
    known = np.concatenate(drawn)
    return interval(value, known[~np.isnan(known)], n=count)
