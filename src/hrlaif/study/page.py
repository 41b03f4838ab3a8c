"""What does a study look like to a reader? One page from study.json, charts over their tables."""

from __future__ import annotations

import json
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.pages import words
from hrlaif.pages.charts import Charts, marks
from hrlaif.pages.render import render, save
from hrlaif.pages.values import figure
from hrlaif.records import Row
from hrlaif.study import shown_faults
from hrlaif.study.sections import judge
from hrlaif.study.sentences import allowed, few, lead

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(folder: Path) -> Path:
    """Writes folder/study.html from folder/study.json, and returns its path."""
    try:
        found = json.loads((folder / "study.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{folder} has no readable study.json: run `hrlaif study PAIRS -o {folder}` first"
        ) from None
    charts = Charts()
    judges = [
        {**judge(name, found, charts), "allowed": allowed(name, found)} for name in found["judges"]
    ]
    page = render(
        _TEMPLATES,
        "study.html.j2",
        charts,
        title="/".join(Path(found["about"]["pairs"]).parts[-2:]),
        about=found["about"],
        finished=words.moment(found["about"]["finished"]),
        pairs=found["pairs"],
        lead=lead(found),
        few=few(found),
        cost=found["cost"],
        overview=_overview(found, charts),
        between=_between(found),
        side_by_side=_side_by_side(found) if len(judges) > 1 else [],
        places=shown_faults.places(found, charts) if len(judges) > 1 else {},
        together=_together(found),
        judges=judges,
    )
    return save(folder / "study.html", page)


def _overview(found: Row, charts: Charts) -> Row:
    """`fewer`: the rules on the pairs of those who did not answer all, since there they differ."""
    deciding = {
        f"{name}, {one['chosen']}": one["variants"][one["chosen"]]
        for name, one in found["judges"].items()
    }
    if "together" in found:
        deciding["all judges together"] = found["together"]
    rows = [(name, figure(one["agreement"])) for name, one in deciding.items()]
    rows += [
        ("always the longer", figure(found["baselines"]["always_longer"])),
        ("always the first", figure(found["baselines"]["always_first"])),
    ]
    shown = [(name, f) for name, f in rows if f is not None]
    on_its_own = {name: one["baselines"]["agreement"] for name, one in deciding.items()}
    return {
        "rows": shown,
        "fewer": [
            (name, figure(rules["always_longer"]), figure(rules["always_first"]))
            for name, rules in on_its_own.items()
            if rules != found["baselines"] and figure(rules["always_longer"])
        ],
        "chart": charts.intervals(
            shown, unit="names what people prefer, %", marks=marks(shown),
            alt="Agreement of each judge with people",
        ),
    }  # fmt: skip


def _between(found: Row) -> list[Row]:
    return [
        {"name": name, "difference": figure(one["difference"]), "p": one["p_holm"]}
        for name, one in found["between_judges"].items()
    ]


def _together(found: Row) -> Row:
    """The panel less the judge that is best on the dev half, on the test rows of both."""
    against = found.get("together", {}).get("against_best") or {}
    return {"best": against.get("judge"), "difference": figure(against.get("difference"))}


def _side_by_side(found: Row) -> list[Row]:
    """What tells judges apart at a glance, each by its chosen way of asking."""
    rows = []
    for name, one in found["judges"].items():
        best = one["variants"][one["chosen"]]
        rows.append(
            {
                "name": name,
                "agreement": figure(best["agreement"]),
                "same_position": figure(best["same_position"]),
                "ece": figure((one["calibration"].get("raw") or {}).get("ece")),
                "resistance": figure((one["injection"].get("labels") or {}).get("injections")),
                "seconds": best["cost"]["seconds_a_label"],
            }
        )
    panel = found["together"]
    alone = {"ece": None, "resistance": None}
    told = {key: figure(panel[key]) for key in ("agreement", "same_position")}
    cost = panel["cost"]["seconds_a_label"]
    return [*rows, {"name": "all together (the mean)", **told, **alone, "seconds": cost}]
