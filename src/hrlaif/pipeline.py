"""The flow: which stages there are, what each reads, and what each writes.

    prompts ─► sft ─► responses ─► label ─► reward ─► policy ─► evaluate ─► report
                  │                   └─── offline DPO ──┘
                  ├► redteam ──────────────────┘       │
                  └──────────── direct reward ─────────┘

A stage is given only the files and the settings that its line in `stages` declares; both are
fingerprinted in its receipt, so that line is all that decides whether its work is still good.
What a stage does stands in `work.py`, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from hrlaif import work
from hrlaif.config import Config
from hrlaif.errors import UsageError
from hrlaif.llm import Local, Vllm
from hrlaif.materials import unused
from hrlaif.messages import digest
from hrlaif.protocols import Reward
from hrlaif.reward.parts import members, models, of_samples, of_the_run
from hrlaif.run import sha256, sketch, texts_of
from hrlaif.settings import Compute, Settings

_ONE_FILE = "model.safetensors"


@dataclass(frozen=True)
class Stage:
    """One line of the flow."""

    name: str
    reads: tuple[str, ...]
    """Files and folders of the run."""
    writes: tuple[str, ...]
    settings: tuple[str, ...]
    """The parts of the configuration that can change what it writes."""
    work: Callable[[Config, Path], Mapping[str, Any]]
    """Does the work in a run folder; what it returns stands in the receipt."""

    def compute(self, config: Config) -> Compute:
        """Where and how fast it runs: a step of the policy waits for answers, so not in batches."""
        waits = {"batch": False} if self.name == "policy" else {}
        return config.compute.model_copy(update=waits)

    def _weights(self, config: Config) -> dict[str, str]:
        parts = [reduce(getattr, name.split("."), config) for name in self.settings]
        base = config.reward.base if "reward" in self.settings else None
        rewards = models(config.score) if "score" in self.settings else []
        shards = [name for name in rewards if not (Path(name) / _ONE_FILE).is_file()]
        found = weights_of([*parts, *(Local(path=name) for name in (*shards, base) if name)])
        return found | (members_of(config.score) if "score" in self.settings else {})

    def fingerprint(self, config: Config) -> dict[str, Any]:
        """Its settings as plain JSON, and hashes of the files outside the run that they name."""
        values = config.model_dump(mode="json")
        outside: dict[str, tuple[str | None, ...]] = {
            "prompts": (*config.prompts.sources, config.prompts.test_source),
            "labeling": (config.labeling.pairs, *config.labeling.calibrations),
            "labeling.pairs": (config.labeling.pairs,),
            "redteam": _named(config),
            "score": tuple(f"{name}/{_ONE_FILE}" for name in models(config.score)),
        }
        rated, toxic = config.evaluation.satisfaction, config.evaluation.toxicity
        outside["evaluation"] = (
            rated.ratings if rated else None,
            toxic.source if toxic else None,
        )
        named = [name for part in self.settings for name in outside.get(part, ()) if name]
        hashes = {name: sha256(Path(name)) for name in named if Path(name).is_file()}
        hashes |= self._weights(config)
        found: dict[str, Any] = {"seed": config.seed}
        for name in self.settings:
            whole, _, only = name.partition(".")
            part = {only: values[whole][only]} if only else values[whole]
            found[whole] = found.get(whole, {}) | part if only else part
        hashes |= texts_of(found)
        return found | ({"files": hashes} if hashes else {})


def weights_of(parts: Any) -> dict[str, str]:
    """By its path a sketch of each local model that settings name, however deep, if it is there."""
    return {path: sketch(Path(path)) for path in {*_paths(parts)} if Path(path).exists()}


def members_of(reward: Reward) -> dict[str, str]:
    """By `FOLDER/member_*` a digest of the members that an ensemble finds in a folder."""
    return {
        f"{folder}/member_*": digest([[Path(path).name, sketch(Path(path))] for path in paths])
        for folder, paths in members(reward).items()
    }


def _paths(value: Any) -> Iterator[str]:
    """Where the weights lie of every model that settings name, however deep."""
    if isinstance(value, Local):
        yield value.path
    elif isinstance(value, Vllm):
        yield value.model
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))
    elif isinstance(value, list | tuple | Mapping):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _paths(one)


def _named(config: Config) -> tuple[str | None, ...]:
    part = config.redteam
    return (part.seeds, part.benign, part.measured) if part else ()


def stages(config: Config) -> list[Stage]:
    """The stages of this configuration, in order."""
    sft = ("sft",) if config.sft else ()
    # Pairs of one's own take the split of the run's prompts.
    drawn = ("prompts.jsonl",) if config.labeling.pairs else ("responses.jsonl",)
    verdicts = ("verdicts.jsonl",) if work.verifies(config) else ()
    labels = ("preferences.jsonl", "abstentions.jsonl", *verdicts)
    page = ("report.html",)
    taught = ("model", "sft", *_teaching(config))
    judged = ("model", "evaluation", "judge")
    # The choice of a checkpoint is of nothing else that the evaluation measures.
    choosing = ("model", "evaluation.labeler", "evaluation.judge", "judge")
    prompts, responses = ("prompts.jsonl",), ("responses.jsonl",)
    # Without a red team nothing of it is read, nor fingerprinted.
    rewrites = config.redteam is not None and config.redteam.teaches
    attacked = ("redteam_preferences.jsonl", "redteam") if rewrites else ()
    mended, hostile = attacked[:1], ("redteam",) if config.redteam else ()
    learnt = ("preferences.jsonl", *mended)
    taught_by = (*learnt, *responses, *sft)
    needs = _needs(config, learnt)
    off = unused(config)
    raised, labelled = (*prompts, *needs.files, *sft), "label" not in off
    best = bool(config.evaluation.best_of)
    ranked = ("reward_model",) * (best and "reward" not in off)
    told = (*prompts, *labels[:1] * labelled, *attacked, *ranked, "policy", *sft)
    again = ("labeling.labeler",) * bool(config.evaluation.basic_labels)
    measured = (*judged, *hostile, *again, *("score",) * best)
    table = [
        # name, reads, writes, settings, work
        Stage("prompts", (), prompts, ("prompts", "judge"), work.prompts),
        Stage("sft", prompts, ("sft",), taught, work.sft),
        Stage("responses", (*prompts, *sft), responses, ("model", "sampling"), work.responses),
        Stage("label", drawn, labels, ("labeling", "judge"), work.label),
        Stage("redteam", (*prompts, *sft), attacked, ("model", "redteam", "judge"), work.redteam),
        Stage("reward", taught_by, ("reward_model",), ("model", "reward"), work.reward),
        Stage("policy", raised, ("policy",), (*choosing, *needs.settings), work.policy),
        Stage("evaluate", told, ("evaluation",), measured, work.evaluate),
        Stage("report", ("evaluation",), page, (), work.report),
    ]
    return [stage for stage in table if stage.name not in off]


def named(config: Config, until: str | None, *, redo: str | None = None) -> list[Stage]:
    """The stages up to and with `until`, all where it is None.

    Raises UsageError for an unknown name, and for a stage to `redo` that comes after `until`.
    """
    found = stages(config)
    names = [stage.name for stage in found]
    for name in (until, redo):
        if name is not None and name not in names:
            raise UsageError(f"stage {name!r} is none of {', '.join(names)}")
    wanted = found if until is None else found[: names.index(until) + 1]
    if redo is not None and redo not in names[: len(wanted)]:
        raise UsageError(
            f"--redo {redo}: it comes after --until {until}, so it would not be redone"
        )
    return wanted


def _teaching(config: Config) -> tuple[str, ...]:
    """Who is imitated, and who chooses among several answers."""
    part = config.sft
    if part is None or part.source == "references":
        return ()
    if part.source == "preferred":
        return ("labeling.pairs",)
    return ("teacher", "judge") if config.teacher is None or part.best_of > 1 else ("teacher",)


class _Needs(NamedTuple):
    """What RL needs of the stages before it."""

    files: tuple[str, ...]
    settings: tuple[str, ...]


def _needs(config: Config, learnt: tuple[str, ...]) -> _Needs:
    """Offline DPO needs the labels alone, fresh labels during RL need nothing.

    A reward that is not learned needs no labels, one that is not scaled no responses. To measure
    how stale it is takes the labeler, to renew it all that the reward stage takes.
    """
    part = config.policy
    if part.learns_from == "labels":
        return _Needs(learnt, ("policy",))
    if part.learns_from == "judge":
        return _Needs((), ("policy", "labeling"))
    learned = of_the_run(config.score)
    files = ["reward_model"] * learned + list(learnt) * part.renews
    drawn = of_samples(config.score) > 0 or part.renews
    settings = ["score", "policy"] + ["labeling"] * (part.staleness is not None)
    files += ["responses.jsonl"] * drawn
    return _Needs(tuple(files), (*settings, *["reward"] * part.renews))
