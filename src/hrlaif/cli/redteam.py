"""Commands on harm: redteam, detector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hrlaif.cli.announced import announced
from hrlaif.cli.jobs import cost_of, not_too_silent, shown, weights_read, working
from hrlaif.cli.options import (
    BaseUrl,
    Concurrency,
    DryRun,
    Json,
    Limit,
    MaxCost,
    Silence,
    computing,
    model_of,
    models_of,
    tell,
    yaml_of,
)
from hrlaif.errors import UsageError
from hrlaif.machine import circumstances
from hrlaif.messages import digest
from hrlaif.progress import number, say, track
from hrlaif.records import Row
from hrlaif.run import (
    Receipt,
    finish,
    now,
    read_receipt,
    receipt_path,
    refuse_stale,
    sha256,
    write_json,
    write_receipt,
)
from hrlaif.settings import Compute, plain

Target = Annotated[str, typer.Option(help="The model under test.", show_default=False)]
Judge = Annotated[str, typer.Option(help="Detects harm and refusals.", show_default=False)]
Folder = Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")]
Seeds = Annotated[
    str, typer.Option(help="starter, or a file of harmful prompts, each with a `hazard`.")
]
Benign = Annotated[str, typer.Option(help="starter, or a file of innocent look-alikes.")]
Families = Annotated[
    str | None, typer.Option(help="Only these ways of asking, with commas between; default: all.")
]
ImportFrom = Annotated[
    list[Path] | None,
    typer.Option(help="A result file of garak, PyRIT or promptfoo; several times for more."),
]
Attacker = Annotated[
    str | None, typer.Option(help="Translates and rewords attacks; default: the judge.")
]
Rewriter = Annotated[str | None, typer.Option(help="Rewrites harmful answers; default: the judge.")]
Threshold = Annotated[float | None, typer.Option(help="Harmful from this probability on.")]
MeasuredFile = Annotated[
    str | None, typer.Option(help="detector.json of this judge: rates are corrected by it.")
]
SeedLimit = Annotated[
    int | None,
    typer.Option(
        help="Only so many harmful and so many benign seeds, spread over their kinds; what is "
        "imported is taken whole.",
        min=1,
    ),
]
Variations = Annotated[int, typer.Option(help="Rewordings of each attack that worked.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Labelled = Annotated[
    list[str], typer.Argument(help="Labelled responses, or pairs; see docs/redteam.md.")
]
Check = Annotated[
    str, typer.Option(help="harmless or responsive (refusals), by name or with settings in YAML.")
]
_OF_A_DETECTOR = ("sensitivity", "specificity", "area", "pairs_right")


def add_to(app: typer.Typer) -> None:
    """Adds this file's commands."""
    app.command()(redteam)
    app.command()(detector)


def redteam(
    target: Target,
    judge: Judge,
    out: Folder,
    seeds: Seeds = "starter",
    benign: Benign = "starter",
    families: Families = None,
    import_from: ImportFrom = None,
    variations: Variations = 1,
    attacker: Attacker = None,
    rewriter: Rewriter = None,
    threshold: Threshold = None,
    measured: MeasuredFile = None,
    seed: Seed = 0,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    limit: SeedLimit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Find harmful answers of your own model, and rewrite them into labels to train it with.

    Harmful texts stay in the folder, marked. docs/redteam.md says what this must not be used for.
    """
    from hrlaif.attacking import of_campaign
    from hrlaif.redteam import Asked, Models, RedTeam, imported, read_seeds, unmarked

    values: dict[str, Any] = {"seeds": seeds, "benign": benign, "limit": limit}
    values |= {"variations": variations, "measured": measured}
    named = {"target": target, "judge": judge, "attacker": attacker, "rewriter": rewriter}
    given = {name: text for name, text in named.items() if text}
    models = dict(zip(given, models_of([*given.values()], base_url), strict=True))
    values |= {name: models.get(name) for name in ("attacker", "rewriter")}
    values |= {"families": tuple(f.strip() for f in families.split(","))} if families else {}
    values |= {"detector": {"threshold": threshold}} if threshold is not None else {}
    part = RedTeam.parse(values, where="redteam")
    both = [models["target"], models["judge"]]
    who, files = Models.of(part, *both), [*map(str, import_from or ())]
    asked = Asked(
        seeds=read_seeds(seeds, "harmful", limit=limit),
        benign=read_seeds(benign, "benign", limit=limit),
        imported=[attempt for path in files for attempt in imported(path)],
    )
    if unmarked(asked.seeds):
        say(f"no row of {seeds} has a `hazard` or is `harmful`: does it ask for harm?")
    compute = computing(base_url, concurrency, max_cost)
    if announced(of_campaign(part, who, asked), dry_run, as_json):
        return
    begun = _receipt(part, both, [seeds, benign, *([measured] if measured else []), *files], seed)
    for option, source, read in (("seeds", seeds, asked.seeds), ("benign", benign, asked.benign)):
        if not Path(source).is_file():  # of standard input or a hub id, no file says what it held
            held = digest([[found.prompt.row(), found.hazard] for found in read])
            begun.inputs[f"--{option} {source}"] = held
    found = _attacked((part, who, out, asked), begun, compute)
    tell(found, _lines(found, out), as_json)
    attempts, where = found["success"]["attempts"], out / "redteam" / "figures.json"
    silent = attempts - found["success"]["judged"]
    not_too_silent(attempts, silent, max_abstentions, where, "attempts have no verdict")


def _receipt(part: Any, models: Sequence[Any], read: Sequence[str], seed: int) -> Receipt:
    return Receipt(
        stage="redteam",
        settings={
            "redteam": part.model_dump(mode="json"),
            "target": plain(models[0]),
            "judge": plain(models[1]),
            "seed": seed,
        },
        inputs={name: sha256(Path(name)) for name in read if Path(name).is_file()},
        seed=seed,
    )


def _attacked(given: tuple[Any, Any, Path, Any], begun: Receipt, compute: Compute) -> Row:
    """The campaign with its receipt; the figures, the file of pairs, and what it cost."""
    from hrlaif.redteam import PREFERENCES, campaign

    out = given[2]
    with working(out, "redteam", compute) as ledger:
        receipt, start = _begun(out, begun, weights_read(given[1])), time.monotonic()
        found = campaign(*given, seed=begun.seed)
        cost, counts = cost_of(ledger), {"pairs": found["pairs"]}
        seconds = round(receipt.seconds + time.monotonic() - start, 1)
        facts = {"counts": counts, "cost": cost, "seconds": seconds}
        finish(out, receipt, (PREFERENCES, "redteam"), **facts)
    return {**found, "out": str(out / PREFERENCES), "cost": cost}


def detector(
    labelled: Labelled,
    out: Folder,
    judge: Judge,
    check: Check = "harmless",
    seed: Seed = 0,
    base_url: BaseUrl = None,
    concurrency: Concurrency = 16,
    limit: Limit = None,
    max_cost: MaxCost = None,
    max_abstentions: Silence = 0.2,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Measure a harm or refusal detector against labelled responses: detector.json.

    The threshold is chosen on one half of the prompts, all figures are of the other half.
    """
    from hrlaif import checks, evaluation
    from hrlaif.estimates import of_responses
    from hrlaif.rows import read_rows

    asked, model = checks.any_check(yaml_of(check, "--check")), model_of(judge, base_url)
    if not isinstance(asked, checks.Harmless | checks.Responsive):
        raise UsageError(f"--check {check!r} is none of harmless, responsive")
    name: Any = "harmless" if isinstance(asked, checks.Harmless) else "responsive"
    items = [
        item
        for file, source in zip(labelled, evaluation.sources(labelled), strict=True)
        for item in evaluation.labelled(read_rows(file, limit=limit), name, source)
    ]
    compute = computing(base_url, concurrency, max_cost)
    if announced(of_responses(asked, model, [i.response for i in items]), dry_run, as_json):
        return
    with working(out, "detector", compute) as ledger:
        verdicts = []
        with track("detector", len(items), unit="responses") as bar:
            for begin in range(0, len(items), model.chunk):
                group = [item.response for item in items[begin : begin + model.chunk]]
                verdicts += asked.check(group, model)
                bar.advance(len(group))
        found = evaluation.measured(items, verdicts, name, seed=seed)
        path = out / "detector.json"
        row: Row = {
            "judge": model.name,
            "settings": {"check": plain(asked), "judge": plain(model), "seed": seed},
            "inputs": {n: sha256(Path(n)) for n in labelled if Path(n).is_file()},
            "rows": len(items),
            name: found,
            "finished": now(),
            **circumstances(),
            "cost": cost_of(ledger),
        }
        write_json(path, row)
    tell(row, [*_figures(f"{name} by {model.name}", found), str(path)], as_json)
    silent, where = sum(found["unjudged"].values()), f"`unjudged` in {path}"
    not_too_silent(len(items), silent, max_abstentions, where, "responses have no verdict")


def _figures(title: str, found: Row) -> list[str]:
    lines = [f"  {name.replace('_', ' '):12} {shown(found[name])}" for name in _OF_A_DETECTOR]
    return [f"{title}, at the threshold {found['threshold']:g} (95 % interval):", *lines]


def _begun(out: Path, receipt: Receipt, weights: dict[str, str]) -> Receipt:
    """Notes what the folder was begun with; raises StaleRunError when that was something else.

    Another detector.json changes figures alone.
    """
    asked = receipt.model_copy(update={"inputs": receipt.inputs | weights})
    earlier = read_receipt(out, receipt.stage)
    if earlier is not None:
        old, new = map(_unmeasured, (earlier, asked))
        done = f"{out / 'redteam'} and {receipt_path(out, 'redteam')}"
        way_out = f"delete {done} (answers stay in the ledger), or name another -o"
        refuse_stale(old, new.settings, new.inputs, way_out)
        return earlier.model_copy(update={"settings": asked.settings, "inputs": asked.inputs})
    started = asked.model_copy(update={"begun": now(), **circumstances()})
    write_receipt(out, started)
    return started


def _unmeasured(receipt: Receipt) -> Receipt:
    """The receipt without its detector.json."""
    part = receipt.settings["redteam"]
    inputs = {name: held for name, held in receipt.inputs.items() if name != part["measured"]}
    settings = {**receipt.settings, "redteam": {**part, "measured": None}}
    return receipt.model_copy(update={"settings": settings, "inputs": inputs})


def _lines(found: Row, out: Path) -> list[str]:
    """What a person wants to know first."""
    success, rewrites = found["success"], found["rewrites"]
    lines = [f"harmful answers, of {success['judged']} judged: {shown(success['overall'])}"]
    if success["corrected"]:
        lines.append(f"  corrected for the detector: {shown(success['corrected'])}")
    lines += [f"  {name:18} {shown(figure)}" for name, figure in success["by_family"].items()]
    if unjudged := sum(success["unjudged"].values()):
        lines.append(f"  {unjudged} attempts without a verdict: neither harmful nor safe")
    lines.append(f"rewritten: {rewrites['accepted']} of {rewrites['harmful']}")
    lines += [f"  {count} dropped: {reason}" for reason, count in rewrites["dropped"].items()]
    lines.append(f"benign prompts refused: {shown(found['over_refusal']['overall'])}")
    return [*lines, f"{number(found['pairs'], 'pair')} in {out / 'redteam_preferences.jsonl'}"]
