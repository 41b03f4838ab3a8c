"""AI figures put right by some human ones: by hand, and against known truth."""

import numpy as np
import pytest

from hrlaif.statistics import (
    Sureness,
    corrected_by_cluster,
    corrected_share,
    prediction_powered,
    rogan_gladen,
)
from hrlaif.statistics.checking import chances, disagreement, doubt, draw, planned_half_width
from hrlaif.statistics.figures import student


def test_rogan_gladen_of_30_percent_seen_with_80_and_90_is_2_in_7_by_hand():
    # (0.3 + 0.9 - 1) / (0.8 + 0.9 - 1) = 0.2 / 0.7.
    assert rogan_gladen(0.3, 0.8, 0.9) == pytest.approx(2 / 7)
    assert rogan_gladen(0.05, 0.8, 0.9) == 0.0
    assert rogan_gladen(0.3, 0.5, 0.5) is None


def detector(seed, n=600, checked=150, share=0.3, sensitivity=0.8, specificity=0.9):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    said = np.where(truth, rng.random(n) < sensitivity, rng.random(n) > specificity)
    return said, said[:checked], truth[:checked]


def test_a_corrected_share_is_in_its_interval_in_at_least_93_of_100_seeds():
    found = [corrected_share(*detector(seed)) for seed in range(100)]
    assert sum(f.low <= 0.3 <= f.high for f in found) >= 93
    # The delta method's width at the true parameters: 2 z sqrt(var) / 0.7.
    seen = 0.3 * 0.8 + 0.7 * 0.1
    variance = seen * (1 - seen) / 600 + 0.09 * 0.16 / 45 + 0.49 * 0.09 / 105
    exact = 2 * 1.96 * variance**0.5 / 0.7
    assert 0.85 < np.mean([f.high - f.low for f in found]) / exact < 1.25


def test_a_check_that_saw_no_positives_corrects_nothing():
    assert corrected_share([True, False], [True], [False]).value is None
    said = [True, False] * 50
    assert corrected_share(said, said, [not x for x in said]).value is None


def test_the_uncorrected_share_is_outside_that_interval_most_of_the_time():
    wide = [
        corrected_share(*detector(seed, share=0.05, specificity=0.8, checked=300))
        for seed in range(30)
    ]
    naive = [detector(seed, share=0.05, specificity=0.8)[0].mean() for seed in range(30)]
    assert sum(n > f.high for n, f in zip(naive, wide, strict=True)) >= 27


def test_two_checked_of_four_by_hand():
    # Errors on the checked: 1 - 0.5 and 0 - 0.5, their mean is 0; guesses average 0.5.
    figure = prediction_powered([0.5, 0.5, 0.5, 0.5], [0, 1], [1.0, 0.0])
    assert figure.value == pytest.approx(0.5)
    # Guesses that are all alike say nothing: the variance is that of the checked, 0.5 / 2.
    # 97.5 % of Student's t with one degree of freedom, as far as its expansion goes: 7.4.
    assert figure.high - figure.value == pytest.approx(student(1) * 0.25**0.5, rel=1e-6)
    assert prediction_powered([0.5], [], []).value is None
    assert prediction_powered([0.5, 0.7], [1], [1.0]).low is None


def test_checking_everything_gives_the_mean_of_people_and_its_t_interval():
    from scipy.stats import t

    y = np.random.default_rng(1).random(40)
    f = np.clip(y + np.random.default_rng(2).normal(0, 0.1, 40), 0, 1)
    figure = prediction_powered(f, range(40), y)
    half = t.ppf(0.975, 39) * y.std(ddof=1) / 40**0.5
    assert figure.value == pytest.approx(y.mean())
    assert figure.high - figure.value == pytest.approx(half, rel=1e-3)


def verdicts(seed, n=500):
    """A judge's confidences, and whether it was right: as often as it says."""
    rng = np.random.default_rng(seed)
    confidence = 1 / (1 + np.exp(-np.abs(rng.normal(0, 2, n))))
    return confidence, (rng.random(n) < confidence).astype(float)


EXPECTED = float(np.mean([verdicts(seed, 20000)[0].mean() for seed in range(10)]))


@pytest.mark.parametrize("way", ["random", "doubt"])
def test_a_prediction_powered_agreement_is_in_its_interval_in_at_least_93_percent_of_1000_seeds(
    way,
):
    inside, widths, plain = 0, [], []
    for seed in range(1000):
        confidence, was_right = verdicts(seed)
        chance = chances(doubt(confidence) if way == "doubt" else np.ones(500), 100)
        checked = draw(chance, seed=seed)
        assert len(checked) == 100
        figure = prediction_powered(confidence, checked, was_right[checked], chances=chance)
        inside += figure.low <= EXPECTED <= figure.high
        widths.append(figure.high - figure.low)
        plain.append(2 * 1.984 * was_right[checked].std(ddof=1) / 10)
    assert inside >= 0.93 * 1000
    assert np.mean(widths) < 0.16
    if way == "random":
        assert np.mean(widths) < np.mean(plain)


def test_checking_where_the_judge_doubts_narrows_the_interval():
    def width(interest):
        found = []
        for seed in range(60):
            confidence, was_right = verdicts(seed)
            chance = chances(interest(confidence), 100)
            checked = draw(chance, seed=seed)
            figure = prediction_powered(confidence, checked, was_right[checked], chances=chance)
            found.append(figure.high - figure.low)
        return float(np.mean(found))

    at_random, in_doubt = width(np.ones_like), width(doubt)
    assert in_doubt < 0.97 * at_random
    confidence = verdicts(0)[0]
    planned = [
        2 * planned_half_width(confidence, chances(interest, 100))
        for interest in (np.ones(500), doubt(confidence))
    ]
    assert planned == pytest.approx([at_random, in_doubt], rel=0.1)


def test_chances_sum_to_the_budget_and_none_is_above_1():
    interest = np.array([100.0, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    found = chances(interest, 4)
    assert found.sum() == pytest.approx(4)
    assert found[0] == 1.0
    assert (found > 0).all()
    assert chances([1.0, 2.0], 5).tolist() == [1.0, 1.0]
    assert chances([0.0, 0.0, 0.0, 0.0], 2).tolist() == [0.5] * 4


def test_each_label_is_drawn_as_often_as_its_chance_says():
    chance = chances(np.arange(1.0, 21.0), 6)
    times = np.zeros(20)
    for seed in range(2000):
        picked = draw(chance, seed=seed)
        assert len(picked) == 6
        times[picked] += 1
    assert times / 2000 == pytest.approx(chance, abs=0.04)


def test_labelers_that_split_evenly_disagree_most():
    found = disagreement([[0.9, 0.9, 0.5], [0.8, 0.2, 0.5]])
    assert found.tolist() == [0.0, 0.5, 0.5]


def test_a_share_in_clusters_is_corrected_by_rogan_and_gladen_s_formula():
    # (0.5 + 0.9 - 1) / (0.8 + 0.9 - 1) = 0.4 / 0.7.
    sure = Sureness(hits=80, positives=100, clears=90, negatives=100)
    judged, clusters = [True, False] * 50, [n // 5 for n in range(100)]
    found = corrected_by_cluster(judged, sure, clusters=clusters)
    assert found.value == pytest.approx(4 / 7)
    assert found.low < 4 / 7 < found.high
    assert found.n == 100


def test_a_judge_like_a_coin_corrects_nothing():
    coin = Sureness(hits=50, positives=100, clears=50, negatives=100)
    assert corrected_by_cluster([True, False], coin, clusters=[0, 1]).value is None
    faint = Sureness(hits=56, positives=100, clears=50, negatives=100)
    found = corrected_by_cluster([True, False] * 20, faint, clusters=list(range(40)))
    assert (found.low, found.high) == (0.0, 1.0)
    unknown = Sureness(hits=5, positives=5, clears=0, negatives=0)
    assert corrected_by_cluster([True], unknown, clusters=[0]).value is None


def test_equal_verdicts_are_not_certain():
    sure = Sureness(hits=99, positives=100, clears=99, negatives=100)
    found = corrected_by_cluster([False] * 30, sure, clusters=[n // 3 for n in range(30)])
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high > 0.05


def test_the_clustered_interval_holds_the_truth_in_at_least_93_of_100_draws():
    inside = 0
    for seed in range(100):
        stream = np.random.default_rng(seed)
        # 30 seeds, whose own shares vary around 0.3, 6 attempts each.
        shares = stream.beta(3, 7, 30)
        truth = stream.random((30, 6)) < shares[:, None]
        said = np.where(truth, stream.random(truth.shape) < 0.8, stream.random(truth.shape) > 0.9)
        sure = Sureness(
            hits=int(stream.binomial(80, 0.8)),
            positives=80,
            clears=int(stream.binomial(80, 0.9)),
            negatives=80,
        )
        clusters = np.repeat(np.arange(30), 6).tolist()
        found = corrected_by_cluster(said.ravel().tolist(), sure, clusters=clusters, seed=seed)
        inside += found.low <= 0.3 <= found.high
    assert inside >= 93
