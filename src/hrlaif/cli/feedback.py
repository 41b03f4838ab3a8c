"""Commands on any file, without a run folder: label, score, compare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import yaml

from hrlaif.cli.jobs import Job, cost_of, dollars, guard, label_lines, silence
from hrlaif.errors import TooManyAbstentions, UsageError
from hrlaif.llm.ledger import Ledger
from hrlaif.progress import say, spending
from hrlaif.protocols import Reward
from hrlaif.records import Abstention, Comparison, Preference, Record, Response, Row
from hrlaif.run import Receipt, only_process, sha256, write_json
from hrlaif.settings import Compute, Settings, plain, using

T = TypeVar("T")
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
Judge = Annotated[
    str,
    typer.Option(
        help="local:PATH_OR_HUB_ID, packaged:NAME, remote:MODEL, vllm:PATH_OR_HUB_ID, or "
        "scripted:accuracy=0.8,...",
        show_default=False,
    ),
]
Judges = Annotated[
    list[str],
    typer.Option(
        help="local:PATH_OR_HUB_ID, packaged:NAME, remote:MODEL, vllm:PATH_OR_HUB_ID, or "
        "scripted:accuracy=0.8,...; several times for a panel, whose mean is the label.",
        show_default=False,
    ),
]
BaseUrl = Annotated[
    str | None, typer.Option(help="Of an OpenAI-compatible server, for remote:MODEL.")
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)]
Limit = Annotated[int | None, typer.Option(help="Only the first so many rows.")]
Json = Annotated[bool, typer.Option("--json", help="The summary for machines, on standard output.")]
MaxCost = Annotated[float | None, typer.Option(help="Stop, resumably, before this many USD.")]
Task = Annotated[str, typer.Option(help="summarization, helpful, harmless or general.")]
Silence = Annotated[
    float, typer.Option(help="Exit with 3 when a larger share of the rows has no verdict.")
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
    base_url: BaseUrl = None,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    as_json: Json = False,
) -> None:
    """Ask a judge, or several, which response of each pair is better; soft labels, both orders."""
    from hrlaif.evaluation import agreement
    from hrlaif.labeling import any_labeler
    from hrlaif.protocols import pairs_at_once
    from hrlaif.rows import comparisons_from, read_rows

    basic: dict[str, Any] = {"task": task, "preamble": preamble, "shots": shots}
    basic |= {"samples": samples, "rationale": rationale or samples > 1}
    basic |= {"single_order": single_order}
    model, *others = judges_of(judge, base_url)
    each: Row = {"kind": "pairwise", **basic}
    if others:
        each = {"kind": "panel", "others": others, "labeler": basic}
    values: dict[str, Row] = {"pairwise": each, "hybrid": {"kind": "hybrid", "otherwise": each}}
    if others and labeler not in values:
        raise UsageError(f"--labeler {labeler} asks one judge: give --judge once")
    asked = any_labeler(values.get(labeler, {"kind": labeler}))
    items = comparisons_from(read_rows(pairs, limit=limit))

    def work(group: Sequence[Comparison]) -> list[Preference | Abstention]:
        return list(asked.label(group, model))

    settings = {"labeler": plain(_settings(asked)), "judge": plain(model)}
    job = Job(out, "label", settings, pairs, max_cost)
    size = pairs_at_once(model, asked)
    rows, cost = job.rows(items, work, chunk=size, key=lambda c: c.id, unit="pairs")
    told = [Preference.from_row(row) for row in rows if "prob_a" in row]
    silent = job.finish(rows, lambda row: "prob_a" in row)
    summary: Row = {"labelled": len(told), "abstentions": silent, "out": str(out), "cost": cost}
    known = agreement(told)
    if known.overall.n:
        summary["agreement"] = known.row()
    tell(summary, label_lines(summary), as_json)
    _not_too_silent(len(rows), sum(silent.values()), max_abstentions, out)


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
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    as_json: Json = False,
) -> None:
    """Grade each response with a judge (1 to 10), a reward model, or any reward."""
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
    job = Job(out, "score", settings, responses, max_cost)
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
    tell(summary, [f"{len(values)} scores in {out}{shown}", *silence(silent)], as_json)
    _not_too_silent(len(rows), sum(silent.values()), max_abstentions, out)


def compare(
    a: Annotated[str, typer.Argument(help="Responses of the baseline.")],
    b: Annotated[str, typer.Argument(help="Responses of the other model to the same prompts.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to write.", show_default=False)
    ],
    judge: Judge,
    task: Task = "general",
    difficulty: Difficulty = None,
    gamed: Gamed = None,
    against: Against = None,
    base_url: BaseUrl = None,
    limit: Limit = None,
    max_cost: MaxCost = None,
    as_json: Json = False,
) -> None:
    """Win rate of B over A: raw, length-controlled, by category, with intervals."""
    from hrlaif import evaluation
    from hrlaif.labeling import Pairwise
    from hrlaif.rows import read_rows, responses_from

    labeler = Pairwise.parse({"task": task}, where="pairwise")
    model = model_of(judge, base_url)
    baseline, other = (responses_from(read_rows(side, limit=limit)) for side in (a, b))
    settings = {"labeler": plain(labeler), "judge": plain(model)}
    known = _known(difficulty, gamed)
    inputs = {side: sha256(Path(side)) for side in (a, b) if Path(side).is_file()}
    out.mkdir(parents=True, exist_ok=True)
    compute = Compute(max_cost=max_cost)
    with (
        only_process(out),
        using(compute),
        Ledger(out / "ledger.sqlite", stage="compare", max_cost=max_cost) as ledger,
        spending(lambda: dollars(ledger)),
    ):
        guard(
            out / "compare.partial.json",
            Receipt(stage="compare", settings=settings, inputs=inputs),
            out / "comparisons.jsonl.partial",
            f"delete {out}, or",
        )
        found = evaluation.compare(baseline, other, labeler, model, out, known=known)
        (out / "compare.partial.json").unlink()
        found["cost"] = cost_of(ledger)
    said = [found["win_rate"]["statement"]]
    if against is not None:
        found["against"] = evaluation.two_runs(out, against).model_dump(mode="json")
        said.append(found["against"]["statement"])
    write_json(out / "compare.json", found)
    tell(found, [*said, f"{out / 'compare.json'}"], as_json)


def reward_of(judge: str | None, folder: Path | None, given: str | None, graded: Reward) -> Reward:
    """What scores: grades by the judge, a reward model, or the reward that --reward names."""
    from hrlaif.reward import Learned, any_reward

    if folder is not None and given is not None:
        raise UsageError("give --reward-model or --reward, not both")
    if given is None and (judge is None) == (folder is None):
        raise UsageError("give either --judge or --reward-model, or a --reward")
    if folder is not None:
        return Learned(path=str(folder))
    if given is None:
        return graded
    text = Path(given).read_text("utf-8") if Path(given).is_file() else given
    try:
        return any_reward(yaml.safe_load(text))
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"--reward is not YAML: {problem}: quote the whole of it") from None


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


def model_of(text: str, base_url: str | None) -> Any:
    """The model that --judge and --base-url name."""
    from hrlaif.llm import open_model

    model = open_model(text)
    if base_url is None:
        return model
    if not text.startswith("remote:"):
        raise UsageError("--base-url goes with --judge remote:MODEL")
    return model.model_copy(update={"base_url": base_url}) if isinstance(model, Settings) else model


def judges_of(texts: Sequence[str], base_url: str | None) -> list[Any]:
    """The models that --judge, given several times, and --base-url name."""
    if len(texts) == 1 or not any(text.startswith("remote:") for text in texts):
        return [model_of(text, base_url) for text in texts]
    return [model_of(text, base_url if text.startswith("remote:") else None) for text in texts]


def tell(summary: Row, lines: Sequence[str], as_json: bool) -> None:
    """The result on standard output: lines for a person, or JSON."""
    print(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))


def _not_too_silent(asked: int, silent: int, allowed: float, out: Path) -> None:
    if asked and silent / asked > allowed:
        aside = out.with_name(out.stem + ".abstentions.jsonl")
        say(f"see {aside}")
        raise TooManyAbstentions(
            f"{silent} of {asked} rows have no verdict, more than the {allowed:.0%} allowed"
        )
