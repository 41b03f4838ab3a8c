from pathlib import Path

import pytest

from hrlaif.config import Config
from hrlaif.labeling import Pairwise
from hrlaif.memory import needed
from hrlaif.planning import expectations, labels, notes


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


def test_direct_rl_asks_the_judge_once_a_response_and_staleness_in_both_orders(tmp_path):
    how = {
        "steps": 10,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 3, "max_tokens": 50},
        "validation": {"every": 5},
    }
    learned = plan(tmp_path, policy=how)
    direct = plan(tmp_path, policy=how, score="direct")
    assert learned["policy"].work.calls == 0
    # 10 x 12 in training, and 5 validation prompts before the first step, after 5 and after 10.
    assert direct["policy"].work.calls == 120 + 15
    scaled = plan(tmp_path, policy=how, score={"kind": "scaled", "samples": 30})
    assert scaled["policy"].work.calls == 120 + 15 + 30
    assert direct["policy"].work.read > learned["policy"].work.read + 135 * 180
    assert not {"responses", "label", "reward"} & direct.keys()
    stale = plan(tmp_path, policy={**how, "staleness": {"every": 5, "pairs": 8}})
    assert stale["policy"].work.calls == 2 * 8 * 3
    url = "https://judge.example/v1"
    priced = {"kind": "remote", "model": "m", "base_url": url, "price": [1.0, 1.0]}
    paid = plan(tmp_path, policy=how, score="direct", judge=priced)["policy"]
    assert 0 < paid.usd < 135 * 300 / 1e6  # the policy's own tokens cost nothing


def test_fresh_labels_in_rl_are_counted_in_both_orders(tmp_path):
    how = {
        "algorithm": {"kind": "online_dpo", "labels": "judge"},
        "steps": 10,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 2, "max_tokens": 50},
        "validation": {"every": 5},
    }
    # 4 pairs a step, and 5 validation prompts before the first step, after 5 and after 10.
    assert plan(tmp_path, policy=how)["policy"].work.calls == 2 * (10 * 4 + 3 * 5)


def test_the_best_of_several_demonstrations_costs_a_grade_each(tmp_path):
    one = plan(tmp_path, sft={"source": "teacher", "temperature": 1.0})["sft"].work
    four = plan(tmp_path, sft={"source": "teacher", "temperature": 1.0, "best_of": 4})["sft"].work
    assert one.calls == 25
    assert four.calls == 4 * 25 + 4 * 25  # written by the teacher, graded by the judge


def test_a_red_team_whose_rewrites_teach_nothing_is_pointed_out():
    def said(**values):
        return notes(Config.parse({"judge": "scripted:", **values}))

    team = {"redteam": {"limit": 4}}
    assert said(**team) == []
    assert said(score="direct") == []
    assert "teach nothing" in said(score="direct", **team)[0]
    online = {"algorithm": {"kind": "online_dpo", "labels": "judge"}}
    assert "fresh responses" in said(policy=online, **team)[0]
    assert said(policy={"algorithm": "dpo"}, score="direct", **team) == []


def test_memory_is_the_weights_that_lie_there_at_once(tiny_model, tmp_path):
    size = sum(f.stat().st_size for f in Path(tiny_model).glob("*.safetensors"))
    here = {"model": f"local:{tiny_model}", "judge": f"local:{tiny_model}"}
    process = needed("label", Config.parse({**here, "judge": "scripted:"}))

    def weights(stage, **values):
        return (needed(stage, Config.parse({**here, **values})) - process) / size

    assert weights("label") == pytest.approx(1)
    assert weights("reward") == pytest.approx(1.3)
    assert weights("policy") == pytest.approx(2.3)  # the policy, and a reward model of its size
    ensemble = {"score": "ensemble", "reward": {"members": 3}}
    assert weights("policy", **ensemble) == pytest.approx(4.3)
    assert weights("policy", score="direct") == pytest.approx(2.3)  # the judge instead
    assert weights("policy", policy={"staleness": {}}) == pytest.approx(3.3)
    # Weights, gradient and moments, a reference, a value model and a reward model, all in float32.
    assert weights("policy", policy={"lora": None}) == pytest.approx(1.3 + 3 + 2 + 1)
    assert needed("label", Config.parse({"judge": "local:some/hub-id"})) is None
