import math

import krippendorff
import numpy as np
import pytest
from scipy.stats import friedmanchisquare
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as reference_fleiss

from hrlaif.statistics import (
    cohen_kappa,
    fleiss_kappa,
    kendall_w,
    krippendorff_alpha,
    light_kappa,
    mean,
)


def test_cohens_kappa_of_a_table_worked_by_hand():
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: 0.7 seen, 0.5 by chance.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    assert found.low < 0.4 < found.high
    assert found.value == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_of_the_table_of_1971_is_0_21():
    # Ten units, fourteen raters, five categories: Fleiss' worked example as often reprinted.
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    found = fleiss_kappa(table)
    assert found.value == pytest.approx(0.20993, abs=1e-5)
    assert found.value == pytest.approx(reference_fleiss(np.array(table)))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_is_the_reference_packages_with_missing_values(level):
    generator = np.random.default_rng(3)
    truth = generator.integers(1, 6, size=60)
    noise = generator.integers(-1, 2, size=(4, 60))
    table = np.clip(truth + noise, 1, 5).astype(float)
    table[generator.random((4, 60)) < 0.3] = np.nan
    units = [[value for value in column if not math.isnan(value)] for column in table.T]
    found = krippendorff_alpha(units, level=level)
    assert found.value == pytest.approx(krippendorff.alpha(table, level_of_measurement=level))
    assert found.n == sum(len(unit) > 1 for unit in units)
    assert found.low < found.value < found.high


def test_nominal_alpha_worked_by_hand():
    # Two raters: 1-1, 2-2, 1-2. Coincidences: 11: 2, 22: 2, 12 and 21: 1 each; 3 of each value.
    # Observed disagreement 2/6, expected 18/30: alpha = 1 - (1/3) / 0.6 = 4/9.
    assert krippendorff_alpha([[1, 1], [2, 2], [1, 2]]).value == pytest.approx(4 / 9)


def test_kendalls_w_is_friedmans_statistic_over_its_largest_value():
    generator = np.random.default_rng(0)
    ranks = np.array([generator.permutation(4) + 1 for _ in range(6)])
    statistic = friedmanchisquare(*ranks.T).statistic
    assert kendall_w([ranks.tolist()]).value == pytest.approx(statistic / (6 * 3))


def test_kendalls_w_by_hand_is_1_for_agreement_0_for_opposites_and_the_mean_over_units():
    agreed, opposed = [[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [3, 2, 1]]
    assert kendall_w([agreed]).value == 1.0
    assert kendall_w([opposed]).value == 0.0
    assert kendall_w([agreed, opposed]).value == 0.5
    # Ranks 1.5, 1.5, 3 twice: the spread is 1 + 1 + 4 = 6, the most it can be (4*24 - 2*2*6)/12.
    assert kendall_w([[[1, 1, 2], [1, 1, 2]]]).value == pytest.approx(1.0)


def test_where_chance_alone_agrees_there_is_no_value():
    assert cohen_kappa(["a"] * 5, ["a"] * 5).value is None
    assert fleiss_kappa([[3, 0], [3, 0]]).value is None
    assert krippendorff_alpha([[1, 1], [1, 1]]).value is None
    assert krippendorff_alpha([[1], [2]]).n == 0
    assert kendall_w([[[1, 2]]]).value is None
    assert kendall_w([[[1, 1], [1, 1]]]).n == 0


def test_unequal_raters_are_refused_by_fleiss():
    with pytest.raises(ValueError, match="use alpha"):
        fleiss_kappa([[3, 0], [1, 1]])


def test_no_resamples_give_the_same_value_without_an_interval():
    units = [[1, 2], [2, 2], [1, 1], [3, 1]]
    quick = krippendorff_alpha(units, resamples=0)
    assert quick.value == krippendorff_alpha(units).value
    assert (quick.low, quick.high) == (None, None)
    assert kendall_w([[[1, 2], [1, 2]]], resamples=0).low is None


def test_a_rater_who_always_says_the_same_leaves_kappa_and_alpha_without_certainty():
    judge = ["a"] * 15 + ["b"] * 5
    found = cohen_kappa(["a"] * 20, judge)
    assert (found.value, found.low, found.high) == (0.0, None, None)


def test_agreement_of_rows_of_which_one_stands_for_most_is_as_unsure_as_a_share():
    one = two = [0.0, 1.0] * 10
    weights = [1000.0] + [1.0] * 19
    share = mean([1.0] * 20, weights=weights, share=True)
    units = [[a, b] for a, b in zip(one, two, strict=True)]
    told = [{"x": a, "y": b} for a, b in units]
    for found in (
        cohen_kappa(one, two, weights=weights),
        krippendorff_alpha(units, weights=weights),
        light_kappa(told, weights=weights),
    ):
        assert found.value == 1.0
        assert found.low <= share.low < 0.3
    assert cohen_kappa(one, two).low > 0.6
    differing = [*two[:-1], 0.0]
    assert cohen_kappa(one, differing, weights=weights).low < cohen_kappa(one, differing).low
