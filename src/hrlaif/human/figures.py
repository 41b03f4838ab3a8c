"""What do the votes say, and do raters agree? Rates by category, and agreement.

Every figure is {value, low, high, n}; abstentions stand beside it. `quick` leaves out the intervals
that need resampling, for a page that is looked at while people vote.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hrlaif.human.beside import Judged
from hrlaif.human.items import Item
from hrlaif.human.results import Vote, preferences_of
from hrlaif.records import Comparison, Prompt, Row
from hrlaif.statistics import (
    NOTHING,
    RESAMPLES,
    Figure,
    clusters,
    fleiss_kappa,
    kendall_w,
    krippendorff_alpha,
    mean,
)

SATISFIED = 3.5  # levels 4 and 5; a judge's expected grade counts from here on too
_NO_CATEGORY = "none"
_ORDER = {"a": 0.0, "tie": 1.0, "both bad": 1.0, "b": 2.0}
_HARM = {"no": 0.0, "yes": 1.0}

Valued = tuple[Item, float]
"""An item, and what was said of it as a number."""
Unit = tuple[Prompt, list[float]]
"""The prompt of one item, and what its raters said."""


def rates(cast: Sequence[Vote]) -> Row:
    """Win rates, satisfaction and harmless rates by model and category, beside the AI judge's.

    A win rate is the mean probability that the second model's response is better. Every rate is
    clustered by what its prompt says, and the judge's is over the items that people answered.
    """
    votes = [vote for vote in cast if vote.counts]
    return {
        "votes": len(votes),
        "raters": len({vote.rater for vote in votes}),
        "abstentions": _abstentions(votes),
        "win_rate": _by_models(votes),
        "satisfaction_rate": _singles(votes, "satisfaction", _satisfied, _judge_satisfied),
        "harmless_rate": _singles(votes, "harmless", _harmless, _judge_harmless),
        "agreement": agreement(votes),
    }


def _by_models(votes: Sequence[Vote]) -> list[Row]:
    people: dict[tuple[str, str], list[tuple[Item, float]]] = defaultdict(list)
    judged: dict[tuple[str, str], dict[str, tuple[Item, float]]] = defaultdict(dict)
    said_of = [(vote, preference) for vote in votes for preference in preferences_of(vote)]
    usual = _usual_order(preference.comparison for _, preference in said_of)
    for vote, preference in said_of:
        names = (preference.comparison.a.model, preference.comparison.b.model)
        won = 1 - preference.prob_a
        if turned := names not in usual:
            names, won = names[::-1], 1 - won
        people[names].append((vote.item, won))
        said = vote.item.judged.prob_a if vote.item.judged else None
        if said is not None and len(vote.item.candidates) == 2:
            judged[names][vote.item.id] = (vote.item, said if turned else 1 - said)
    return [
        {"of": b, "over": a, **_rate(values, list(judged[a, b].values()))}
        for (a, b), values in sorted(people.items())
    ]


def _usual_order(pairs: Iterable[Comparison]) -> set[tuple[str, str]]:
    """Of two models that a file holds in either order, the one in which more pairs stand."""
    seen = {pair.id: (pair.a.model, pair.b.model) for pair in pairs}
    many = Counter(seen.values())
    return {names for names in many if (many[names], names) >= (many[names[::-1]], names[::-1])}


def _singles(
    votes: Sequence[Vote],
    mode: str,
    said: Callable[[Vote], float | None],
    judge: Callable[[Judged], float | None],
) -> list[Row]:
    people: dict[str, list[Valued]] = defaultdict(list)
    judged: dict[str, dict[str, Valued]] = defaultdict(dict)
    for vote in votes:
        value = said(vote) if vote.item.mode == mode else None
        if value is None:
            continue
        model = vote.item.candidates[0].model
        people[model].append((vote.item, value))
        found = judge(vote.item.judged) if vote.item.judged else None
        if found is not None:
            judged[model][vote.item.id] = (vote.item, found)
    return [
        {"of": model, **_rate(values, list(judged[model].values()))}
        for model, values in sorted(people.items())
    ]


def _rate(people: Sequence[Valued], judge: Sequence[Valued]) -> Row:
    categories = sorted({item.prompt.category or _NO_CATEGORY for item, _ in people})
    return {
        "people": _share(people).row(),
        "judge": _share(judge).row(),
        "by_category": {
            name: {
                "people": _share(_of(people, name)).row(),
                "judge": _share(_of(judge, name)).row(),
            }
            for name in categories
        },
    }


def _of(values: Sequence[Valued], category: str) -> list[Valued]:
    return [v for v in values if (v[0].prompt.category or _NO_CATEGORY) == category]


def _share(values: Sequence[Valued]) -> Figure:
    names = clusters(item.prompt for item, _ in values)
    return mean([value for _, value in values], clusters=names, share=True)


def _satisfied(vote: Vote) -> float | None:
    level = vote.answer.satisfaction
    return None if level is None else float(level >= SATISFIED)


def _judge_satisfied(judged: Judged) -> float | None:
    return None if judged.satisfaction is None else float(judged.satisfaction >= SATISFIED)


def _harmless(vote: Vote) -> float | None:
    return _HARM.get(vote.answer.harmless or "")


def _judge_harmless(judged: Judged) -> float | None:
    return None if judged.harmless is None else float(judged.harmless)


def _abstentions(votes: Iterable[Vote]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        if vote.answer.silent:
            found[vote.item.mode][vote.answer.silent] += 1
    return {mode: dict(counts) for mode, counts in found.items()}


def agreement(votes: Sequence[Vote], *, quick: bool = False) -> Row:
    """Kappa, alpha and W between raters, and how often they side with the AI judge."""
    resamples = 0 if quick else RESAMPLES
    return {
        "preference": {
            "kappa": _fleiss(_by_item(votes, _choice), resamples).row(),
            "alpha": _alpha(_by_item(votes, _choice), "ordinal", resamples).row(),
            "judge": _with_judge(votes, _side, lambda j: _sided(j.prob_a), quick).row(),
        },
        "ranking": {"w": _concordance(votes, resamples).row()},
        "satisfaction": {
            "alpha": _alpha(_by_item(votes, _level), "ordinal", resamples).row(),
            "judge": _with_judge(votes, _satisfied, _judge_satisfied, quick).row(),
        },
        "harmless": {
            "kappa": _fleiss(_by_item(votes, _harmless), resamples).row(),
            "alpha": _alpha(_by_item(votes, _harmless), "nominal", resamples).row(),
            "judge": _with_judge(votes, _harmless, _judge_harmless, quick).row(),
        },
    }


def _choice(vote: Vote) -> float | None:
    return _ORDER.get(vote.answer.prefers or "")


def _level(vote: Vote) -> float | None:
    return vote.answer.satisfaction


def _side(vote: Vote) -> float | None:
    """1 for a, 0 for b; nothing for a tie, which sides with nobody."""
    return {"a": 1.0, "b": 0.0}.get(vote.answer.prefers or "")


def _sided(prob_a: float | None) -> float | None:
    return None if prob_a is None or prob_a == 0.5 else float(prob_a > 0.5)


def _by_item(votes: Iterable[Vote], value: Callable[[Vote], float | None]) -> list[Unit]:
    found: dict[str, Unit] = {}
    for vote in votes:
        if (said := value(vote)) is not None:
            found.setdefault(vote.item.key, (vote.item.prompt, []))[1].append(said)
    return list(found.values())


def _alpha(units: Sequence[Unit], level: Any, resamples: int) -> Figure:
    said, names = [values for _, values in units], clusters(prompt for prompt, _ in units)
    return krippendorff_alpha(said, level=level, clusters=names, resamples=resamples)


def _fleiss(units: Sequence[Unit], resamples: int) -> Figure:
    """Over the items with the most common number of raters above one: kappa needs equal numbers."""
    sizes = Counter(len(said) for _, said in units if len(said) > 1)
    if not sizes:
        return NOTHING
    size = max(sizes, key=lambda n: (sizes[n], n))
    values = sorted({value for _, said in units for value in said})
    whole = [unit for unit in units if len(unit[1]) == size]
    counts = [[said.count(v) for v in values] for _, said in whole]
    names = clusters(prompt for prompt, _ in whole)
    return fleiss_kappa(counts, clusters=names, resamples=resamples)


def _concordance(votes: Sequence[Vote], resamples: int) -> Figure:
    found: dict[str, list[list[float]]] = defaultdict(list)
    prompts: dict[str, Prompt] = {}
    for vote in votes:
        if vote.answer.ranking is not None:
            places = sorted(range(len(vote.answer.ranking)), key=vote.answer.ranking.__getitem__)
            found[vote.item.key].append([place + 1.0 for place in places])
            prompts[vote.item.key] = vote.item.prompt
    names = clusters(prompts[key] for key in found)
    return kendall_w(list(found.values()), clusters=names, resamples=resamples)


def _with_judge(
    votes: Sequence[Vote],
    person: Callable[[Vote], float | None],
    judge: Callable[[Judged], float | None],
    quick: bool,
) -> Figure:
    same, prompts = [], []
    for vote in votes:
        said = person(vote)
        judged = judge(vote.item.judged) if vote.item.judged else None
        if said is not None and judged is not None:
            same.append(float(said == judged))
            prompts.append(vote.item.prompt)
    if quick:
        value = sum(same) / len(same) if same else None
        return Figure(value=value, low=None, high=None, n=len(same))
    return mean(same, clusters=clusters(prompts), share=True)
