"""Does the page say how far the reward may be believed, and is hostile text only text?"""

import json

import pytest

from hrlaif.report import write
from hrlaif.statistics.separation import TOLD_BY_LENGTH

HOSTILE = '"><script>alert(1)</script>{{ 7*7 }}'
HALF = {"value": 0.5, "low": 0.3, "high": 0.7, "n": 20}
MORE = {"value": 0.75, "low": 0.6, "high": 0.9, "n": 22}


def rows(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


@pytest.fixture
def run(tmp_path):
    policy = tmp_path / "policy"
    steps = [
        {"step": n, "reward_mean": n / 5, "kl": n / 10, "repetition": 0.1, "injection_share": 0.0}
        for n in range(1, 9)
    ]
    rows(policy / "metrics.jsonl", steps)
    looked = {"identical": 1, "unscored": 0, "abstained": 2, "ties": 0, "refreshed": None}
    stale = {"stale": True, "refreshed": 8, "fresh_labels": 40}
    rows(
        policy / "staleness.jsonl",
        [
            {"step": 0, "agreement": MORE, "expected": HALF, **looked, "stale": False},
            {"step": 8, "agreement": HALF, "expected": HALF, **looked, **stale},
        ],
    )
    outlier = {"prompt": [{"role": "user", "content": HOSTILE}], "reward": 4.5, "repetition": 0.25}
    order = "it addresses the judge: an order to the judge"
    rows(
        policy / "outliers.jsonl",
        [
            {"step": 2, "why": "its reward stands out", "response": "the same", **outlier},
            {"step": 3, "why": "its reward stands out", "response": "the same", **outlier},
            {"step": 4, "why": order, "response": HOSTILE, **outlier, "reward": None},
        ],
    )
    weighted = {"kind": "weighted", "parts": [{"reward": {"kind": "learned"}, "weight": 1}]}
    (policy / "score.json").write_text(json.dumps(weighted))
    best = {"n": 8, "win_rate": MORE, "length_controlled": HALF, "most_kl": 1.2}
    best |= {"reward": MORE, "reward_of_all": HALF, "unscored": 3, "left_out": 0}
    rows(tmp_path / "evaluation" / "metrics.json", [{"best_of": best}])
    return tmp_path


def test_agreement_stands_by_step_with_its_interval_n_and_what_was_left_out(run):
    page = write(run).read_text("utf-8")
    assert "75.0 % (60.0 to 90.0)" in page
    assert "1 identical 2 abstained" in page
    assert page.count('<span class="lost">stale</span>') == 1
    assert "learned anew after step 8, with 40 fresh labels" in page
    assert "The reward: weighted, learned." in page


def test_best_of_n_stands_beside_reward_against_kl(run):
    page = write(run).read_text("utf-8")
    assert "Best of 8 answers" in page
    assert 'aria-label="Mean reward against the KL from the SFT policy"' in page
    assert "never chosen: 3" in page
    file = run / "evaluation" / "metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    unknown = {"value": None, "low": None, "high": None, "n": 40}
    metrics["best_of"] |= {"length_controlled": unknown, "length_flags": [TOLD_BY_LENGTH]}
    file.write_text(json.dumps(metrics), "utf-8")
    page = write(run).read_text("utf-8")
    assert "at equal length unknown." in page
    assert f"Note: {TOLD_BY_LENGTH}." in page


def test_outliers_are_shown_once_as_text_and_never_as_markup(run):
    page = write(run).read_text("utf-8")
    assert "2 where its reward stands out" in page
    assert page.count('<p class="text">the same</p>') == 1
    assert "1 where it addresses the judge" in page
    assert "<script>" not in page
    assert "{{ 7*7 }}" in page


def test_a_direct_run_says_that_nothing_was_labelled(run):
    (run / "policy" / "score.json").write_text('{"kind": "scaled", "reward": {"kind": "direct"}}')
    page = write(run).read_text("utf-8")
    assert "The judge graded every response of RL from 1 to 10" in page
    assert "No labels were made and no reward model was trained." in page
    assert "None: the judge graded each response of RL itself." in page


def test_torn_and_misshapen_files_cost_their_part_alone(run):
    (run / "policy" / "score.json").write_text("[1, 2")
    (run / "policy" / "staleness.jsonl").write_text('{"step": 1, "agreement": 7}\n{"st')
    rows(run / "policy" / "outliers.jsonl", [{"why": 3, "response": None, "reward": "x"}])
    page = write(run).read_text("utf-8")
    assert "score.json is not JSON" in page
    assert "Reward against KL" in page
