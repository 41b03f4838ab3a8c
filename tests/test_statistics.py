"""Figures, intervals and length control against numbers computed by hand or by another library."""

import math

import numpy as np
import pytest

from hrlaif.statistics import (
    Contest,
    Figure,
    difference,
    entropy_floor,
    lc_difficulty,
    lc_minimal,
    lc_ratio,
    mean,
    wilson,
)
from hrlaif.statistics.logistic import fit
from hrlaif.statistics.separation import TOLD_BY_LENGTH


def test_nothing_is_unknown_and_not_zero():
    assert mean([]).row() == {"value": None, "low": None, "high": None, "n": 0}


def test_a_figure_row_holds_value_low_high_and_n():
    assert set(mean([0.0, 1.0, 1.0]).row()) == {"value", "low", "high", "n"}


def test_wilson_of_8_in_10_is_49_to_94_percent():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_twenty_wins_of_twenty_leave_room_for_a_loss():
    figure = mean([1.0] * 20, share=True)
    # Wilson: n / (n + z^2) = 20 / 23.8415.
    assert (figure.value, figure.high) == (1.0, 1.0)
    assert figure.low == pytest.approx(20 / (20 + 1.959964**2))


def test_equal_values_that_are_no_share_have_an_interval_of_no_width():
    figure = mean([2.5, 2.5, 2.5])
    assert (figure.low, figure.value, figure.high) == (2.5, 2.5, 2.5)


def test_one_prompt_has_no_interval():
    figure = mean([0.1, 0.2, 0.9], clusters=["p", "p", "p"])
    assert figure.value == pytest.approx(0.4)
    assert (figure.low, figure.high, figure.n) == (None, None, 3)


def test_ten_copies_of_each_row_are_no_more_certain_when_clustered_by_prompt():
    values = np.random.default_rng(0).random(40)
    prompts = list(range(40))
    once = mean(values, clusters=prompts)
    copied = mean(np.repeat(values, 10), clusters=list(np.repeat(prompts, 10)))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    naive = mean(np.repeat(values, 10))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_the_bootstrap_interval_is_near_the_normal_one():
    values = np.random.default_rng(1).normal(3.0, 2.0, 900)
    figure = mean(values)
    half = 1.96 * values.std() / 30
    assert figure.low == pytest.approx(values.mean() - half, abs=0.015)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.015)


def test_the_same_values_give_the_same_figure_twice():
    values = np.random.default_rng(3).random(100)
    assert mean(values) == mean(values)
    assert mean(values, seed=1) != mean(values, seed=2)


def test_a_mean_over_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        mean([0.5, math.nan])


def test_a_paired_difference_is_surer_than_its_two_means():
    coins = np.random.default_rng(2)
    before, gain = coins.normal(0, 5, 50), coins.normal(1, 0.1, 50)
    figure = difference(before + gain, before)
    assert figure.value == pytest.approx(gain.mean())
    assert 0.9 < figure.low < 1.0 < figure.high < 1.1
    assert mean(before).high - mean(before).low > 2
    with pytest.raises(ValueError, match="2 after, 1 before"):
        difference([1.0, 2.0], [1.0])


def test_the_entropy_floor_of_coin_labels_is_log_2():
    assert entropy_floor([0.5, 0.5]) == pytest.approx(math.log(2))
    assert entropy_floor([0.0, 1.0]) == 0.0
    assert entropy_floor([0.9]) == pytest.approx(0.325083)
    assert entropy_floor([]) is None


def two_groups(times=25):
    """Longer responses win 80 %, shorter ones 50 %: by hand theta = (ln 4 + 0) / 2 = ln 2."""
    wins = [0.8] * times + [0.5] * times
    lengths, baseline = [150] * times + [50] * times, [100] * 2 * times
    return wins, lengths, baseline


def test_length_control_of_two_groups_is_two_thirds_by_hand():
    found = lc_minimal(*two_groups())
    assert found.win_rate.value == pytest.approx(2 / 3, abs=1e-6)
    assert found.raw.value == pytest.approx(0.65)
    # phi = (0 - ln 4) / (2 tanh(50 / sd)) with sd = 50 sqrt(50 / 49).
    assert found.phi.value == pytest.approx(
        -math.log(4) / (2 * math.tanh(math.sqrt(49 / 50))), 1e-5
    )


def test_the_ratio_estimator_of_two_groups_is_two_thirds_by_hand():
    found = lc_ratio(*two_groups())
    assert found.win_rate.value == pytest.approx(2 / 3, abs=1e-6)
    assert found.phi.value == pytest.approx(math.log(4), abs=1e-5)


@pytest.mark.parametrize(("baselines", "policies"), [([0, 0], [1500, 2500]), ([1], [450])])
def test_an_empty_or_tiny_baseline_leaves_the_ratio_estimate_at_the_likeliest(baselines, policies):
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    baseline = rng.integers(300, 900, 96).astype(float)
    lengths = baseline * rng.uniform(0.5, 2.0, 96)
    wins = (rng.random(96) < 1 / (1 + np.exp(2 - 1.5 * (lengths / baseline - 1)))).astype(float)
    many = len(baselines)
    baseline[:many], lengths[:many], wins[:many] = baselines, policies, 1.0
    ratio = lengths / np.maximum(baseline, 1) - 1

    def loss(beta):
        z = beta[0] * ratio + beta[1]
        return (np.logaddexp(0, z) - wins * z).sum()

    likeliest = minimize(loss, [1.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-8}).x
    found = lc_ratio(wins, lengths, baseline).win_rate
    assert found.value == pytest.approx(1 / (1 + math.exp(-likeliest[1])), abs=1e-4)
    assert found.low < found.value < found.high
    assert found.high - found.low > 0.1


def test_equal_fits_come_to_rest_where_wins_are_told_apart_and_ratios_are_huge():
    ratios = np.array([100_000.0, 3.0, 2.5, 0.9, 0.5, 0.2])
    x, y = np.column_stack([ratios, np.ones(6)]), (ratios > 1).astype(float)
    [beta] = fit(x, y, np.ones((1, 6)))
    slope = ((1 / (1 + np.exp(-(x @ beta))) - y) @ x) + 1e-6 * beta
    assert np.abs(slope).max() < 1e-8


def test_a_steep_effect_of_nearly_equal_ratios_is_not_called_separated():
    rng = np.random.default_rng(3)
    baseline = rng.integers(300, 900, 60).astype(float)
    lengths = baseline * (1 + rng.normal(0, 0.02, 60))
    wins = (rng.random(60) < 1 / (1 + np.exp(-40 * (lengths / baseline - 1)))).astype(float)
    found = lc_ratio(wins, lengths, baseline)
    assert found.phi.value > 10
    assert found.flags == ()
    told = lc_ratio((lengths > baseline).astype(float), lengths, baseline)
    assert (told.win_rate.value, told.flags) == (None, (TOLD_BY_LENGTH,))


def test_equal_lengths_leave_the_raw_win_rate_and_say_so():
    found = lc_minimal([0.2, 0.9, 0.4], [100, 200, 300], [100, 200, 300])
    assert found.win_rate == found.raw
    assert found.phi.value is None
    assert "length-controlled is raw" in found.flags[0]


def test_winning_everything_is_flagged_and_keeps_wilsons_interval():
    found = lc_minimal([1.0] * 20, list(range(20)), list(range(40, 0, -2)))
    assert found.win_rate.value == pytest.approx(1.0, abs=1e-5)
    assert found.win_rate.low == pytest.approx(20 / (20 + 1.959964**2))
    assert any(flag.startswith("separated") for flag in found.flags)


def test_where_length_tells_all_wins_apart_no_rate_at_equal_length_is_known():
    nothing = Figure(value=None, low=None, high=None, n=60)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        baseline = np.round(rng.lognormal(6, 0.5, 60))
        lengths = np.round(baseline * rng.lognormal(0.1, 0.5, 60))
        all_but_one = np.arange(60) != np.argmax(lengths - baseline)
        hard = rng.normal(0, 1, 60)
        for wins in (lengths > baseline, all_but_one):
            contest = Contest(wins.astype(float), lengths, baseline)
            minimal = lc_minimal(*contest[:3], resamples=50)
            for found in (minimal, lc_difficulty(contest, hard, resamples=50)):
                assert found.win_rate == found.theta == found.phi == nothing
                assert found.flags == (TOLD_BY_LENGTH,)
                assert found.raw.value == wins.mean()
    ratio = lc_ratio((lengths > baseline).astype(float), lengths, baseline, resamples=50)
    assert (ratio.win_rate, ratio.flags) == (nothing, (TOLD_BY_LENGTH,))


def test_where_difficulty_tells_all_wins_apart_they_are_as_many_at_equal_length():
    rng = np.random.default_rng(2)
    baseline = np.round(rng.lognormal(6, 0.5, 60))
    lengths = np.round(baseline * rng.lognormal(0.1, 0.5, 60))
    hard = rng.normal(0, 0.27, 60)
    contest = Contest((hard > 0.1).astype(float), lengths, baseline)
    found = lc_difficulty(contest, hard, resamples=200)
    assert found.win_rate.value == pytest.approx(found.raw.value, abs=0.02)
    assert found.win_rate.low < found.raw.value < found.win_rate.high
    assert [flag.partition(":")[0] for flag in found.flags] == ["separated"]


def test_the_unit_and_the_zero_of_a_difficulty_change_no_win_rate_and_raise_no_flag():
    rng = np.random.default_rng(3)
    baseline = np.round(rng.lognormal(6, 0.5, 400))
    lengths = np.round(baseline * rng.lognormal(0.1, 0.5, 400))
    hard = rng.normal(0, 1, 400)
    wins = (rng.random(400) < 1 / (1 + np.exp(-1.5 * hard))).astype(float)
    contest = Contest(wins, lengths, baseline)
    found = [lc_difficulty(contest, d, resamples=50) for d in (hard, hard / 20, hard + 8)]
    assert found[1].psi.value > 10
    assert found[2].theta.value < -10
    assert all(f.flags == () for f in found)
    rates = [f.win_rate.value for f in found]
    assert rates == pytest.approx([rates[0]] * 3, abs=1e-5)


def test_no_comparisons_give_no_length_control():
    found = lc_minimal([], [], [])
    assert (found.win_rate.value, found.flags) == (None, ("no comparisons",))


@pytest.fixture(scope="module")
def prompts_805():
    rng = np.random.default_rng(7)
    baseline = rng.integers(200, 3000, 805).astype(float)
    lengths = np.round(baseline * rng.uniform(0.5, 1.9, 805))
    gap = baseline - lengths
    x = np.tanh(gap / gap.std(ddof=1))
    chance = 1 / (1 + np.exp(0.9 * x + 0.3))
    return np.clip(chance + rng.normal(0, 0.2, 805), 0, 1), lengths, baseline, x


def test_length_control_agrees_with_statsmodels_on_805_prompts(prompts_805):
    import statsmodels.api as sm

    wins, lengths, baseline, x = prompts_805
    design = np.stack([x, np.ones(805)], axis=1)
    model = sm.GLM(wins, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    found = lc_minimal(wins, lengths, baseline)
    assert found.phi.value == pytest.approx(model.params[0], abs=1e-6)
    assert found.win_rate.value == pytest.approx(1 / (1 + math.exp(-model.params[1])), abs=1e-7)
    low, high = 1 / (1 + np.exp(-model.conf_int()[1]))
    assert found.win_rate.low == pytest.approx(low, abs=0.003)
    assert found.win_rate.high == pytest.approx(high, abs=0.003)


def test_length_control_agrees_with_scikit_learn_on_805_prompts(prompts_805):
    from sklearn.linear_model import LogisticRegression

    wins, lengths, baseline, x = prompts_805
    design = np.tile(np.stack([x, np.ones(805)], axis=1), (2, 1))
    model = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10, max_iter=1000)
    model.fit(design, [1] * 805 + [0] * 805, sample_weight=np.concatenate([wins, 1 - wins]))
    found = lc_minimal(wins, lengths, baseline)
    assert (found.phi.value, found.win_rate.value) == pytest.approx(
        (model.coef_[0, 0], 1 / (1 + math.exp(-model.coef_[0, 1]))), abs=1e-5
    )


def test_the_length_controlled_interval_is_no_narrower_than_the_raw_one(prompts_805):
    wins, lengths, baseline, _ = prompts_805
    found = lc_minimal(wins, lengths, baseline)
    controlled, raw = found.win_rate, found.raw
    assert controlled.high - controlled.low > 0.8 * (raw.high - raw.low)
