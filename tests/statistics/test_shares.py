"""Intervals of shares of which few values deviate, and of differences in few pairs, counted out."""

import numpy as np
import pytest

from hrlaif.statistics import difference, mean, wilson


def binomial(n, p):
    from scipy.stats import binom

    return binom.pmf(np.arange(n + 1), n, p)


@pytest.mark.parametrize("n", [20, 40, 60, 80])
def test_a_share_is_in_its_interval_in_93_percent_of_all_draws_and_is_near_wilsons_width(n):
    """Every count that n values may have, by its probability; percentiles alone hold 85 to 90 %."""
    found = [mean([1.0] * k + [0.0] * (n - k), share=True) for k in range(n + 1)]
    low, high = np.array([(f.low, f.high) for f in found]).T
    exact = np.array([wilson(k, n) for k in range(n + 1)])
    for p in np.linspace(0.5, 0.985, 98):
        chances = binomial(n, p)
        # Wilson's own is 0.929 at worst with 20.
        assert chances[(low <= p) & (p <= high)].sum() > (0.93 if n > 20 else 0.928), p
        widths = chances @ (high - low), chances @ (exact[:, 1] - exact[:, 0])
        assert 1.0 <= widths[0] / widths[1] < 1.3, p


def test_shares_of_prompts_of_their_own_are_in_their_interval_in_at_least_93_of_100_seeds():
    """Of 1,000 seeds 96.5 %, and 92.4 % by percentiles alone."""
    figures, prompts = [], list(np.repeat(range(30), 4))
    for seed in range(100):
        coins = np.random.default_rng(seed)
        chance = np.repeat(coins.choice([0.9, 0.98], 30), 4)
        marks = (coins.random(120) < chance).astype(float)
        figures.append(mean(marks, clusters=prompts, share=True, seed=seed))
    assert sum(f.low <= 0.94 <= f.high for f in figures) >= 93
    scatter = np.std([f.value for f in figures], ddof=1)
    assert np.mean([f.high - f.low for f in figures]) < 1.3 * 3.92 * scatter


@pytest.mark.parametrize(
    ("more", "fewer"), [(0.05, 0.02), (0.1, 0.0), (0.1, 0.02), (0.1, 0.05), (0.2, 0.02)]
)
def test_a_difference_in_few_pairs_is_in_its_interval_in_93_percent_of_all_draws(more, fewer):
    """All counts of gains and losses in 40 pairs; percentiles alone hold 91 % of three of these."""
    from scipy.stats import multinomial

    inside = width = total = 0.0
    for gains in range(19):
        for losses in range(10):
            chance = multinomial.pmf([gains, losses, 40 - gains - losses], 40,
                                     [more, fewer, 1 - more - fewer])  # fmt: skip
            if chance < 1e-7:
                continue
            same = [0.0] * (40 - gains - losses)
            after = [1.0] * gains + [0.0] * losses + same
            before = [0.0] * gains + [1.0] * losses + same
            found = difference(after, before, share=True)
            total += chance
            inside += chance * (found.low <= more - fewer + 1e-12 and found.high >= more - fewer)
            width += chance * (found.high - found.low)
    assert total > 0.999
    assert inside > 0.93
    scatter = np.sqrt((more + fewer - (more - fewer) ** 2) / 40)
    assert width < 1.4 * 3.92 * scatter


def test_gaps_that_are_never_zero_are_as_wide_as_they_vary():
    """A judge a little surer on every row: nothing is there that might have gone the other way."""
    gaps = np.random.default_rng(0).uniform(0.1, 0.3, 30)
    found = difference(0.5 + gaps, np.full(30, 0.5), share=True)
    assert 0.9 < (found.high - found.low) / (3.92 * gaps.std(ddof=1) / 30**0.5) < 1.2
