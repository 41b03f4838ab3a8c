"""What does each stage of a run ask, and of which model? At most, from the settings alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

from hrlaif.attacking import attacked, harm, harmed, red_team
from hrlaif.config import Config
from hrlaif.estimates import (
    Asked,
    Sizes,
    Work,
    categories,
    checks,
    each,
    grades,
    of_check,
    of_labeler,
    of_pairs,
    of_reward,
    size_of,
    tokens_of,
)
from hrlaif.labeling import Human
from hrlaif.materials import on_prompts, own_pairs, rewarded, unverified
from hrlaif.policy import Dpo
from hrlaif.prompts import collect
from hrlaif.protocols import LanguageModel
from hrlaif.records import Comparison, Prompt
from hrlaif.reward.parts import of_samples


class Named(NamedTuple):
    """What the settings name, read once."""

    config: Config
    prompts: Sequence[Prompt]
    own: Sequence[Comparison] | None
    """Of `labeling.pairs`."""

    def of(self, *splits: str) -> list[Prompt]:
        """The prompts of these splits."""
        return [p for p in self.prompts if p.split in splits]

    @property
    def pairs(self) -> Sizes:
        """What is labelled, at most."""
        if self.own is not None:
            return size_of(self.own)
        part, how = self.config.labeling, self.config.sampling
        sampled = self.of("train", "validation")
        count = len(sampled) * min(part.pairing.per_prompt, comb(how.samples, 2))
        return Sizes(min(count, part.limit or count), each(sampled), how.max_tokens)

    @property
    def evaluator(self) -> LanguageModel:
        """Who judges the policies."""
        return self.config.evaluation.judge or self.config.judge


def read(config: Config) -> Named:
    """Reads the prompts and the pairs that the settings name."""
    prompts = collect(config.prompts, seed=config.seed)
    own = on_prompts(config, own_pairs(config), prompts) if config.labeling.pairs else None
    return Named(config, prompts, own[: config.labeling.limit] if own is not None else None)


def asked(stage: str, named: Named) -> list[Asked]:
    """Calls and tokens of a stage, by model."""
    return _STAGES[stage](named) if stage in _STAGES else []


def _prompts(named: Named) -> list[Asked]:
    return [(categories(named.prompts), named.config.judge)]


def _sft(named: Named) -> list[Asked]:
    """A teacher's answers, and a grade of each where the best is kept."""
    config, part = named.config, named.config.sft
    if part is None or part.source != "teacher":
        return []
    asked = [*named.of("train")[: part.at_most], *named.of("validation")]
    answers = part.best_of * len(asked)
    written = Work(answers, part.best_of * tokens_of(asked), answers * part.max_tokens)
    graded = [(grades(Sizes(answers, each(asked), part.max_tokens)), config.judge)]
    return [(written, config.teacher or config.judge), *graded * (part.best_of > 1)]


def _responses(named: Named) -> list[Asked]:
    how, asked = named.config.sampling, named.of("train", "validation")
    calls = len(asked) * how.samples
    return [
        (Work(calls, tokens_of(asked) * how.samples, calls * how.max_tokens), named.config.model)
    ]


def _label(named: Named) -> list[Asked]:
    labeler, judge = named.config.labeling.labeler, named.config.judge
    if named.own is not None:
        return of_pairs(labeler, judge, named.own)
    found = of_labeler(labeler, judge, named.pairs)
    if checks(labeler):
        known = [p for p in named.of("train", "validation") if p.reference_answer is not None]
        count = len(known) * named.config.sampling.samples
        found.append((of_check(named.pairs._replace(number=count)), judge))
    return found


def _redteam(named: Named) -> list[Asked]:
    config, part, own = named.config, named.config.redteam, len(named.prompts)
    if part is None:
        return []
    return [(attacked(part, own), config.model), (red_team(part, own), part.judge or config.judge)]


def _reward(named: Named) -> list[Asked]:
    read = _both_sides(named.pairs) * named.config.reward.epochs
    return [(Work(0, int(read), passes=3.0), rewarded(named.config))]


def _both_sides(pairs: Sizes) -> float:
    return 2 * pairs.number * (pairs.response + pairs.prompt)


def _policy(named: Named) -> list[Asked]:
    """RL itself, what the judge is asked meanwhile, and the choice of a checkpoint at its end."""
    config, part = named.config, named.config.policy
    if isinstance(part.algorithm, Dpo):
        read = _both_sides(named.pairs._replace(number=part.algorithm.batch_size)) * part.steps
        learnt, beside = Work(0, int(read), passes=4.0), []
    else:
        count = part.sampling.prompts_per_step * part.sampling.samples_per_prompt * part.steps
        read = count * each(named.of("train", "validation"))
        learnt = Work(0, int(read), count * part.sampling.max_tokens, passes=7.0)
        beside = _in_rl(named)
    watched = named.of("validation")[: part.validation.prompts]
    candidates = min(part.validation.candidates, -(-part.steps // part.validation.every))
    chosen = Sizes(candidates * len(watched), each(watched), part.sampling.max_tokens)
    choice = of_labeler(config.evaluation.labeler, named.evaluator, chosen)
    return [(learnt, config.model), *beside, *choice]


def _in_rl(named: Named) -> list[Asked]:
    """What is asked while RL runs: grades, and labels that tell how stale the reward is.

    Samples of a prompt share its question, so a grade reads the response and little more.
    """
    config, part = named.config, named.config.policy
    labeler, judge = config.labeling.labeler, config.judge
    length, prompt = part.sampling.max_tokens, each(named.of("train"))
    step = part.sampling.prompts_per_step * part.sampling.samples_per_prompt
    watched = len(named.of("validation"))
    seen = (1 + -(-part.steps // part.validation.every)) * min(watched, part.validation.prompts)
    found: list[Asked] = []
    if part.learns_from == "judge":
        size = Sizes(part.steps * step // 2 + seen, prompt, length)
        found += of_labeler(labeler, judge, size)
    else:
        drawn = len(named.of("train", "validation")) * config.sampling.samples
        scaled = min(of_samples(config.score), drawn)
        size = Sizes(part.steps * step + seen + scaled, prompt, length)
        found.append((of_reward(config.score, size), judge))
    if part.staleness is not None and part.learns_from == "reward":
        how = part.staleness
        pairs = how.pairs * (1 + -(-part.steps // how.every))
        pairs += how.refresh_pairs * how.at_most * part.renews
        if isinstance(labeler, Human):
            labeler, judge = config.evaluation.labeler, named.evaluator
        found += of_labeler(labeler, judge, Sizes(pairs, prompt, length))
    return found


def _evaluate(named: Named) -> list[Asked]:
    """Both policies' answers, and what is asked about them."""
    config, part, judge = named.config, named.config.evaluation, named.evaluator
    test, how = named.of("test"), part.sampling
    size = Sizes(len(test) * how.samples, each(test), how.max_tokens)
    both = size._replace(number=2 * size.number)
    found = [(_written(both), config.model), *of_labeler(part.labeler, judge, size)]
    if part.satisfaction:
        found.append((grades(both), judge))
    if part.toxicity:
        lists = part.toxicity.prompts()
        continued = Sizes(2 * len(lists) * how.samples, each(lists), how.max_tokens)
        found += [(_written(continued), config.model)]
        found += [(of_check(continued, part.toxicity.check), judge)]
    if part.basic_labels:
        again = named.pairs._replace(number=part.basic_labels)
        found += of_labeler(unverified(config), config.judge, again)
    if part.best_of:
        drawn = size._replace(number=len(test) * part.best_of)
        found += [(_written(drawn), config.model), (of_reward(config.score, drawn), config.judge)]
        found += of_labeler(part.labeler, judge, size._replace(number=len(test)))
    if config.redteam:
        found.append((harmed(config.redteam), config.model))
        found.append((harm(config.redteam), config.redteam.judge or config.judge))
    return found


def _written(responses: Sizes) -> Work:
    count = responses.number
    return Work(count, int(count * responses.prompt), int(count * responses.response))


_STAGES = {
    "prompts": _prompts,
    "sft": _sft,
    "responses": _responses,
    "label": _label,
    "redteam": _redteam,
    "reward": _reward,
    "policy": _policy,
    "evaluate": _evaluate,
}
