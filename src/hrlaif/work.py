"""What does each stage do? One function a stage, in the order of `pipeline.stages`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrlaif import measuring, scoring
from hrlaif.config import Config
from hrlaif.errors import TooManyAbstentions
from hrlaif.labeling import Hybrid, Verified
from hrlaif.labeling.calibrated import calibrated, calibrations
from hrlaif.labeling.verdicts import tally, verified_of
from hrlaif.llm import Local
from hrlaif.materials import (
    learnable,
    own_pairs,
    read_prompts,
    read_responses,
    sampled,
    start,
    unverified,
    weights,
)
from hrlaif.policy import Dpo
from hrlaif.progress import say
from hrlaif.protocols import pairs_at_once
from hrlaif.reasons import counted
from hrlaif.records import Abstention, Comparison, Preference
from hrlaif.reward import Direct
from hrlaif.reward.labels import learnt_from
from hrlaif.rows import write_rows
from hrlaif.run import map_rows

Counts = Mapping[str, Any]


def prompts(config: Config, folder: Path) -> Counts:
    """Collects prompts, and gives a category to those without."""
    from hrlaif.categories import categorize
    from hrlaif.prompts import collect

    given = collect(config.prompts, seed=config.seed)
    found = categorize(given, config.judge)
    write_rows(folder / "prompts.jsonl", (p.row() for p in found))
    by_split = Counter(str(p.split) for p in found)
    return {
        "prompts": len(found),
        **by_split,
        "without_category": sum(p.category is None for p in given),
        "by_category": Counter(p.category or "none" for p in found),
    }


def sft(config: Config, folder: Path) -> Counts:
    """Fine-tunes the policy before RL on a teacher's, the references' or preferred answers."""
    from hrlaif.sft.train import train

    assert config.sft is not None
    people = [
        Preference(comparison=c, prob_a=c.human_preference, labeler="human/people")
        for c in (own_pairs(config, folder) if config.sft.source == "preferred" else [])
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
    rows = sampled(
        config.sampling, asked, start(config, folder), folder / "responses.jsonl", config.seed
    )
    cut = sum(row["finish_reason"] == "length" for row in rows)
    silent = sum(row["finish_reason"] == "error" for row in rows)
    return {
        "responses": len(rows),
        "truncated": cut,
        "unanswered": silent,
        "abstained_share": silent / max(len(rows), 1),
    }


def label(config: Config, folder: Path) -> Counts:
    """Asks the labeler which response of each pair is better."""
    part = config.labeling
    verified: Counts = {}
    if part.pairs:
        pairs = own_pairs(config, folder)
    else:
        drawn = [
            r for r in read_responses(folder / "responses.jsonl") if r.finish_reason != "error"
        ]
        verdicts = verified_of(part.labeler, drawn, config.judge)
        if verifies(config):
            verified = tally(drawn, verdicts)
            write_rows(folder / "verdicts.jsonl", (verdict.row() for verdict in verdicts))
        passed = {verdict.id: verdict.passed for verdict in verdicts}
        asks = getattr(part.labeler, "asks", None)
        pairs = part.pairing.pair(drawn, seed=config.seed, passed=passed, asks=asks)
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
        chunk=pairs_at_once(config.judge, part.labeler),
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
    flipped = sum(bool((row["evidence"] or {}).get("flipped")) for row in told)
    return {
        "comparisons": len(rows),
        "preferences": len(told),
        "abstentions": len(silent),
        "abstained_share": share,
        "abstained_by_reason": counted(r["reason"] for r in silent),
        "flipped": flipped,
        "truncated": sum(bool((r["evidence"] or {}).get("truncated")) for r in told),
        **({"verified": verified} if verified else {}),
    }


def redteam(config: Config, folder: Path) -> Counts:
    """Attacks the policy before RL, and prefers rewrites to its harmful answers."""
    from hrlaif.redteam import Models, before_rl

    assert config.redteam is not None
    target, part = Local(path=start(config, folder)), config.redteam
    who = Models.of(part, target, config.judge, Path(target.path).name)
    return before_rl(part, who, folder, read_prompts(folder, "train"), seed=config.seed)


def reward(config: Config, folder: Path) -> Counts:
    """Trains the reward model on the labels."""
    return scoring.train_reward(
        config,
        learnable(config, folder),
        config.reward.base or start(config, folder),
        folder / "reward_model",
        samples=read_responses(folder / "responses.jsonl"),
    )


def policy(config: Config, folder: Path) -> Counts:
    """Raises the reward by RL, or learns from the labels, and keeps what the judge likes best."""
    from hrlaif.policy import candidates, loop, offline
    from hrlaif.reward import learned
    from hrlaif.reward.evaluate import held_out

    part, out, begin = config.policy, folder / "policy", start(config, folder)
    watched = read_prompts(folder, "validation")
    where: dict[str, Any] = {"start": begin, "folder": out, "validation": watched}
    counts: dict[str, Any]
    if part.staleness is not None and part.learns_from != "reward":
        say("  policy.staleness does nothing here: no reward is raised that could grow stale")
    if isinstance(part.algorithm, Dpo):
        probabilities, share = part.algorithm.probabilities, part.algorithm.heldout_share
        told = [learnt_from(p, probabilities) for p in learnable(config, folder)]
        rows, aside = held_out(told, share=share, seed=config.seed)
        kept = [told[i] for i in aside]
        counts = offline.train(
            part, [told[i] for i in rows], heldout=kept, seed=config.seed, **where
        )
    else:
        scorer, watch = scoring.scorer_of(config, folder)
        asked = read_prompts(folder, "train")
        counts = loop.train(part, asked, scorer, watch=watch, seed=config.seed, **where)
    learned.unload()
    judge = config.evaluation.judge or config.judge
    chosen = candidates.decide(part, out, config.evaluation.labeler, judge)
    if chosen.abstained_share > config.max_abstentions:
        raise TooManyAbstentions(
            f"policy: {chosen.abstained_share:.0%} of the comparisons of checkpoints have no "
            f"verdict, more than the {config.max_abstentions:.0%} allowed: see "
            f"{out / 'choice.json'}; all steps are done and kept: see that the judge answers and "
            "run the same command, or raise max_abstentions"
        )
    candidates.save_chosen(part, begin, out, chosen.chosen)
    return {
        "steps": part.steps,
        "chosen_step": chosen.chosen,
        "abstained_share": chosen.abstained_share,
        **counts,
    }


def evaluate(config: Config, folder: Path) -> Counts:
    """Compares the policy with the one before RL on test prompts that no stage has seen."""
    from hrlaif.evaluation import Basic, Toxic, toxicity
    from hrlaif.evaluation import evaluate as measure
    from hrlaif.pages.values import verdicts

    out, part = folder / "evaluation", config.evaluation
    out.mkdir(exist_ok=True)
    judge = part.judge or config.judge
    asked = read_prompts(folder, "test")
    sides = measuring.both_policies(config, folder, asked, "responses")

    def toxic() -> Toxic:
        assert part.toxicity is not None
        sft, rl = measuring.both_policies(config, folder, part.toxicity.prompts(), "continuations")
        return toxicity(sft, rl, part.toxicity, judge, out, seed=config.seed)

    metrics = measure(
        sides[0],
        sides[1],
        part.labeler,
        judge,
        out,
        **measuring.known(config, folder),
        harm=measuring.harm(config, folder),
        rater=part.satisfaction,
        basic=Basic(unverified(config), config.judge, part.basic_labels),
        best_of=measuring.best_of(config, folder, asked, sides[0]),
        toxic=toxic if part.toxicity else None,
        seed=config.seed,
    )
    won = metrics["win_rate"]
    return {
        "prompts": len(asked),
        "win_rate": won["overall"] if verdicts(won) else None,
        "abstained_share": won["abstained_share"],
    }


def report(config: Config, folder: Path) -> Counts:
    """Writes the page."""
    from hrlaif.report import write

    return {"bytes": write(folder).stat().st_size}


def verifies(config: Config) -> bool:
    """Whether sampled answers are checked before they are paired."""
    part = config.labeling
    return part.pairs is None and isinstance(part.labeler, (Hybrid, Verified))
