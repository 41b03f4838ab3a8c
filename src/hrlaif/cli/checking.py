"""`hrlaif check`: is each response right? A verdict a row, on any file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.jobs import Job, not_too_silent, refuse_losing, refuse_overwriting, shown
from hrlaif.cli.options import (
    BaseUrl,
    Batch,
    Concurrency,
    DryRun,
    Json,
    Limit,
    MaxCost,
    Out,
    Silence,
    computing,
    model_of,
    tell,
    yaml_of,
)
from hrlaif.progress import number
from hrlaif.reasons import counted
from hrlaif.records import Response, Row, Verdict
from hrlaif.rows import read_rows, responses_and_rows, write_rows
from hrlaif.settings import Settings

_CHUNK = 64

ToCheck = Annotated[
    int,
    typer.Option(
        help="Write so many rows for a person to OUT.to_check.jsonl; rows that come back with "
        "human_passed correct the share that passed.",
        min=0,
    ),
]
CheckBy = Annotated[
    Literal["doubt", "random"],
    typer.Option(help="Which rows those are: more of those in doubt, or any at random."),
]


def add_to(app: typer.Typer) -> None:
    """Adds this file's command."""
    app.command()(check)


def check(
    responses: Annotated[
        str, typer.Argument(help="Responses: .jsonl, .csv, .parquet, hub id, or -.")
    ],
    out: Out,
    kind: Annotated[
        str,
        typer.Option(
            "--check",
            help="number, choice, same_answer, answer (by the prompt), harmless or responsive; or "
            "its settings in YAML, such as '{kind: number, percent: hundredths}', or their file.",
            show_default=False,
        ),
    ],
    judge: Annotated[
        str | None, typer.Option(help="Asked by the checks that need one, such as same_answer.")
    ] = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    batch: Batch = False,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    to_check: ToCheck = 0,
    check_by: CheckBy = "doubt",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Check each response: passed is true, false, or null with the reason why it cannot be told."""
    from hrlaif.checks import any_check
    from hrlaif.estimates import of_responses
    from hrlaif.evaluation import spot_check

    asked = any_check(yaml_of(kind, "--check"))
    assert isinstance(asked, Settings)
    model = None if judge is None else model_of(judge, base_url)
    read = responses_and_rows(read_rows(responses, limit=limit))
    items, words = [item for item, _ in read], [spot_check.word_of(row) for _, row in read]
    _refuse_replacing(Path(responses), out, to_check)

    def work(group: Sequence[Response]) -> Sequence[Verdict]:
        return asked.check(group, model)

    settings = {"check": asked, "judge": model}
    job = Job(out, "check", settings, responses, computing(base_url, concurrency, max_cost, batch))
    if announced(of_responses(asked, model, items), dry_run, as_json):
        return
    chunk = _CHUNK if model is None else max(1, model.chunk // 2)
    rows, _, cost = job.run(items, work, chunk=chunk, key=lambda r: r.key, unit="responses")
    seen = spot_check.judged(items, [Verdict.model_validate(row) for row in rows], words)
    summary, lines = _summary(rows, out, cost)
    if share := spot_check.passed_share(seen):
        summary["passed_share"] = share
        lines += _share_lines(share)
    if to_check:
        summary["to_check"] = str(_of_people(out))
        lines.append(_for_people(spot_check.rows_to_check(seen, to_check, by=check_by), out))
    tell(summary, lines, as_json)
    silent, where = len(rows) - len(seen), f"the reasons in {out}"
    not_too_silent(len(rows), silent, max_abstentions, where, "responses could not be checked")


def _refuse_replacing(responses: Path, out: Path, to_check: int) -> None:
    refuse_overwriting(responses, _of_people(out))
    if to_check:
        refuse_losing(_of_people(out), "human_passed")


def _of_people(out: Path) -> Path:
    return out.with_name(out.stem + ".to_check.jsonl")


def _for_people(drawn: Sequence[Row], out: Path) -> str:
    write_rows(_of_people(out), drawn)
    return f"{number(len(drawn), 'row')} for a person: {_of_people(out)}"


def _summary(rows: Sequence[Row], out: Path, cost: Row) -> tuple[Row, list[str]]:
    """What was found, for machines and for a person."""
    unknown = counted(row["reason"] for row in rows if row["passed"] is None)
    found = Counter(row["passed"] for row in rows)
    counts = {"passed": found[True], "failed": found[False], "unverifiable": unknown}
    lines = [f"{found[True]} passed, {found[False]} failed: {out}"]
    lines += [f"  {n} could not be told: {reason}" for reason, n in unknown.items()]
    return {**counts, "out": str(out), "cost": cost}, lines


def _share_lines(share: Row) -> list[str]:
    """The share that passed, as the check says it and as people correct it."""
    checked = f"{share['checked_agreed']} of {share['checked']} verdicts stand"
    lines = [
        "share that passed (95 % interval):",
        f"  as checked: {shown(share['judged'])}",
        f"  as people correct it, by whom {checked}: {shown(share['corrected'])}",
    ]
    if "rogan_gladen" in share:
        lines.append(f"  the same by Rogan-Gladen: {shown(share['rogan_gladen'])}")
    return lines
