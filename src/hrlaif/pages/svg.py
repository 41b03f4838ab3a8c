"""How does a drawing become a part of a page? SVG that takes its colours from the style sheet.

Made by matplotlib (extra `report`), the same bytes for the same numbers. Inline styles become
classes, so that the page's Content-Security-Policy can forbid every style but its own sheet.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from typing import Any

from markupsafe import Markup, escape

# Colours that never show: each becomes a variable of the page's style sheet.
INK, MUTED, RULE = "#010101", "#020202", "#030303"
ACCENT, SECOND, FAINT = "#040404", "#050505", "#060606"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    FAINT: "var(--faint)",
}
_WIDTH = 3.9  # inches at 100 points an inch: readable unscaled on a phone
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hrlaif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "lines.solid_capstyle": "round",
}


class Canvas:
    """Draws, and gathers the style rules that the drawings need."""

    def __init__(self) -> None:
        self.rules: dict[str, str] = {}
        self._drawn = 0
        try:
            import matplotlib
            import matplotlib.figure
        except ImportError:
            self._library: Any = None
        else:
            self._library = matplotlib

    @property
    def available(self) -> bool:
        """False when matplotlib is not installed."""
        return self._library is not None

    def svg(self, draw: Any, *, height: float, alt: str) -> Markup:
        """What `draw` does to a pair of axes, `height` inches high; `alt` says it in words."""
        self._drawn += 1
        stream = io.StringIO()
        with self._library.rc_context(_SETTINGS), warnings.catch_warnings():
            # The browser has the glyphs that matplotlib's own font lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            drawing = self._library.figure.Figure(figsize=(_WIDTH, height), layout="constrained")
            draw(drawing.add_subplot())
            nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
            drawing.savefig(stream, format="svg", transparent=True, metadata=nothing)
        return self._inline(stream.getvalue(), f"c{self._drawn}", alt)

    def _inline(self, svg: str, name: str, alt: str) -> Markup:
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
        svg = re.sub(r'\bid="', f'id="{name}-', svg)
        svg = re.sub(r"url\(#", f"url(#{name}-", svg)
        svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
        svg = re.sub(r'style="([^"]*)"', self._class_for, svg)
        svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', _opening(alt), svg, count=1)
        return Markup(re.sub(r"\s*\n\s*", "\n", svg))

    def _class_for(self, found: re.Match[str]) -> str:
        style = re.sub(r"font-family: [^;]*;? ?", "", found[1])
        for color, variable in _VARIABLES.items():
            style = style.replace(color, variable)
        name = "s" + hashlib.sha256(style.encode()).hexdigest()[:6]
        self.rules[name] = style
        return f'class="{name}"'


def _opening(alt: str) -> Any:
    label = str(escape(alt))
    return lambda found: f'<svg class="chart" role="img" aria-label="{label}" viewBox="{found[1]}">'
