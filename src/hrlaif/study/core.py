"""How far can these judges be trusted on these pairs? The whole study, judge by judge.

Every question goes through the ledger in force: what two ways of asking share is asked once, and a
killed study goes on where it was by asking again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from hrlaif.errors import DataError
from hrlaif.llm import Remote
from hrlaif.llm.remote_loop import side_by_side
from hrlaif.llm.sizes import parameters
from hrlaif.panels import together
from hrlaif.progress import say
from hrlaif.protocols import LanguageModel, Reward
from hrlaif.records import Preference, Row
from hrlaif.settings import compute
from hrlaif.statistics import Calibration
from hrlaif.study import besides, learning, sweep
from hrlaif.study.agreement import Scored, baselines, breakdown, raters
from hrlaif.study.asked import Asked
from hrlaif.study.calibrate import calibrate
from hrlaif.study.checks import Checkable, corrected, to_check
from hrlaif.study.labels import Labels, ask
from hrlaif.study.pairs import as_far_as_done, halves
from hrlaif.study.ranking import ranking
from hrlaif.study.worst import disagreements


class Judged(NamedTuple):
    """One judge's part of study.json, and what is written beside it."""

    row: Row
    labels: Mapping[str, Labels]
    maps: Mapping[str, Calibration]
    chosen: str
    checks: list[Row]
    """Rows for a person, with the chance of each."""


def study(asked: Asked, judges: Sequence[LanguageModel]) -> tuple[Row, list[Judged]]:
    """All judges; raises DataError where no pair has a preference to compare with."""
    asked = asked._replace(items=as_far_as_done(asked.items))
    items, seed = asked.items, asked.settings.seed
    if not any(item.decided for item in items):
        raise DataError(
            "no pair has a preference to compare with: give rows a human_preference (or "
            "gold_preference, or votes) that is not 0.5"
        )
    dev, test = halves(items, seed=seed)
    parts = sweep.Halves(items, dev, test)
    _ask_ahead(asked, judges)
    labelled = [_sweep(asked, judge) for judge in judges]
    samples = [besides.own_samples(asked, judge) for judge in judges]
    judged = []
    for n, (judge, labels) in enumerate(zip(judges, labelled, strict=True)):
        say(f"{judge.name}: figures")
        judged.append(_judge(asked, parts, judge, labels, asked.graders[n]))
    ways = [one.chosen for one in judged]
    for n, one in enumerate(judged):
        one.row["bias"] += besides.self_preference(asked, judges, ways, samples, n)
    row = {
        "pairs": _counted(parts),
        "baselines": baselines(parts.of(test), seed=seed),
        "judges": {judge.name: one.row for judge, one in zip(judges, judged, strict=True)},
        "between_judges": _between(parts, judges, judged, seed),
    }
    if len(judges) > 1:
        row["together"] = _together(parts, judges, judged, seed)
    return row, judged


def _ask_ahead(asked: Asked, judges: Sequence[LanguageModel]) -> None:
    """All ways of asking at once, where each takes a batch: the sweep then finds their answers."""
    pairs = [item.comparison for item in asked.items]
    work = [(v, j) for j in judges if isinstance(j, Remote) for v in asked.variants]
    if not compute().batch or not work:
        return
    with side_by_side(len(work)) as submit:
        under_way = [submit(variant.labeler.label, pairs, judge) for variant, judge in work]
        for ended in under_way:
            ended.result()


def _sweep(asked: Asked, judge: LanguageModel) -> dict[str, Labels]:
    pairs = [item.comparison for item in asked.items]
    return {v.name: ask(v, judge, pairs, what=f"{judge.name} {v.name}") for v in asked.variants}


def _judge(
    asked: Asked,
    parts: sweep.Halves,
    judge: LanguageModel,
    labels: Mapping[str, Labels],
    grader: Reward | None,
) -> Judged:
    # One order alone is half place, and is right by place where one place is right more often.
    both = {v.name for v in asked.variants if not getattr(v.labeler, "single_order", False)}
    seed, fair = asked.settings.seed, {name: labels[name] for name in labels if name in both}
    best = sweep.chosen(parts, fair or labels, seed=seed)
    answers = labels[best].answers
    test, dev = parts.of(parts.test), parts.of(parts.dev)
    on_test, on_dev = ([answers[n] for n in half] for half in (parts.test, parts.dev))
    name = next(a.labeler for a in answers)
    fitted = calibrate(
        Scored.of(dev, on_dev), Scored.of(test, on_test), judge=judge.name, labeler=name, seed=seed
    )
    others = {key: made.answers for key, made in labels.items() if key != best}
    pool = Checkable.of(
        asked.items, answers, others=[*others.values()], calibration=fitted.maps.get("temperature")
    )
    plan, rows = to_check(
        pool, asked.settings.budget, by=asked.settings.check_by, test=test, seed=seed
    )
    checked = corrected(pool.where(test), plan.get("budget_test", 0), seed=seed)
    lesson = learning.Lesson([a for a in on_dev if isinstance(a, Preference)], test)
    row = {
        "chosen": best,
        "parameters": parameters(judge),
        "truncated": sum(
            isinstance(a, Preference) and bool(a.evidence and a.evidence.truncated) for a in answers
        ),
        "variants": sweep.table(parts, labels, seed=seed),
        "against_longer": sweep.against_longer(parts, labels[best], seed=seed),
        "breakdown": breakdown(test, on_test, seed=seed),
        "raters": raters(test, on_test, seed=seed),
        "ranking": ranking(test, on_test, seed=seed),
        "bias": besides.card(asked, judge, asked.variant(best), test, on_test),
        "calibration": fitted.figures,
        "injection": besides.attacks(asked, judge, asked.variant(best), grader),
        "checking": plan | {"corrected": checked},
        "learning": learning.curve(lesson, asked.trainer, seed=seed),
        "poison": learning.poisoned(
            lesson, asked.trainer, shares=asked.settings.poison, seed=seed
        ),
        "noise": learning.doubtful(
            [a for a in answers if isinstance(a, Preference)], asked.trainer,
            test={item.prompt for item in test}, seed=seed,
        ),
        "disagreements": disagreements(
            asked.items, answers, most=asked.settings.disagreements, ways={best: answers, **others}
        ),
    }  # fmt: skip
    return Judged(row, labels, fitted.maps, best, rows)


def _between(
    parts: sweep.Halves, judges: Sequence[LanguageModel], judged: Sequence[Judged], seed: int
) -> Row:
    """Each judge's chosen labels minus the first judge's, on the test rows that both answered."""
    best = {j.name: one.labels[one.chosen] for j, one in zip(judges, judged, strict=True)}
    return sweep.against_first(parts, best, seed=seed)


def _together(
    parts: sweep.Halves, judges: Sequence[LanguageModel], judged: Sequence[Judged], seed: int
) -> Row:
    """The panel of all judges, each by its chosen way of asking: nothing more is asked."""
    made = [one.labels[one.chosen] for one in judged]
    each = zip(*(labels.answers for labels in made), strict=True)
    answers = [together(told, [judge.name for judge in judges]) for told in each]
    used = reduce(lambda a, b: a.plus(b), (labels.used for labels in made))
    panel = Labels(answers, used)
    found: Row = sweep.table(parts, {"panel": panel}, seed=seed)["panel"]
    alone = {j.name: labels for j, labels in zip(judges, made, strict=True)}
    best = sweep.chosen(parts, alone, seed=seed)
    pair = sweep.against_first(parts, {best: alone[best], "panel": panel}, seed=seed)
    return found | {"against_best": {"judge": best, **pair["panel"]} if pair else {}}


def _counted(parts: sweep.Halves) -> Row:
    items = parts.items
    return {
        "rows": len(items),
        "prompts": len({item.prompt for item in items}),
        "dev": len(parts.dev),
        "test": len(parts.test),
        "ties": sum(item.truth == 0.5 for item in items),
        "without_preference": sum(item.truth is None for item in items),
        "gold": sum(item.comparison.human_preference is None and item.decided for item in items),
        "with_votes": sum(bool(item.votes) for item in items),
        "weighed": sum(item.chance is not None and item.decided for item in items),
    }
