"""What does each stage do? One function a stage, in the order of `pipeline.stages`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrlaif import scoring
from hrlaif.checks.answer import Answer
from hrlaif.config import Config
from hrlaif.errors import UsageError
from hrlaif.labeling.calibrated import calibrated, calibrations
from hrlaif.llm import Local, Packaged
from hrlaif.protocols import LanguageModel, pairs_at_once
from hrlaif.records import Abstention, Comparison, Preference, Prompt, Response, Row
from hrlaif.reward import Direct
from hrlaif.rows import comparisons_from, read_rows, write_rows
from hrlaif.run import map_rows, read_receipt
from hrlaif.sampling import Sampling, key

Counts = Mapping[str, Any]


def prompts(config: Config, folder: Path) -> Counts:
    """Collects prompts, and gives a category to those without."""
    from hrlaif.prompts import categorize, collect

    found = categorize(collect(config.prompts, seed=config.seed), config.judge)
    write_rows(folder / "prompts.jsonl", (p.row() for p in found))
    by_split = Counter(str(p.split) for p in found)
    return {
        "prompts": len(found),
        **by_split,
        "by_category": Counter(p.category or "none" for p in found),
    }


def sft(config: Config, folder: Path) -> Counts:
    """Fine-tunes the policy before RL on a teacher's, the references' or preferred answers."""
    from hrlaif.sft.train import train

    assert config.sft is not None
    people = [
        Preference(comparison=c, prob_a=c.human_preference, labeler="human/people")
        for c in (_own_pairs(config) if config.sft.source == "preferred" else [])
        if c.human_preference is not None
    ]
    return train(
        config.sft,
        read_prompts(folder, "train", "validation"),
        weights(config.model),
        folder / "sft",
        seed=config.seed,
        teacher=config.teacher or config.judge,
        pairs=people,
        grade=lambda answers: Direct().score(answers, config.judge),
    )


def responses(config: Config, folder: Path) -> Counts:
    """Samples the policy several times on every train and validation prompt."""
    asked = read_prompts(folder, "train", "validation")
    rows = _sampled(
        config.sampling, asked, start(config, folder), folder / "responses.jsonl", config.seed
    )
    cut = sum(row["finish_reason"] == "length" for row in rows)
    return {
        "responses": len(rows),
        "truncated": cut,
        "unanswered": sum(r["finish_reason"] == "error" for r in rows),
    }


def label(config: Config, folder: Path) -> Counts:
    """Asks the labeler which response of each pair is better."""
    part = config.labeling
    if part.pairs:
        pairs = _own_pairs(config)
    else:
        drawn = [
            r for r in read_responses(folder / "responses.jsonl") if r.finish_reason != "error"
        ]
        pairs = part.pairing.pair(drawn, seed=config.seed)
    pairs = pairs[: part.limit]
    partial = folder / "preferences.jsonl.partial"
    maps = calibrations(part.calibrations)

    def work(group: Sequence[Comparison]) -> list[Preference | Abstention]:
        answers = part.labeler.label(group, config.judge)
        return [calibrated(a, maps) if isinstance(a, Preference) else a for a in answers]

    rows = map_rows(
        partial,
        pairs,
        work,
        chunk=pairs_at_once(config.judge),
        key=lambda comparison: comparison.id,
        what="label",
        unit="pairs",
    )
    told = [row for row in rows if "prob_a" in row]
    silent = [row for row in rows if "prob_a" not in row]
    write_rows(folder / "abstentions.jsonl", silent)
    write_rows(folder / "preferences.jsonl", told)
    partial.unlink()
    share = len(silent) / len(rows) if rows else 0.0
    flipped = sum(bool(row["evidence"].get("flipped")) for row in told)
    return {
        "comparisons": len(rows),
        "preferences": len(told),
        "abstentions": len(silent),
        "abstained_share": share,
        "abstained_by_reason": Counter(r["reason"] for r in silent),
        "flipped": flipped,
        "truncated": sum(bool(r.get("evidence", {}).get("truncated")) for r in told),
    }


def reward(config: Config, folder: Path) -> Counts:
    """Trains the reward model on the labels."""
    return scoring.train_reward(
        config,
        read_preferences(folder),
        config.reward.base or start(config, folder),
        folder / "reward_model",
        samples=read_responses(folder / "responses.jsonl"),
    )


def policy(config: Config, folder: Path) -> Counts:
    """Raises the reward by RL, and keeps the checkpoint that the judge likes best."""
    from hrlaif.policy import candidates, loop
    from hrlaif.policy.rollouts import Scorer
    from hrlaif.reward import learned

    out, begin = folder / "policy", start(config, folder)
    reward = scoring.reward_of(config, folder)
    watch = scoring.watch_of(config, folder, reward, config.reward.base or begin)
    scorer = Scorer(watch or reward, config.judge)
    loop.train(
        config.policy,
        read_prompts(folder, "train"),
        scorer,
        start=begin,
        folder=out,
        validation=read_prompts(folder, "validation"),
        watch=watch,
        seed=config.seed,
    )
    learned.unload()
    judge = config.evaluation.judge or config.judge
    chosen = candidates.decide(config.policy, out, config.evaluation.labeler, judge)
    candidates.save_chosen(config.policy, begin, out, chosen.chosen)
    return {"steps": config.policy.steps, "chosen_step": chosen.chosen}


def evaluate(config: Config, folder: Path) -> Counts:
    """Compares the policy with the one before RL on test prompts that no stage has seen."""
    from hrlaif.evaluation import evaluate as measure

    out, part = folder / "evaluation", config.evaluation
    out.mkdir(exist_ok=True)
    asked = read_prompts(folder, "test")
    sides = []
    for name, model in (("sft", start(config, folder)), ("policy", str(folder / "policy"))):
        path = out / f"{name}_responses.jsonl"
        if not path.exists():
            _sampled(part.sampling, asked, model, path, config.seed)
        sides.append(read_responses(path))
    metrics = measure(
        sides[0],
        sides[1],
        part.labeler,
        part.judge or config.judge,
        out,
        **_known(folder),
        best_of=_best_of(config, folder, asked, sides[0]),
        seed=config.seed,
    )
    return {"prompts": len(asked), "win_rate": metrics["win_rate"]["overall"]}


def report(config: Config, folder: Path) -> Counts:
    """Writes the page."""
    from hrlaif.report import write

    return {"bytes": write(folder).stat().st_size}


def _known(folder: Path) -> dict[str, Any]:
    """What earlier stages found and the evaluation shows: labels, rewards, the choice, the cost."""
    receipts = {name: read_receipt(folder, name) for name in ("sft", "label", "policy")}
    made = receipts["label"].counts.get("comparisons", 0) if receipts["label"] else 0
    choice = json.loads((folder / "policy" / "choice.json").read_text("utf-8"))
    watched = [row.values for row in read_rows(folder / "policy" / "validation.jsonl")]
    totals = {
        name: {**receipt.cost, "cost": receipt.cost.get("usd"), "seconds": receipt.seconds}
        for name, receipt in receipts.items()
        if receipt is not None
    }
    return {
        "check": Answer(),
        "preferences": read_preferences(folder),
        "validation": watched,
        "chosen_step": choice["chosen"],
        "totals": totals,
        "labels": made,
    }


def _best_of(
    config: Config, folder: Path, asked: Sequence[Prompt], sft: Sequence[Response]
) -> Mapping[str, Any] | None:
    """The SFT policy's best of n answers by the reward, against its first ones."""
    from hrlaif.evaluation.best_of import best_of

    part, out = config.evaluation, folder / "evaluation" / "best_of"
    if part.best_of is None:
        return None
    path = out / "responses.jsonl"
    out.mkdir(exist_ok=True)
    if not path.exists():
        how = part.sampling.model_copy(update={"samples": part.best_of})
        # Another seed: the draws that are compared with are not among those chosen from.
        _sampled(how, asked, start(config, folder), path, config.seed + 1)
    drawn = read_responses(path)
    scores = scoring.scored(config, folder, drawn)
    judges = (part.labeler, part.judge or config.judge)
    return best_of(sft, drawn, scores, judges, out, seed=config.seed)


def _sampled(
    how: Sampling, asked: Sequence[Prompt], model: str, path: Path, seed: int
) -> list[Row]:
    """Responses of the weights in `model`, saved a chunk at a time."""
    sampler = Local(path=model)
    name = Path(model).name
    partial = path.with_name(path.name + ".partial")
    rows = map_rows(
        partial,
        how.questions(asked),
        how.sampler(sampler, name=name, seed=seed),
        chunk=max(sampler.chunk, 64),
        key=lambda question: key(question, name),
        what=path.stem,
        unit="responses",
    )
    write_rows(path, rows)
    partial.unlink()
    return rows


def _own_pairs(config: Config) -> list[Comparison]:
    if not config.labeling.pairs:
        raise UsageError("labeling.pairs: name the file of pairs that people have compared")
    return comparisons_from(read_rows(config.labeling.pairs))


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


def read_prompts(folder: Path, *splits: str) -> list[Prompt]:
    """The run's prompts of these splits."""
    found = [Prompt.from_row(row.values) for row in read_rows(folder / "prompts.jsonl")]
    return [prompt for prompt in found if prompt.split in splits]


def read_responses(path: Path) -> list[Response]:
    """Responses that a stage wrote."""
    return [Response.from_row(row.values) for row in read_rows(path)]


def read_preferences(folder: Path) -> list[Preference]:
    """The run's labels; none where a judge's grade is the reward."""
    path = folder / "preferences.jsonl"
    return [Preference.from_row(r.values) for r in read_rows(path)] if path.exists() else []
