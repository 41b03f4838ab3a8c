"""Which values make up the upper half, or the lowest quarter? Equal values are never parted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hrlaif.statistics.figures import Floats, weighed


def equal_parts(
    keys: Sequence[float] | Floats,
    parts: int,
    *,
    weights: Sequence[float] | Floats | None = None,
) -> list[list[int]]:
    """Positions of the keys, the smallest first, in as nearly equal parts as ties allow.

    Keys within 1e-9 are ties: what is left of a sum is no difference. A part ends where the key
    changes, at most half a part from where it should; without such a place two parts are one.
    """
    said = np.round(np.asarray(keys, np.float64), 9)
    order = np.argsort(said, kind="stable")
    filled = np.cumsum(weighed(weights, said.size)[order])
    changes = np.flatnonzero(np.diff(said[order])) + 1
    size = said.size / parts
    cuts = {0, said.size}
    for part in range(1, parts) if changes.size else ():
        off = np.round(np.abs(filled[changes - 1] - part * size), 9)
        nearest = int(np.flatnonzero(off == off.min())[-1])
        if off[nearest] <= size / 2:
            cuts.add(int(changes[nearest]))
    return [order[a:b].tolist() for a, b in pairwise(sorted(cuts))]
