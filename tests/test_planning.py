import pytest

from hrlaif.config import Config
from hrlaif.labeling import Pairwise
from hrlaif.planning import expectations, labels


def plan(tmp_path, **values):
    prompts = {"train": 20, "validation": 5, "test": 10}
    config = Config.parse({"prompts": prompts, "judge": "scripted:", **values})
    return {line.stage.name: line for line in expectations(tmp_path, config)}


def test_calls_are_counted_from_the_settings(tmp_path):
    lines = plan(tmp_path)
    assert lines["sft"].work.calls == 25
    assert lines["responses"].work.calls == 50
    assert lines["label"].work.calls == 50  # 25 pairs in two orders
    assert lines["evaluate"].work.calls == 20
    assert {line.state for line in lines.values()} == {"to do"}
    assert {line.usd for line in lines.values()} == {0.0}


def test_single_order_halves_and_samples_multiply_the_calls():
    assert labels(Pairwise(single_order=True), 10, 50, 50).calls == 10
    assert labels(Pairwise(), 10, 50, 50).calls == 20
    several = labels(Pairwise(rationale=True, samples=4), 10, 50, 50)
    assert several.calls == 160  # a rationale and a label each
    assert several.written > labels(Pairwise(), 10, 50, 50).written


def test_a_priced_judge_costs_and_an_unpriced_one_is_unknown(tmp_path):
    url = "https://judge.example/v1"
    priced = {"kind": "remote", "model": "m", "base_url": url, "price": [2.0, 8.0]}
    line = plan(tmp_path, judge=priced)["label"]
    assert line.usd == pytest.approx((2 * line.work.read + 8 * line.work.written) / 1e6)
    unknown = plan(tmp_path, judge={"kind": "remote", "model": "m", "base_url": url})["label"]
    assert unknown.usd is None
    assert "unknown" in unknown.cells()


def test_a_red_team_s_calls_are_planned_in_its_stage_and_in_the_evaluation(tmp_path):
    part = {"limit": 10, "families": ["direct", "role_play"]}
    lines = plan(tmp_path, redteam=part)
    # 20 attacks and 2 of the run's own, a third rewritten and checked twice; 10 benign ones.
    assert lines["redteam"].work.calls == 2 * (22 + 2 * 7 + 2 * 10) + 7
    # Both policies answer 10 seeds in two ways, and 10 benign prompts that are judged twice.
    assert lines["evaluate"].work.calls == 20 + 4 * (20 + 2 * 10)
    assert lines["redteam"].work.written > 0
