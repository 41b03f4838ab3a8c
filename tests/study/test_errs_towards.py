"""Which way the errors of a judge go: nowhere for an unbiased one, and as far as its pull is."""

import math
import random

import numpy as np
import pytest

from hrlaif.llm import Scripted
from hrlaif.records import Preference
from hrlaif.study import bias

from .conftest import labels, make

ACCURACY, PULL = 0.8, 0.49
STUDIES, PAIRS = 100, 70


def longer_in_seven_of_ten(count, seed):
    """Pairs of which people prefer the longer response in 70 %."""
    coins, items = random.Random(seed), []
    for item in make(count, seed=seed):
        p = item.longer if coins.random() < 0.7 else 1 - item.longer
        comparison = item.comparison.model_copy(update={"human_preference": p})
        items.append(item._replace(comparison=comparison))
    return items


@pytest.fixture(scope="module")
def pairs():
    whole = longer_in_seven_of_ten(STUDIES * PAIRS, seed=3)
    return [whole[n * PAIRS : (n + 1) * PAIRS] for n in range(STUDIES)]


def inside(pairs, truth, **faults):
    figures = []
    for seed, items in enumerate(pairs):
        answers = labels(items, Scripted(accuracy=ACCURACY, seed=seed, **faults))
        found = bias.errs_towards(items, answers, lambda i: i.longer, seed=seed)
        figures.append(found.difference)
    assert all(f.low < f.value < f.high for f in figures)
    values = [f.value for f in figures]
    assert np.mean(values) == pytest.approx(truth, abs=0.03)
    assert np.mean([f.high - f.low for f in figures]) < 1.25 * 3.92 * np.std(values, ddof=1)
    return sum(f.low <= truth <= f.high for f in figures)


def test_errors_of_an_unbiased_judge_follow_no_length_in_at_least_93_of_100_studies(pairs):
    assert inside(pairs, 0.0) >= 93


def test_a_known_pull_of_length_is_in_the_interval_in_at_least_93_of_100_studies(pairs):
    # Where the pull of both orders exceeds the belief of 2, the longer is named whatever it
    # believes; elsewhere it is right in 80 % on both sides. So the difference is that share.
    pull, over = math.log((0.5 + PULL) / (0.5 - PULL)), []
    for item in make(5_000, seed=5):
        a, b = len(item.comparison.a.text), len(item.comparison.b.text)
        if a != b:
            over.append(math.tanh(abs(a - b) / max(a, b)) * pull > 2)
    share = np.mean(over)
    assert 0.2 < share < 0.6
    assert inside(pairs, share, length_bias=PULL) >= 93


def answers(items, right):
    """Labels that are right or wrong as they are told."""
    return [
        Preference(comparison=i.comparison, prob_a=i.truth if r else 1 - i.truth, labeler="x")
        for i, r in zip(items, right, strict=True)
    ]


def test_the_difference_is_that_of_the_two_shares_beside_it():
    items = [i for i in longer_in_seven_of_ten(60, seed=1) if i.longer != 0.5]
    shorter = [i for i in items if i.longer != i.truth][:12]
    longer = [i for i in items if i.longer == i.truth][:20]
    wrong = [False] * 9 + [True] * 3 + [False] * 18 + [True] * 2
    said = answers([*shorter, *longer], [not w for w in wrong])
    line = bias.observed([*shorter, *longer], said, seed=0)[0]
    assert line["name"] == "errs towards the longer"
    assert line["figure"]["value"] == pytest.approx(3 / 12 - 2 / 20)
    assert line["figure"]["n"] == 32
    assert [(name, f["value"], f["n"]) for name, f in line["beside"].items()] == [
        ("names the longer where people prefer the shorter", pytest.approx(3 / 12), 12),
        ("names the shorter where people prefer the longer", pytest.approx(2 / 20), 20),
    ]
    few = shorter[:9]
    names = [row["name"] for row in bias.observed([*few, *longer], said[:9] + said[12:], seed=0)]
    assert names == ["one deviation longer"]


def test_noise_in_peoples_word_looks_like_errors_as_the_docstring_says():
    # A judge that is never wrong, people who are wrong in one of ten: 0.07 / 0.34 - 0.03 / 0.66.
    coins = random.Random(0)
    items = [i for i in longer_in_seven_of_ten(5_000, seed=2) if i.longer != 0.5]
    said = answers(items, [True] * len(items))
    noisy = [
        i._replace(
            comparison=i.comparison.model_copy(update={"human_preference": 1 - i.truth})
        )
        if coins.random() < 0.1
        else i
        for i in items
    ]  # fmt: skip
    found = bias.errs_towards(noisy, said, lambda i: i.longer, seed=0)
    assert found.difference.value == pytest.approx(0.07 / 0.34 - 0.03 / 0.66, abs=0.03)
    assert round(0.07 / 0.34 - 0.03 / 0.66, 2) == 0.16


def test_pairs_checked_by_doubt_say_what_all_pairs_would():
    """People saw a pair the sooner, the fainter the judge; its pull is that of all pairs."""
    items = [i for i in longer_in_seven_of_ten(4_000, seed=7) if i.longer != 0.5]
    said = labels(items, Scripted(accuracy=ACCURACY, length_bias=PULL))
    whole = bias.errs_towards(items, said, lambda i: i.longer, seed=0).difference
    coins, seen = random.Random(1), []
    for item, answer in zip(items, said, strict=True):
        chance = 0.1 + 0.9 * (abs(answer.prob_a - 0.5) < 0.4)
        if coins.random() < chance:
            seen.append((item._replace(chance=chance), answer))
    checked, told = zip(*seen, strict=True)
    found = bias.errs_towards(checked, told, lambda i: i.longer, seed=0).difference
    bare = [item._replace(chance=None) for item in checked]
    unweighed = bias.errs_towards(bare, told, lambda i: i.longer, seed=0).difference
    assert len(checked) < 0.8 * len(items)
    assert found.value == pytest.approx(whole.value, abs=0.04)
    assert found.low < whole.value < found.high
    assert not unweighed.low < whole.value < unweighed.high
