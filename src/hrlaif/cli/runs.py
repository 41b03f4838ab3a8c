"""Commands on a run folder: init, run, plan, status, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hrlaif.cli.options import DryRun, Json
from hrlaif.errors import UsageError
from hrlaif.machine import command
from hrlaif.progress import inert, say
from hrlaif.run import read_receipt, write_text

if TYPE_CHECKING:
    from hrlaif.config import Config

Folder = Annotated[Path, typer.Argument(help="The run folder.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Change a setting; may be given several times. `run` keeps it in RUN/config.yaml.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Use this configuration; `run` copies it into the folder."),
]
ForMachines = Annotated[bool, typer.Option("--json", help="For machines.")]

_PAIRS = "PAIRS.jsonl"
"""In a recipe: a file that only the user has."""
_FIGURES = ("calls", "tokens", "time", "memory", "price")


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    for one in (init, run, plan, status, report):
        app.command()(one)


def init(
    run: Folder,
    recipe: Annotated[
        str,
        typer.Option(help="quickstart, rlaif, direct, same_size, hrlaif, rlhf, ppo, dpo."),
    ] = "quickstart",
) -> None:
    """Write RUN/config.yaml, commented, from a recipe."""
    from hrlaif.config import recipe as text_of

    text = text_of(recipe)
    path = run / "config.yaml"
    if path.exists() and path.read_text("utf-8") != text:
        raise UsageError(f"{path} exists and differs: edit it, or name another folder")
    run.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    own = _PAIRS in text and not Path(_PAIRS).exists()
    first = f"put the file of your pairs for {_PAIRS} in it, then" if own else "next"
    say(f"wrote {path}; {first}: hrlaif run {run}")


def run(
    run: Folder,
    config: ConfigFile = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    redo: Annotated[
        str | None,
        typer.Option(
            help="Do this stage and all after it anew; stopped, the same command goes on."
        ),
    ] = None,
    changes: Changes = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Train on at most so many prompts (pairs in a file of their own are not limited "
            "by it); kept as prompts.train in RUN/config.yaml, for later runs too."
        ),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(help="Stop, resumably, before this many USD.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: for machines.")] = False,
    only: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run every stage that is not done yet; the same command resumes after any stop."""
    from hrlaif import running, scoring
    from hrlaif.config import load, refuse_missing_models, with_changes
    from hrlaif.pipeline import named
    from hrlaif.standing import refuse_changed

    file, kept = config or _own(run), _changes(changes, limit)
    settings = load(file, [*kept, *([] if max_cost is None else [f"compute.max_cost={max_cost}"])])
    if only is not None:
        running.run_stage(run, settings, only, command=command())
        return
    named(settings, until, redo=redo)
    if dry_run:
        if redo is not None and running.goes_on(
            run, settings, redo, until=until, command=command()
        ):
            redo = None
        _print_plan(run, settings, redo=redo, until=until, as_json=as_json)
        return
    if as_json:
        raise UsageError("run --json goes with --dry-run; `hrlaif status --json` tells of a run")
    refuse_missing_models(settings)
    scoring.refuse_impossible(settings)
    text = with_changes(file, kept)
    if redo is not None:
        running.redo(run, settings, redo, until=until, command=command())
    if config is not None or kept:
        refuse_changed(run, settings)
        _keep(run, text)
    _say_limit(_own(run), kept, limit)
    running.run(run, settings, until=until, command=command())
    if (run / "report.html").exists() and until in (None, "report"):
        _print_result(run)


def plan(
    run: Folder, config: ConfigFile = None, changes: Changes = None, as_json: ForMachines = False
) -> None:
    """Show the stages, their files, and the calls, tokens, time, memory and price expected.

    The last line sums what is left to do.
    """
    from hrlaif.config import load

    _print_plan(run, load(config or _own(run), _changes(changes, None)), as_json=as_json)


def status(run: Folder, as_json: ForMachines = False) -> None:
    """Show which stages are done, begun, to do or stale.

    A stale stage was begun with other settings or inputs than there are now: `run` refuses it.
    """
    from hrlaif.config import load
    from hrlaif.pipeline import stages
    from hrlaif.standing import standing

    settings = load(_own(run))
    rows: list[dict[str, Any]] = []
    for stage in stages(settings):
        receipt = read_receipt(run, stage.name)
        state, why = standing(run, stage, settings)
        facts = (
            receipt.model_dump(include={"begun", "finished", "seconds", "counts", "cost"})
            if receipt
            else {}
        )
        rows.append({"stage": stage.name, "state": state, "why": why, "writes": list(stage.writes)})
        rows[-1] |= facts
    if as_json:
        print(json.dumps({"run": str(run), "stages": rows}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "state", "seconds", "writes"):
        table.add_column(title)
    for row in rows:
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else ""
        table.add_row(row["stage"], row["state"], seconds, " ".join(row["writes"]))
    _out().print(table)
    for row in rows:
        if row["why"]:
            say(f"stale: {row['why']}")


def report(
    runs: Annotated[list[Path], typer.Argument(help="The run's folder, or several.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The page of several runs.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write RUN/report.html from whatever is there; of several runs, their figures side by side."""
    from hrlaif.evaluation import two_runs
    from hrlaif.report import side_by_side, told, write, write_runs

    if len(runs) == 1 and out is None:
        page = write(runs[0])
        if not as_json:
            print(page)
            return
        say(f"{page}")
    found = side_by_side(runs, two_runs)
    table = Table(box=None, pad_edge=False)
    for name in ("", *found["columns"]):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for line in told(found):
        table.add_row(*line)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _out().print(table)
        for line in (f"Judge: {found['judge']}", *found["notes"]):
            _out().print(inert(line), soft_wrap=True)
    if out is not None:
        say(f"{write_runs(found, out)}")


def _changes(given: list[str] | None, limit: int | None) -> list[str]:
    return [*(given or []), *([] if limit is None else [f"prompts.train={limit}"])]


def _own(folder: Path) -> Path:
    return folder / "config.yaml"


def _keep(folder: Path, text: str) -> None:
    """Writes the configuration into the folder, with what the command changed in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _own(folder).exists() or _own(folder).read_text("utf-8") != text:
        write_text(_own(folder), text)


def _say_limit(file: Path, changes: list[str], limit: int | None) -> None:
    """Names a limit that later runs will have too, or that an earlier one left."""
    from hrlaif.config import kept_changes

    kept = [change for change in kept_changes(file) if change.startswith("prompts.train=")]
    if limit is not None:
        say(f"--limit {limit} is kept in {file} as {kept[-1]}: later runs have it too")
    elif kept and kept[-1] not in changes:
        say(f"{kept[-1]}, as an earlier command asked: it is kept at the end of {file}")


def _print_plan(
    folder: Path,
    settings: Config,
    *,
    redo: str | None = None,
    until: str | None = None,
    as_json: bool = False,
) -> None:
    from hrlaif import scoring
    from hrlaif.planning import expectations, notes
    from hrlaif.pricing import in_words_by_votes

    scoring.refuse_impossible(settings)
    *lines, left = expectations(folder, settings, redo, until)
    said = notes(settings)
    if as_json:
        stages = [line.row() for line in lines]
        found = {"run": str(folder), "stages": stages, "left": left.figures(), "notes": said}
        print(json.dumps(found, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "state", "reads", "writes", *_FIGURES):
        right = title in _FIGURES
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for line in (*lines, left):
        table.add_row(*line.cells())
    _out().print(table)
    if left.by_votes is not None:
        say(in_words_by_votes(left.by_votes).removeprefix("; "))
    for note in (*(f"stale: {line.why}" for line in lines if line.why), *said):
        say(note)
    say("nothing was sent; figures are estimates from the settings")


def _print_result(folder: Path) -> None:
    path = folder / "evaluation" / "metrics.json"
    if path.exists():
        won = json.loads(path.read_text("utf-8"))["win_rate"]
        say(won["statement"])
    print(folder / "report.html")


def _out() -> Any:
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, markup=False, emoji=False, width=width)
