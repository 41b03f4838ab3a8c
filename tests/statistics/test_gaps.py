"""Differences of two shares, by hand, against statsmodels, and in repeated draws."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from hrlaif.statistics import wilson
from hrlaif.statistics.figures import Figure
from hrlaif.statistics.gaps import gap, joined


def marks(values, prompt=lambda n: n):
    return [(prompt(n), float(value)) for n, value in enumerate(values)]


def share(successes, n):
    low, high = wilson(successes, n)
    return Figure(value=successes / n, low=low, high=high, n=n)


def test_two_wilson_intervals_are_joined_as_newcombe_does():
    # Newcombe 1998, table II, method 10, 56/70 against 48/80: 0.0524 to 0.3339.
    found = joined(share(56, 70), share(48, 80))
    assert (found.low, found.high) == (
        pytest.approx(0.0524, abs=5e-5),
        pytest.approx(0.3339, abs=5e-5),
    )
    for x, n, y, m in ((56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (5, 56, 0, 29)):
        found = joined(share(x, n), share(y, m))
        low, high = confint_proportions_2indep(x, n, y, m, method="newcomb", compare="diff")
        assert (found.low, found.high) == (
            pytest.approx(low, abs=1e-6),
            pytest.approx(high, abs=1e-6),
        )


def test_a_side_without_spread_has_the_joined_interval():
    first, second = marks([0] * 12), marks([1, 0, 0, 0] * 5, lambda n: 100 + n)
    found = gap(first, second)
    own = found.second
    assert found.difference.value == -0.25
    assert found.difference.high == pytest.approx(
        -0.25 + math.hypot(wilson(0, 12)[1], 0.25 - own.low)
    )
    assert found.difference.low == pytest.approx(-0.25 - (own.high - 0.25))
    assert found.difference.n == 32


def test_equal_paired_marks_have_no_empty_interval():
    values = marks([1, 0, 1, 1] * 6)
    found = gap(values, values, paired=True).difference
    assert (found.value, found.n) == (0.0, 24)
    assert found.low < -0.1 < 0.1 < found.high


def test_what_is_paired_stays_together():
    rng = np.random.default_rng(0)
    hard = rng.random(200) < 0.5
    first = marks(hard)
    second = marks([h if n else 1 - h for n, h in enumerate(hard)])
    together = gap(first, second, paired=True).difference
    apart = gap(first, marks([v for _, v in second], lambda n: 1000 + n)).difference
    assert together.high - together.low < 0.05 < 0.15 < apart.high - apart.low
    with pytest.raises(ValueError, match="paired marks: 200 first, 1 second"):
        gap(first, second[:1], paired=True)


def test_a_row_of_weight_2_counts_as_two_and_few_heavy_rows_are_worth_less():
    first, second = marks([1, 0, 0, 1] * 5), marks([0, 1, 0, 0] * 5, lambda n: 100 + n)
    plain = gap(first, second)
    heavy = gap(first, second, weights=([2, 1, 1, 1] * 5, [1.0] * 20))
    assert heavy.first.value == pytest.approx(15 / 25)
    assert heavy.difference.value == pytest.approx(15 / 25 - 5 / 20)
    same = gap(first, second, weights=([3.0] * 20, [0.5] * 20))
    assert same == plain
    one = gap(first, second, weights=([50, 1, 1, 1] + [1] * 16, [1.0] * 20)).difference
    assert one.high - one.low > 1.5 * (plain.difference.high - plain.difference.low)


def test_an_empty_side_has_no_difference_and_one_prompt_no_interval():
    assert gap([], marks([1, 0])).difference.value is None
    alone = gap(marks([1, 0, 1, 0], lambda n: 0), marks([1, 0, 0, 0], lambda n: 1 + n)).difference
    assert (alone.value, alone.low, alone.high) == (0.25, None, None)


def test_prompts_that_share_an_effect_keep_the_coverage():
    rng, inside = np.random.default_rng(5), 0
    for seed in range(100):
        # 40 prompts of 6 rows, 2 on the first side: each prompt has its own chance, 0.3 on average.
        chance = np.repeat(rng.beta(0.9, 2.1, 40), 6)
        values = marks(rng.random(240) < chance, lambda n: n // 6)
        found = gap(
            [v for n, v in enumerate(values) if n % 6 < 2],
            [v for n, v in enumerate(values) if n % 6 >= 2],
            seed=seed,
        )
        inside += found.difference.low <= 0 <= found.difference.high
    assert inside >= 93
