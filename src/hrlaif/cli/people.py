"""Commands about people's votes, and labels for other tools: vote, export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrlaif.cli.jobs import refuse_overwriting
from hrlaif.cli.options import Json, Limit, tell
from hrlaif.errors import DataError, UsageError
from hrlaif.machine import install
from hrlaif.progress import number, say

if TYPE_CHECKING:
    from hrlaif.human.items import Item, Mode
    from hrlaif.human.study import Study

_TASKS = "general (when left out), helpful, harmless or summarization"
_EXPORTABLE = (
    "what can be exported are labels (of `hrlaif label`, or `prob_a` in any pair), known "
    "preferences, and the preferences, ratings and verdicts of `hrlaif vote`; a score is none of "
    "these"
)
Source = Annotated[
    str, typer.Argument(help="Pairs, preferences, responses, or a run folder.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="The folder to write; default: FILE's name with .votes."),
]
Modes = Annotated[
    list[str] | None,
    typer.Option(help="preference, ranking, satisfaction or harmless; may be given again."),
]
PublicUrl = Annotated[
    str | None, typer.Option(help="What browsers call, behind a proxy with HTTPS.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="postgresql://USER@HOST/NAME; else SQLite in the folder.")
]
Beside = Annotated[
    str | None,
    typer.Option(
        help="A file that `hrlaif label` or `score` wrote of the same rows; shown beside the votes."
    ),
]
Imports = Annotated[
    list[Path] | None, typer.Option("--import", help="Add votes made elsewhere, and end.")
]


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    app.command()(vote)
    app.command()(export)


def vote(
    file: Source,
    out: Out = None,
    mode: Modes = None,
    task: Annotated[str | None, typer.Option(help=f"Guidelines: {_TASKS}.")] = None,
    guidelines: Annotated[Path | None, typer.Option(help="Your own, in Markdown.")] = None,
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8010,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0: everywhere.")] = "127.0.0.1",
    public_url: PublicUrl = None,
    database: DatabaseUrl = None,
    overlap: Annotated[int, typer.Option(min=1, help="Raters for each item.")] = 3,
    checks: Annotated[int, typer.Option(min=0, help="One attention check in so many.")] = 25,
    repeats: Annotated[int, typer.Option(min=0, help="One item in so many comes again.")] = 25,
    per_rater: Annotated[int, typer.Option(min=0, help="Answers a rater; 0: no limit.")] = 0,
    beside: Beside = None,
    rater: Annotated[list[str] | None, typer.Option(help="Print a link for this alias.")] = None,
    votes: Imports = None,
    write: Annotated[bool, typer.Option("--write", help="Write the votes; serve nothing.")] = False,
    limit: Limit = None,
) -> None:
    """Open a page where people vote blind: preferences, rankings, satisfaction, harmlessness."""
    _need_extra()
    from hrlaif.human import server
    from hrlaif.human.database import Database
    from hrlaif.human.items import items_of
    from hrlaif.human.study import Rules, begin

    folder = out or _folder(file)
    _refuse_losing(file, folder, beside)
    asked = items_of(file, _modes(mode or []), beside=beside, limit=limit)
    rules = Rules(overlap=overlap, checks=checks, repeats=repeats, per_rater=per_rater)
    folder.mkdir(parents=True, exist_ok=True)
    shown = server.guidelines(folder, task, guidelines)
    url = database or f"sqlite:///{folder / 'votes.sqlite'}"
    opened = Database(url)
    study = begin(opened, asked, rules)
    for path in votes or []:
        _bring(study, path)
    if not (write or votes):
        address = server.listen(host, port, public_url)
        desk = _desk(study, url, shown, address.url if public_url else "", host)
        _warn_of_names(asked)
        lines = _addresses(desk, address, rater or [])
        server.serve(desk, address, lambda: print("\n".join(lines), flush=True))
    _keep(file, folder, opened)
    opened.close()


def export(
    file: Annotated[
        str, typer.Argument(help="Preferences, pairs, or what `hrlaif vote` wrote: a file, or -.")
    ],
    to: Annotated[str, typer.Option(help="trl, argilla, label-studio, potato or csv.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write.")],
    min_margin: Annotated[
        float,
        typer.Option(
            help="For trl: leave out labels nearer to one half than this.", min=0, max=0.5
        ),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Write labels and votes in the form of another tool."""
    from hrlaif.rows import read_rows
    from hrlaif.rows.exports import exported, refuse_name, write_export

    refuse_name(out, to)
    refuse_overwriting(Path(file), out)
    found = exported(read_rows(file), to, min_margin=min_margin)
    if not found.rows:
        why = "; ".join(f"{count} left out: {reason}" for reason, count in found.left_out.items())
        raise DataError(f"{file} has no row for {to} ({why}): {_EXPORTABLE}")
    write_export(out, found)
    for reason, count in found.left_out.items():
        say(f"{count} left out: {reason}")
    summary = {"rows": found.rows, "left_out": found.left_out, "out": str(out)}
    tell(summary, [f"{number(found.rows, 'row')} in {out}"], as_json)


def _need_extra() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UsageError(f"vote needs `{install('human')}`") from None


def _folder(file: str) -> Path:
    path = Path(file)
    if path.is_dir():
        return path / "votes"
    # A dot in a model's name is no ending: gpt-4.1.jsonl and gpt-4.5.jsonl are two studies.
    name = re.sub(r"(\.(jsonl|json|csv|tsv|parquet))?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return path.with_name(f"{name}.votes") if path.is_file() else Path("votes.votes")


def _refuse_losing(file: str, folder: Path, beside: str | None) -> None:
    """Raises UsageError, before any work, where the votes would replace what is no vote."""
    from hrlaif.human.results import FILES
    from hrlaif.human.server import kept

    if Path(file).is_dir() and folder.is_dir() and folder.samefile(file):
        raise UsageError(f"-o {folder} is the run that is read: name another -o, or none")
    outs = [folder / name for name in (*(f"{name}.jsonl" for name in FILES), "votes.json")]
    for source in filter(None, (file, beside)):
        refuse_overwriting(Path(source), *outs)
    found = next((path for path in outs if path.exists()), None)
    if found is not None and not kept(folder):
        begun = folder / "votes.sqlite"
        on = f", with --database sqlite:///{begun} to go on" if begun.exists() else ""
        raise UsageError(
            f"{found} would be replaced, and is no earlier result of `hrlaif vote`: name another "
            f"-o{on}"
        )


def _modes(given: list[str]) -> tuple[Mode, ...]:
    from hrlaif.human.items import MODES

    for name in given:
        if name not in MODES:
            raise UsageError(f"--mode {name!r} is none of {', '.join(MODES)}")
    return tuple(mode for mode in MODES if mode in given)


def _desk(study: Study, url: str, guidelines: Path, public: str, host: str) -> Any:
    from hrlaif.human.aside import Aside
    from hrlaif.human.web import Desk
    from hrlaif.listening import loopback

    return Desk(
        study=study,
        aside=Aside(url),
        guidelines=guidelines,
        open_to_all=loopback(host) and not public,
        secure=public.startswith("https:"),
        title="Which responses are better?",
    )


def _addresses(desk: Any, address: Any, aliases: list[str]) -> list[str]:
    from hrlaif.human.study import every_rater, join

    study = desk.study
    say(f"{study.size} items, {study.rules.overlap} raters each; Ctrl-C writes the votes and ends")
    invitation = "" if desk.open_to_all else f"?join={desk.token('join')}"
    if invitation:
        say("not on this machine alone: raters need a link with a token, and HTTPS is up to you")
    lines = [f"raters:    {address.url}/{invitation}"]
    people = {person.alias: person for person in every_rater(study)}
    for alias in aliases:
        person = people.get(alias) or join(study, alias)
        lines.append(f"  {person.alias}: {address.url}/r/{study.session(person)}")
    return [*lines, f"organiser: {address.url}/organiser?token={desk.token('organiser')}"]


def _warn_of_names(asked: list[Item]) -> None:
    """A response that says which model wrote it is not blind, whatever the page does."""
    names = {side.model for item in asked for side in item.candidates if len(side.model) > 3}
    told = sum(
        any(name.lower() in side.text.lower() for name in names)
        for item in asked
        for side in item.candidates
    )
    if told:
        say(f"{told} responses name a model of this file in their text: raters will read that")


def _bring(study: Study, path: Path) -> None:
    from hrlaif.human.elsewhere import bring
    from hrlaif.rows import read_rows

    added = bring(study, read_rows(path))
    say(f"{path}: {added.new} votes added, {added.known} were there already")
    if added.silent:
        say(f"{path}: {number(added.silent, 'row')} without an answer by people left out")


def _keep(file: str, folder: Path, database: Any) -> None:
    from hrlaif.human.results import cast
    from hrlaif.human.server import keep
    from hrlaif.report import write_votes

    say(f"writing the votes to {folder}")
    found = keep(folder, cast(database))
    page = write_votes(folder)
    told = f"{number(found['votes'], 'vote')} by {number(found['raters'], 'rater')}"
    print(f"{told} in {folder}; {page}")
    if Path(file).is_dir():
        say(f"`hrlaif report {file}` puts them beside the judge's verdicts")
