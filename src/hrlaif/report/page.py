"""What happened in this run? One HTML file that needs no network and runs no script.

Everything from the run is escaped by the template; the page's own Content-Security-Policy forbids
scripts, connections and every style but the sheet it carries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hrlaif.errors import DataError
from hrlaif.pages.charts import Charts
from hrlaif.pages.render import render, save
from hrlaif.records import Row
from hrlaif.report import hostile, hybrid, receipts, samples, sections
from hrlaif.report import people as blind
from hrlaif.report.load import Run, part
from hrlaif.report.trust import trust

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS: dict[str, Callable[[Run, Charts], Row]] = {
    "headline": sections.headline,
    "flow": receipts.flow,
    "wins": sections.win_rates,
    "learning": sections.learning,
    "trust": trust,
    "preference_model": sections.preference_model,
    "labels": sections.labels,
    "red_team": hostile.red_team,
    "people": blind.people,
    "correctness": hybrid.correctness,
    "satisfied": hybrid.satisfied,
    "toxic": hybrid.toxic,
    "verified": hybrid.verified,
    "bill": receipts.bill,
}
_FILES = ("config.yaml", "receipts", "prompts.jsonl", "responses.jsonl", "preferences.jsonl")
_FOLDERS = ("sft", "redteam", "reward_model", "policy", "evaluation", "votes")


def write(run_folder: Path) -> Path:
    """Writes run_folder/report.html from whatever of the run is there, and returns its path.

    Raises DataError where nothing of a run is; missing or torn files are said on the page.
    """
    if not any((run_folder / name).exists() for name in (*_FILES, *_FOLDERS)):
        raise DataError(f"{run_folder} is not a run folder: name one, or `hrlaif init` makes one")
    run, charts = Run(run_folder), Charts()
    parts = {name: part(name, build, run, charts) for name, build in _SECTIONS.items()}
    page = render(
        _TEMPLATES,
        "campaign.html.j2" if _only_attacked(run) else "page.html.j2",
        charts,
        title=run_folder.resolve().name,
        samples=part("samples", lambda r, _: _samples(r), run, charts),
        receipt=part("receipts", lambda r, _: receipts.last(r), run, charts),
        config=run.text("config.yaml"),
        notes=sorted(set(run.notes)),
        **parts,
    )
    return save(run_folder / "report.html", page)


def write_votes(folder: Path) -> Path:
    """Writes folder/votes.html from what `hrlaif vote` left there, and returns its path."""
    run, charts = Run(folder), Charts()
    run.aliases["votes/votes.json"] = "votes.json"
    page = render(
        _TEMPLATES,
        "votes.html.j2",
        charts,
        title=folder.resolve().name,
        people=part("people", blind.people, run, charts),
        notes=sorted(set(run.notes)),
    )
    return save(folder / "votes.html", page)


def _only_attacked(run: Run) -> bool:
    """True of a folder of `hrlaif redteam`, in which no other stage can have left anything."""
    stages = {receipt.get("stage") for receipt in run.receipts()}
    return stages == {"redteam"} and not run.path("config.yaml").is_file()


def _samples(run: Run) -> Row:
    comparisons = run.rows("evaluation/comparisons.jsonl")
    return {"groups": samples.side_by_side(comparisons), "training": samples.from_training(run)}
