"""Did it work? One metrics.json from win rate, held-out reward, accuracy, agreement and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrlaif.evaluation.accuracy import accuracy
from hrlaif.evaluation.agreement import agreement
from hrlaif.evaluation.basic_labels import Basic, basic_labels
from hrlaif.evaluation.cost import cost
from hrlaif.evaluation.difficulty import Difficulty, refuse_unknown
from hrlaif.evaluation.held_out import held_out_reward
from hrlaif.evaluation.rater import Satisfaction
from hrlaif.evaluation.satisfaction import satisfaction
from hrlaif.evaluation.toxicity import Toxic
from hrlaif.evaluation.win_rate import OF_A_RUN, PARTIAL, Names, ask, pair, summarise
from hrlaif.protocols import Check, Labeler, LanguageModel
from hrlaif.records import Comparison, Preference, Response, Row
from hrlaif.rows import write_rows
from hrlaif.run import write_json


def evaluate(
    baseline: Sequence[Response],
    policy: Sequence[Response],
    labeler: Labeler,
    judge: LanguageModel,
    folder: Path,
    *,
    check: Check | None = None,
    preferences: Sequence[Preference] = (),
    validation: Sequence[Mapping[str, Any]] = (),
    chosen_step: int | None = None,
    totals: Mapping[str, Mapping[str, Any]] | None = None,
    labels: int = 0,
    harm: Mapping[str, Any] | None = None,
    rater: Satisfaction | None = None,
    basic: Basic | None = None,
    best_of: Mapping[str, Any] | None = None,
    toxic: Callable[[], Toxic] | None = None,
    seed: int = 0,
) -> Row:
    """Writes folder/metrics.json and folder/comparisons.jsonl; returns the metrics.

    baseline and policy: responses of the SFT policy and of the policy after RL to the same test
    prompts. `check` measures accuracy, `preferences` agreement with people, `validation` (rows of
    policy/validation.jsonl) the held-out reward, `totals` (a stage -> ledger totals) the cost,
    `rater` satisfaction, `basic` what labels without verification say of the same pairs, `toxic`
    toxicity, `harm` what `harmless.changes` found on red-team prompts, `best_of` what `best_of.py`
    found; what is not given is null. A killed run goes on where it stopped.
    """
    metrics = _compared(baseline, policy, labeler, judge, folder, seed=seed)
    found = agreement(preferences, seed=seed) if preferences else None
    satisfied = satisfaction(baseline, policy, rater, judge, folder, seed=seed) if rater else None
    metrics |= {
        "reward": held_out_reward(validation, step=chosen_step, seed=seed).row()
        if validation
        else None,
        "accuracy": accuracy(baseline, policy, check, judge, seed=seed).row() if check else None,
        "basic_labels": basic_labels(preferences, basic, folder, seed=seed).row()
        if basic and basic.most
        else None,
        "satisfaction": satisfied.row() if satisfied else None,
        "toxicity": toxic().row() if toxic else None,
        "agreement": found.row() if found and found.overall.n else None,
        "cost": cost(totals, labels=labels).row() if totals is not None else None,
        "harm": None if harm is None else dict(harm),
        "best_of": None if best_of is None else dict(best_of),
    }
    return _written(folder, "metrics.json", metrics)


def compare(
    baseline: Sequence[Response],
    policy: Sequence[Response],
    labeler: Labeler,
    judge: LanguageModel,
    folder: Path,
    *,
    pairs: Sequence[Comparison] | None = None,
    known: Difficulty | None = None,
    names: Names = OF_A_RUN,
    seed: int = 0,
) -> Row:
    """Win rate of `policy` (B) over `baseline` (A), raw and length-controlled.

    Writes folder/compare.json and folder/comparisons.jsonl, whose rows without `prob_a` are
    abstentions. `pairs` are those of `pair(baseline, policy)`, where they are made already; `known`
    adds the estimators that it allows, `names` are those of the statement. A killed comparison goes
    on where it stopped.
    """
    metrics = _compared(
        baseline, policy, labeler, judge, folder, pairs=pairs, known=known, names=names, seed=seed
    )
    return _written(folder, "compare.json", metrics)


def _compared(
    baseline: Sequence[Response],
    policy: Sequence[Response],
    labeler: Labeler,
    judge: LanguageModel,
    folder: Path,
    *,
    pairs: Sequence[Comparison] | None = None,
    known: Difficulty | None = None,
    names: Names = OF_A_RUN,
    seed: int,
) -> Row:
    folder.mkdir(parents=True, exist_ok=True)
    comparisons = pair(baseline, policy) if pairs is None else pairs
    if known is not None:
        refuse_unknown([c.prompt.id for c in comparisons], known)
    answers = ask(comparisons, labeler, judge, folder / PARTIAL)
    unmatched = len(baseline) + len(policy) - 2 * len(comparisons)
    won = summarise(answers, unmatched=unmatched, known=known, names=names, seed=seed)
    write_rows(folder / "comparisons.jsonl", (answer.row() for answer in answers))
    return {
        # A panel has others beside the judge.
        "judge": "+".join(one.name for one in (judge, *getattr(labeler, "others", ()))),
        "models": {
            "baseline": sorted({r.model for r in baseline}),
            "policy": sorted({r.model for r in policy}),
        },
        "win_rate": won.row(),
    }


def _written(folder: Path, name: str, metrics: Row) -> Row:
    write_json(folder / name, metrics)
    (folder / PARTIAL).unlink(missing_ok=True)
    return metrics
