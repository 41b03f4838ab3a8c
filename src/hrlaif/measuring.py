"""What does the evaluation look at? Both policies' answers, and what earlier stages found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrlaif import scoring
from hrlaif.checks.answer import Answer
from hrlaif.config import Config
from hrlaif.evaluation.cost import judged
from hrlaif.llm import Local
from hrlaif.materials import (
    learnable,
    read_preferences,
    read_prompts,
    read_responses,
    sampled,
    start,
    unused,
)
from hrlaif.records import Prompt, Response
from hrlaif.redteam.attempts import Attempt, plainly
from hrlaif.rows import read_rows
from hrlaif.run import read_receipt

_BEFORE = ("prompts", "sft", "responses", "label", "redteam", "reward", "policy")


def both_policies(
    config: Config, folder: Path, asked: Sequence[Prompt], what: str
) -> list[list[Response]]:
    """Responses of the policy before RL and of the one after it; each file is made once."""
    sides, models = [], (("sft", start(config, folder)), ("policy", str(folder / "policy")))
    for name, model in models:
        path = folder / "evaluation" / f"{name}_{what}.jsonl"
        if not path.exists():
            sampled(config.evaluation.sampling, asked, model, path, config.seed)
        sides.append(read_responses(path))
    return sides


def known(config: Config, folder: Path) -> dict[str, Any]:
    """What earlier stages found and the evaluation shows: labels, rewards, the choice, the cost.

    Labels that lie there from other settings, and that nothing learns from now, are none.
    """
    off = unused(config)
    receipts = {name: read_receipt(folder, name) for name in _BEFORE if name not in off}
    labelled = "label" in receipts
    preferences = read_preferences(folder / "preferences.jsonl") if labelled else []
    silent = _silent(folder / "abstentions.jsonl") if labelled else []
    labelers = [*(p.labeler for p in preferences), *silent]
    choice = json.loads((folder / "policy" / "choice.json").read_text("utf-8"))
    watched = [row.values for row in read_rows(folder / "policy" / "validation.jsonl")]
    totals = {
        name: {**receipt.cost, "cost": receipt.cost.get("usd"), "seconds": receipt.seconds}
        for name, receipt in receipts.items()
        if receipt is not None
    }
    return {
        "check": Answer(),
        "preferences": preferences,
        "validation": watched,
        "chosen_step": choice["chosen"],
        "totals": totals,
        "labels": judged(labelers),
    }


def _silent(path: Path) -> list[str]:
    """The labelers that abstained."""
    if not path.exists() or not path.stat().st_size:
        return []
    return [str(row.values["labeler"]) for row in read_rows(path)]


def harm(config: Config, folder: Path) -> Mapping[str, Any] | None:
    """Harmful answers and over-refusals of both policies, on red-team seeds kept for the end."""
    from hrlaif.evaluation.harmless import changes
    from hrlaif.redteam import before_and_after, sureness

    if (part := config.redteam) is None:
        return None
    paths = {"sft": start(config, folder), "policy": str(folder / "policy")}
    sides = {name: Local(path=path) for name, path in paths.items()}
    # As in the red team's own stage: `redteam.judge`, or else the run's.
    sure = sureness(part, config.judge)
    seen, out = trained_on(config, folder), folder / "evaluation"
    found = before_and_after(part, sides, config.judge, out, seed=config.seed, seen=seen)
    return changes(found, sure, seed=config.seed)


def trained_on(config: Config, folder: Path) -> list[Prompt]:
    """What any training of the run has read; pairs of one's own may be on other prompts."""
    off = unused(config)
    seen = read_prompts(folder, "train", "validation")
    if "label" not in off:
        seen += [told.comparison.prompt for told in learnable(config, folder)]
    if "sft" not in off:
        imitated = read_responses(folder / "sft" / "demonstrations.jsonl")
        seen += [response.prompt for response in imitated]
    if "redteam" in off:
        return seen
    for name in ("attempts", "benign"):
        path = folder / "redteam" / f"{name}.jsonl"
        rows = read_rows(path) if path.stat().st_size else []
        for attempt in (Attempt.from_row(row.values) for row in rows):
            seen += [attempt.response.prompt, plainly(attempt).prompt]
    return seen


def best_of(
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
        sampled(how, asked, start(config, folder), path, config.seed + 1)
    drawn = read_responses(path)
    scores = scoring.scored(config, folder, drawn)
    judges = (part.labeler, part.judge or config.judge)
    return best_of(sft, drawn, scores, judges, out, seed=config.seed)
