"""How is a number written for a person?"""

from __future__ import annotations

from hrlaif.statistics import Figure

UNKNOWN = "unknown"


def percent(figure: Figure | None) -> str:
    """`63.1 % (57.0 to 69.2)`."""
    if figure is None or figure.value is None:
        return UNKNOWN
    value = f"{100 * figure.value:.1f} %"
    if figure.low is None or figure.high is None:
        return f"{value} (no interval)"
    return f"{value} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def plain(figure: Figure | None, *, signed: bool = False) -> str:
    """`0.42 (0.31 to 0.55)`, with a sign when it is a difference."""
    if figure is None or figure.value is None:
        return UNKNOWN
    value = digits(figure.value, signed=signed)
    if figure.low is None or figure.high is None:
        return f"{value} (no interval)"
    low, high = digits(figure.low, signed=signed), digits(figure.high, signed=signed)
    return f"{value} ({low} to {high})"


def points(figure: Figure | None) -> str:
    """A difference of two shares: `−0.5 points (−1.0 to 0.0)`."""
    if figure is None or figure.value is None:
        return UNKNOWN

    def one(value: float) -> str:
        text = f"{100 * value:+.1f}".replace("-", "−")
        return "0.0" if text[1:] == "0.0" else text

    if figure.low is None or figure.high is None:
        return f"{one(figure.value)} points (no interval)"
    return f"{one(figure.value)} points ({one(figure.low)} to {one(figure.high)})"


def digits(value: float | None, *, signed: bool = False) -> str:
    """Three digits that count, from a thousand on all of them, with a real minus sign."""
    if value is None:
        return UNKNOWN
    if abs(value) < 1e-9:  # what is left of a sum that is zero
        return "0"
    form = ".3g" if abs(value) < 999.5 else ",.0f"
    return f"{value:{'+' if signed else ''}{form}}".replace("-", "−")


def moment(stamp: object) -> str:
    """`2026-11-20 16:06 UTC` from `2026-11-20T16:06:00Z`."""
    text = str(stamp)
    return f"{text[:10]} {text[11:16]} UTC" if text[10:11] == "T" and text.endswith("Z") else text


def duration(seconds: float | None) -> str:
    """`1 h 04 min`, `3 min 10 s`, `12.4 s`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def money(dollars: float | None) -> str:
    """`$1.24`, `$0.0012`, `$0`."""
    if dollars is None:
        return UNKNOWN
    if dollars == 0:
        return "$0"
    return f"${dollars:,.2f}" if abs(dollars) >= 0.1 else f"${dollars:.2g}"


def count(value: float | int | None) -> str:
    """`12,345`."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def spaced(name: object) -> str:
    """`same_position` -> `same position`."""
    return str(name).replace("_", " ")
