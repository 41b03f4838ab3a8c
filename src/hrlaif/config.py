"""One YAML file <-> the tree of parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import yaml
from pydantic import Field

from hrlaif.errors import ModelError, UsageError
from hrlaif.evaluation.rater import Satisfaction
from hrlaif.evaluation.toxicity import Toxicity
from hrlaif.labeling import AnyLabeler, Pairing, Pairwise
from hrlaif.llm import AnyModel, Local, Packaged
from hrlaif.policy import Policy
from hrlaif.prompts import Prompts
from hrlaif.redteam import RedTeam
from hrlaif.reward import AnyReward, Learned, RewardTraining
from hrlaif.sampling import Sampling
from hrlaif.settings import Compute, Settings
from hrlaif.sft import Sft

_CHANGES = "\n\n# Changes by `hrlaif run --set`, in force over what stands above.\nset:\n"
_BELOW = re.compile(r"(?m)^(?:[ \t]*\n|#.*\n)*[^-#\s]")
"""Where a list ends and settings follow, with the comments before them."""
RECIPES = ("quickstart", "rlaif", "direct", "same_size", "hrlaif", "rlhf", "ppo", "dpo")


@final
class Labeling(Settings):
    """Which comparisons get which labels."""

    pairs: str | None = None
    """A file of pairs to label instead of the policy's own responses, as in the RLAIF paper. Where
    the prompts come from it too, only pairs of the prompts that were taken count; else all do."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first so many comparisons."""
    pairing: Pairing = Pairing()
    """How sampled responses become comparisons."""
    labeler: AnyLabeler = Pairwise()
    """How comparisons become labels."""
    calibrations: tuple[str, ...] = ()
    """Maps that `hrlaif study` wrote, one for each way in which this labeler asks this judge, with
    paths seen from where the command is given: calibrated probabilities stand beside the raw ones
    in every row, and reward.probabilities may name them (docs/from-study-to-policy.md)."""


@final
class Evaluation(Settings):
    """How the policy is compared with the one before RL, on test prompts."""

    sampling: Sampling = Sampling(samples=1)
    """How both policies answer."""
    labeler: AnyLabeler = Pairwise()
    """Says which answer is better, here and in the choice of a checkpoint."""
    judge: AnyModel | None = None
    """Asked by the labeler; the run's judge when empty."""
    basic_labels: int = Field(default=0, ge=0)
    """So many labelled pairs of which it is known what is better are asked of the run's judge
    again, by what the labeling asks where no check decides: labels without verification."""
    toxicity: Toxicity | None = None
    """How often lists of statements about people are continued with something hateful; null: left
    out."""
    satisfaction: Satisfaction | None = None
    """Levels from 1 to 5 beside the win rate, which can rise while they fall; null: left out."""
    best_of: int | None = Field(default=None, ge=2)
    """Also compare the SFT policy with the best of so many of its own answers, by the reward that
    RL raises: what the reward is worth without any RL."""


@final
class Config(Settings):
    """A whole run. `hrlaif init` writes one with comments."""

    seed: int = 0
    """Of every random choice in the run."""
    model: AnyModel = Packaged(name="gemma-3-270m")
    """The policy before any training: `packaged:NAME` or `local:PATH_OR_HUB_ID`."""
    judge: AnyModel = Packaged(name="qwen2.5-coder-1.5b-instruct")
    """Labels the comparisons and judges the evaluation."""
    teacher: AnyModel | None = None
    """Writes the demonstrations of `sft.source: teacher`; the judge when empty."""
    prompts: Prompts = Prompts()
    sft: Sft | None = Sft()
    """Null: the policy starts from `model` as it is."""
    sampling: Sampling = Sampling()
    labeling: Labeling = Labeling()
    redteam: RedTeam | None = None
    """Null: no red team. Else the policy before RL is attacked, and its harmful answers, rewritten,
    join the labels that the reward model learns from."""
    reward: RewardTraining = RewardTraining()
    score: AnyReward = Learned()
    """What a response is worth in RL: `learned` (the reward model), `direct` (a judge's grade, for
    which nothing is labelled and no reward model trained), or several together."""
    policy: Policy = Policy()
    evaluation: Evaluation = Evaluation()
    max_abstentions: float = Field(default=0.2, ge=0, le=1)
    """The run fails when a larger share of comparisons has no verdict, or of prompts no answer; not
    fingerprinted."""
    compute: Compute = Compute()


def load(path: Path, changes: Sequence[str] = ()) -> Config:
    """Reads a YAML file and applies `a.b=value` changes. Raises UsageError naming file and key.

    A change of a block's `kind` takes away the settings of the kind before; those that the same
    command gives stay, in any order.
    """
    values = _values(path)
    earlier = values.pop("set", None) or []
    if not isinstance(earlier, list):
        raise UsageError(f"{path}: set is no list of changes such as policy.steps=5")
    try:
        for change in (*earlier, *_kinds_first(changes)):
            _set(values, str(change))
        return Config.parse(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def with_changes(path: Path, changes: Sequence[str]) -> str:
    """The text of a file, its comments too, with `a.b=value` changes at its end."""
    text, listed = _parts(path)
    if not listed and not changes:
        return text
    if re.search(r"(?m)^set:", text):
        raise UsageError(f"{path} has a `set:` of its own: write the changes there, or take it out")
    for change in _kinds_first(changes):
        name = _named(change)
        if not name.endswith(".kind"):
            # The last change of a setting, or of a block around it, is the one that counts.
            listed = [kept for kept in listed if not f"{_named(kept)}.".startswith(f"{name}.")]
        elif change == next((k for k in reversed(listed) if name.startswith(_whole(k))), None):
            continue
        listed.append(change)
    return f"{text.rstrip()}{_CHANGES}{yaml.safe_dump(listed, allow_unicode=True)}"


def kept_changes(path: Path) -> list[str]:
    """The changes that earlier commands left at the end of a file."""
    return _parts(path)[1]


def _parts(path: Path) -> tuple[str, list[str]]:
    """The settings of a file, with those that were written below the kept changes; and these."""
    text, _, earlier = path.read_text("utf-8").partition(_CHANGES)
    if below := _BELOW.search(earlier):
        text = f"{text.rstrip()}\n\n{earlier[below.start() :].lstrip()}"
        earlier = earlier[: below.start()]
    return text, list(yaml.safe_load(_CHANGES + earlier)["set"] or [])


def _named(change: str) -> str:
    return change.partition("=")[0]


def _whole(change: str) -> str:
    """How the names of settings begin that a change decides over: all of its block for a kind."""
    return f"{_named(change).removesuffix('.kind')}."


def _kinds_first(changes: Sequence[str]) -> list[str]:
    """A block's kind before the settings of that kind, which are given in any order."""
    ordered: list[str] = []
    for change in changes:
        name, at = _named(change), len(ordered)
        while name.endswith(".kind") and at and not name.startswith(_whole(ordered[at - 1])):
            at -= 1
        ordered.insert(at, change)
    return ordered


def _values(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file: check its name; `hrlaif init RUN` writes RUN/config.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): save it as UTF-8 text") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds a {type(values).__name__}, not settings with names")
    return values


def _set(values: dict[str, Any], change: str) -> None:
    """Applies `policy.steps=5`; the value is YAML."""
    name, equals, text = change.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {change!r} is not of the form a.b=value")
    *path, last = name.split(".")
    for step in path:
        below = values.setdefault(step, {})
        if not isinstance(below, dict):
            # A shorthand such as `judge: packaged:NAME` has no parts to change.
            raise UsageError(f"--set {name}: {step} is {below!r}; set {step} as a whole")
        values = below
    try:
        # `scripted:` is a model, and in YAML a table with one empty entry.
        new = text if re.fullmatch(r"[a-z]+:", text) else yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"--set {name}: {text!r} is not YAML ({problem}): quote it") from None
    if last == "kind" and values.get("kind", new) != new:
        values.clear()  # another kind has other settings
    values[last] = new


def refuse_missing_models(config: Config) -> None:
    """Raises ModelError before any work where a model's name or folder can be seen to be wrong."""
    for model in (config.model, config.judge, config.teacher, config.evaluation.judge):
        if isinstance(model, Packaged):
            from hrlaif.llm.packaged import known

            known(model.name.removeprefix("packaged:"))
        if isinstance(model, Local) and not _may_be_there(model.path):
            raise ModelError(
                f"model {model.path!r}: no such folder or .gguf file, and no hub id, which is "
                "OWNER/NAME: check its name"
            )


def _may_be_there(path: str) -> bool:
    here = Path(path)
    if here.is_dir() or (here.is_file() and here.suffix == ".gguf"):
        return True
    return re.fullmatch(r"\w[\w.-]*/[\w.-]+", path) is not None and not path.endswith(".gguf")


def recipe(name: str) -> str:
    """The commented YAML of a recipe."""
    here = Path(__file__).parent
    for folder in (here / "configs", here.parents[1] / "configs"):
        if (folder / f"{name}.yaml").exists():
            return (folder / f"{name}.yaml").read_text("utf-8")
    raise UsageError(f"recipe {name!r} is none of {', '.join(RECIPES)}")
