"""What did several runs come to? Their figures side by side, and the first run against the others.

An ablation, or HRLAIF beside basic RLAIF: every figure that the evaluations have, with its
interval, and the paired difference of the win rates on the prompts that two runs share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.pages import words
from hrlaif.pages.charts import Charts
from hrlaif.pages.render import render, save
from hrlaif.pages.values import figure, number, verdicts
from hrlaif.records import Row
from hrlaif.report.load import Run, pairs
from hrlaif.report.receipts import paid
from hrlaif.statistics import Figure

_TEMPLATES = Path(__file__).parent / "templates"
_BEFORE = "before RL"


class _Measure(NamedTuple):
    """A figure of an evaluation: where it stands, before RL and after it."""

    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    share: bool = True


def _both(title: str, *path: str, fixed: str = "", share: bool = True) -> _Measure:
    return _Measure(title, (*path, f"before{fixed}"), (*path, f"after{fixed}"), share)


_MEASURES = (
    _Measure("preferred to the policy before RL", (), ("win_rate", "overall")),
    _Measure("the same, at equal length", (), ("win_rate", "length_controlled", "win_rate")),
    _both("satisfied", "satisfaction", "rate"),
    _both("level, 1 to 5", "satisfaction", "level", share=False),
    _both("answers right", "accuracy"),
    _both("harmful answers to attacks", "harm", "harmful"),
    _both("the same, corrected for the detector", "harm", "harmful", fixed="_corrected"),
    _both("innocent prompts refused", "harm", "over_refusal"),
    _both("toxic continuations", "toxicity"),
    _Measure(
        "characters a response",
        ("win_rate", "characters", "baseline"),
        ("win_rate", "characters", "policy"),
        share=False,
    ),
)


def side_by_side(folders: Sequence[Path], subtract: Callable[[Path, Path], Any]) -> Row:
    """Every figure of every run, as plain values. Raises DataError for a run without evaluation.

    `subtract` is `evaluation.two_runs`: it takes the folders of two evaluations.
    """
    runs = [_run(folder) for folder in folders]
    names = _names(folders)
    found = [_told(run) for run in runs]
    measured = [_measured(name, metrics) for name, metrics in zip(names, found, strict=True)]
    before = [{m.title: _at(metrics, m.before) for m in _MEASURES} for metrics in found]
    after = [{m.title: _at(metrics, m.after) for m in _MEASURES} for metrics in found]
    columns = list(zip(names, after, strict=True))
    if all(some == before[0] for some in before):
        columns.insert(0, (_BEFORE, before[0]))
    else:  # they did not start from one policy: each beside its own
        starts = [(f"{name}, {_BEFORE}", b) for name, b in zip(names, before, strict=True)]
        columns = [column for both in zip(starts, columns, strict=True) for column in both]
    return {
        "runs": names,
        "measured": measured,
        "judge": _judge(measured),
        "notes": [*_notes(measured), *_not_known(names, found)],
        "columns": [name for name, _ in columns],
        "rows": [
            {"title": m.title, "share": m.share, "figures": values}
            for m in _MEASURES
            if any(values := [_row(column.get(m.title)) for _, column in columns])
        ],
        "categories": _categories(found),
        "differences": [
            _difference(name, subtract, folder, folders[0])
            for name, folder in zip(names[1:], folders[1:], strict=True)
        ],
        "spent": [_spent(run) for run in runs],
    }


def write_runs(found: Row, out: Path) -> Path:
    """Writes the page of `side_by_side` and returns its path."""
    charts = Charts()
    rows = [
        {**row, "figures": [figure(value) for value in row["figures"]]} for row in found["rows"]
    ]
    differences = [
        {**row, "difference": figure(row.get("difference"))} for row in found["differences"]
    ]
    categories = [
        {**row, **{k: [figure(v) for v in row[k]] for k in ("won", "satisfied")}}
        for row in found["categories"]
    ]
    won: list[Figure | None] = next(
        (row["figures"] for row in rows if row["title"] == _MEASURES[0].title), []
    )
    shown = [(name, f) for name, f in zip(found["columns"], won, strict=False) if f]
    picture = charts.intervals(
        shown, unit="preferred to the policy before RL, %", alt="Win rate of each run"
    )
    parts = {"rows": rows, "differences": differences, "categories": categories}
    page = render(
        _TEMPLATES, "runs.html.j2", charts, title=out.stem, picture=picture, **{**found, **parts}
    )
    return save(out, page)


def told(found: Row) -> list[list[str]]:
    """The table as text: a line a figure, its title first."""
    lines = []
    for row in found["rows"]:
        write = words.percent if row["share"] else words.plain
        values = [figure(value) for value in row["figures"]]
        lines.append([row["title"], *("" if f is None else write(f) for f in values)])
    return lines


def _run(folder: Path) -> Run:
    if not (folder / "evaluation" / "metrics.json").is_file():
        raise DataError(f"{folder} has no evaluation yet: `hrlaif run {folder}` first")
    return Run(folder)


def _told(run: Run) -> Row:
    """The evaluation of a run; where nobody gave a verdict it has no win rate."""
    metrics = run.json("evaluation/metrics.json")
    won = metrics.get("win_rate") or {}
    if verdicts(won) == 0:
        return {**metrics, "win_rate": {"characters": won.get("characters")}}
    return metrics


def _measured(name: str, metrics: Row) -> Row:
    """By whom and how a run was judged: what makes its figures those of another measure."""
    satisfaction = metrics.get("satisfaction") or {}
    return {
        "run": name,
        "judge": str(metrics.get("judge") or "not recorded"),
        "bar": number(satisfaction.get("bar")),
        "calibrated": satisfaction.get("calibrated"),
    }


def _judge(measured: Sequence[Row]) -> str:
    """The judge of all runs, or that of each."""
    if len({one["judge"] for one in measured}) == 1:
        return str(measured[0]["judge"])
    return "; ".join(f"{one['run']}: {one['judge']}" for one in measured)


def _notes(measured: Sequence[Row]) -> list[str]:
    """Which figures that stand in one row are not of one measure."""
    rated = [one for one in measured if one["bar"] is not None]
    scales = {bool(one["calibrated"]) for one in rated}
    if len({one["bar"] for one in rated}) < 2 and len(scales) < 2:
        return []
    bars = []
    for one in rated:
        scale = " on people's scale" if one["calibrated"] else ""
        bars.append(f"from {words.digits(one['bar'])}{scale} in {one['run']}")
    what = "satisfied, and the level" if len(scales) > 1 else "satisfied"
    return [f"{what}: {', '.join(bars)}: not the same measure"]


def _not_known(names: Sequence[str], found: Sequence[Row]) -> list[str]:
    """Why a run has no win rate at equal length."""
    said = []
    for name, metrics in zip(names, found, strict=True):
        equal = (metrics.get("win_rate") or {}).get("length_controlled") or {}
        if figure(equal.get("win_rate")) is None:
            said += [f"{name}: {flag}" for flag in equal.get("flags") or ()]
    return said


def _names(folders: Sequence[Path]) -> list[str]:
    short = [folder.resolve().name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def _at(metrics: Row, path: tuple[str, ...]) -> Figure | None:
    value: Any = metrics if path else None
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return figure(value)


def _row(found: Figure | None) -> Row | None:
    return None if found is None else found.row()


def _categories(found: Sequence[Row]) -> list[Row]:
    """Preference beside satisfaction in every category, a value a run."""
    won = [dict(pairs((m.get("win_rate") or {}).get("by_category"))) for m in found]
    satisfied = [dict(pairs((m.get("satisfaction") or {}).get("by_category"))) for m in found]
    names = sorted({name for some in (*won, *satisfied) for name in some})
    return [
        {
            "name": name,
            "won": [_row(figure(some.get(name))) for some in won],
            "satisfied": [_row(figure((some.get(name) or {}).get("after"))) for some in satisfied],
        }
        for name in names
    ]


def _difference(name: str, subtract: Callable[[Path, Path], Any], folder: Path, first: Path) -> Row:
    """The win rate of a run minus that of the first."""
    try:
        told = subtract(folder / "evaluation", first / "evaluation")
    except DataError as error:
        return {"run": name, "reason": str(error)}
    if told.difference.value is None:
        return {"run": name, "reason": told.statement}
    found = {"difference": told.difference.row(), "p": told.p, "unmatched": told.unmatched}
    return {"run": name, **found}


def _spent(run: Run) -> Row:
    receipts = run.receipts()
    calls = [number((receipt.get("cost") or {}).get("calls")) for receipt in receipts]
    return {
        "seconds": sum(number(receipt.get("seconds")) or 0 for receipt in receipts),
        "calls": sum(n for n in calls if n),
        "dollars": paid(receipts),
        "chosen_step": run.json("policy/choice.json").get("chosen"),
    }
