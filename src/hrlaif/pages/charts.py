"""What does it look like? Charts of figures, curves and counts; None without matplotlib."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from hrlaif.pages import axes as reach
from hrlaif.pages.svg import ACCENT, FAINT, INK, MUTED, SECOND, Canvas
from hrlaif.statistics import Figure

_MARKS = ((ACCENT, "o"), (SECOND, "s"), (MUTED, "^"))
_RULES = {"always the longer": 1, "always the first": 2}
_WIDE, _MOST = 24, 3  # characters a line of a label, lines a label
_PIECE = re.compile(r"[^\s,:/=_@-]{1,23}[\s,:/=_@-]?|[\s,:/=_@-]")  # none wider than a line
_LINE, _PITCH = 0.15, 0.27  # inches: a further line of a label, a row of one line


class Curve(NamedTuple):
    """Values over steps."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    marker: bool = False

    def some(self, most: int = 12) -> list[tuple[float, float]]:
        """At most so many (step, value), evenly spread, first and last among them."""
        last = len(self.values) - 1
        kept = sorted({round(n * last / (most - 1)) for n in range(most)}) if last > 0 else [0]
        return [(self.steps[n], self.values[n]) for n in kept] if len(self.values) else []


class Point(NamedTuple):
    """A figure at a place on the horizontal axis."""

    x: float
    figure: Figure


class Charts:
    """Draws, and gathers the style rules that the drawings need."""

    def __init__(self) -> None:
        self._canvas = Canvas()

    @property
    def rules(self) -> dict[str, str]:
        """Class name -> style, of all that was drawn."""
        return self._canvas.rules

    @property
    def available(self) -> bool:
        """False when matplotlib is not installed: then every chart is None."""
        return self._canvas.available

    def intervals(
        self,
        figures: Sequence[tuple[str, Figure]],
        *,
        unit: str,
        reference: float | None = 0.5,
        marks: Sequence[int] = (),
        alt: str,
    ) -> Markup | None:
        """A mark and its interval a line, on a scale of percent, with a line at `reference`.

        The scale is all percents, or, where everything lies near the reference, those round it.
        `marks`: of each row 0 for a dot, 1 for a square, 2 for a triangle; all dots without.
        """
        kinds = marks or [0] * len(figures)
        shown = [(*row, n) for row, n in zip(figures, kinds, strict=True) if _known(row[1])]
        if not shown or not self.available:
            return None
        names = _Names([name for name, *_ in shown])

        def draw(axes: Any) -> None:
            for y, (_, f, kind) in enumerate(reversed(shown)):
                color, mark = _MARKS[kind]
                if f.low is not None and f.high is not None:
                    axes.plot([100 * f.low, 100 * f.high], [y, y], color=color, lw=2.2)
                axes.plot([100 * (f.value or 0)], [y], mark, color=color, ms=6.5, clip_on=False)
            if reference is not None:
                axes.axvline(100 * reference, color=MUTED, lw=0.9, ls=(0, (3, 3)), zorder=0)
            names.write(axes)
            low, high = reach.percents([v for _, f, _ in shown for v in _ends(f)], reference)
            axes.set_xlim(low, high)
            axes.set_xticks([low + (high - low) * quarter / 4 for quarter in range(5)])
            axes.set_xlabel(unit, loc="right")  # a long one reaches below the names

        return self._canvas.svg(draw, height=names.height, alt=alt)

    def curves(
        self, curves: Sequence[Curve], *, unit: str, floor: float | None = None, alt: str
    ) -> Markup | None:
        """Lines over training steps; long noisy ones faint, under their running mean."""
        shown = [curve for curve in curves if len(curve.values)]
        if not shown or not self.available:
            return None

        def draw(axes: Any) -> None:
            for curve, color in zip(shown, (ACCENT, SECOND, MUTED), strict=False):
                smooth = _smooth(curve.values)
                if curve.marker or len(curve.values) == 1:
                    axes.plot(curve.steps, curve.values, "o-", color=color, ms=4, lw=1.4)
                else:
                    if smooth is not curve.values:
                        axes.plot(curve.steps, curve.values, color=color, lw=0.8, alpha=0.3)
                    axes.plot(curve.steps, smooth, color=color, lw=1.7)
            if floor is not None:
                axes.axhline(floor, color=MUTED, lw=0.9, ls=(0, (3, 3)))
            axes.set_xlabel("step")
            axes.set_ylabel(unit)
            axes.margins(x=0.02, y=0.12)
            if not any(any(curve.values) for curve in shown):
                axes.set_ylim(0, 1)  # else a share of nothing seems to lie between -0.05 and 0.05
            axes.locator_params(axis="y", nbins=4)
            axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)

        return self._canvas.svg(draw, height=1.75, alt=alt)

    def grouped(
        self,
        rows: Sequence[tuple[str, Sequence[Figure | None]]],
        *,
        unit: str,
        references: Sequence[float] = (),
        span: tuple[float, float] = (0.0, 1.0),
        percent: str | None = " %",
        alt: str,
    ) -> Markup | None:
        """Several marks with intervals a line, told apart by shape as well as by colour.

        `span` is the axis, widened by what goes beyond it, written as percent followed by
        `percent`; None: as it is. `references`: a dashed tick a row, or one for all.
        """
        shown = [(name, figures) for name, figures in rows if any(_known(f) for f in figures)]
        if not shown or not self.available:
            return None
        names = _Names([name for name, _ in shown], marks=max(len(row) for _, row in shown))
        ends = [v for _, figures in shown for f in figures if f for v in _ends(f)]

        def draw(axes: Any) -> None:
            for y, (_, figures) in enumerate(reversed(shown)):
                for n, f in enumerate(figures):
                    if f is None or f.value is None:
                        continue
                    at = y + 0.3 * ((len(figures) - 1) / 2 - n)
                    color, mark = _MARKS[n % len(_MARKS)]
                    axes.plot(_ends(f), [at] * len(_ends(f)), color=color, lw=1.8)
                    axes.plot([f.value], [at], mark, color=color, ms=5.5)
            every = list(references) * (len(shown) if len(references) == 1 else 1)
            for y, fair in enumerate(reversed(every)):
                dashes = {"color": MUTED, "lw": 0.9, "ls": (0, (3, 3)), "zorder": 0}
                axes.plot([fair] * 2, [y - 0.5, y + 0.5], **dashes)
            names.write(axes)
            margin = 0.02 * (span[1] - span[0])
            axes.set_xlim(min([span[0], *ends]) - margin, max([span[1], *ends]) + margin)
            axes.locator_params(axis="x", nbins=5)
            if percent is not None:
                axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.3g}{percent}")
            axes.set_xlabel(unit, loc="right")  # a long one reaches below the names

        return self._canvas.svg(draw, height=names.height, alt=alt)

    def points(
        self,
        series: Sequence[Sequence[Point]],
        *,
        labels: tuple[str, str],
        diagonal: bool = False,
        reference: float | None = None,
        alt: str,
    ) -> Markup | None:
        """Figures over a quantity; `labels` name the axes, `diagonal` draws y = x.

        Series are told apart by shape; an empty one keeps its shape for itself.
        """
        every = [p for points in series for p in points if _known(p.figure)]
        if not every or not self.available:
            return None

        def draw(axes: Any) -> None:
            for (color, mark), points in zip(_MARKS, series, strict=False):
                known = [p for p in points if p.figure.value is not None]
                for p in known:
                    axes.plot([p.x] * len(_ends(p.figure)), _ends(p.figure), color=color, lw=1.3)
                axes.plot(
                    [p.x for p in known], [p.figure.value for p in known], mark + "-",
                    color=color, ms=5, lw=1.1,
                )  # fmt: skip
            axes.margins(x=0.05, y=0.08)
            if diagonal:
                ends = [v for p in every for v in _ends(p.figure)]
                across, up = reach.reliability([p.x for p in every], ends)
                axes.plot(up, up, color=MUTED, lw=0.9, ls=(0, (3, 3)), zorder=0)
                axes.set(xlim=across, ylim=up)
            if reference is not None:
                axes.axhline(reference, color=MUTED, lw=0.9, ls=(0, (3, 3)), zorder=0)
            axes.set_xlabel(labels[0])
            axes.set_ylabel(labels[1])
            axes.locator_params(axis="both", nbins=5)

        return self._canvas.svg(draw, height=2.3, alt=alt)

    def histogram(self, values: Sequence[float], *, unit: str, alt: str) -> Markup | None:
        """Counts in twenty bins from 0 to 1."""
        if not len(values) or not self.available:
            return None

        def draw(axes: Any) -> None:
            counts, lefts = [n for _, n in binned(values)], [n / 20 for n in range(20)]
            looks = {"color": FAINT, "edgecolor": ACCENT, "lw": 0.8}
            axes.bar(lefts, counts, 0.05, align="edge", **looks)
            axes.axvline(0.5, color=MUTED, lw=0.9, ls=(0, (3, 3)))
            axes.set_xlim(0, 1)
            axes.set_xlabel(unit)
            axes.set_ylabel("comparisons")
            axes.locator_params(axis="y", nbins=4, integer=True)

        return self._canvas.svg(draw, height=1.9, alt=alt)


def marks(rows: Sequence[tuple[str, Figure]]) -> list[int]:
    """For `intervals`: a square for always the longer, a triangle for the first, else a dot."""
    return [_RULES.get(name, 0) for name, _ in rows]


def binned(values: Sequence[float]) -> list[tuple[str, int]]:
    """What a histogram draws: from where to where, and how many; the last bin holds 1."""
    found = Counter(min(int(20 * value), 19) for value in values if 0 <= value <= 1)
    return [(f"{n / 20:.2f} to {(n + 1) / 20:.2f}", found[n]) for n in range(20)]


def _known(figure: Figure | None) -> bool:
    return figure is not None and figure.value is not None


def _ends(figure: Figure) -> list[float]:
    """The interval, or the value alone where there is none."""
    ends = (figure.low, figure.high) if figure.low is not None else (figure.value,)
    return [end for end in ends if end is not None]


class _Names:
    """What stands before each row of a chart, the first on top, long ones in several lines."""

    def __init__(self, names: Sequence[str], marks: int = 1) -> None:
        self._lines = [_lines(name) for name in names]
        lines = max(max(map(len, self._lines)), marks - 1)
        self._pitch = _PITCH + _LINE * (lines - 1)
        self.height = 0.62 + self._pitch * len(names)

    def write(self, axes: Any) -> None:
        """A tick a line: the page's font may be narrower, and each line ends at the axis."""
        ticks = [
            (y + _LINE / self._pitch * ((len(lines) - 1) / 2 - n), text)
            for y, lines in enumerate(reversed(self._lines))
            for n, text in enumerate(lines)
        ]
        axes.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
        axes.tick_params(axis="y", length=0, pad=6, labelcolor=INK, labelsize=9)
        axes.set_ylim(-0.6, len(self._lines) - 0.4)
        axes.spines["left"].set_visible(False)


def _lines(name: str) -> list[str]:
    """A name broken after spaces and signs; what three lines do not hold is left to the table."""
    # No quotes: a name must not look like a style attribute. A dollar would begin mathematics.
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", name).replace('"', "”")
    lines = [""]
    for piece in _PIECE.findall(text):
        if len(lines[-1] + piece.rstrip()) > _WIDE:
            lines.append("")
        lines[-1] += piece
    if len(lines) > _MOST:
        lines[_MOST - 1 :] = [lines[_MOST - 1][: _WIDE - 1] + "…"]
    return [line.strip().replace("$", r"\$") for line in lines]


def _smooth(values: Sequence[float]) -> Sequence[float]:
    """Running mean over a tenth of the steps; short curves as they are."""
    if len(values) < 30:
        return values
    reach = len(values) // 20
    windows = [values[max(0, i - reach) : i + reach + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]
