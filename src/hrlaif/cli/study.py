"""The command that measures judges: study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.jobs import cost_of, cut_texts, refuse_losing, shown, working
from hrlaif.cli.options import (
    BaseUrl,
    Batch,
    Concurrency,
    DryRun,
    Json,
    Limit,
    MaxChars,
    MaxCost,
    RationaleTokens,
    Silence,
    Task,
    computing,
    models_of,
    tell,
)
from hrlaif.cli.ways import DEFAULT, next_step, ways_of
from hrlaif.errors import DataError, TooManyAbstentions, UsageError
from hrlaif.machine import circumstances
from hrlaif.progress import say
from hrlaif.records import Preference, Row
from hrlaif.run import now, sha256, sketch
from hrlaif.settings import Compute, plain

_OF_PEOPLE = ("human_preference", "winner", "votes", "chosen", "gold_preference")
"""Columns that a study reads a preference from."""


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    app.command()(study)


Pairs = Annotated[
    str, typer.Argument(help="Pairs with human preferences: .jsonl, .csv, .parquet, hub id, -.")
]
Folder = Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")]
Judges = Annotated[
    list[str],
    typer.Option(
        help="As in `label`, `local:` to `scripted:`; several times for more judges.",
        show_default=False,
    ),
]
Variants = Annotated[
    str,
    typer.Option(
        help="Ways of asking, the base first: base or detailed, then -Nshot, -rationale, "
        "-xK (self-consistency), -single (one order); `paper` is the table of RLAIF."
    ),
]
Probes = Annotated[
    int,
    typer.Option(help="Pairs for each test of bias and each kind of injection; 0: no such tests."),
]
Attacks = Annotated[bool, typer.Option(help="Measure injection resistance.")]
Grades = Annotated[
    bool,
    typer.Option(help="Measure injection resistance of the judge's grades from 1 to 10, too."),
]
Budget = Annotated[
    int, typer.Option(help="Pairs written to checks/ for a person to judge; 0: none.")
]
CheckBy = Annotated[
    str, typer.Option(help="Which of them: random, or more by doubt or by disagreement.")
]
MassFloor = Annotated[
    float,
    typer.Option(
        help="No verdict where 1 and 2 have less probability together; 0 for a base model, which "
        "does not know that it is to answer with one of them."
    ),
]
Disagreements = Annotated[
    int,
    typer.Option(help="Pairs on which judge and people differ, shown with their texts; 0: none."),
]
Poison = Annotated[
    str,
    typer.Option(
        help="Shares of labels turned round, to see what each costs a reward model; up to 0.5."
    ),
]
RewardBase = Annotated[
    str | None,
    typer.Option(help="Learning curve of reward models from this base; else of a linear one."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the two halves and every bootstrap.")]


def study(
    pairs: Pairs,
    out: Folder,
    judge: Judges,
    task: Task = "general",
    variants: Variants = DEFAULT,
    probes: Probes = 20,
    attacks: Attacks = True,
    grades: Grades = True,
    budget: Budget = 50,
    check_by: CheckBy = "doubt",
    disagreements: Disagreements = 40,
    mass_floor: MassFloor = 0.05,
    max_chars: MaxChars = 8000,
    rationale_tokens: RationaleTokens = 512,
    poison: Poison = "0.05,0.1,0.2,0.3",
    reward_base: RewardBase = None,
    seed: Seed = 0,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    batch: Batch = False,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Measure judges against people: agreement, bias, calibration, resistance; study.json, a page.

    The same command goes on after any stop; what is known already is not asked again.
    """
    from hrlaif.rows import read_rows
    from hrlaif.study import Asked, Study, read_items
    from hrlaif.studying import of_study

    asking = {"task": task, "mass_floor": mass_floor, "max_chars": max_chars}
    ways = ways_of(variants, asking | {"rationale_tokens": rationale_tokens})
    models = models_of(judge, base_url)
    _refuse_twice(ways, models)
    worse = _asks_for_the_worse(task)
    settings = Study.parse(
        {"probes": probes, "attacks": attacks and not worse, "worse": worse, "seed": seed,
         "budget": budget, "check_by": check_by, "disagreements": disagreements, "poison": poison}
    )  # fmt: skip
    grader = _grader(asking) if grades else None
    _refuse_losing_checks(out)
    items = read_items(read_rows(pairs, limit=limit))
    asked = Asked(items, ways, settings, [grader] * len(models), _trainer(reward_base, out, seed))
    compute = computing(base_url, concurrency, max_cost, batch)
    if announced(of_study(asked, models), dry_run, as_json):
        return
    about = {
        "pairs": pairs,
        "sha256": sha256(Path(pairs)) if Path(pairs).is_file() else None,
        "task": task,
        "reward_base": reward_base or "linear, on style and hashed words",
    }
    row, last = _made(asked, models, out, about, compute)
    tell(row, [*_lines(row, max_chars), *last], as_json)
    _not_too_silent(row, max_abstentions)


def _refuse_twice(*kinds: Sequence[Any]) -> None:
    if any(len({one.name for one in kind}) < len(kind) for kind in kinds):
        raise UsageError("study: two judges or two variants are the same: name each once")


def _refuse_losing_checks(out: Path) -> None:
    for checks in (out / "checks").glob("*.jsonl"):
        refuse_losing(checks, *_OF_PEOPLE)


def _asks_for_the_worse(task: str) -> bool:
    from hrlaif.labeling.pairwise import asks_for_the_worse

    if not asks_for_the_worse(task):
        return False
    # An attacker would ask for the other response, and none of two plain answers does harm.
    beside = f"no injections or refusals with --task {task}, nor questions in two languages"
    say(f"{beside}: it asks which response is worse, not better")
    return True


def _grader(asking: Mapping[str, Any]) -> Any:
    """How single responses are graded; None where the task has no such question."""
    from hrlaif.llm.own_texts import is_own
    from hrlaif.reward import Direct

    if is_own(asking["task"]) or asking["task"] == "reasoning":
        say(f"no grades with --task {asking['task']}: it asks about pairs")
        return None
    return Direct.parse({**asking, "normalise": False}, where="direct")


def _made(
    asked: Any, models: Sequence[Any], out: Path, about: Row, compute: Compute
) -> tuple[Row, list[str]]:
    """Asks everything, and writes everything; what was asked is in the ledger at any time.

    What study.json holds; and the files to look at, and what comes next.
    """
    from hrlaif import study as studies

    with working(out, "study", compute) as ledger:
        found, judged = studies.study(asked, models)
        about |= {
            "variants": {w.name: plain(w.labeler) for w in asked.variants},
            "judges": {m.name: plain(m) for m in models},
            "settings": asked.settings.model_dump(mode="json"),
            "finished": now(),
            **circumstances(),
        }
        row = {"about": about, **found, "cost": cost_of(ledger)}
        _refuse_losing_checks(out)  # somebody may have filled them in meanwhile
        studies.write(out, row, models, judged)
    files = [out / "study.json", studies.write_page(out)]
    return row, [*map(str, files), next_step(row, out, models, asked.variants)]


def _trainer(base: str | None, out: Path, seed: int) -> Any:
    """Reward models from a language model where a base is named, else linear ones."""
    from hrlaif.study import linear

    if base is None:
        return linear
    return lambda train, test: _trained(base, out / "reward_models", seed, (train, test))


def _trained(
    base: str, home: Path, seed: int, rows: tuple[Sequence[Preference], Sequence[Preference]]
) -> list[float]:
    """Rewards of a minus b for the second rows, by a model trained on the first and kept."""
    from hrlaif.records import Response, digest
    from hrlaif.reward import Learned, RewardTraining
    from hrlaif.reward.train import train

    learnt, asked = rows
    made_of = sketch(Path(base)) if Path(base).exists() else None
    folder = home / digest([base, made_of, seed, [[_asked(p), p.prob_a] for p in learnt]])
    if not (folder / "evaluation.json").exists():
        train(RewardTraining(heldout_share=0), learnt, base, folder, seed=seed)
    sides = [
        Response(prompt=p.comparison.prompt, text=side.text, id=f"{p.comparison.id}/{name}")
        for p in asked
        for name, side in (("a", p.comparison.a), ("b", p.comparison.b))
    ]
    scores = Learned(path=str(folder), normalise=False).score(sides, None)
    values = [s.value for s in scores if s.value is not None]
    if len(values) < len(scores):
        missing = next(s for s in scores if s.value is None)
        raise DataError(f"{missing.id} has no reward ({missing.reason}): drop that pair")
    return [a - b for a, b in zip(values[::2], values[1::2], strict=True)]


def _asked(label: Preference) -> Row:
    """The comparison without people's word, from which no reward model learns."""
    unknown = {"human_preference": None, "gold_preference": None}
    return label.comparison.model_copy(update=unknown).row()


def _not_too_silent(row: Row, allowed: float) -> None:
    """All is written; but a judge that is mostly silent on its chosen way of asking is said."""
    for name, one in row["judges"].items():
        silent = sum(one["variants"][one["chosen"]]["abstentions"].values())
        if silent > allowed * row["pairs"]["rows"]:
            raise TooManyAbstentions(
                f"{name}: {silent} of {row['pairs']['rows']} pairs have no verdict, more than the "
                f"{allowed:.0%} allowed: read the reasons in study.json, or raise --max-abstentions"
            )


def _lines(row: Row, max_chars: int) -> list[str]:
    """Of each judge every way of asking, on the half of the prompts that did not choose it."""
    from hrlaif.study.sentences import few

    pairs, cost = row["pairs"], row["cost"]
    lines = [*filter(None, [few(row)]), f"{pairs['test']} pairs of the test half (95 % interval):"]
    for name, one in row["judges"].items():
        for way, found in one["variants"].items():
            chosen = ", chosen" if way == one["chosen"] else ""
            lines.append(f"  {name}, {way}{chosen}: {shown(found['agreement'])}")
            silent = sum(found["abstentions"].values())
            if silent:
                lines.append(f"    {silent} without a verdict")
        lines += [f"  {line}" for line in cut_texts(one["truncated"], pairs["rows"], max_chars)]
    if "together" in row:
        lines.append(f"  all judges together: {shown(row['together']['agreement'])}")
    for name, rule in (("always_longer", "always the longer"), ("always_first", "the first")):
        lines.append(f"  {rule}: {shown(row['baselines'][name])}")
    unpriced = f", {cost['unpriced_calls']:,} of unknown price" if cost["unpriced_calls"] else ""
    paid = "not known" if cost["usd"] is None else f"${cost['usd']:.4f}"
    return [*lines, f"cost: {paid}, {cost['calls']:,} calls{unpriced}"]
