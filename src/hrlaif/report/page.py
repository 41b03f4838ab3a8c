"""What happened in this run? One HTML file that needs no network and runs no script.

Everything from the run is escaped by the template; the page's own Content-Security-Policy forbids
scripts, connections and every style but the sheet it carries.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Undefined
from markupsafe import Markup

from hrlaif.errors import DataError
from hrlaif.records import Row
from hrlaif.report import people as blind
from hrlaif.report import samples, sections, words
from hrlaif.report.charts import Charts
from hrlaif.report.load import Run

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS: dict[str, Callable[[Run, Charts], Row]] = {
    "headline": sections.headline,
    "flow": sections.flow,
    "wins": sections.win_rates,
    "learning": sections.learning,
    "preference_model": sections.preference_model,
    "labels": sections.labels,
    "people": blind.people,
    "correctness": sections.correctness,
    "bill": sections.bill,
}
_FILTERS: dict[str, Callable[[Any], str]] = {
    "percent": words.percent,
    "plain": words.plain,
    "signed": lambda figure: words.plain(figure, signed=True),
    "duration": words.duration,
    "money": words.money,
    "count": words.count,
    "digits": words.digits,
}


def write(run_folder: Path) -> Path:
    """Writes run_folder/report.html from whatever of the run is there, and returns its path.

    Raises DataError when the folder does not exist; missing or torn files are said on the page.
    """
    if not run_folder.is_dir():
        raise DataError(f"{run_folder} is not a run folder: name one, or `hrlaif init` makes one")
    run, charts = Run(run_folder), Charts()
    parts = {name: _part(name, build, run, charts) for name, build in _SECTIONS.items()}
    page = _render(
        "page.html.j2",
        charts,
        title=run_folder.resolve().name,
        samples=_part("samples", lambda r, _: _samples(r), run, charts),
        receipt=_part("receipts", lambda r, _: _last_receipt(r), run, charts),
        config=run.text("config.yaml"),
        notes=sorted(set(run.notes)),
        **parts,
    )
    return _save(run_folder / "report.html", page)


def write_comparison(folder: Path) -> Path:
    """Writes folder/compare.html from what `hrlaif compare` left there, and returns its path."""
    run, charts = Run(folder), Charts()
    found = run.json("compare.json")
    if not found:
        raise DataError(f"{folder} has no compare.json: run `hrlaif compare A B -o {folder}` first")
    run.aliases["evaluation/metrics.json"] = "compare.json"
    run.aliases["evaluation/comparisons.jsonl"] = "comparisons.jsonl"
    page = _render(
        "compare.html.j2",
        charts,
        title=folder.resolve().name,
        headline=_part("headline", sections.headline, run, charts),
        wins=_part("wins", sections.win_rates, run, charts),
        samples=_part("samples", lambda r, _: _samples(r), run, charts),
        models=_part("models", lambda r, _: _models(found), run, charts),
        notes=sorted(set(run.notes)),
    )
    return _save(folder / "compare.html", page)


def write_votes(folder: Path) -> Path:
    """Writes folder/votes.html from what `hrlaif vote` left there, and returns its path."""
    run, charts = Run(folder), Charts()
    run.aliases["votes/votes.json"] = "votes.json"
    page = _render(
        "votes.html.j2",
        charts,
        title=folder.resolve().name,
        people=_part("people", blind.people, run, charts),
        notes=sorted(set(run.notes)),
    )
    return _save(folder / "votes.html", page)


def _part(name: str, build: Callable[[Run, Charts], Row], run: Run, charts: Charts) -> Row:
    """One part of the page; a file of another shape costs its part, never the page."""
    try:
        return build(run, charts)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        run.notes.append(f"The part on {words.spaced(name)} could not be read: {error!r:.200}")
        return {}


def _samples(run: Run) -> Row:
    comparisons = run.rows("evaluation/comparisons.jsonl")
    return {"groups": samples.side_by_side(comparisons), "training": samples.from_training(run)}


def _last_receipt(run: Run) -> Row:
    """What the newest receipt says of the machine and the command, as texts."""
    receipts = run.receipts()
    if not receipts:
        return {}
    last = receipts[-1]
    return {
        "finished": words.moment(last["finished"]) if last.get("finished") else "",
        "command": str(last.get("command") or "not recorded"),
        "seed": str(last.get("seed", "not recorded")),
        "versions": [f"{name} {version}" for name, version in (last.get("versions") or {}).items()],
        "hardware": [
            f"{words.spaced(name)}: {value}" for name, value in (last.get("hardware") or {}).items()
        ],
    }


def _models(found: Row) -> Row:
    models = found.get("models") or {}
    return {side: ", ".join(models.get(side) or ()) for side in ("baseline", "policy")}


def _known(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """What a part that could not be read leaves undefined is unknown."""
    return lambda value: write(None if isinstance(value, Undefined) else value)


def _render(template: str, charts: Charts, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: _known(write) for name, write in _FILTERS.items()})
    rules = "".join(f".{name}{{{rule}}}\n" for name, rule in sorted(charts.rules.items()))
    style = "\n" + (_TEMPLATES / "style.css").read_text("utf-8") + rules
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template(template)
    return page.render(
        style=Markup(style), style_hash=digest, charts_available=charts.available, **values
    )


def _save(path: Path, page: str) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    # A lone surrogate in a response has no UTF-8; it becomes a question mark.
    temporary.write_bytes(page.encode("utf-8", "replace"))
    return temporary.replace(path)
