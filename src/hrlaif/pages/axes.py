"""From where to where does an axis reach? Far enough for the data, near enough to tell it apart."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
_LEAST, _FAINT = 0.1, 0.02  # widths of an axis: of both together, of a faint judge's labels


def percents(ends: Sequence[float], reference: float | None) -> Span:
    """Percent at the axis' ends: all of them, or a step round the reference that holds `ends`."""
    if reference is not None and ends:
        farthest = 100 * max(abs(end - reference) for end in ends)
        half = next((step for step in (2, 4, 10, 20) if farthest <= step), None)
        if half is not None:
            return 100 * reference - half, 100 * reference + half
    return 0.0, 100.0


def reliability(across: Sequence[float], up: Sequence[float]) -> tuple[Span, Span]:
    """Both axes of a reliability diagram, the same and at least 0.1 wide.

    Where `across` fills less than a third of what `up` needs, the horizontal axis is enlarged by
    itself: the labels of a faint judge would stand in one column.
    """
    both = _wide([*across, *up], _LEAST)
    alone = _wide(across, _FAINT)
    return (alone if 3 * (alone[1] - alone[0]) < both[1] - both[0] else both), both


def _wide(values: Sequence[float], least: float) -> Span:
    """Around all of the values, with a margin, and not narrower than `least`."""
    low, high = min(values), max(values)
    half = max(0.54 * (high - low), least / 2)
    return (low + high) / 2 - half, (low + high) / 2 + half
