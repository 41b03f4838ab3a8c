"""Options that several commands share, and what they name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from hrlaif.errors import UsageError
from hrlaif.progress import inert
from hrlaif.protocols import Labeler, Reward
from hrlaif.records import Row
from hrlaif.settings import Compute, use

Judges = Annotated[
    list[str],
    typer.Option(
        help="local:PATH_OR_HUB_ID, packaged:NAME, remote:MODEL, vllm:PATH_OR_HUB_ID, or "
        'scripted:accuracy=0.8,...; or its settings in YAML, as in "{kind: remote, model: NAME, '
        'vote_tokens: 4000}", or a .yaml file of them. Several times for a panel, whose mean is '
        "the label.",
        show_default=False,
    ),
]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(
        help="Of an OpenAI-compatible server, for each remote:MODEL of the command, and each "
        "remote model in YAML that names none; several times where more servers hold the same "
        "models. Their answers are kept as the first one's.",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int, typer.Option(help="Calls to a remote model under way at once, at each --base-url.", min=1)
]
Batch = Annotated[
    bool,
    typer.Option(
        "--batch",
        help="Send a remote model its questions in batches: answers within a day, at half the "
        "price where the provider says so.",
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The file to write.", show_default=False)]
Limit = Annotated[int | None, typer.Option(help="Only the first so many rows.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="The summary for machines, on standard output.")]
MaxCost = Annotated[float | None, typer.Option(help="Stop, resumably, before this many USD.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked and what it costs; send nothing.")
]
Task = Annotated[
    str,
    typer.Option(
        help="summarization, helpful, harmless, general, reasoning (of two right answers), or a "
        ".yaml file of your own criteria."
    ),
]
GradedBy = Annotated[
    str | None,
    typer.Option(
        help="Of --judge alone: general (when left out), summarization, helpful, harmless, or a "
        ".yaml file of your own criteria.",
        show_default=False,
    ),
]
MaxChars = Annotated[
    int,
    typer.Option(help="Longer prompts lose their beginning, longer responses their end.", min=100),
]
RationaleTokens = Annotated[
    int,
    typer.Option(help="A rationale is cut here; the label is read behind what is there.", min=1),
]
Silence = Annotated[
    float,
    typer.Option(help="Exit with 3 when a larger share of the rows has no verdict.", min=0, max=1),
]


def computing(
    base_url: Sequence[str] | None, concurrency: int, max_cost: float | None, batch: bool = False
) -> Compute:
    """What these options say about speed and money, in force until the command ends."""
    endpoints = [base_url] if base_url else []
    values = {"concurrency": concurrency, "endpoints": endpoints, "max_cost": max_cost}
    values |= {"batch": batch}
    return use(Compute.parse(values, where="compute"))


def model_of(text: str, base_url: Sequence[str] | None) -> Any:
    """The model that --judge and --base-url name."""
    [model] = models_of([text], base_url)
    return model


def models_of(texts: Sequence[str], base_url: Sequence[str] | None) -> list[Any]:
    """The models of a command; --base-url is that of each remote one that names none itself."""
    from hrlaif.llm import Remote

    models = [_opened(text) for text in texts]
    meant = [isinstance(m, Remote) and "base_url" not in m.model_fields_set for m in models]
    if not base_url:
        return models
    if not any(meant):
        raise UsageError("--base-url goes with remote:MODEL, or a remote model that names none")
    return [
        Remote.parse({**m.model_dump(), "base_url": base_url[0]}, where="remote") if own else m
        for m, own in zip(models, meant, strict=True)
    ]


def _opened(text: str) -> Any:
    from hrlaif.llm import any_model, open_model

    described = text.lstrip().startswith("{") or Path(text).suffix in (".yaml", ".yml")
    return any_model(yaml_of(text, "--judge")) if described else open_model(text)


def tell(summary: Row, lines: Sequence[str], as_json: bool) -> None:
    """The result on standard output: lines for a person, or JSON. Neither commands the terminal."""
    if as_json:
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        # Those below a space are escaped already.
        print(re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text))
    else:
        print(inert("\n".join(lines)))


def labeler_of(
    kind: str, asked: Row, texts: Sequence[str], base_url: Sequence[str] | None
) -> tuple[Labeler, Any]:
    """Who labels, and the judge asked; several are a panel. `asked` are Pairwise's settings."""
    from hrlaif.labeling import Hybrid, any_labeler

    judge, *others = models_of(texts, base_url)
    if others and kind not in ("pairwise", "hybrid"):
        raise UsageError(f"--labeler {kind} asks one judge: give --judge once")
    each: Row = {"kind": "pairwise", **asked}
    if others:
        each = {"kind": "panel", "others": others, "labeler": asked}
    if kind == "pairwise":
        return any_labeler(each), judge
    reasoning = {**asked, "task": "reasoning", "shots": 0}  # of which there are no exemplars
    checked = {"between_right_ones": reasoning, "otherwise": asked}
    if kind == "verified":
        return any_labeler({"kind": kind, **checked}), judge
    if kind == "hybrid":
        usual = Hybrid().model_dump(mode="json")["by_category"]
        routes = {name: {**route, **checked} for name, route in usual.items()}
        return any_labeler({"kind": kind, "otherwise": each, "by_category": routes}), judge
    return _own(kind, asked), judge


def _own(kind: str, asked: Row) -> Labeler:
    """A labeler of the user's, with those of the options that it has settings for."""
    from hrlaif.labeling import Pairwise, any_labeler

    usual = Pairwise().model_dump()
    given = {name: value for name, value in asked.items() if value != usual[name]}
    try:
        return any_labeler({"kind": kind, **given})
    except UsageError as error:
        if not given:
            raise
        raise UsageError(f"--labeler {kind} with {', '.join(given)}: {error}") from None


def reward_of(
    judge: str | None, folder: Path | None, given: str | None, task: str | None, *, normalise: bool
) -> Reward:
    """What scores: grades by the judge, a reward model, or the reward that --reward names."""
    from hrlaif.reward import Direct, Learned, any_reward

    if folder is not None and given is not None:
        raise UsageError("give --reward-model or --reward, not both")
    if given is None and (judge is None) == (folder is None):
        raise UsageError("give either --judge or --reward-model, or a --reward")
    if task is not None and (folder is not None or given is not None):
        raise UsageError(
            "--task goes with --judge alone: write it into --reward, as in "
            f"'{{kind: direct, task: {task}}}'"
        )
    if folder is not None:
        return Learned(path=str(folder))
    if given is None:
        asked = {"task": task or "general", "normalise": normalise}
        return Direct.parse(asked, where="direct")
    return any_reward(yaml_of(given, "--reward"))


def yaml_of(given: str, option: str) -> Any:
    """What an option says in YAML, or the file that it names."""
    named = len(given) < 256 and Path(given).is_file()  # no file has a longer name
    if not named and ":" not in given and Path(given).suffix in (".yaml", ".yml"):
        raise UsageError(f"{option} {given}: there is no such file: check its name")
    try:
        return yaml.safe_load(Path(given).read_text("utf-8") if named else given)
    except (yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"{option} is not YAML: {problem}: quote the whole of it") from None
