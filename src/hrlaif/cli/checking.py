"""`hrlaif check`: is each response right? A verdict a row, on any file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from hrlaif.cli.jobs import Job
from hrlaif.cli.options import (
    BaseUrl,
    Batch,
    Concurrency,
    Json,
    Limit,
    MaxCost,
    Out,
    Silence,
    computing,
    model_of,
    tell,
)
from hrlaif.errors import TooManyAbstentions
from hrlaif.reasons import counted
from hrlaif.records import Response, Row, Verdict
from hrlaif.settings import Settings, plain

_CHUNK = 64


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
            help="number, choice, same_answer, answer (by the prompt), harmless, responsive.",
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
    as_json: Json = False,
) -> None:
    """Check each response: passed is true, false, or null with the reason why it cannot be told."""
    from hrlaif.checks import any_check
    from hrlaif.rows import read_rows, responses_from

    asked = any_check(kind)
    assert isinstance(asked, Settings)
    model = None if judge is None else model_of(judge, base_url)
    items = responses_from(read_rows(responses, limit=limit))

    def work(group: Sequence[Response]) -> Sequence[Verdict]:
        return asked.check(group, model)

    settings = {"check": plain(asked), "judge": None if model is None else plain(model)}
    job = Job(out, "check", settings, responses, computing(base_url, concurrency, max_cost, batch))
    chunk = _CHUNK if model is None else max(1, model.chunk // 2)
    rows, cost = job.rows(items, work, chunk=chunk, key=lambda r: r.key, unit="responses")
    job.keep(rows)
    unknown = counted(row["reason"] for row in rows if row["passed"] is None)
    found = Counter(row["passed"] for row in rows)
    summary: Row = {
        "passed": found[True],
        "failed": found[False],
        "unverifiable": unknown,
        "out": str(out),
        "cost": cost,
    }
    lines = [f"{found[True]} passed, {found[False]} failed: {out}"]
    lines += [f"  {n} could not be told: {reason}" for reason, n in unknown.items()]
    tell(summary, lines, as_json)
    if rows and found[None] / len(rows) > max_abstentions:
        raise TooManyAbstentions(
            f"{found[None]} of {len(rows)} responses could not be checked, more than the "
            f"{max_abstentions:.0%} allowed: see the reasons in {out}"
        )
