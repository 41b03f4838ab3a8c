"""Label noise and Bradley-Terry against known truth, statsmodels and hand numbers."""

import math

import numpy as np
import pytest

from hrlaif.statistics import Games, bradley_terry, noise
from hrlaif.statistics.bradley_terry import scaled
from hrlaif.statistics.logistic import fit
from hrlaif.statistics.noise import flip_probability


def labelled(seed, rate, n=500):
    """Responses told apart by four features, labels flipped with probability `rate`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 4))
    clean = rng.random(n) < 1 / (1 + np.exp(-x @ np.array([3.0, -2.0, 1.0, 2.0])))
    flipped = rng.random(n) < rate
    return x, (clean ^ flipped).astype(float), flipped


def test_the_noise_rate_is_in_its_interval_in_at_least_93_of_100_seeds():
    inside, widths = 0, []
    for seed in range(100):
        x, y, _ = labelled(seed, 0.2)
        found = noise(x, y, ridge=0.05, folds=1)
        inside += found.rate.low <= 0.2 <= found.rate.high
        widths.append(found.rate.high - found.rate.low)
    assert inside >= 93
    # Even if each flip could be seen, 500 labels would leave 2 x 1.96 sqrt(0.16 / 500) = 0.07.
    assert 0.07 < np.mean(widths) < 0.15


def test_most_of_the_labels_that_look_flipped_are():
    x, y, flipped = labelled(3, 0.15)
    worst = np.argsort(-noise(x, y, ridge=0.05).flipped)[:50]
    assert flipped[worst].mean() > 0.85


def test_clean_labels_have_little_noise():
    x, y, _ = labelled(5, 0.0)
    assert noise(x, y, ridge=0.05).rate.low < 0.02


def test_a_flip_probability_by_hand():
    # rho 0.2, the model says 0.9 for 1: label 1 is flipped with 0.2 x 0.1 / (0.02 + 0.72).
    found = flip_probability(np.array([1.0, 0.0]), np.array([0.9, 0.9]), 0.2)
    assert found == pytest.approx([0.02 / 0.74, 0.18 / (0.18 + 0.08)])


def test_rows_of_one_prompt_are_never_split_over_folds():
    # One row in three copies each: a copy left in training would vouch for the flipped label.
    x, y, _ = labelled(6, 0.15, n=200)
    names = list(np.repeat(np.arange(200), 3))
    once = noise(x, y, ridge=0.1).flipped
    thrice = noise(np.repeat(x, 3, axis=0), np.repeat(y, 3), clusters=names, ridge=0.3).flipped
    assert thrice.reshape(200, 3).std(axis=1).max() < 1e-9
    assert thrice[::3] == pytest.approx(once, abs=0.02)


def games(seed=0, n=600, pull=0.0):
    """Three models of strengths 0.8, 0 and -0.8 (log-odds), longer ones helped by `pull`."""
    rng = np.random.default_rng(seed)
    strength = {"a": 0.8, "b": 0.0, "c": -0.8}
    first = rng.choice(["a", "b", "c"], n)
    second = np.array([rng.choice([m for m in "abc" if m != f]) for f in first])
    style = rng.normal(0, 1, n) + 0.7 * (first == "c") - 0.7 * (second == "c")
    odds = [strength[f] - strength[s] for f, s in zip(first, second, strict=True)]
    chance = 1 / (1 + np.exp(-(np.array(odds) + pull * style)))
    wins = (rng.random(n) < chance).astype(float)
    return Games(first.tolist(), second.tolist(), wins), style


def test_two_models_of_which_one_wins_3_of_4_differ_by_log_3():
    found = bradley_terry(Games(["x"] * 4, ["y"] * 4, [1, 1, 1, 0]), resamples=50)
    gap = found.strength["x"].value - found.strength["y"].value
    assert gap == pytest.approx(math.log(3), abs=1e-4)
    assert found.win_rate["x"].value == pytest.approx(0.75, abs=1e-5)


def test_strengths_and_style_are_statsmodels():
    import statsmodels.api as sm

    played, style = games(pull=0.6)
    x = np.zeros((600, 3))
    for n, (f, s) in enumerate(zip(played.first, played.second, strict=True)):
        x[n, "abc".index(f)] += 1
        x[n, "abc".index(s)] -= 1
    design = np.column_stack([x[:, 1:], scaled(style)])  # a is held at 0
    theirs = sm.GLM(played.wins, design, family=sm.families.Binomial()).fit().params
    found = bradley_terry(played, style={"length": style}, resamples=50)
    ours = [found.strength[m].value - found.strength["a"].value for m in "bc"]
    assert ours == pytest.approx(list(theirs[:2]), abs=1e-4)
    assert found.style["length"].value == pytest.approx(theirs[2], abs=1e-4)


def test_strengths_are_in_their_intervals_in_at_least_93_of_100_seeds():
    inside, widths = {"a": 0, "b": 0, "c": 0, "style": 0}, []
    for seed in range(100):
        played, style = games(seed, n=300, pull=0.6)
        found = bradley_terry(played, style={"length": style}, seed=seed, resamples=400)
        for name, truth in (("a", 0.8), ("b", 0.0), ("c", -0.8)):
            inside[name] += found.strength[name].low <= truth <= found.strength[name].high
        sd = style.std(ddof=1)
        inside["style"] += found.style["length"].low <= 0.6 * sd <= found.style["length"].high
        widths.append(found.strength["a"].high - found.strength["a"].low)
    assert min(inside.values()) >= 93
    assert np.mean(widths) < 0.7


def test_a_tie_is_half_a_win():
    even = bradley_terry(Games(["x"], ["y"], [0.5]), resamples=10)
    assert even.win_rate["x"].value == pytest.approx(0.5)


def test_shared_and_own_features_give_the_same_fit():
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, (50, 3)), rng.random(50)
    weights = rng.integers(0, 3, (4, 50)).astype(float)
    own = np.broadcast_to(x, (4, 50, 3))
    assert fit(x, y, weights) == pytest.approx(fit(own, y, weights))
