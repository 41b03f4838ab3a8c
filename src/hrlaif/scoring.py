"""What is a response worth in this run? The reward in force, and how it may learn anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hrlaif.config import Config
from hrlaif.errors import UsageError
from hrlaif.labeling import Human
from hrlaif.labeling.calibrated import calibrated, calibrations, refuse_unfitting
from hrlaif.materials import learnable, read_responses, start, unused
from hrlaif.policy import Dpo
from hrlaif.protocols import Labeler, LanguageModel, Reward
from hrlaif.records import Preference, Response, Row, Score
from hrlaif.redteam import sureness
from hrlaif.reward import Ensemble, any_reward, learned
from hrlaif.reward.learned import RUN
from hrlaif.reward.parts import fitted, moved, of_samples, of_the_run, parts
from hrlaif.run import write_json
from hrlaif.settings import Settings, plain

if TYPE_CHECKING:
    from hrlaif.policy.rollouts import Scorer
    from hrlaif.policy.staleness import Watch

_IN_FORCE = "score.json"


def train_reward(
    config: Config,
    preferences: Sequence[Preference],
    base: str,
    folder: Path,
    *,
    samples: Sequence[Response],
) -> Row:
    """Trains the reward model, and its fellow members if wanted; the counts of the first.

    Members lie in `folder/member_2` and so on; each has a seed of its own.
    """
    from hrlaif.reward.train import train

    found: Row = {}
    for member in range(config.reward.members):
        out = folder / f"member_{member + 1}" if member else folder
        seed = config.seed + member
        made = train(config.reward, preferences, base, out, seed=seed, reference_responses=samples)
        found = found or made
    more = {"members": config.reward.members} if config.reward.members > 1 else {}
    return {**found, **more}


def reward_of(config: Config, folder: Path) -> Reward:
    """What RL raises. Scaled on the run's responses once; policy/score.json then keeps it."""
    ours, kept = str(folder / "reward_model"), folder / "policy" / _IN_FORCE
    if kept.exists():
        return moved(any_reward(json.loads(kept.read_text("utf-8"))), RUN, ours)
    found = moved(config.score, RUN, ours)
    if of_samples(found):
        found = fitted(found, read_responses(folder / "responses.jsonl"), config.judge)
    kept.parent.mkdir(exist_ok=True)
    write_json(kept, plain(_settings(moved(found, ours, RUN))))
    return found


def scorer_of(config: Config, folder: Path) -> tuple[Scorer, Watch | None]:
    """What a response is worth: a reward, or the labeler's word on fresh pairs; and its watch."""
    from hrlaif.policy.judged import Judged
    from hrlaif.policy.rollouts import Scorer

    if config.policy.learns_from == "judge":
        return Scorer(Judged(config.labeling.labeler, folder / "policy"), config.judge), None
    reward = reward_of(config, folder)
    base = config.reward.base or start(config, folder)
    watch = watch_of(config, folder, reward, base)
    return Scorer(watch or reward, config.judge), watch


def scored(config: Config, folder: Path, responses: Sequence[Response]) -> list[Score]:
    """By the reward of a finished run."""
    scores = reward_of(config, folder).score(responses, config.judge)
    learned.unload()
    return scores


def watch_of(config: Config, folder: Path, reward: Reward, base: str) -> Watch | None:
    """Compares the reward with the judge during RL; None where that is not wanted.

    `base` is what a reward model starts from. People's labels are there only once: where they are
    what the reward learned from, the evaluation's labeler and judge are asked for labels. Grades
    are those of RL, by the run's judge.
    """
    from hrlaif.policy.staleness import Renewal, Watch

    if config.policy.staleness is None:
        return None
    labeler: Labeler = config.labeling.labeler
    judge: LanguageModel = config.judge
    if isinstance(labeler, Human):
        labeler, judge = config.evaluation.labeler, config.evaluation.judge or judge
    ours = str(folder / "reward_model")

    def train(fresh: Sequence[Preference], out: Path) -> None:
        maps = calibrations(config.labeling.calibrations)
        told = [*learnable(config, folder), *(calibrated(label, maps) for label in fresh)]
        learned.unload()
        samples = read_responses(folder / "responses.jsonl")
        train_reward(config, told, base, out / "reward_model", samples=samples)

    def at(out: Path) -> Reward:
        return moved(reward, ours, str(out / "reward_model"))

    renewal = Renewal(train, at) if config.policy.renews else None
    return Watch(
        reward,
        labeler,
        judge,
        folder / "policy",
        seed=config.seed,
        renewal=renewal,
        grader=config.judge,
        max_abstentions=config.max_abstentions,
    )


def refuse_impossible(config: Config) -> None:
    """Raises UsageError, before any work, where the reward cannot become what was asked for.

    And DataError where a calibration is missing or no map.
    """
    ours = of_the_run(config.score)
    alone = any(
        isinstance(p, Ensemble) and p.path == RUN and not p.others for p in parts(config.score)
    )
    if alone and config.reward.members < 2:
        raise UsageError(
            "score: an ensemble asks several reward models, and reward.members is 1: set it to 3"
        )
    if not config.prompts.validation:
        raise UsageError(
            "prompts.validation: the checkpoint is chosen on validation prompts: set it above 0"
        )
    if config.evaluation.best_of and ours and config.policy.learns_from != "reward":
        raise UsageError(
            "evaluation.best_of: the best by the reward, and this run trains no reward model: set "
            "score to one that is there, such as direct, or evaluation.best_of to null"
        )
    if config.evaluation.best_of and not config.evaluation.sampling.temperature:
        raise UsageError(
            "evaluation.best_of: greedy answers are all the same: set "
            "evaluation.sampling.temperature above 0"
        )
    if config.redteam is not None:
        sureness(config.redteam, config.judge)  # measured with another judge than the detector
    if config.policy.renews and (not ours or isinstance(config.labeling.labeler, Human)):
        raise UsageError(
            "policy.staleness.then: refresh needs a reward model that this run trains on a judge's "
            "labels: set it to say, or score to learned"
        )
    if "label" not in unused(config):
        how = config.policy.algorithm
        learner = how if isinstance(how, Dpo) else config.reward
        maps = calibrations(config.labeling.calibrations)
        refuse_unfitting(config.labeling.labeler, config.judge, maps, learner.probabilities)


def _settings(part: object) -> Settings:
    assert isinstance(part, Settings)
    return part
