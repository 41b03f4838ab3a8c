"""Behind each drawing stand its numbers, in a table of its own, on every page."""

import json
import re

import pytest

from hrlaif.pages.charts import binned, marks
from hrlaif.report import write, write_comparison, write_votes

FIGURE = {"value": 0.62, "low": 0.55, "high": 0.69, "n": 40}
OTHER = {"value": 0.31, "low": 0.22, "high": 0.44, "n": 41}


def rows(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


@pytest.fixture
def run(tmp_path):
    """A run in which every stage left something to draw."""
    pair = {"id": "1", "prompt_id": "p", "prompt": "q", "a": {"text": "x"}, "b": {"text": "y"}}
    steps = [
        {"step": n + 1, "loss": 0.7 - n / 99, "reward_mean": n / 7, "kl": n / 30} for n in range(40)
    ]
    for name in ("policy", "sft", "reward_model"):
        rows(tmp_path / name / "metrics.jsonl", steps)
    rows(tmp_path / "policy/validation.jsonl", [{"step": 40, "reward_mean": 0.3, "kl": 0.2}])
    rows(tmp_path / "policy/staleness.jsonl", [{"step": 8, "agreement": OTHER, "expected": FIGURE}])
    held = [
        {"prob_a": 0.9, "human": 1.0, "difference": n - 1, "prompt_id": f"{n}"} for n in range(5)
    ]
    rows(tmp_path / "reward_model/heldout_predictions.jsonl", held)
    rows(tmp_path / "preferences.jsonl", [{**pair, "prob_a": n / 30} for n in range(30)])
    won = {"overall": FIGURE, "hard": OTHER, "by_category": {"math": OTHER, "chat": FIGURE}}
    sides = {"before": FIGURE, "after": OTHER, "gain": FIGURE}
    best = {"n": 8, "most_kl": 1.2, "reward": FIGURE}
    metrics = {"win_rate": won | {"length_controlled": {"win_rate": OTHER}}, "best_of": best}
    metrics |= {"agreement": {"overall": FIGURE, "always_longer": OTHER}, "accuracy": sides}
    metrics |= {"satisfaction": {"rate": sides}}
    rows(tmp_path / "evaluation/metrics.json", [metrics])
    rows(
        tmp_path / "redteam/figures.json",
        [{"success": {"by_family": won["by_category"], "by_hazard": won["by_category"]}}],
    )
    rates = [{"people": FIGURE, "judge": OTHER}]
    rows(tmp_path / "votes/votes.json", [{"win_rate": rates}])
    return tmp_path


def test_each_drawing_of_a_run_has_its_numbers_right_behind_it(run, untold):
    page = write(run).read_text("utf-8")
    assert page.count('class="chart"') >= 16
    assert untold(page) == []


def test_a_missing_table_is_found(run, untold):
    page = write(run).read_text("utf-8")
    start = page.index('aria-label="Supervised fine-tuning loss')
    cut = page[:start] + page[start:].replace("<td", "<th").replace("</td", "</th")
    assert len(untold(cut)) > 20


@pytest.mark.parametrize("name", ["compare.json", "votes.json"])
def test_each_drawing_of_a_comparison_and_of_votes_has_its_numbers(run, untold, name):
    home, make = {
        "compare.json": (run / "evaluation", write_comparison),
        "votes.json": (run / "votes", write_votes),
    }[name]
    if name == "compare.json":
        (home / "metrics.json").rename(home / name)
    page = make(home).read_text("utf-8")
    assert page.count('class="chart"') >= 1
    assert untold(page) == []


def test_what_has_no_verdict_is_counted_by_what_it_is(run):
    metrics = json.loads((run / "evaluation/metrics.json").read_text("utf-8"))
    metrics["win_rate"]["abstentions"] = {"of win_rate": 1}
    metrics["satisfaction"]["unrated"] = {"of satisfaction": 2}
    toxicity = {"before": FIGURE, "after": OTHER, "gain": FIGURE}
    metrics["toxicity"] = toxicity | {"untold": {"of toxicity": 3}}
    rows(run / "evaluation/metrics.json", [metrics])
    rows(run / "verdicts.jsonl", [{"check": "math", "passed": None, "reason": "of a check"}] * 4)
    silent = {"preference": {"of people": 5}}
    votes = {"win_rate": [{"people": FIGURE, "judge": OTHER}], "abstentions": silent}
    rows(run / "votes/votes.json", [votes])
    page = write(run).read_text("utf-8")
    row = r'because</th><th class="n">(\w+)</th></tr></thead>\s*<tbody><tr><td>(.*?)</td>'
    assert sorted(re.findall(row, page)) == [
        ("answers", "of a check"),
        ("comparisons", "of win_rate"),
        ("continuations", "of toxicity"),
        ("responses", "of satisfaction"),
        ("votes", "preference: of people"),
    ]


def test_rules_have_marks_of_their_own_and_changes_of_shares_are_in_points(run):
    named = [("labeler", None), ("always the first", None), ("always the longer", None)]
    assert marks(named) == [0, 2, 1]
    page = write(run).read_text("utf-8")
    assert "● the labels, ■ always the longer response, ▲ always the first. Dashed: a coin." in page
    assert page.count("paired: +62.0 points (+55.0 to +69.0)") == 2


def test_a_histogram_counts_what_it_draws():
    counts = dict(binned([0.0, 0.02, 0.051, 0.99, 1.0, 1.2, -0.1]))
    assert counts["0.00 to 0.05"] == 2
    assert counts["0.05 to 0.10"] == 1
    assert counts["0.95 to 1.00"] == 2
    assert sum(counts.values()) == 5
    assert len(counts) == 20
