"""The command that compares models: compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.compared import several_lines, two_lines
from hrlaif.cli.jobs import cost_of, guard, held, not_too_silent, replacing, weights_read, working
from hrlaif.cli.options import (
    BaseUrl,
    Batch,
    Concurrency,
    DryRun,
    Json,
    Judges,
    Limit,
    MaxChars,
    MaxCost,
    Silence,
    Task,
    computing,
    labeler_of,
    tell,
)
from hrlaif.errors import UsageError
from hrlaif.machine import circumstances
from hrlaif.protocols import Labeler
from hrlaif.records import Response, Row
from hrlaif.run import Receipt, now, texts_of, write_json
from hrlaif.settings import Settings, plain

if TYPE_CHECKING:
    from hrlaif.estimates import Asked

_SIDES = ("B", "A", "no difference")
Files = Annotated[
    list[str],
    typer.Argument(
        help="Responses of the baseline (A), then of each other model to the same prompts, a file "
        "a model.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
]
FirstOnly = Annotated[
    bool,
    typer.Option(
        "--first-only",
        help="Of more than two files, compare each with the first one alone: k - 1 comparisons a "
        "prompt in place of k (k - 1) / 2.",
    ),
]
Difficulty = Annotated[
    str | None,
    typer.Option(help="Difficulty of each prompt (id, instruction_difficulty): lc_difficulty."),
]
Gamed = Annotated[
    str | None,
    typer.Option(help="AlpacaEval's df_gamed.csv, beside --difficulty: lc_alpaca_v1."),
]
Against = Annotated[
    Path | None,
    typer.Option(
        help="Another comparison's folder, or RUN/evaluation: is its win rate a different one?"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds this file's command."""
    app.command()(compare)


class _Sides(NamedTuple):
    """What is compared, by whom, and where to."""

    files: Sequence[str]
    responses: Sequence[list[Response]]
    labeler: Labeler
    judge: Any
    out: Path
    max_chars: int


class _Work(NamedTuple):
    """What it asks, what does it, and what a person reads of it and of what came of it."""

    asked: list[Asked]
    do: Callable[[], Row]
    lines: Callable[[Row], list[str]]
    settings: Row
    """Beside the labeler and the judge."""


def compare(
    files: Files,
    out: Folder,
    judge: Judges,
    task: Task = "general",
    first_only: FirstOnly = False,
    difficulty: Difficulty = None,
    gamed: Gamed = None,
    against: Against = None,
    max_chars: MaxChars = 8000,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    batch: Batch = False,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Win rate of B over A: raw, length-controlled, by category, with intervals, and a page.

    Of more than two files each meets every other: win rates of each two, and a ranking of all by
    Bradley-Terry, as judged and at equal style.
    """
    from hrlaif.report import write_comparison
    from hrlaif.rows import read_rows, responses_from

    if len(files) < 2:
        raise UsageError(f"{files[0]} alone cannot be compared: name a second file of responses")
    asking = {"task": task, "max_chars": max_chars}
    labeler, model = labeler_of("pairwise", asking, judge, base_url)
    responses = [responses_from(read_rows(side, limit=limit)) for side in files]
    sides = _Sides(files, responses, labeler, model, out, max_chars)
    if len(files) == 2:
        work = _two(sides, _known(difficulty, gamed), against)
    else:
        _refuse(difficulty=difficulty, gamed=gamed, against=against)
        work = _several(sides, first_only)
    compute = computing(base_url, concurrency, max_cost, batch)
    if announced(work.asked, dry_run, as_json):
        return
    out.mkdir(parents=True, exist_ok=True)
    with working(out, "compare", compute) as ledger:
        _begin(sides, work.settings)
        with replacing(out / "comparisons.jsonl"):
            found = work.do()
        (out / "compare.partial.json").unlink(missing_ok=True)
        found |= {"cost": cost_of(ledger), "about": _about(sides)}
        said = work.lines(found)
        write_json(out / "compare.json", found)
        page = write_comparison(out)
    tell(found, [*said, f"{out / 'compare.json'}", f"{page}"], as_json)
    told = found.get("win_rate", found)
    asked, silent = told["asked"] - told["identical"], sum(told["abstentions"].values())
    not_too_silent(asked, silent, max_abstentions, out / "comparisons.jsonl")


def _about(sides: _Sides) -> Row:
    """How it was made: the figures are nothing without that."""
    return {"files": list(sides.files), "finished": now(), **circumstances()}


def _begin(sides: _Sides, more: Row) -> None:
    """Notes what is asked; raises StaleRunError where the folder holds another job's beginning."""
    assert isinstance(sides.labeler, Settings)
    asked = {"labeler": plain(sides.labeler), "judge": plain(sides.judge)}
    # In their order: rows of A against B have the ids of those of B against A.
    settings = {**asked, "files": list(sides.files), **more}
    read = zip(sides.files, sides.responses, strict=True)
    inputs = texts_of(settings) | weights_read([sides.labeler, sides.judge])
    inputs |= {file: held(Path(file), rows) for file, rows in read}
    guard(
        sides.out / "compare.partial.json",
        Receipt(stage="compare", settings=settings, inputs=inputs),
        sides.out / "comparisons.jsonl.partial",
        f"delete {sides.out}, or",
    )


def _two(sides: _Sides, known: Any, against: Path | None) -> _Work:
    from hrlaif import evaluation
    from hrlaif.estimates import of_pairs

    (a, b), (baseline, other), labeler, judge, out, max_chars = sides
    pairs = evaluation.pair(baseline, other)
    if against is not None:
        evaluation.refuse_others(against, pairs, labeler, judge)

    def work() -> Row:
        return evaluation.compare(
            baseline, other, labeler, judge, out, pairs=pairs, known=known, names=_SIDES
        )

    def lines(found: Row) -> list[str]:
        said = two_lines(found, f"B ({b}) versus A ({a})", max_chars)
        if against is not None:
            found["against"] = evaluation.two_runs(out, against).model_dump(mode="json")
            said.append(found["against"]["statement"])
        return said

    return _Work(of_pairs(labeler, judge, pairs), work, lines, {})


def _several(sides: _Sides, first_only: bool) -> _Work:
    from hrlaif import evaluation
    from hrlaif.estimates import of_pairs
    from hrlaif.study.features import style_gaps

    models = evaluation.by_model(list(zip(sides.files, sides.responses, strict=True)))
    met = evaluation.meetings(models, first_only=first_only)
    return _Work(
        of_pairs(sides.labeler, sides.judge, met),
        lambda: evaluation.compare_several(
            models, met, sides.labeler, sides.judge, sides.out, traits=style_gaps
        ),
        lambda found: several_lines(found, sides.max_chars),
        {"first_only": first_only},
    )


def _known(difficulty: str | None, gamed: str | None) -> Any:
    from hrlaif.evaluation.difficulty import read_difficulty
    from hrlaif.rows import read_rows

    if difficulty is None:
        if gamed is not None:
            raise UsageError("--gamed goes with --difficulty: AlpacaEval's estimator needs both")
        return None
    return read_difficulty(read_rows(difficulty), None if gamed is None else read_rows(gamed))


def _refuse(**given: object) -> None:
    """Options that say something of one baseline and one model."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name} goes with two files, A and B")
