"""What does a stage find in a run folder? Models, prompts, responses and labels, read and typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hrlaif.config import Config
from hrlaif.errors import DataError, UsageError
from hrlaif.labeling import Human, Hybrid, Verified
from hrlaif.llm import Local, Packaged
from hrlaif.llm.prompting import with_options
from hrlaif.progress import number, say
from hrlaif.protocols import Labeler, LanguageModel, texts_at_once
from hrlaif.records import Comparison, Message, Preference, Prompt, Response, Row
from hrlaif.reward.parts import of_samples, of_the_run
from hrlaif.rows import comparisons_from, read_rows, write_rows
from hrlaif.run import map_rows
from hrlaif.sampling import Sampling, key


def weights(model: LanguageModel) -> str:
    """The folder, file or hub id of a model that can be trained here."""
    if isinstance(model, Packaged):
        return model.local().path
    if isinstance(model, Local):
        return model.path
    raise UsageError(f"model: {model.name} has no weights here: give local:PATH or packaged:NAME")


def start(config: Config, folder: Path) -> str:
    """The policy before RL: the fine-tuned one, or `model` as it is."""
    return str(folder / "sft") if config.sft else weights(config.model)


def rewarded(config: Config) -> LanguageModel:
    """What a reward model is made of."""
    return Local(path=config.reward.base) if config.reward.base else config.model


def unverified(config: Config) -> Labeler:
    """What labels without verification come from: what the labeling asks where no check decides.

    Where that is people, the evaluation's labeler.
    """
    labeler: Labeler = config.labeling.labeler
    while isinstance(labeler, Hybrid | Verified):
        labeler = labeler.otherwise
    return config.evaluation.labeler if isinstance(labeler, Human) else labeler


def read_prompts(folder: Path, *splits: str) -> list[Prompt]:
    """The run's prompts of these splits, of all where none is named."""
    found = [Prompt.from_row(row.values) for row in read_rows(folder / "prompts.jsonl")]
    return [prompt for prompt in found if not splits or prompt.split in splits]


def read_responses(path: Path) -> list[Response]:
    """Responses that a stage wrote."""
    return [Response.from_row(row.values) for row in read_rows(path)]


def read_preferences(path: Path) -> list[Preference]:
    """Labels that a stage wrote; none where there was no such stage, or it found none."""
    if not path.exists() or not path.stat().st_size:
        return []
    return [Preference.from_row(row.values) for row in read_rows(path)]


def learnable(config: Config, folder: Path) -> list[Preference]:
    """What a reward model, or offline DPO, learns from: labels, and the red team's rewrites."""
    rewrites = config.redteam is not None and config.redteam.teaches
    names = ["preferences.jsonl"] + ["redteam_preferences.jsonl"] * rewrites
    return [told for name in names for told in read_preferences(folder / name)]


def teaches(config: Config) -> bool:
    """Whether anything learns from `learnable`, of a reward model or by offline DPO."""
    part = config.policy
    return part.learns_from == "labels" or (
        part.learns_from == "reward" and (of_the_run(config.score) or part.renews)
    )


def unused(config: Config) -> set[str]:
    """Stages that make nothing that is used, or have nothing to do: they are no part of the run."""
    part, red = config.policy, config.redteam
    off = {"sft"} if config.sft is None else set()
    off |= {"redteam"} if red is None or not red.teaches else set()
    if part.learns_from == "labels":
        return off | {"reward"}
    if part.learns_from == "judge":
        return off | {"responses", "label", "reward"}
    if of_the_run(config.score):
        return off
    drawn = of_samples(config.score) > 0 or part.renews
    return off | {"label", "reward"} | (set() if drawn else {"responses"})


def own_pairs(config: Config, folder: Path | None = None) -> list[Comparison]:
    """The pairs of `labeling.pairs`, of which people may have said which is better.

    Their prompts hold their options, as a run's do. In the run of `folder` they are those of
    `on_prompts`.
    """
    if not config.labeling.pairs:
        raise UsageError("labeling.pairs: name the file of pairs that people have compared")
    try:
        pairs = comparisons_from(read_rows(config.labeling.pairs))
    except DataError as error:
        raise DataError(f"labeling.pairs: {error}") from None
    pairs = [pair.model_copy(update={"prompt": with_options(pair.prompt)}) for pair in pairs]
    return pairs if folder is None else on_prompts(config, pairs, read_prompts(folder))


def on_prompts(
    config: Config, pairs: Sequence[Comparison], prompts: Sequence[Prompt]
) -> list[Comparison]:
    """Pairs on one of the run's prompts, by the turns, with that prompt's split and id, and others.

    What is asked at the end is in no training, in whatever file it stands again. Others are left
    out where the run's prompts come from the same file, and only some were taken.
    """
    known = {_asked(p): {"id": p.id, "split": p.split} for p in prompts}
    found = [(pair, known.get(_asked(pair.prompt))) for pair in pairs]
    others = sum(of_the_run is None for _, of_the_run in found)
    sources = {Path(source).resolve() for source in config.prompts.sources}
    same = Path(str(config.labeling.pairs)).resolve() in sources
    if others and same:
        say(
            f"labeling.pairs: {number(others, 'pair')} left out, of prompts that prompts.train or "
            "prompts.categories leaves out"
        )
    elif others and config.prompts.train is not None:
        say(
            f"labeling.pairs: {number(others, 'pair')} of no prompt of the run, which "
            "prompts.train does not limit: labeling.limit and sft.at_most do"
        )
    return [
        pair.model_copy(update={"prompt": pair.prompt.model_copy(update=of_the_run or {})})
        for pair, of_the_run in found
        if of_the_run or not same
    ]


def _asked(prompt: Prompt) -> tuple[Message, ...]:
    """The turns that a policy is asked: words put first (see rows/turns.py) are none of them."""
    turns = prompt.messages
    return turns[:-1] if turns[-1].role == "assistant" else turns


def sampled(how: Sampling, asked: Sequence[Prompt], model: str, path: Path, seed: int) -> list[Row]:
    """Responses of the weights in `model`, saved a chunk at a time."""
    sampler = Local(path=model)
    name = Path(model).name
    partial = path.with_name(path.name + ".partial")
    rows = map_rows(
        partial,
        how.questions(asked),
        how.sampler(sampler, name=name, seed=seed),
        chunk=texts_at_once(sampler),
        key=lambda question: key(question, name),
        what=path.stem,
        unit="responses",
    )
    write_rows(path, rows)
    partial.unlink()
    return rows
