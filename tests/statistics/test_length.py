"""lc_difficulty and lc_alpaca_v1 against AlpacaEval's own recipe, rebuilt with scikit-learn."""

import math

import numpy as np
import pytest

from hrlaif.statistics import Contest, Gamed, lc_alpaca_v1, lc_difficulty, lc_minimal
from hrlaif.statistics.bradley_terry import difficulties

PROMPTS = 805


@pytest.fixture(scope="module")
def leaderboard():
    """805 prompts of known truth (phi -0.9, psi 1, theta -0.46), and AlpacaEval's gamed rows."""
    rng = np.random.default_rng(6)
    difficulty = rng.normal(0, 0.27, PROMPTS)
    baseline = np.round(rng.lognormal(7.4, 0.5, PROMPTS))
    lengths = np.round(baseline * rng.lognormal(0.35, 0.5, PROMPTS))
    gaps = baseline - lengths
    x = np.tanh(gaps / gaps.std(ddof=1))
    chance = 1 / (1 + np.exp(0.9 * x - difficulty + 0.46))
    # A judge's soft preferences, right on average.
    wins = np.round(rng.beta(4 * chance, 4 * (1 - chance)), 6)
    gamed_x = np.concatenate([rng.normal(-0.9, 0.6, PROMPTS), rng.normal(0.9, 0.6, PROMPTS)])
    hard = np.tile(difficulty, 2)
    chance = 1 / (1 + np.exp(0.9 * np.tanh(gamed_x) - hard))
    won = np.round(rng.beta(4 * chance, 4 * (1 - chance)), 6)
    gamed = Gamed(won, gamed_x, hard, list(range(PROMPTS)) * 2)
    return Contest(wins, lengths, baseline), difficulty, gamed, x


@pytest.fixture(scope="module")
def found(leaderboard):
    contest, difficulty, gamed, _ = leaderboard
    return lc_alpaca_v1(contest, difficulty, gamed, resamples=500)


def design(leaderboard):
    contest, difficulty, gamed, x = leaderboard
    rows = np.column_stack([x, difficulty, np.ones(PROMPTS)])
    more = np.column_stack([np.tanh(gamed.std_delta_len), gamed.difficulty, np.zeros(2 * PROMPTS)])
    y = np.concatenate([contest.wins, gamed.wins])
    weights = np.concatenate([np.ones(PROMPTS), np.full(2 * PROMPTS, 0.1)])
    return np.concatenate([rows, more]), y, weights


def alpaca_eval(leaderboard, strengths):
    """AlpacaEval's LC in percent: L1, its strength chosen by five folds, rows doubled."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    x, y, weights = design(leaderboard)
    doubled, labels = np.tile(x, (2, 1)), np.repeat([1, 0], len(y))
    share = np.concatenate([y, 1 - y])
    own = np.tile(weights, 2)
    groups = np.tile(np.arange(len(y)), 2)

    def fitted(strength, rows):
        model = LogisticRegression(
            C=strength, l1_ratio=1, solver="liblinear", fit_intercept=False, random_state=123
        )
        return model.fit(doubled[rows], labels[rows], sample_weight=(share * own)[rows])

    def loss(strength):
        total = 0.0
        for train, test in GroupKFold(5).split(doubled, labels, groups):
            p = fitted(strength, train).predict_proba(doubled[test])[:, 1]
            truth = np.where(labels[test] == 1, share[test], 1 - share[test])
            losses = truth * np.log(p) + (1 - truth) * np.log(1 - p)
            total -= float(np.mean(losses * own[test]))
        return total

    _, psi, theta = fitted(min(strengths, key=loss), slice(None)).coef_[0]
    return 100 * np.mean(1 / (1 + np.exp(-(psi * leaderboard[1] + theta))))


def test_alpaca_v1_is_38_percent_and_alpaca_evals_own_fit_gives_the_same(leaderboard, found):
    ours = 100 * found.win_rate.value
    assert ours == pytest.approx(38.0, abs=0.1)
    assert 100 * found.raw.value == pytest.approx(45.1, abs=0.1)
    # Whatever strength of penalty cross-validation picks, it is immaterial with 805 prompts.
    assert alpaca_eval(leaderboard, np.logspace(-4, 4, 10)) == pytest.approx(ours, abs=0.02)
    # The strength that it picked when AlpacaEval's own code was run on data of this kind.
    assert alpaca_eval(leaderboard, [166.8]) == pytest.approx(ours, abs=0.01)


def test_alpaca_v1_has_the_coefficients_of_statsmodels(leaderboard, found):
    import statsmodels.api as sm

    x, y, weights = design(leaderboard)
    model = sm.GLM(y, x, family=sm.families.Binomial(), freq_weights=weights).fit()
    ours = [found.phi.value, found.psi.value, found.theta.value]
    assert ours == pytest.approx(list(model.params), abs=1e-5)


def test_the_published_standard_error_is_about_four_times_too_small(leaderboard, found):
    fitted = 1 / (1 + np.exp(-(found.psi.value * leaderboard[1] + found.theta.value)))
    published = 100 * fitted.std(ddof=1) / math.sqrt(PROMPTS)
    refitted = 100 * (found.win_rate.high - found.win_rate.low) / (2 * 1.96)
    assert 3.5 < refitted / published < 5.5
    raw = 100 * (found.raw.high - found.raw.low) / (2 * 1.96)
    assert refitted > 0.9 * raw


def test_minimal_is_alpaca_evals_minimal(leaderboard):
    from sklearn.linear_model import LogisticRegression

    contest, _, _, x = leaderboard
    rows = np.tile(np.column_stack([x, np.ones(PROMPTS)]), (2, 1))
    weights = np.concatenate([contest.wins, 1 - np.asarray(contest.wins)])
    model = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10, max_iter=1000)
    model.fit(rows, np.repeat([1, 0], PROMPTS), sample_weight=weights)
    ours = lc_minimal(*contest[:3])
    theirs = 1 / (1 + math.exp(-model.coef_[0, 1]))
    assert ours.win_rate.value == pytest.approx(theirs, abs=1e-6)


def test_the_true_parameters_lie_in_their_intervals(found):
    for figure, truth in ((found.phi, -0.9), (found.psi, 1.0), (found.theta, -0.46)):
        assert figure.low < truth < figure.high


def test_a_gamed_row_of_no_prompt_here_always_stands(leaderboard):
    contest, difficulty, gamed, _ = leaderboard
    strangers = gamed._replace(prompts=["elsewhere"] * len(gamed.prompts))
    ours = lc_alpaca_v1(contest, difficulty, strangers, resamples=50)
    known = lc_alpaca_v1(contest, difficulty, gamed, resamples=50)
    assert ours.win_rate.value == known.win_rate.value
    assert ours.theta.low != known.theta.low  # the win rate's may be Wilson's, of the same wins


def test_difficulty_that_is_zero_everywhere_leaves_lc_minimal(leaderboard):
    contest = leaderboard[0]
    found = lc_difficulty(contest, np.zeros(PROMPTS))
    minimal = lc_minimal(*contest[:3])
    assert found.win_rate.value == pytest.approx(minimal.win_rate.value, abs=1e-6)
    assert found.psi.value == pytest.approx(0.0, abs=1e-9)


def test_difficulty_is_found_jointly_from_forty_models_and_refused_from_one():
    rng = np.random.default_rng(4)
    truth = rng.normal(0, 1.2, 120)
    x = [rng.uniform(-0.8, 0.8, 120) for _ in range(40)]
    wins = [
        (rng.random(120) < 1 / (1 + np.exp(-(truth - 0.7 * f + t)))).astype(float)
        for f, t in zip(x, rng.normal(0, 0.5, 40), strict=True)
    ]
    wins[0][:5] = np.nan
    found = difficulties(wins, x)
    assert np.corrcoef(found, truth)[0, 1] > 0.93
    with pytest.raises(ValueError, match="at least 2 models in the same run, not 1"):
        difficulties(wins[:1], x[:1])
