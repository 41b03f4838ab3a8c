"""Whole prompts, unequal chances, ties, and figures without any spread."""

import numpy as np
import pytest

from hrlaif.statistics import (
    against_base,
    brier,
    cohen_kappa,
    difference,
    ece,
    equal_parts,
    fleiss_kappa,
    isotonic,
    kendall_w,
    krippendorff_alpha,
    light_kappa,
    mean,
    paired,
    reliability,
    temperature,
    wilson,
)
from hrlaif.statistics.figures import student

PROMPTS, EACH = 40, 8
NAMES = np.repeat(np.arange(PROMPTS), EACH).tolist()


def shared_effect(seed):
    """Two raters of 320 pairs of 40 prompts, who agree more on some prompts than on others."""
    coins = np.random.default_rng(seed)
    easy = np.repeat(coins.beta(3, 1.2, PROMPTS), EACH)  # 3 / 4.2 on average
    first = coins.random(PROMPTS * EACH) < 0.5
    same = coins.random(PROMPTS * EACH) < easy
    return first.tolist(), np.where(same, first, ~first).tolist(), same.astype(float)


AGREED = 3 / 4.2
ESTIMATES = {
    "agreement": (AGREED, lambda a, b, same, s: mean(same, clusters=NAMES, share=True, seed=s)),
    "kappa": (2 * AGREED - 1, lambda a, b, same, s: cohen_kappa(a, b, clusters=NAMES, seed=s)),
    "alpha": (
        2 * AGREED - 1,
        lambda a, b, same, s: krippendorff_alpha(list(zip(a, b, strict=True)), clusters=NAMES,
                                                 seed=s),
    ),
    "fleiss": (
        2 * AGREED - 1,
        lambda a, b, same, s: fleiss_kappa(
            [[x + y, 2 - x - y] for x, y in zip(a, b, strict=True)], clusters=NAMES, seed=s
        ),
    ),
    "light": (
        2 * AGREED - 1,
        lambda a, b, same, s: light_kappa(
            [{"a": x, "b": y} for x, y in zip(a, b, strict=True)], clusters=NAMES, seed=s
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATES)
def test_agreement_that_prompts_share_is_in_its_interval_in_at_least_93_of_100_seeds(name):
    truth, estimate = ESTIMATES[name]
    found = [estimate(*shared_effect(seed), seed) for seed in range(100)]
    assert sum(f.low <= truth <= f.high for f in found) >= 93
    assert all(f.n == 320 for f in found)
    # And no wider than what their own spread asks for.
    widths, values = [f.high - f.low for f in found], [f.value for f in found]
    assert np.mean(widths) < 1.2 * 3.92 * np.std(values)


def test_a_prompt_a_unit_is_what_it_was_and_copies_of_units_say_no_more():
    first, second, _ = shared_effect(0)
    once = cohen_kappa(first, second)
    assert cohen_kappa(first, second, clusters=list(range(320))) == once
    ranks = [[[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [3, 2, 1]], [[1, 2, 3], [2, 1, 3]]]
    one, three = kendall_w(ranks), kendall_w(ranks * 3, clusters=[1, 2, 3] * 3)
    assert (one.low, one.high) == pytest.approx((three.low, three.high))
    copied = cohen_kappa(first * 3, second * 3, clusters=list(range(320)) * 3)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_a_perfect_kappa_of_twenty_units_leaves_room_for_wilsons_bound():
    # 10 a and 10 b: half differ by chance; of none seen in 20, z^2 / (20 + z^2) = 0.161 may.
    said = ["a", "b"] * 10
    low = 1 - (1.959964**2 / (20 + 1.959964**2)) / 0.5
    units = [[float(s == "a")] * 2 for s in said]
    for figure in (
        cohen_kappa(said, said),
        krippendorff_alpha(units),
        fleiss_kappa([[2 * x[0], 2 - 2 * x[0]] for x in units]),
        light_kappa([{"x": s, "y": s} for s in said]),
    ):
        assert (figure.value, figure.high) == (pytest.approx(1.0), pytest.approx(1.0))
        assert figure.low == pytest.approx(low, abs=1e-5)


def test_lights_kappa_is_the_mean_of_scikit_learns_over_pairs_of_raters():
    from itertools import combinations

    from sklearn.metrics import cohen_kappa_score

    coins = np.random.default_rng(1)
    truth = coins.random(60) < 0.5
    said = {name: truth ^ (coins.random(60) < wrong)
            for name, wrong in (("x", 0.1), ("y", 0.2), ("z", 0.4))}  # fmt: skip
    units = [{name: bool(s[n]) for name, s in said.items()} for n in range(60)]
    theirs = np.mean([cohen_kappa_score(said[a], said[b]) for a, b in combinations(said, 2)])
    found = light_kappa(units)
    assert found.value == pytest.approx(theirs)
    assert found.low < theirs < found.high
    # z rates ten units only: its two pairs count ten, that of x and y sixty.
    units = [unit if n < 10 else {k: unit[k] for k in "xy"} for n, unit in enumerate(units)]
    pairs = [cohen_kappa_score(said["x"], said["y"])]
    pairs += [cohen_kappa_score(said[a][:10], said["z"][:10]) for a in "xy"]
    assert light_kappa(units).value == pytest.approx((60 * pairs[0] + 10 * sum(pairs[1:])) / 80)
    assert light_kappa([{"x": 1}, {}]).n == 0


def test_a_calibrated_judges_error_is_0_where_prompts_share_their_luck_in_93_of_100_seeds():
    held = alone = 0
    for seed in range(100):
        coins = np.random.default_rng(seed)
        said = coins.uniform(0.5, 1.0, PROMPTS * EACH)
        # In half of the pairs a prompt's own luck decides, else the pair's.
        luck = np.repeat(coins.random(PROMPTS), EACH)
        luck = np.where(coins.random(said.size) < 0.5, luck, coins.random(said.size))
        outcome = (luck < said).astype(float)
        held += ece(said, outcome, clusters=NAMES, seed=seed).low == 0.0
        alone += ece(said, outcome, seed=seed).low == 0.0
    assert held >= 93
    assert alone < held


def test_an_error_without_spread_has_an_interval_of_wilsons_width():
    figure = ece([0.9] * 20, [1.0] * 20)
    half = wilson(0, 20)[1]
    assert figure.value == pytest.approx(0.1)
    assert (figure.low, figure.high) == (0.0, pytest.approx(0.1 + half))


def test_a_weight_is_how_many_values_one_stands_for():
    # Hajek: (1 * 1 + 0 * 3) / 4.
    assert mean([1.0, 0.0], weights=[1, 3]).value == 0.25
    coins = np.random.default_rng(2)
    first, second = coins.random(40) < 0.6, coins.random(40) < 0.5
    p, y = coins.random(40), (coins.random(40) < 0.6).astype(float)
    times = coins.integers(1, 4, 40)

    def twice(values):
        return np.repeat(values, times)

    for one, other in (
        (mean(y, weights=times), mean(twice(y))),
        (cohen_kappa(first, second, weights=times), cohen_kappa(twice(first), twice(second))),
        (brier(p, y, weights=times), brier(twice(p), twice(y))),
        (paired(p, y, weights=times).difference, paired(twice(p), twice(y)).difference),
        (ece(p, y, bins=1, weights=times), ece(twice(p), twice(y), bins=1)),
    ):
        assert one.value == pytest.approx(other.value)
        assert (one.n, other.n) == (40, times.sum())
        assert one.high - one.low > other.high - other.low  # copies say no more
    assert temperature(p, y, weights=times).slope == pytest.approx(
        temperature(twice(p), twice(y)).slope, abs=1e-4
    )
    assert isotonic(p, y, weights=times).y == pytest.approx(isotonic(twice(p), twice(y)).y)
    one, other = reliability(p, y, bins=1, weights=times), reliability(twice(p), twice(y), bins=1)
    assert one[0].said == pytest.approx(other[0].said)
    with pytest.raises(ValueError, match="above 0"):
        mean([1.0, 0.0], weights=[1, 0])
    with pytest.raises(ValueError, match="2 values with 1 weights"):
        mean([1.0, 0.0], weights=[1])


def test_equal_shares_of_unequal_weights_are_as_sure_as_fewer_prompts():
    # Kish: (9 + 9)^2 / (9 + 81) = 3.6 of ten prompts.
    figure = mean([1.0] * 10, weights=[1] * 9 + [9], share=True)
    assert figure.low == pytest.approx(3.6 / (3.6 + 1.959964**2))


def test_equal_differences_of_shares_leave_room_for_a_prompt_that_deviates():
    # Of none seen in 3, Wilson's bound is z^2 / (3 + z^2) = 0.561.
    rare = 1.959964**2 / (3 + 1.959964**2)
    same = difference([1, 0, 1], [1, 0, 1], share=True)
    assert (same.low, same.value, same.high) == pytest.approx((-rare, 0.0, rare))
    ahead = difference([1, 1, 1], [0, 0, 0], share=True)
    assert (ahead.low, ahead.high) == pytest.approx((1 - 2 * rare, 1.0))
    halves = difference([0.5] * 3, [1.0] * 3, share=True)
    assert (halves.low, halves.high) == pytest.approx((-0.5 - rare / 2, -0.5 + 1.5 * rare))
    assert paired([1, 0, 1], [1, 0, 1], share=True).difference == same
    once = difference([1, 0, 1, 1], [1, 0, 1, 1], clusters=["p", "q", "r", "r"], share=True)
    assert once.high == pytest.approx(rare)


def test_methods_are_compared_on_what_both_judged():
    values = {"base": [1.0, 0.0, 1.0, None], "x": [1.0, 1.0, None, 1.0], "silent": [None] * 4}
    found = against_base(values, "base", share=True)
    assert (found["x"].difference.value, found["x"].difference.n) == (0.5, 2)
    assert found["x"].p_holm == found["x"].p
    assert (found["silent"].difference.n, found["silent"].p_holm) == (0, None)


def test_students_t_is_scipys_from_1_to_30_degrees_of_freedom():
    from scipy.stats import t

    for freedom in range(1, 31):
        near = 1e-6 if freedom < 4 else 0.01
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=near)


def test_parts_end_where_the_key_changes_nearest_to_an_equal_share():
    assert equal_parts([4, 3, 2, 1], 2) == [[3, 2], [1, 0]]
    assert equal_parts([1, 2, 3, 4, 5], 2) == [[0, 1, 2], [3, 4]]
    # 0.1 + 0.2 and 0.3 are one value.
    assert equal_parts([0.3, 0.1 + 0.2, 0.9, 0.9], 2) == [[0, 1], [2, 3]]
    assert equal_parts([0.3, 0.1 + 0.2, 0.3], 2) == [[0, 1, 2]]
    # One of ten is no half, and two of ten no quarter but the nearest to one.
    assert equal_parts([0] + [1] * 9, 2) == [list(range(10))]
    assert [len(part) for part in equal_parts([0] * 2 + [1] * 8, 4)] == [2, 8]
    assert equal_parts([1, 2, 3, 4], 2, weights=[1, 1, 1, 3]) == [[0, 1, 2], [3]]
    assert equal_parts([], 4) == []
