"""What reward models make of labels, against what the same models do on a very large fresh set."""

import numpy as np
import pytest
from scipy.optimize import minimize

from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.records import Preference
from hrlaif.study.features import differences
from hrlaif.study.learning import Lesson, curve, doubtful, linear, poisoned

from .conftest import labels, make

WRONG, POISON = 0.05, 0.2


def pairs(count, seed):
    """People prefer the longer response but for a share of 0.05."""
    coins, items = np.random.default_rng([seed, 9]), []
    for item in make(count, seed=seed):
        if item.longer != 0.5:
            truth = item.longer if coins.random() >= WRONG else 1 - item.longer
            known = item.comparison.model_copy(update={"human_preference": float(truth)})
            items.append(item._replace(comparison=known))
    return items


def taught(items):
    """Labels that name the longer response."""
    return [
        Preference(comparison=i.comparison, prob_a=0.9 if i.longer else 0.1, labeler="x")
        for i in items
    ]


def turned(made, share, coins):
    """A share of the labels, drawn without the study's own draws, turned round."""
    chosen = set(coins.permutation(len(made))[: round(share * len(made))].tolist())
    return [
        p.model_copy(update={"prob_a": 1 - p.prob_a}) if n in chosen else p
        for n, p in enumerate(made)
    ]


@pytest.fixture(scope="module")
def lessons():
    """Of 100 draws of labels and pairs: the figures, and what these models do on 600 new pairs."""
    fresh, rows = pairs(600, 10**6), []
    asked, longer = taught(fresh), np.array([i.longer for i in fresh])

    def accuracy(made):
        names_longer = (np.array(linear(made, asked)) > 0) == (longer == 1)
        return float(np.where(names_longer, 1 - WRONG, WRONG).mean())

    for seed in range(100):
        made = taught(pairs(40, 2 * seed))
        lesson = Lesson(made, pairs(50, 2 * seed + 1))
        found = poisoned(lesson, linear, shares=(POISON,), seed=0)
        clean = accuracy(made)
        spoilt = accuracy(turned(made, POISON, np.random.default_rng(seed)))
        rows.append(
            {
                "learning.accuracy": (found["0"]["accuracy"], clean),
                "poison.accuracy": (found[f"{POISON}"]["accuracy"], spoilt),
                "poison.difference": (found[f"{POISON}"]["difference"], spoilt - clean),
            }
        )
    return rows


# Poisoned figures are of one training of those that a draw may give, and the value is the mean of
# ten: it scatters less than one training does, and the interval is wider than its scatter.
@pytest.mark.parametrize(
    ("name", "widest"),
    [("learning.accuracy", 1.3), ("poison.accuracy", 1.6), ("poison.difference", 1.9)],
)
def test_what_a_model_does_on_fresh_pairs_is_in_its_interval_in_at_least_93_of_100_seeds(
    lessons, name, widest
):
    rows = [row[name] for row in lessons]
    assert sum(f["low"] <= truth <= f["high"] for f, truth in rows) >= 93
    off = np.std([f["value"] - truth for f, truth in rows], ddof=1)
    assert 0.9 < np.mean([f["high"] - f["low"] for f, _ in rows]) / (3.92 * off) < widest


def test_the_last_point_of_the_curve_is_the_clean_one_of_poison():
    lesson = Lesson(taught(pairs(50, 1)), pairs(50, 2))
    clean = poisoned(lesson, linear, shares=(), seed=0)["0"]["accuracy"]
    assert list(curve(lesson, linear, seed=0)["accuracy"].values())[-1] == clean


def test_shares_of_wrong_labels_are_in_their_interval_in_at_least_93_of_100_seeds():
    """`held_out`: against the mean of all draws, which is what two thirds of the labels teach.

    `likely_contradicted` has no truth: which twenty are the first suspects differs by draw.
    """
    contradicted, held_out = [], []
    for seed in range(100):
        items = [
            i._replace(comparison=i.comparison.model_copy(update={"human_preference": i.longer}))
            for i in make(60, seed=seed)
            if i.longer != 0.5
        ]
        made = labels(items, Scripted(accuracy=0.85, seed=seed), Pairwise(single_order=True))
        found = doubtful(made, linear, test={i.prompt for i in items}, seed=0)
        contradicted.append(found["contradicted"])
        held_out.append(found["held_out"])
    mean = np.mean([f["value"] for f in held_out])
    for rows, truth in ((contradicted, 0.15), (held_out, mean)):
        assert sum(f["low"] <= truth <= f["high"] for f in rows) >= 93
        scatter = np.std([f["value"] for f in rows], ddof=1)
        assert 0.8 < np.mean([f["high"] - f["low"] for f in rows]) / (3.92 * scatter) < 1.3


def separately(made, asked):
    """The same model by another way: scipy minimises its loss."""
    x = differences([p.comparison for p in (*made, *asked)])
    learnt, y = x[: len(made)], np.array([p.prob_a for p in made])

    def loss(beta):
        z = learnt @ beta
        return (np.logaddexp(0, z) - y * z).sum() + 1.5 * beta @ beta

    def slope(beta):
        return learnt.T @ (1 / (1 + np.exp(-learnt @ beta)) - y) + 3 * beta

    return x[len(made) :] @ minimize(loss, np.zeros(x.shape[1]), jac=slope).x


def test_poison_costs_labels_of_a_judge_that_is_never_wrong_what_turning_the_truth_costs():
    """Labels of `Scripted(accuracy=1)` are the truth; 40 other draws, and another optimiser."""
    made = labels(pairs(100, 1), Scripted(accuracy=1), Pairwise(single_order=True))
    assert all((p.prob_a > 0.5) == (p.comparison.human_preference > 0.5) for p in made)
    truth = [
        p.model_copy(update={"prob_a": 0.880797 if p.comparison.human_preference else 0.119203})
        for p in made
    ]
    test = pairs(150, 2)
    asked, better = taught(test), np.array([i.truth for i in test]) == 1.0

    def accuracy(given):
        return ((separately(given, asked) > 0) == better).mean()

    found = poisoned(Lesson(made, test), linear, shares=(0.05, 0.15, 0.3, 0.5), seed=0)
    clean, coins = accuracy(truth), np.random.default_rng(7)
    assert found["0"]["accuracy"]["value"] == pytest.approx(clean, abs=1e-9)
    for share in (0.05, 0.15, 0.3, 0.5):
        drops = [accuracy(turned(truth, share, coins)) - clean for _ in range(40)]
        figure = found[f"{share}"]["difference"]
        doubt = np.std(drops, ddof=1) * (1 / 10 + 1 / 40) ** 0.5
        assert figure["value"] == pytest.approx(np.mean(drops), abs=3 * doubt), share
        assert figure["low"] < np.mean(drops) < figure["high"], share
    costs = [one["difference"]["value"] for one in list(found.values())[1:]]
    assert costs == sorted(costs, reverse=True)
    assert found["0.5"]["accuracy"]["low"] < 0.5 < found["0.5"]["accuracy"]["high"]
