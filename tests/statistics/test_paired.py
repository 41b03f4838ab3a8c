"""Paired tests against scipy and statsmodels, and by hand."""

import numpy as np
import pytest

from hrlaif.statistics import (
    against_base,
    bootstrapped,
    difference,
    holm,
    mean,
    paired,
    right,
    right_for_one_rater,
    sign_test,
)
from hrlaif.statistics.figures import student, tail_of


def test_a_sign_test_of_8_in_10_is_scipys():
    from scipy.stats import binomtest

    for k, n in ((8, 10), (0, 5), (50, 100), (3, 3), (180, 400)):
        assert sign_test(k, n) == pytest.approx(binomtest(k, n).pvalue, rel=1e-9)
    assert sign_test(0, 0) == 1.0


def test_holm_multiplies_the_smallest_by_m_and_is_statsmodels():
    from statsmodels.stats.multitest import multipletests

    ps = [0.04, 0.001, 0.03, 0.5]
    assert holm(ps) == pytest.approx([0.09, 0.004, 0.09, 0.5])
    assert holm(ps) == pytest.approx(list(multipletests(ps, method="holm")[1]))
    assert holm([]) == []


def test_a_paired_p_is_near_the_t_tests():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(5)
    before = rng.normal(0, 1, 80)
    after = before + rng.normal(0.15, 0.7, 80)
    theirs = ttest_rel(after, before).pvalue
    assert paired(after, before).p == pytest.approx(theirs, abs=0.01)


def test_a_p_counts_prompts_and_not_rows():
    rng = np.random.default_rng(6)
    gaps = rng.normal(0.25, 1.0, 30)
    once = paired(gaps, np.zeros(30)).p
    ten = paired(np.repeat(gaps, 10), np.zeros(300), clusters=list(np.repeat(range(30), 10))).p
    assert ten == pytest.approx(once, abs=1e-9)
    assert paired(np.repeat(gaps, 10), np.zeros(300)).p < once / 5


def test_methods_without_a_difference_have_p_1_and_those_always_better_2_to_the_1_minus_n():
    assert paired([1.0, 0.0], [1.0, 0.0]).p == 1.0
    assert paired([1.0] * 6, [0.0] * 6).p == 2.0**-5
    assert paired([1.0], [0.0]).p is None


def test_five_equal_methods_look_different_from_the_base_in_5_percent_of_100_studies():
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = {f"v{n}": (rng.random(120) < 0.7).astype(float).tolist() for n in range(6)}
        found = against_base(values, "v0", seed=seed)
        false += any(one.p_holm < 0.05 for one in found.values())
        assert all(one.p_holm >= one.p for one in found.values())
    assert false <= 9


@pytest.mark.parametrize(
    ("prompts", "base", "better"),
    [(20, 0.6, 0.15), (20, 0.85, 0.1), (40, 0.9, 0.05), (120, 0.7, 0.1)],
)
def test_a_true_difference_from_the_base_is_in_its_interval_in_at_least_93_of_100_seeds(
    prompts, base, better
):
    """A method loses some of what the base gets right, and wins more of the rest."""
    lost = 0.04
    won = (better + base * lost) / (1 - base)
    found = []
    for seed in range(100):
        rng = np.random.default_rng([seed, prompts])
        first = rng.random(prompts) < base
        second = np.where(first, rng.random(prompts) >= lost, rng.random(prompts) < won)
        values = {"base": first.astype(float).tolist(), "way": second.astype(float).tolist()}
        found.append(against_base(values, "base", share=True)["way"].difference)
    assert sum(f.low <= better <= f.high for f in found) >= 93
    scatter = np.std([f.value for f in found], ddof=1)
    assert np.mean([f.high - f.low for f in found]) < 1.3 * 3.92 * scatter


def test_students_t_and_the_widened_tail_are_scipys():
    from scipy.stats import norm, t

    for freedom in (5, 9, 30, 200):
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=0.01)
        n = freedom + 1
        wide = norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.975, freedom))
        assert tail_of(n) == pytest.approx(wide, abs=2e-4)
    assert tail_of(10**6) == pytest.approx(0.025, abs=1e-6)


def test_means_of_15_values_are_in_their_interval_in_at_least_93_of_100_seeds():
    inside = narrow = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(1.0, 2.0, 15)
        figure = mean(values, seed=seed)
        inside += figure.low <= 1.0 <= figure.high
        narrow += (figure.high - figure.low) / (2 * 2.145 * values.std(ddof=1) / 15**0.5)
    assert inside >= 93
    assert 0.9 < narrow / 100 < 1.1  # against the exact interval of Student


def test_equal_differences_of_shares_keep_wilsons_bound_and_those_of_other_numbers_no_interval():
    rare = 3.8414588 / (10 + 3.8414588)  # z^2 / (n + z^2): Wilson's upper bound of 0 in 10
    shares = difference([0.75] * 10, [0.25] * 10, share=True)
    assert shares.value == 0.5
    assert (shares.low, shares.high) == pytest.approx((0.5 - rare * 1.5, 0.5 + rare * 0.5))
    grades = difference([4.3] * 10, [4.1] * 9 + [4.1 + 1e-15])  # but for rounding
    assert (round(grades.value, 6), grades.low, grades.high) == (0.2, None, None)


def test_any_estimate_can_be_resampled_and_an_undefined_one_is_unknown():
    values = np.random.default_rng(0).random(50)
    figure = bootstrapped(lambda w: (w @ values) / w.sum(1), 50, seed=3)
    known = mean(values, seed=3)
    assert (figure.value, figure.low) == pytest.approx((known.value, known.low))
    assert (figure.high, figure.n) == pytest.approx((known.high, 50))
    empty = bootstrapped(lambda w: np.full(len(w), np.nan), 50)
    assert (empty.value, empty.low) == (None, None)
    assert bootstrapped(lambda w: w.sum(1), 4, clusters=["p"] * 4).low is None


def test_a_label_is_right_half_right_or_wrong():
    assert (right(0.5, 1.0), right(0.51, 1.0), right(0.51, 0.2)) == (0.5, 1.0, 0.0)
    assert right_for_one_rater(0.9, 2 / 3) == pytest.approx(2 / 3)
    assert right_for_one_rater(0.1, 2 / 3) == pytest.approx(1 / 3)
    assert right_for_one_rater(0.5, 1.0) == 0.5
