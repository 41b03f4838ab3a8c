"""A judge of known accuracy, biases and calibration: is every estimate within its interval?"""

import math
import random
from collections import Counter

import numpy as np
import pytest

from hrlaif.llm import Scripted
from hrlaif.statistics import bootstrapped, wilson
from hrlaif.statistics.logistic import fit
from hrlaif.study import bias, checks
from hrlaif.study.agreement import Scored, agreement
from hrlaif.study.calibrate import calibrate, quality

from .conftest import labels, make

ACCURACY, POSITION = 0.75, 0.42
SAID = 1 / (1 + math.exp(-2))  # the judge's belief, in both orders
# With the bias it says 2 + logit(0.92) = 4.44 or -2 + 2.44 = 0.44 of the first: always the first.
LIFT = math.log((0.5 + POSITION) / (0.5 - POSITION))
MEAN_RIGHT = (1 / (1 + math.exp(-2 - LIFT)) + 1 / (1 + math.exp(-2 + LIFT))) / 2


@pytest.fixture(scope="module")
def studies():
    """Figures of 100 judges that differ in their seed alone, on 80 pairs of 80 prompts."""
    items, found = make(80), []
    for seed in range(100):
        answers = labels(items, Scripted(accuracy=ACCURACY, seed=seed))
        scored = Scored.of(items, answers)
        figures = {
            k: v for k, v in agreement(items, answers, seed=seed).items() if k in ("agreement",)
        }
        figures |= {k: v for k, v in quality(scored, None, seed=seed).items() if k != "bins"}
        pool = checks.Checkable.of(items, answers, others=[], calibration=None)
        drawn = checks.corrected(pool, 30, seed=seed)
        figures["all_checked"] = drawn["all"]["agreement"]
        figures["thirty_checked"] = drawn["random"]["agreement"]
        found.append(figures)
    return found


TRUTHS = {
    "agreement": ACCURACY,
    "ece": abs(SAID - ACCURACY),
    "brier": ACCURACY * (1 - SAID) ** 2 + (1 - ACCURACY) * SAID**2,
    "all_checked": ACCURACY,
    "thirty_checked": ACCURACY,
}


@pytest.mark.parametrize("name", TRUTHS)
def test_estimates_are_in_their_interval_in_at_least_93_of_100_seeds(studies, name):
    inside = sum(f[name]["low"] <= TRUTHS[name] <= f[name]["high"] for f in studies)
    assert inside >= 93


@pytest.mark.parametrize("name", ["brier", "all_checked", "thirty_checked"])
def test_intervals_are_no_wider_than_the_figures_scatter_asks(studies, name):
    width = np.mean([f[name]["high"] - f[name]["low"] for f in studies])
    assert width < 1.25 * 3.92 * np.std([f[name]["value"] for f in studies], ddof=1)


def test_the_interval_of_agreement_is_no_wider_than_a_fifth_beyond_wilsons(studies):
    widths = [f["agreement"]["high"] - f["agreement"]["low"] for f in studies]
    low, high = wilson(60, 80)
    assert 0.9 < np.mean(widths) / (high - low) < 1.2


FIRST, PLACE, LENGTH, PAIRS = 0.7, 0.3, 0.4, 80


@pytest.fixture(scope="module")
def biased():
    """Bias figures of 100 judges that like one place and the longer text, each on 80 own pairs.

    In 0.7 of the pairs it is the first place, in the others the second. Place decides only where
    length pulls against belief, so that no share here is near 0 or 1. Coverage: the
    two shares 95.7 and 95.0 of 100 (binomial), the lean 96.4 (250 seeds), the pull 94.1 (2,300).
    """
    found = []
    for seed in range(4_000, 4_100):
        items, coins = make(PAIRS, seed=seed), random.Random(seed)
        likes = [PLACE if coins.random() < FIRST else -PLACE for _ in items]
        answers = dict.fromkeys(range(PAIRS))
        for place in (PLACE, -PLACE):
            at = [n for n, liked in enumerate(likes) if liked == place]
            judge = Scripted(accuracy=ACCURACY, position_bias=place, length_bias=LENGTH, seed=seed)
            answers |= zip(at, labels([items[n] for n in at], judge), strict=True)
        said = list(answers.values())
        lines = bias.position(items, said, seed=seed)
        figures = {line["name"]: line["figure"] for line in lines}
        found.append(figures | {"pull": bias.length_pull(items, said, seed=seed).row()})
    return found


def odds(share):
    return math.log((0.5 + share) / (0.5 - share))


def sure(z):
    return 1 / (1 + np.exp(-np.asarray(z)))


@pytest.fixture(scope="module")
def law():
    """What infinitely many such pairs come to: the law in the docstring of `Scripted`."""
    many = [item.comparison for seed in range(200) for item in make(PAIRS, seed=10_000 + seed)]
    lengths = [[len(c.a.text), len(c.b.text)] for c in many]
    gaps = np.subtract(*np.transpose(lengths))
    both = [np.tanh(gaps / np.max(lengths, axis=1)) * odds(LENGTH) + b for b in (2, -2)]
    first = [(sure(z + way * odds(PLACE)) + sure(-z + way * odds(PLACE))).mean() / 2
             for way in (1, -1) for z in both]  # fmt: skip
    # Soft labels for a that is better, of a right and a wrong judge; b is better as often.
    label = np.concatenate([(sure(z + odds(PLACE)) + sure(z - odds(PLACE))) / 2 for z in both])
    x = np.column_stack([np.tile(gaps / gaps.std(ddof=1), 2), np.ones(label.size)])
    weight = np.repeat([ACCURACY, 1 - ACCURACY], gaps.size)
    beta = np.zeros(2)
    for _ in range(20):
        p = sure(x @ beta)
        beta += np.linalg.solve((x.T * weight * p * (1 - p)) @ x, x.T @ (weight * (label - p)))
    return {
        bias.SAME: np.mean(np.abs(both) < odds(PLACE)),
        bias.FIRST: FIRST,
        "probability of the first": FIRST * np.mean(first[:2]) + (1 - FIRST) * np.mean(first[2:]),
        "pull": beta[0],
    }


@pytest.mark.parametrize("name", [bias.SAME, bias.FIRST, "probability of the first", "pull"])
def test_known_biases_are_in_their_interval_in_at_least_93_of_100_seeds(biased, law, name):
    inside = sum(f[name]["low"] <= law[name] <= f[name]["high"] for f in biased)
    width = np.mean([f[name]["high"] - f[name]["low"] for f in biased])
    assert inside >= 93
    if name in (bias.SAME, bias.FIRST):
        exact = [wilson(f[name]["value"] * f[name]["n"], f[name]["n"]) for f in biased]
        assert 0.9 < width / np.mean([high - low for low, high in exact]) < 1.2
    else:
        assert width < 1.3 * 3.92 * np.std([f[name]["value"] for f in biased], ddof=1)


def test_a_judge_of_the_first_place_is_seen_as_one():
    items = make(60)
    answers = labels(items, Scripted(accuracy=ACCURACY, position_bias=POSITION))
    same, first, lean = (line["figure"] for line in bias.position(items, answers, seed=0))
    assert same["value"] == 1.0
    assert first == {"value": 1.0, "low": pytest.approx(60 / (60 + 1.96**2), abs=1e-3), "high": 1.0,
                     "n": 60}  # fmt: skip
    # Whatever it believes, it says 2 + lift of one response shown first and -2 + lift of the other.
    mean = (1 / (1 + math.exp(-2 - LIFT)) + 1 / (1 + math.exp(2 - LIFT))) / 2
    assert lean["value"] == pytest.approx(mean, abs=1e-5)
    # Both orders averaged still name what the judge believes.
    shares = Counter(a.prob_a > 0.5 for a in answers)
    assert set(shares) == {True, False}
    assert {round(max(a.prob_a, 1 - a.prob_a), 4) for a in answers} == {round(MEAN_RIGHT, 4)}


def test_an_unbiased_judge_never_prefers_a_place():
    items = make(60)
    answers = labels(items, Scripted(accuracy=ACCURACY))
    lines = bias.position(items, answers, seed=0)
    assert lines[0]["figure"]["value"] == 0.0
    assert lines[1]["figure"]["n"] == 0
    assert lines[1]["p"] == 1.0


def test_the_pull_of_length_is_found_and_an_unbiased_judges_is_zero():
    items = make(300)
    # A judge never wrong, pulled by length with up to logit(0.8) = 1.39.
    pulled = bias.length_pull(items, labels(items, Scripted(accuracy=1, length_bias=0.3)), seed=0)
    fair = bias.length_pull(items, labels(items, Scripted(accuracy=1)), seed=0)
    d = [
        math.tanh((m - n) / max(m, n))
        for m, n in ((len(i.comparison.a.text), len(i.comparison.b.text)) for i in items)
    ]
    gaps = np.array([len(i.comparison.a.text) - len(i.comparison.b.text) for i in items])
    slope = np.polyfit(gaps / gaps.std(ddof=1), math.log(0.8 / 0.2) * np.array(d), 1)[0]
    assert pulled.value == pytest.approx(slope, rel=0.1)
    assert pulled.low > 0
    assert fair.value == pytest.approx(0.0, abs=1e-4)


def test_the_deviation_that_the_pull_of_length_is_of_is_drawn_again_with_the_pairs():
    items = make(40)
    answers = labels(items, Scripted(accuracy=ACCURACY, length_bias=LENGTH))
    gaps = np.array([item.length_gap for item in items], float)
    truth = np.array([2 * item.truth - 1 for item in items])
    y = np.array([answer.prob_a for answer in answers])

    def phi(drawn):
        spread = [np.repeat(gaps, times.astype(int)).std(ddof=1) for times in drawn]
        unit = gaps / np.array(spread)[:, None]
        return fit(np.stack([unit, np.broadcast_to(truth, unit.shape)], axis=2), y, drawn)[:, 0]

    expected = bootstrapped(phi, 40, seed=0)
    found = bias.length_pull(items, answers, seed=0)
    assert found.value == pytest.approx(expected.value, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_temperature_finds_how_much_surer_the_judge_is_than_it_may_be():
    items = make(2000)
    scored = Scored.of(items, labels(items, Scripted(accuracy=ACCURACY)))
    fitted = calibrate(scored, scored, judge="j", labeler="l", seed=0)
    share = scored.share(0).value
    # Right in about 75 %, and says 88 %: log-odds of log 3 where it says 2.
    odds = math.log(share / (1 - share))
    assert fitted.maps["temperature"].slope == pytest.approx(odds / 2, abs=1e-4)
    assert odds == pytest.approx(math.log(3), abs=0.25)
    assert fitted.figures["temperature"]["ece"]["value"] == pytest.approx(0.0, abs=1e-4)
    assert fitted.figures["raw"]["ece"]["value"] == pytest.approx(SAID - share, abs=1e-4)


def test_a_failing_judge_is_silent_and_in_no_figure():
    items = make(200)
    answers = labels(items, Scripted(accuracy=1.0, failure=0.2))
    found = agreement(items, answers, seed=0)
    silent = sum(not hasattr(a, "prob_a") for a in answers)
    assert 40 < silent < 100
    assert found["agreement"]["n"] == 200 - silent
    assert found["agreement"]["value"] == 1.0
