"""Commands on any file, without a run folder: label, score, compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.jobs import Job, cost_of, guard, label_lines, silence, working
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
    Out,
    Silence,
    Task,
    computing,
    labeler_of,
    model_of,
    reward_of,
    tell,
)
from hrlaif.errors import TooManyAbstentions, UsageError
from hrlaif.progress import number, say
from hrlaif.records import Abstention, Comparison, Preference, Record, Response, Row
from hrlaif.run import Receipt, sha256, write_json
from hrlaif.settings import Settings, plain

T = TypeVar("T")
_SIDES = ("B", "A", "no difference")
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
    """Adds this file's commands."""
    for command in (label, score, compare):
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
    basic |= {"single_order": single_order, "max_chars": max_chars}
    asked, model = labeler_of(labeler, basic, judge, base_url)
    items = comparisons_from(read_rows(pairs, limit=limit))

    def work(group: Sequence[Comparison]) -> list[Preference | Abstention]:
        return list(asked.label(group, model))

    settings = {"labeler": plain(_settings(asked)), "judge": plain(model)}
    job = Job(out, "label", settings, pairs, computing(base_url, concurrency, max_cost, batch))
    if announced(of_pairs(asked, model, items), dry_run, as_json):
        return
    size = pairs_at_once(model, asked)
    rows, cost = job.rows(items, work, chunk=size, key=lambda c: c.id, unit="pairs")
    silent = job.finish(rows, lambda row: "prob_a" in row)
    summary = {**_labelled(rows), "abstentions": silent, "out": str(out), "cost": cost}
    tell(summary, label_lines(summary, max_chars), as_json)
    _not_too_silent(len(rows), sum(silent.values()), max_abstentions, job.aside)


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
    task: Task = "general",
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
    from hrlaif.reward import Direct
    from hrlaif.rows import read_rows, responses_from

    graded = Direct.parse({"task": task, "normalise": False}, where="direct")
    asked = reward_of(judge, reward_model, reward, graded)
    model = None if judge is None else model_of(judge, base_url)
    items = responses_from(read_rows(responses, limit=limit))

    def work(group: Sequence[Response]) -> Sequence[Record]:
        scored: Sequence[Record] = asked.score(group, model)
        return scored

    settings = {"reward": plain(_settings(asked)), "judge": None if model is None else plain(model)}
    job = Job(out, "score", settings, responses, computing(base_url, concurrency, max_cost, batch))
    size = size_of_responses(items, longest_of_reward(asked))
    if announced([(of_reward(asked, size), model)], dry_run, as_json):
        return
    chunk = 64 if model is None else model.chunk
    rows, cost = job.rows(items, work, chunk=chunk, key=lambda r: r.key, unit="responses")
    silent = job.finish(rows, lambda row: row["value"] is not None)
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
    _not_too_silent(len(rows), sum(silent.values()), max_abstentions, job.aside)


def compare(
    a: Annotated[str, typer.Argument(help="Responses of the baseline.")],
    b: Annotated[str, typer.Argument(help="Responses of the other model to the same prompts.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
    ],
    judge: Judges,
    task: Task = "general",
    difficulty: Difficulty = None,
    gamed: Gamed = None,
    against: Against = None,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    batch: Batch = False,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Win rate of B over A: raw, length-controlled, by category, with intervals."""
    from hrlaif import evaluation
    from hrlaif.estimates import longest, of_labeler, size_of_responses
    from hrlaif.rows import read_rows, responses_from

    labeler, model = labeler_of("pairwise", {"task": task}, judge, base_url)
    baseline, other = (responses_from(read_rows(side, limit=limit)) for side in (a, b))
    settings = {"labeler": plain(_settings(labeler)), "judge": plain(model)}
    known = _known(difficulty, gamed)
    if against is not None:
        evaluation.refuse_others(against, {response.text for response in baseline})
    inputs = {side: sha256(Path(side)) for side in (a, b) if Path(side).is_file()}
    sizes = [size_of_responses(side, longest(labeler)) for side in (baseline, other)]
    fewer = min(sizes, key=lambda size: size.number)
    compute = computing(base_url, concurrency, max_cost, batch)
    if announced(of_labeler(labeler, model, fewer), dry_run, as_json):
        return
    out.mkdir(parents=True, exist_ok=True)
    with working(out, "compare", compute) as ledger:
        guard(
            out / "compare.partial.json",
            Receipt(stage="compare", settings=settings, inputs=inputs),
            out / "comparisons.jsonl.partial",
            f"delete {out}, or",
        )
        found = evaluation.compare(baseline, other, labeler, model, out, known=known, names=_SIDES)
        (out / "compare.partial.json").unlink()
        found["cost"] = cost_of(ledger)
    said = _compared(found, f"B ({b}) versus A ({a})")
    if against is not None:
        found["against"] = evaluation.two_runs(out, against).model_dump(mode="json")
        said.append(found["against"]["statement"])
    write_json(out / "compare.json", found)
    tell(found, [*said, f"{out / 'compare.json'}"], as_json)
    won = found["win_rate"]
    asked, silent = won["asked"] - won["identical"], sum(won["abstentions"].values())
    _not_too_silent(asked, silent, max_abstentions, out / "comparisons.jsonl")


def _labelled(rows: Sequence[Row]) -> Row:
    """Of the rows with a label: how many, how many of cut texts, agreement where it is known."""
    from hrlaif.evaluation import agreement

    told = [Preference.from_row(row) for row in rows if "prob_a" in row]
    cut = sum(bool(one.evidence and one.evidence.truncated) for one in told)
    known = agreement(told)
    found: Row = {"labelled": len(told), "truncated": cut}
    return found | ({"agreement": known.row()} if known.overall.n else {})


def _compared(found: Row, head: str) -> list[str]:
    """What a person reads after a comparison."""
    won = found["win_rate"]
    lines = [f"{head}, {won['asked']} comparisons, judge {found['judge']}:", won["statement"]]
    equal = won["length_controlled"]["win_rate"]
    if won["asked"] - won["identical"] - sum(won["abstentions"].values()):
        lines += [f"At equal length (lc_minimal) it is {_percent(equal)}."]
        lines += [f"  {flag}" for flag in won["length_controlled"]["flags"]]
    if won["identical"]:
        lines.append(f"  {won['identical']} of two identical texts: ties, no judge was asked")
    if won["unmatched"]:
        lines.append(f"  {won['unmatched']} responses have no partner in the other file")
    return [*lines, *silence(won["abstentions"])]


def _percent(figure: Row) -> str:
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not known"
    return f"{100 * value:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def _settings(part: object) -> Settings:
    assert isinstance(part, Settings)
    return part


def _known(difficulty: str | None, gamed: str | None) -> Any:
    from hrlaif.evaluation.difficulty import read_difficulty
    from hrlaif.rows import read_rows

    if difficulty is None:
        if gamed is not None:
            raise UsageError("--gamed goes with --difficulty: AlpacaEval's estimator needs both")
        return None
    return read_difficulty(read_rows(difficulty), None if gamed is None else read_rows(gamed))


def _not_too_silent(asked: int, silent: int, allowed: float, listed: Path) -> None:
    if asked and silent / asked > allowed:
        say(f"see {listed}")
        raise TooManyAbstentions(
            f"{silent} of {asked} rows have no verdict, more than the {allowed:.0%} allowed"
        )
