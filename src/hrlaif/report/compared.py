"""Which of these models is better? The page of `hrlaif compare`, of two models or of several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.pages import words
from hrlaif.pages.charts import Charts
from hrlaif.pages.render import render, save
from hrlaif.pages.values import figure, number, verdicts
from hrlaif.records import Row
from hrlaif.report import samples, sections
from hrlaif.report.load import Run, pairs, part
from hrlaif.statistics import Figure

_TEMPLATES = Path(__file__).parent / "templates"
Over = Mapping[tuple[str, str], Figure]
"""How often the first of two models wins against the second."""


def write_comparison(folder: Path) -> Path:
    """Writes folder/compare.html from what `hrlaif compare` left there, and returns its path."""
    run, charts = Run(folder), Charts()
    found = run.json("compare.json")
    if not found:
        raise DataError(f"{folder} has no compare.json: run `hrlaif compare A B -o {folder}` first")
    run.aliases["evaluation/metrics.json"] = "compare.json"
    several = isinstance(found.get("pairs"), list)
    parts = _several(found, run, charts) if several else _two(found, run, charts)
    page = render(
        _TEMPLATES,
        "several.html.j2" if several else "compare.html.j2",
        charts,
        title=folder.resolve().name,
        judge=found.get("judge"),
        about=found.get("about"),
        finished=words.moment((found.get("about") or {}).get("finished", "")),
        cost=found.get("cost"),
        notes=sorted(set(run.notes)),
        **parts,
    )
    return save(folder / "compare.html", page)


def _two(found: Row, run: Run, charts: Charts) -> Row:
    models = part("models", lambda *_: _sides(found), run, charts)
    rows = run.rows("comparisons.jsonl")
    return {
        "models": models,
        "headline": part("headline", sections.headline, run, charts),
        "wins": part("wins", lambda r, c: sections.win_rates(r, c, of="B"), run, charts),
        "against": part("against", lambda *_: found.get("against") or {}, run, charts),
        "samples": part(
            "samples", lambda *_: {"groups": samples.side_by_side(rows, ("A", "B"))}, run, charts
        ),
    }


def _sides(found: Row) -> Row:
    """What A and B are called: their rows' `model` where that tells them apart, else the file."""
    models = found.get("models") or {}
    files = [*((found.get("about") or {}).get("files") or ()), "", ""]
    short = [Path(file).name for file in files]
    named = {side: ", ".join(models.get(side) or ()) for side in ("baseline", "policy")}
    tell = named["baseline"] != named["policy"]
    paths = short if short[0] != short[1] else files
    return {
        side: (tell and name) or path
        for (side, name), path in zip(named.items(), paths, strict=False)
    }


def _several(found: Row, run: Run, charts: Charts) -> Row:
    over = _over(found)
    ranking = part("ranking", lambda *_: _ranking(found, over, charts), run, charts)
    names = [row["name"] for row in ranking.get("rows", ())]
    return {
        "models": names or list(found.get("models") or ()),
        "ranking": ranking,
        "matrix": part("pairs", lambda *_: _matrix(names, over), run, charts),
        "pairs": part("pairs", lambda *_: {"rows": _pairs(found)}, run, charts).get("rows", []),
        "difficulty": part("difficulty", lambda *_: _difficulty(found), run, charts),
        "counts": {k: number(found.get(k)) for k in ("asked", "identical", "ties", "truncated")},
        "silent": pairs(found.get("abstentions")),
        "samples": part("samples", lambda *_: _samples(names[:2], run), run, charts),
    }


def _over(found: Row) -> dict[tuple[str, str], Figure]:
    over = {}
    for one in found["pairs"]:
        won = one["win_rate"]
        if verdicts(won) and (f := figure(won["overall"])):
            over[one["b"], one["a"]], over[one["a"], one["b"]] = f, _turned(f)
    return over


def _turned(f: Figure) -> Figure:
    """A share of the other side."""
    value, low, high = (None if end is None else 1 - end for end in (f.value, f.high, f.low))
    return f.model_copy(update={"value": value, "low": low, "high": high})


def _ranking(found: Row, over: Over, charts: Charts) -> Row:
    """The models from the best to the worst, and whether the best is told from the next."""
    ranking, models = found["ranking"], found["models"]
    judged, equal = ranking["as_judged"], ranking["at_equal_style"]
    if judged is None:
        return {"reason": ranking["reason"]}
    names = sorted(judged["win_rate"], key=lambda name: -judged["win_rate"][name]["value"])
    ways = [judged, ranking["hard"], *([equal] if equal else [])]
    rows = [
        {
            "name": name,
            "figures": [figure(way["win_rate"][name]) for way in ways],
            "characters": figure(models[name]["characters"]),
            "responses": number(models[name]["responses"]),
        }
        for name in names
    ]
    left_out: dict[str, list[str]] = {}
    for trait, why in ranking["style_left_out"].items():
        left_out.setdefault(why, []).append(words.spaced(trait))
    return {
        "rows": rows,
        "held": [words.spaced(trait) for trait in equal["style"]] if equal else [],
        "style": [(words.spaced(k), figure(f)) for k, f in equal["style"].items()] if equal else [],
        "left_out": [(", ".join(traits), why) for why, traits in left_out.items()],
        "next": over.get((names[0], names[1])),
        "met": any({p["a"], p["b"]} == set(names[:2]) for p in found["pairs"]),
        "chart": charts.grouped(
            [(row["name"], row["figures"]) for row in rows],
            unit="mean share of wins against the others",
            references=[0.5],
            alt="Win rates of all models; the numbers are in the table",
        ),
    }


def _matrix(names: list[str], over: Over) -> Row:
    """Each model over each other; empty where two names say it all."""
    rows = [(a, [over.get((a, b)) for b in names]) for a in names]
    return {"names": names, "rows": rows} if over else {}


def _pairs(found: Row) -> list[Row]:
    rows = []
    for one in found["pairs"]:
        won = one["win_rate"]
        told = verdicts(won)
        equal = won["length_controlled"]
        controlled = figure(equal["win_rate"]) if told else None
        rows.append(
            {
                "name": f"{one['b']} over {one['a']}",
                "overall": figure(won["overall"]) if told else None,
                "controlled": controlled,
                "flags": (equal.get("flags") or []) if told and controlled is None else [],
                "same_position": figure(won["same_position"]),
                "n": won["overall"]["n"],
                "silent": sum(won["abstentions"].values()),
            }
        )
    return rows


def _difficulty(found: Row) -> Row:
    known = found["with_difficulty"]["models"]
    rows = [(name, f) for name, one in known.items() if (f := figure(one["win_rate"]))]
    flags = [f"{name}: {flag}" for name, one in known.items() for flag in one.get("flags") or ()]
    return {"over": next(iter(found["models"])), "rows": rows, "flags": flags}


def _samples(names: list[str], run: Run) -> Row:
    """What the two best wrote, where they met."""
    met = [
        row
        for row in run.rows("comparisons.jsonl")
        if [(row.get(side) or {}).get("model") for side in "ab"] in (names, names[::-1])
    ]
    if not met:
        return {}
    a, b = (str(met[0][side]["model"]) for side in "ab")
    return {"a": a, "b": b, "groups": samples.side_by_side(met, (a, b))}
