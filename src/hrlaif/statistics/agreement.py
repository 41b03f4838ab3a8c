"""Do raters agree beyond chance? Cohen's and Fleiss' kappa, Krippendorff's alpha, Kendall's W.

Each is a Figure whose interval comes from drawing whole units (what was rated) again; units of one
prompt, which `clusters` names, together. 1 is perfect agreement, 0 what chance gives. Where chance
agreement is certain (everybody always says the same), or no unit has two raters, there is no value:
None, never 1 or 0. Where nobody ever differs the interval ends where raters would differ in as many
units as Wilson's bound of none seen allows; where all draws give one other value, as when a rater
always says the same, there is no interval. `weights`: how many units each stands for; only their
proportions count. `resamples=0` leaves out the interval, for figures that are looked at while they
change.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np

from hrlaif.statistics.figures import (
    NOTHING,
    RESAMPLES,
    Figure,
    Floats,
    bootstrapped,
    mean,
    numbered,
    weighed,
    within,
    worth,
)
from hrlaif.statistics.shares import wilson

Level = Literal["nominal", "ordinal", "interval"]
Names = Sequence[Hashable]
Weights = Sequence[float] | Floats
_TINY = 1e-12


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    clusters: Names | None = None,
    weights: Weights | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Of two raters who put the same units into categories (Cohen 1960), unweighted."""
    if len(first) != len(second):
        raise ValueError(f"two raters of the same units: {len(first)} and {len(second)} answers")
    cells = _cells(first, second) * weighed(weights, len(first))[:, None]

    def kappa(drawn: Floats) -> Floats:
        return _kappa(drawn @ cells)

    return _resampled(
        kappa, [*first, *second], len(cells),
        clusters=clusters, weights=weights, seed=seed, resamples=resamples,
    )  # fmt: skip


def light_kappa(
    units: Sequence[Mapping[str, Hashable]],
    *,
    clusters: Names | None = None,
    weights: Weights | None = None,
    seed: int = 0,
) -> Figure:
    """Mean of Cohen's kappa over all pairs of raters (Light 1971), by the units that a pair shares.

    units: the category that each rater gave. `n` counts those with two raters or more. Pairs whose
    agreement is certain by chance have no kappa and are left out.
    """
    rated = [n for n, unit in enumerate(units) if len(unit) > 1]
    weight = weighed(weights, len(units))
    names = None if clusters is None else [clusters[n] for n in rated]
    shared: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, n in enumerate(rated):
        for pair in combinations(sorted(units[n]), 2):
            shared[pair].append(place)
    tables = []
    for (a, b), places in shared.items():
        both = [rated[place] for place in places]
        cells = _cells([units[n][a] for n in both], [units[n][b] for n in both])
        tables.append((np.array(places), cells * weight[both][:, None]))

    def kappa(drawn: Floats) -> Floats:
        total, size = np.zeros(len(drawn)), np.zeros(len(drawn))
        for places, cells in tables:
            sums = drawn[:, places] @ cells
            found, many = _kappa(sums), sums.sum(1)
            known = ~np.isnan(found)
            total += np.where(known, many * found, 0.0)
            size += np.where(known, many, 0.0)
        return np.where(size > 0, total / np.maximum(size, _TINY), np.nan)

    said = [value for n in rated for value in units[n].values()]
    return _resampled(
        kappa, said, len(rated),
        clusters=names, weights=weight[rated], seed=seed, resamples=RESAMPLES,
    )  # fmt: skip


def fleiss_kappa(
    counts: Sequence[Sequence[float]] | Floats,
    *,
    clusters: Names | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
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

    def kappa(drawn: Floats) -> Floats:
        sums = drawn @ rows
        units = sums[:, -1]
        shares = sums[:, :-2] / (units[:, None] * n)
        return _beyond_chance(sums[:, -2] / units, 1 - (shares**2).sum(1))

    said = np.repeat(np.arange(table.shape[1]), table.sum(0).astype(int)).tolist()
    return _resampled(kappa, said, len(rows), clusters=clusters, seed=seed, resamples=resamples)


def krippendorff_alpha(
    units: Sequence[Sequence[float]],
    *,
    level: Level = "nominal",
    clusters: Names | None = None,
    weights: Weights | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Of any number of raters a unit (Krippendorff 2011). units: the values that each unit got.

    Units with a single value say nothing about agreement and are left out of `n`.
    """
    places = [n for n, unit in enumerate(units) if len(unit) > 1]
    if not places:
        return NOTHING
    rated = [units[n] for n in places]
    weight = weighed(None if weights is None else [weights[n] for n in places], len(places))
    names = None if clusters is None else [clusters[n] for n in places]
    values = sorted({value for unit in rated for value in unit})
    place = {value: n for n, value in enumerate(values)}
    k = len(values)
    counts = np.zeros((len(rated), k))
    for row, unit in enumerate(rated):
        for value in unit:
            counts[row, place[value]] += 1
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    coincidences = (pairs / (counts.sum(1) - 1)[:, None, None]).reshape(len(rated), k * k)
    coincidences *= weight[:, None]
    scale = np.asarray(values, dtype=np.float64)

    def alpha(drawn: Floats) -> Floats:
        table = (drawn @ coincidences).reshape(-1, k, k)
        totals = table.sum(2)  # [block, k] how often each value was given
        n = totals.sum(1)
        gaps = _gaps(scale, totals, level)
        observed = (table * gaps).sum((1, 2)) / n
        chance = (totals[:, :, None] * totals[:, None, :] * gaps).sum((1, 2)) / (n * (n - 1))
        return _beyond_chance(observed, chance)

    said = [value for unit in rated for value in unit]
    return _resampled(
        alpha, said, len(rated),
        clusters=names, weights=weight, seed=seed, resamples=resamples,
    )  # fmt: skip


def kendall_w(
    rankings: Sequence[Sequence[Sequence[float]]],
    *,
    clusters: Names | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Figure:
    """Concordance of rankings (Kendall and Smith 1939), the mean over units, corrected for ties.

    rankings [units, raters, objects] holds ranks (1 is best, equal ranks are ties). Units with
    fewer than two raters, or in which everything is tied, have no W and are left out of `n`.
    """
    known = [(n, w) for n, unit in enumerate(rankings) if (w := _concordance(unit)) is not None]
    found = [w for _, w in known]
    if not resamples:
        value = math.fsum(found) / len(found) if found else None
        return Figure(value=value, low=None, high=None, n=len(found))
    names = None if clusters is None else [clusters[n] for n, _ in known]
    return mean(found, clusters=names, share=True, seed=seed)


def _cells(first: Sequence[Hashable], second: Sequence[Hashable]) -> Floats:
    """[units, k * k]: 1 in the cell of what the two raters said of it."""
    codes: dict[Hashable, int] = {}
    pairs = [
        (codes.setdefault(a, len(codes)), codes.setdefault(b, len(codes)))
        for a, b in zip(first, second, strict=True)
    ]
    cells = np.zeros((len(pairs), len(codes) ** 2))
    for unit, (a, b) in enumerate(pairs):
        cells[unit, a * len(codes) + b] = 1.0
    return cells


def _kappa(sums: Floats) -> Floats:
    """Cohen's, of tables [B, k * k]; NaN of an empty one."""
    k = math.isqrt(sums.shape[1])
    table = sums.reshape(-1, k, k)
    n = np.maximum(table.sum((1, 2)), _TINY)
    seen = np.trace(table, axis1=1, axis2=2) / n
    expected = (table.sum(2) * table.sum(1)).sum(1) / n**2
    return np.where(table.sum((1, 2)) > 0, _beyond_chance(1 - seen, 1 - expected), np.nan)


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
    statistic: Callable[[Floats], Floats],
    said: Sequence[Hashable],
    n: int,
    *,
    clusters: Names | None,
    weights: Weights | None = None,
    seed: int,
    resamples: int,
) -> Figure:
    """A statistic of weights [B, n] of units, of which raters said all of `said`."""
    if not n:
        return NOTHING
    value = float(statistic(np.ones((1, n)))[0])
    if math.isnan(value) or not resamples:
        return Figure(value=None if math.isnan(value) else value, low=None, high=None, n=n)
    found = bootstrapped(
        statistic, n, clusters=clusters, weights=weights, seed=seed, resamples=resamples
    )
    if found.low is None or found.high is None:
        return found
    if value < 1 - _TINY:  # of one who always says the same no spread is seen
        flat = found.high - found.low < _TINY
        return Figure(value=value, low=None, high=None, n=n) if flat else within(found, -1.0, 1.0)
    rare = wilson(0, worth(numbered(clusters, n)[1], weights, n))[1]
    shares = np.array(list(Counter(said).values())) / len(said)
    return found.model_copy(update={"low": max(-1.0, 1 - rare / float(1 - (shares**2).sum()))})
