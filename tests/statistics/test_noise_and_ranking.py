"""Label noise and Bradley-Terry against known truth, scipy, statsmodels and hand numbers."""

import math

import numpy as np
import pytest

from hrlaif.statistics import Games, bradley_terry, noise, same_order, told_apart
from hrlaif.statistics.bradley_terry import scaled
from hrlaif.statistics.logistic import fit


def told(seed, rate, n=200, sure=3.0):
    """Log-odds that tell the truth, and its labels flipped with probability `rate`."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, sure, n)
    clean = rng.random(n) < 1 / (1 + np.exp(-margins))
    return margins / 7, (clean ^ (rng.random(n) < rate)).astype(float)


@pytest.mark.parametrize(("rate", "sure"), [(0.2, 3.0), (0.2, 1.0), (0.0, 3.0)])
def test_the_rate_of_random_flips_is_in_its_interval_in_at_least_93_of_100_seeds(rate, sure):
    found = [noise(*told(seed, rate, sure=sure)) for seed in range(100)]
    assert sum(rate <= f.at_most.high for f in found) >= 98
    rates = [f.rate for f in found if f.rate.value is not None]
    assert sum(f.low <= rate <= f.high for f in rates) >= 0.93 * len(rates)
    # A model that is right in 0.69 of the pairs is not always shown to be above a coin.
    assert len(rates) == 100 or sure == 1.0
    # Even if each flip could be seen, 200 labels would leave 2 x 1.96 sqrt(0.16 / 200) = 0.11.
    if (rate, sure) == (0.2, 3.0):
        assert 0.11 < np.mean([f.high - f.low for f in rates]) < 0.3


def test_the_rate_is_the_likeliest_by_scipy():
    from scipy.optimize import minimize

    margins, y = told(4, 0.2, n=500)

    def unlikely(at):
        p = at[0] + (1 - 2 * at[0]) / (1 + np.exp(-at[1] * margins))
        return -np.log(np.where(y > 0.5, p, 1 - p)).sum()

    theirs = minimize(unlikely, [0.1, 5.0], bounds=[(0, 0.49), (0.01, 100)]).x[0]
    assert 0.1 < theirs < 0.3
    assert noise(margins, y).rate.value == pytest.approx(theirs, abs=0.01)


def test_what_a_model_prefers_bounds_random_flips_by_hand():
    # Right, wrong, neither, wrong: 1.5 of 4 agree, so at most 2.5 of 4 were flipped.
    found = noise([2.0, -1.0, 0.0, 3.0], [1, 1, 1, 0])
    assert (found.held_out.value, found.at_most.value) == (0.375, 0.625)
    assert found.at_most.low == pytest.approx(1 - found.held_out.high)
    assert found.at_most.high == pytest.approx(1 - found.held_out.low)


def test_a_model_that_is_not_shown_to_know_anything_tells_no_rate():
    rng = np.random.default_rng(1)
    found = noise(rng.normal(0, 1, 200), rng.integers(0, 2, 200))
    assert found.held_out.low < 0.5
    assert (found.rate.value, found.rate.low, found.rate.high, found.rate.n) == (*[None] * 3, 200)


def test_rows_of_one_prompt_count_as_one():
    margins, y = told(6, 0.15, n=200)
    once = noise(margins, y).rate
    names = np.repeat(np.arange(200), 3).tolist()
    thrice = noise(np.repeat(margins, 3), np.repeat(y, 3), clusters=names).rate
    assert (thrice.value, thrice.low, thrice.high) == (once.value, once.low, once.high)
    assert noise(np.repeat(margins, 3), np.repeat(y, 3)).rate.low > once.low


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


def test_a_game_of_weight_2_counts_as_two():
    once = Games(["x", "y", "x", "z"], ["y", "z", "z", "x"], [1, 0.3, 1, 0.6], weights=[2, 1, 1, 2])
    names = ["x", "x", "y", "x", "z", "z"], ["y", "y", "z", "z", "x", "x"]
    twice = Games(*names, [1, 1, 0.3, 1, 0.6, 0.6])
    found, wanted = (bradley_terry(games, resamples=10) for games in (once, twice))
    for name in "xyz":
        # Weights have a mean of 1, so the ridge is a little stronger here: by less than this.
        assert found.strength[name].value == pytest.approx(wanted.strength[name].value, abs=1e-4)
    even = Games(["x", "x"], ["y", "y"], [1, 0])  # one game each: only weights tell who is better
    for weights, tau in ((None, None), ([1, 3], 1.0), ([3, 1], -1.0)):
        assert same_order(even._replace(weights=weights), [0, 0], resamples=10).value == tau


def test_a_trait_that_models_or_other_traits_explain_or_that_hardly_differs_is_left_out():
    played, style = games(n=200)
    who = [(f == "a") - (s == "a") for f, s in zip(played.first, played.second, strict=True)]
    rare = [1.0] * 9 + [0.0] * 191
    kept, left_out = told_apart(
        played, {"length": style, "again": 3 * style, "who": who, "rare": rare}
    )
    assert list(kept) == ["length"]
    assert left_out == {
        "again": "not to be told from the models themselves, or another trait",
        "who": "not to be told from the models themselves, or another trait",
        "rare": "fewer than 10 comparisons differ",
    }


def test_a_tie_is_half_a_win():
    even = bradley_terry(Games(["x"], ["y"], [0.5]), resamples=10)
    assert even.win_rate["x"].value == pytest.approx(0.5)


def test_shared_and_own_features_give_the_same_fit():
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, (50, 3)), rng.random(50)
    weights = rng.integers(0, 3, (4, 50)).astype(float)
    own = np.broadcast_to(x, (4, 50, 3))
    assert fit(x, y, weights) == pytest.approx(fit(own, y, weights))


def judged(seed, strengths, n=300):
    """The same games as `games`, won by another judge of these strengths."""
    played, _ = games(seed, n=n)
    place = dict(zip("abc", strengths, strict=True))
    pairs = zip(played.first, played.second, strict=True)
    odds = np.array([place[f] - place[s] for f, s in pairs])
    wins = np.random.default_rng(seed + 1000).random(n) < 1 / (1 + np.exp(-odds))
    return played, wins.astype(float)


def test_tau_is_scipys_over_the_strengths():
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    names = [f"m{n}" for n in range(7)]
    sides = [rng.choice(7, 2, replace=False) for _ in range(200)]
    wins, others = rng.integers(0, 2, (2, 200)).astype(float)
    played = Games([names[a] for a, _ in sides], [names[b] for _, b in sides], wins)
    strengths = [
        [f.value for f in bradley_terry(g, resamples=10).strength.values()]
        for g in (played, played._replace(wins=others))
    ]
    found = same_order(played, others, resamples=100)
    assert found.value == pytest.approx(kendalltau(*strengths).statistic)
    assert -1 <= found.low < found.value < found.high <= 1


def test_the_order_of_two_judges_is_in_its_interval_in_at_least_93_of_100_seeds():
    # People rank a, b, c; the judge b, a, c: two of three pairs alike, one not.
    inside, widths = 0, []
    for seed in range(100):
        played, wins = judged(seed, (0.0, 0.4, -0.4), n=150)
        found = same_order(played, wins, seed=seed, resamples=200)
        if found.low is None:  # the same in all draws, which must then be so
            inside += found.value == pytest.approx(1 / 3)
        else:
            inside += found.low - 1e-9 <= 1 / 3 <= found.high + 1e-9
            widths.append(found.high - found.low)
    assert inside >= 93
    assert len(widths) > 80
    assert 0.4 < np.mean(widths) < 1.5


def test_both_orders_are_fitted_on_the_same_draws_and_one_order_alone_has_no_interval():
    played, _ = games(1, n=60)
    # Wins nearly at random: apart, two fits of draws would often differ in their order.
    played = played._replace(wins=np.random.default_rng(5).integers(0, 2, 60).astype(float))
    same = same_order(played, played.wins, resamples=200)
    assert (same.value, same.low, same.high) == (1.0, None, None)
    assert same_order(played, 1 - played.wins, resamples=200).value == -1.0


def test_a_judge_of_ties_alone_has_no_order():
    played, _ = games(1, n=60)
    found = same_order(played, np.full(60, 0.5), resamples=50)
    assert (found.value, found.low, found.high) == (None, None, None)
