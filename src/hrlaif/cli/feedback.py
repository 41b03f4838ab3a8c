"""Commands on any file, without a run folder: label, score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.jobs import Job, label_lines, not_too_silent, silence
from hrlaif.cli.options import (
    BaseUrl,
    Batch,
    Concurrency,
    DryRun,
    GradedBy,
    Json,
    Judges,
    Limit,
    MaxChars,
    MaxCost,
    Out,
    RationaleTokens,
    Silence,
    Task,
    computing,
    labeler_of,
    model_of,
    reward_of,
    tell,
)
from hrlaif.progress import number
from hrlaif.records import Abstention, Comparison, Preference, Record, Response, Row
from hrlaif.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    for command in (label, score):
        app.command()(command)


def label(
    pairs: Annotated[
        str, typer.Argument(help="Pairs: .jsonl, .jsonl.gz, .csv, .parquet, hub id, or -.")
    ],
    out: Out,
    judge: Judges,
    task: Task = "general",
    preamble: Annotated[str, typer.Option(help="base or detailed.")] = "base",
    shots: Annotated[int, typer.Option(help="Shipped exemplars shown first, 0 to 8.")] = 0,
    rationale: Annotated[
        bool, typer.Option("--rationale", help="Let the judge reason first.")
    ] = False,
    rationale_tokens: RationaleTokens = 512,
    samples: Annotated[int, typer.Option(help="Self-consistency: rationales an order.")] = 1,
    single_order: Annotated[
        bool, typer.Option("--single-order", help="Ask in one order only.")
    ] = False,
    labeler: Annotated[str, typer.Option(help='pairwise, hybrid, or "module:Class".')] = "pairwise",
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
    """Ask a judge, or several, which response of each pair is better; soft labels, both orders."""
    from hrlaif.estimates import of_pairs
    from hrlaif.protocols import pairs_at_once
    from hrlaif.rows import comparisons_from, read_rows

    basic: dict[str, Any] = {"task": task, "preamble": preamble, "shots": shots}
    basic |= {"samples": samples, "rationale": rationale or samples > 1}
    basic |= {"rationale_tokens": rationale_tokens}
    basic |= {"single_order": single_order, "max_chars": max_chars}
    asked, model = labeler_of(labeler, basic, judge, base_url)
    items = comparisons_from(read_rows(pairs, limit=limit))

    def work(group: Sequence[Comparison]) -> list[Preference | Abstention]:
        return list(asked.label(group, model))

    settings = {"labeler": _settings(asked), "judge": model}
    job = Job(out, "label", settings, pairs, computing(base_url, concurrency, max_cost, batch))
    if announced(of_pairs(asked, model, items), dry_run, as_json):
        return
    rows, silent, cost = job.run(
        items, work, key=lambda c: c.id, told=lambda row: "prob_a" in row,
        chunk=pairs_at_once(model, asked), unit="pairs",
    )  # fmt: skip
    summary = {**_labelled(rows), "abstentions": silent, "out": str(out), "cost": cost}
    tell(summary, label_lines(summary, max_chars), as_json)
    not_too_silent(len(rows), sum(silent.values()), max_abstentions, job.aside)


def score(
    responses: Annotated[
        str, typer.Argument(help="Responses: .jsonl, .csv, .parquet, hub id, or -.")
    ],
    out: Out,
    judge: Annotated[str | None, typer.Option(help="Grade with this judge, from 1 to 10.")] = None,
    reward_model: Annotated[Path | None, typer.Option(help="Score with this reward model.")] = None,
    reward: Annotated[
        str | None,
        typer.Option(help="Any reward: a kind, YAML such as '{kind: checked}', or its file."),
    ] = None,
    task: GradedBy = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    batch: Batch = False,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Grade each response with a judge (1 to 10), a reward model, or any reward."""
    from hrlaif.estimates import longest_of_reward, of_reward, size_of_responses
    from hrlaif.rows import read_rows, responses_from

    asked = reward_of(judge, reward_model, reward, task, normalise=False)
    model = None if judge is None else model_of(judge, base_url)
    items = responses_from(read_rows(responses, limit=limit))

    def work(group: Sequence[Response]) -> Sequence[Record]:
        scored: Sequence[Record] = asked.score(group, model)
        return scored

    settings = {"reward": _settings(asked), "judge": model}
    job = Job(out, "score", settings, responses, computing(base_url, concurrency, max_cost, batch))
    size = size_of_responses(items, longest_of_reward(asked))
    if announced([(of_reward(asked, size), model)], dry_run, as_json):
        return
    rows, silent, cost = job.run(
        items, work, key=lambda r: r.key, told=lambda row: row["value"] is not None,
        chunk=64 if model is None else model.chunk, unit="responses",
    )  # fmt: skip
    values = [row["value"] for row in rows if row["value"] is not None]
    mean = sum(values) / len(values) if values else None
    summary: Row = {
        "scored": len(values),
        "mean": mean,
        "unscored": silent,
        "out": str(out),
        "cost": cost,
    }
    shown = "" if mean is None else f", mean {mean:.3f}"
    tell(summary, [f"{number(len(values), 'score')} in {out}{shown}", *silence(silent)], as_json)
    not_too_silent(len(rows), sum(silent.values()), max_abstentions, job.aside)


def _labelled(rows: Sequence[Row]) -> Row:
    """Of the rows with a label: how many, how many of cut texts, agreement where it is known."""
    from hrlaif.evaluation import agreement

    told = [Preference.from_row(row) for row in rows if "prob_a" in row]
    cut = sum(bool(one.evidence and one.evidence.truncated) for one in told)
    known = agreement(told)
    found: Row = {"labelled": len(told), "truncated": cut}
    return found | ({"agreement": known.row()} if known.overall.n else {})


def _settings(part: object) -> Settings:
    assert isinstance(part, Settings)
    return part
