"""Numbers for people, and charts whose labels stay text."""

import re

import pytest

from hrlaif.pages import words
from hrlaif.pages.axes import reliability
from hrlaif.pages.charts import Charts, Curve, Point
from hrlaif.report.samples import side_by_side
from hrlaif.statistics import Figure


def test_numbers_read_as_a_person_would_write_them():
    assert words.percent(Figure(value=0.5, low=0.4, high=0.61, n=9)) == "50.0 % (40.0 to 61.0)"
    assert words.percent(Figure(value=0.5, low=None, high=None, n=1)) == "50.0 % (no interval)"
    assert words.percent(None) == "unknown"
    assert words.plain(Figure(value=-0.5, low=-1.0, high=0.25, n=9), signed=True) == (
        "−0.5 (−1 to +0.25)"
    )
    assert [words.duration(s) for s in (None, 12.34, 190, 3840)] == [
        "unknown",
        "12.3 s",
        "3 min 10 s",
        "1 h 04 min",
    ]
    assert [words.money(m) for m in (None, 0, 0.0012, 1234.5)] == [
        "unknown",
        "$0",
        "$0.0012",
        "$1,234.50",
    ]
    assert words.moment("2026-11-20T16:06:00Z") == "2026-11-20 16:06 UTC"
    assert words.moment("yesterday") == "yesterday"


def test_a_chart_takes_its_colours_from_the_page():
    charts = Charts()
    svg = charts.curves([Curve("loss", [1, 2], [0.5, 0.4])], unit="nats", alt="Loss")
    assert 'aria-label="Loss"' in svg
    assert "style=" not in svg
    rules = " ".join(charts.rules.values())
    assert "var(--accent)" in rules
    assert not re.search(r"#0[1-6]0[1-6]0[1-6]", rules)


def test_a_label_that_looks_like_a_style_stays_a_label():
    charts = Charts()
    figure = Figure(value=0.5, low=0.4, high=0.6, n=3)
    svg = charts.intervals([('style="x}y{"', figure), ("$\\frac", figure)], unit="%", alt="x")
    assert "style=”x}y{”" in svg
    assert not any("x}y" in rule for rule in charts.rules.values())


def texts(svg):
    """(where it is anchored, text) of every text but the numbers, from the top down."""
    found = re.findall(r'<text class="(\w+)"[^>]*>([^<]*[a-z][^<]*)</text>', svg)
    return [(name, text) for name, text in reversed(found)]


def test_a_long_name_is_broken_and_only_a_very_long_one_is_cut():
    one = Figure(value=0.5, low=0.4, high=0.6, n=3)
    names = ["packaged:qwen2.5-coder-1.5b-instruct, base", "$short", "x" * 200]
    svg = Charts().intervals([(name, one) for name in names], unit="won, %", alt="x")
    *found, title = [text for _, text in texts(svg)]
    assert title == "won, %"
    assert set(found[:2]) == {"packaged:qwen2.5-coder-", "1.5b-instruct, base"}
    assert found[2] == "$short"
    assert sorted(map(len, found[3:])) == [23, 23, 24]
    assert sum(text.endswith("…") for text in found) == 1


def test_the_title_of_an_axis_ends_where_the_axis_does():
    charts = Charts()
    one = Figure(value=0.5, low=0.4, high=0.6, n=9)
    unit = "difference of shares; dashed: unbiased"
    svg = charts.grouped([("a name before the axis", [one])], unit=unit, alt="x")
    rules = {text: charts.rules[name] for name, text in texts(svg)}
    assert "text-anchor: end" in rules[unit]


def test_two_ways_are_told_apart_by_shape_as_well_as_by_colour():
    charts = Charts()
    one, two = (Figure(value=v, low=v - 0.1, high=v + 0.1, n=9) for v in (0.3, 0.6))
    svg = charts.grouped([("a", [one, two]), ("b", [None, one])], unit="share", alt="x")
    # matplotlib keeps each shape of marker once in <defs>: a circle and a square.
    assert len(re.findall(r"<defs>", svg)) >= 2
    assert len({rule for rule in charts.rules.values() if "fill: var(--" in rule}) >= 2
    assert charts.grouped([("a", [None])], unit="", alt="") is None


def test_points_have_their_intervals_and_a_diagonal():
    charts = Charts()
    points = [Point(x, Figure(value=x, low=x - 0.1, high=None, n=3)) for x in (0.5, 0.9)]
    bare = [Point(0.7, Figure(value=0.7, low=None, high=None, n=1))]
    svg = charts.points([points, bare], labels=("said", "found"), diagonal=True, alt="R")
    assert "said" in svg
    assert "found" in svg
    assert charts.points([[], []], labels=("", ""), alt="") is None


def test_a_reliability_diagram_has_one_range_for_both_axes_and_a_faint_judge_fills_it():
    both, up = reliability([0.55, 0.95], [0.4, 1.0])
    assert both == up == pytest.approx((0.376, 1.024))
    both, up = reliability([0.6, 0.64], [0.6, 0.64])
    assert both == up == pytest.approx((0.57, 0.67))
    # All labels between 0.50 and 0.55, right in 0.1 to 1.0 of the pairs.
    across, up = reliability([0.501, 0.52, 0.549], [0.1, 1.0])
    assert across == pytest.approx((0.49908, 0.55092))
    assert up == pytest.approx((0.064, 1.036))


def test_three_series_have_three_shapes_also_where_each_has_its_own_diagram():
    one = [Point(0.5, Figure(value=0.5, low=0.4, high=0.6, n=9))]

    def shape(*series):
        svg = Charts().points(series, labels=("x", "y"), diagonal=True, alt="x")
        # The paths of ticks and of the empty series end where those of the mark begin.
        return [d for d in re.findall(r'<path[^>]* d="([^"]*)"', svg) if d.count("\n") > 2][-1]

    marks = [shape(one), shape([], one), shape([], [], one)]
    assert len(set(marks)) == 3


def test_each_row_of_a_chart_may_have_a_mark_of_its_kind():
    charts, one = Charts(), Figure(value=0.6, low=0.5, high=0.7, n=9)
    names = [
        ("judge", one),
        ("nothing", Figure(value=None, low=None, high=None, n=0)),
        ("rule", one),
    ]
    svg = charts.intervals(names, unit="%", marks=[0, 1, 2], alt="x")
    fills = {color for color in ("accent", "second", "muted") if any(
        f"fill: var(--{color})" in rule and "stroke" in rule for rule in charts.rules.values()
    )}  # fmt: skip
    assert fills == {"accent", "muted"}
    assert "nothing" not in svg


def test_a_table_of_a_long_curve_has_twelve_lines_from_first_to_last():
    curve = Curve("loss", list(range(1, 101)), [1 / n for n in range(1, 101)])
    rows = curve.some()
    assert len(rows) == 12
    assert (rows[0], rows[-1]) == ((1, 1.0), (100, 0.01))
    assert Curve("x", [1, 2], [5.0, 6.0]).some() == [(1, 5.0), (2, 6.0)]
    assert Curve("x", [3], [5.0]).some() == [(3, 5.0)]
    assert Curve("x", [], []).some() == []


def test_a_difference_of_shares_is_in_points():
    assert words.points(Figure(value=-0.0048, low=-0.0102, high=0.0, n=9)) == (
        "−0.5 points (−1.0 to 0.0)"
    )
    assert words.points(None) == words.UNKNOWN


def test_intervals_close_to_the_reference_are_drawn_on_a_scale_round_it():
    def ticks(*ends):
        figure = Figure(value=sum(ends) / 2, low=ends[0], high=ends[1], n=9)
        svg = Charts().intervals([("a", figure)], unit="won, %", alt="x")
        return re.findall(r"<text[^>]*>([\d.]+)</text>", svg)

    assert ticks(0.495, 0.512) == ["48", "49", "50", "51", "52"]
    assert ticks(0.45, 0.585) == ["40", "45", "50", "55", "60"]
    assert ticks(0.2, 0.6) == ["0", "25", "50", "75", "100"]


def test_zero_has_no_sign():
    assert words.digits(0.0, signed=True) == words.digits(-8.2e-13, signed=True) == "0"


def test_nothing_to_draw_is_no_chart():
    charts = Charts()
    assert charts.curves([Curve("a", [], [])], unit="", alt="") is None
    assert charts.intervals([], unit="", alt="") is None
    assert charts.histogram([], unit="", alt="") is None


def test_samples_are_biggest_wins_biggest_losses_and_a_lot_none_twice():
    rows = [{"id": str(n), "prob_a": n / 20, "prompt": "q"} for n in range(21)]
    groups = {group["title"]: [row["id"] for row in group["rows"]] for group in side_by_side(rows)}
    assert groups["Biggest wins"] == ["0", "1", "2"]
    assert groups["Biggest losses"] == ["20", "19", "18"]
    shown = [name for names in groups.values() for name in names]
    assert len(shown) == len(set(shown)) == 9
    assert groups["Drawn by lot"] == [r["id"] for r in side_by_side(rows)[2]["rows"]]
