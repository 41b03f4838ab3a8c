"""Two, three and four prompts: intervals and p-values that know how little that is."""

import numpy as np
import pytest
from scipy import stats

from hrlaif.statistics import (
    Games,
    bradley_terry,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    lc_minimal,
    lc_ratio,
    light_kappa,
    mean,
    paired,
    same_order,
)
from hrlaif.statistics.figures import difference
from hrlaif.statistics.gaps import gap


@pytest.mark.parametrize("prompts", [2, 3, 4])
def test_the_interval_of_a_few_prompts_is_students_and_covers(prompts):
    inside = 0
    for seed in range(300):
        values = np.random.default_rng(seed).normal(0.3, 1.0, prompts)
        found = mean(values, seed=seed)
        low, high = stats.t.interval(0.95, prompts - 1, loc=values.mean(), scale=stats.sem(values))
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))
        inside += found.low <= 0.3 <= found.high
    assert inside >= 0.92 * 300


def test_a_share_of_a_few_prompts_stays_a_share_and_two_that_agree_say_little():
    found = mean([0.62, 0.70], share=True)
    assert (found.low, found.high) == (pytest.approx(0.15, abs=0.03), 1.0)
    assert not found.excludes(0.5)
    apart = gap([("p", 1.0), ("q", 0.9)], [("p", 0.0), ("q", 0.1)], paired=True).difference
    assert (apart.low, apart.high) == (pytest.approx(-0.38, abs=0.05), 1.0)


def test_prompts_of_equal_means_leave_a_doubt():
    same = list("aaabbbccc")
    found = mean([1, 1, 0] * 3, clusters=same, share=True)
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 0.3  # Wilson's, of two in three
    assert found.high > 0.9
    apart = difference([1, 0, 1, 0], [0] * 4, clusters=list("aabb"), share=True)
    assert apart.low < 0.2
    assert apart.high > 0.8


@pytest.mark.parametrize("prompts", [2, 3, 5, 8])
def test_no_p_is_below_what_the_signs_of_so_many_prompts_can_show(prompts):
    these = [0.6 + 0.01 * n for n in range(prompts)]
    found = paired(these, [0.1 + 0.02 * n for n in range(prompts)])
    assert found.p == pytest.approx(2.0 ** (1 - prompts))
    assert paired([0.5] * prompts, [0.4] * prompts).p == pytest.approx(2.0 ** (1 - prompts))


@pytest.mark.parametrize("prompts", [2, 3, 4])
def test_no_interval_of_a_few_prompts_leaves_the_range_of_its_figure(prompts):
    seen = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows, names = 6 * prompts, np.repeat(range(prompts), 6).tolist()
        lengths, others = rng.integers(50, 500, (2, rows)).astype(float)
        one, two = (rng.random((2, rows)) < 0.5).tolist()
        models = [list(pair) for pair in ("ab", "bc", "ac") * (2 * prompts)]
        sides = [[pair[side] for pair in models] for side in (0, 1)]
        games = Games(*sides, rng.random(rows), names)
        told = [{"x": a, "y": b} for a, b in zip(one, two, strict=True)]
        pairs = [[float(a), float(b)] for a, b in zip(one, two, strict=True)]
        counts = [[float(a + b), float(2 - a - b)] for a, b in zip(one, two, strict=True)]
        shares = [
            lc_minimal(rng.random(rows), lengths, others, clusters=names).win_rate,
            lc_ratio(rng.random(rows), lengths, others, clusters=names).win_rate,
            *bradley_terry(games).win_rate.values(),
        ]
        alike = [
            cohen_kappa(one, two, clusters=names),
            light_kappa(told, clusters=names),
            fleiss_kappa(counts, clusters=names),
            krippendorff_alpha(pairs, clusters=names),
            same_order(games, rng.random(rows)),
        ]
        for least, figures in ((0.0, shares), (-1.0, alike)):
            known = [f for f in figures if f.low is not None]
            assert all(least <= f.low <= f.value <= f.high <= 1.0 for f in known)
            seen += len(known)
    assert seen > 100
