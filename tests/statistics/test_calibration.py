"""Calibration against scikit-learn, and against judges whose calibration is known."""

import numpy as np
import pytest

from hrlaif.errors import DataError
from hrlaif.statistics import (
    Calibration,
    all_right,
    brier,
    ece,
    isotonic,
    mean,
    read_calibration,
    reliability,
    temperature,
)
from hrlaif.statistics.calibration import pooled


def judged(seed, n=300, slope=1.0):
    """Probabilities said, and outcomes whose log-odds are `slope` times those said."""
    rng = np.random.default_rng(seed)
    said = 1 / (1 + np.exp(-rng.normal(0, 1.5, n)))
    true = 1 / (1 + np.exp(-slope * np.log(said / (1 - said))))
    return said, (rng.random(n) < true).astype(float), true


def test_brier_and_the_reliability_diagram_are_scikit_learns():
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import brier_score_loss

    said, outcome, _ = judged(1)
    assert brier(said, outcome).value == pytest.approx(brier_score_loss(outcome, said))
    happened, mean_said = calibration_curve(outcome, said, n_bins=10, strategy="quantile")
    bins = reliability(said, outcome)
    assert [b.said for b in bins] == pytest.approx(list(mean_said))
    assert [b.happened.value for b in bins] == pytest.approx(list(happened))
    assert sum(b.happened.n for b in bins) == 300


def test_the_calibration_error_of_two_bins_is_a_tenth_by_hand():
    # Bin 1 says 0.25 and happens in 1 of 2; bin 2 says 0.75 and happens in 2 of 2.
    figure = ece([0.25, 0.25, 0.75, 0.75], [0, 1, 1, 1], bins=2)
    assert figure.value == pytest.approx(0.5 * 0.25 + 0.5 * 0.25)


def test_equal_probabilities_are_one_bin_however_many_there_are():
    bins = reliability([0.1] * 50 + [0.9] * 50, [0] * 50 + [1] * 50)
    assert [b.said for b in bins] == pytest.approx([0.1, 0.9])
    assert [b.happened.n for b in bins] == [50, 50]
    assert reliability([], []) == []
    assert ece([], []).value is None


def test_a_calibrated_judges_error_is_0_within_its_interval_in_at_least_93_of_100_seeds():
    found = [ece(*judged(seed)[:2], seed=seed) for seed in range(100)]
    assert sum(figure.low == 0.0 for figure in found) >= 93
    assert max(figure.high for figure in found) < 0.16


@pytest.mark.parametrize("slope", [0.4, 2.0])
def test_a_miscalibrated_judges_error_is_in_its_interval_in_at_least_93_of_100_seeds(slope):
    inside, width = 0, 0.0
    for seed in range(100):
        said, outcome, true = judged(seed, slope=slope)
        # The truth of these very probabilities, in the same bins.
        truth = ece(said, true).value
        figure = ece(said, outcome, seed=seed)
        inside += figure.low <= truth <= figure.high
        width += (figure.high - figure.low) / 100
    assert inside >= 93
    # The exact width of a single bin of 300 would be 3.92 sqrt(0.19 / 300) = 0.10.
    assert width < 0.14


def test_temperature_is_scikit_learns_logistic_regression_on_the_log_odds():
    from sklearn.linear_model import LogisticRegression

    said, outcome, _ = judged(2, slope=0.5)
    x = np.log(said / (1 - said))[:, None]
    model = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10).fit(x, outcome)
    found = temperature(said, outcome)
    assert found.slope == pytest.approx(model.coef_[0, 0], abs=1e-5)
    assert found.apply(0.9) == pytest.approx(9**found.slope / (1 + 9**found.slope))
    assert found.apply(0.9) + found.apply(0.1) == pytest.approx(1.0)
    assert found.apply(1.0) <= 1.0


def test_isotonic_is_scikit_learns_on_both_orientations():
    from sklearn.isotonic import IsotonicRegression

    said, outcome, _ = judged(3, slope=0.5)
    model = IsotonicRegression(out_of_bounds="clip")
    model.fit(np.concatenate([said, 1 - said]), np.concatenate([outcome, 1 - outcome]))
    found = isotonic(said, outcome)
    points = np.linspace(0.02, 0.98, 41)
    assert [found.apply(p) for p in points] == pytest.approx(list(model.predict(points)))
    assert [found.apply(p) + found.apply(1 - p) for p in points] == pytest.approx([1.0] * 41)


def test_pooling_1_3_2_weighs_the_violators_together():
    assert pooled(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 3.0])).tolist() == [1, 2.25, 2.25]


def test_calibration_takes_most_of_a_sure_judges_error_away():
    said, outcome, _ = judged(4, n=2000, slope=0.3)
    fresh, truth, _ = judged(5, n=2000, slope=0.3)
    raw = ece(fresh, truth).value
    for fitted in (temperature(said, outcome), isotonic(said, outcome)):
        mended = ece([fitted.apply(p) for p in fresh], truth).value
        assert mended < 0.35 * raw


def test_a_judge_that_is_wrong_more_often_than_right_is_made_indifferent():
    said, outcome, _ = judged(6, slope=-1.0)
    assert temperature(said, outcome).apply(0.99) == 0.5


def test_a_few_labels_that_are_all_right_make_no_map_certain():
    said, truth = [0.52, 0.55, 0.47, 0.51, 0.60, 0.5], [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    assert all_right(said, truth)
    for found in (temperature(said, truth), isotonic(said, truth)):
        assert 0.55 < found.apply(0.55) < 0.95
    assert isotonic(said, truth).apply(0.6) == pytest.approx(6 / 7)  # Platt's target of five
    many = temperature(said * 100, truth * 100)
    assert many.apply(0.55) > 0.97


@pytest.mark.parametrize("truth", [[1.0, 1.0, 0.0, 0.0], [1.0, 0.9, 0.0, 1.0]])
def test_a_wrong_label_or_a_shared_truth_leaves_the_likeliest_map(truth):
    said = [0.6, 0.7, 0.3, 0.8]
    assert not all_right(said, truth)
    x = np.log(np.array(said) / (1 - np.array(said)))
    slope = temperature(said, truth).slope
    p = 1 / (1 + np.exp(-slope * x))
    assert ((p - truth) * x).sum() == pytest.approx(0, abs=1e-4)


def test_brier_is_in_its_interval_in_at_least_93_percent_of_400_seeds():
    inside, found = 0, []
    for seed in range(400):
        said, outcome, true = judged(seed, n=200, slope=0.5)
        expected = mean(true * (1 - said) ** 2 + (1 - true) * said**2).value
        figure = brier(said, outcome, seed=seed)
        inside += figure.low <= expected <= figure.high
        found.append((figure.value, figure.high - figure.low))
    assert inside >= 0.93 * 400
    values, widths = np.transpose(found)
    assert np.mean(widths) < 1.2 * 3.92 * values.std(ddof=1)


def test_a_calibration_is_read_back_and_another_file_is_refused(tmp_path):
    path = tmp_path / "c.json"
    made = Calibration(method="temperature", slope=0.5, n=10, judge="j")
    path.write_text(made.model_dump_json())
    assert read_calibration(path) == made
    path.write_text("{}")
    with pytest.raises(DataError, match="is no calibration"):
        read_calibration(path)
    with pytest.raises(DataError, match="no such file"):
        read_calibration(tmp_path / "none.json")
