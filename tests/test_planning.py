from pathlib import Path

import pytest
import yaml

from hrlaif.attacking import _TURNS
from hrlaif.config import Config, load
from hrlaif.estimates import Work, labels
from hrlaif.labeling import Pairwise
from hrlaif.llm.calls import cost_table
from hrlaif.llm.prompting import load_template
from hrlaif.planning import Line, expectations, notes
from hrlaif.redteam.families import PROMPTS
from hrlaif.running import run_stage

RECIPES = Path(__file__).parents[1] / "configs"


def plan(tmp_path, **values):
    prompts = {"train": 20, "validation": 5, "test": 10}
    config = Config.parse({"prompts": prompts, "judge": "scripted:", **values})
    return {line.name: line for line in expectations(tmp_path, config)}


def test_calls_are_counted_from_the_settings(tmp_path):
    lines = plan(tmp_path)
    assert lines["sft"].work.calls == 25
    assert lines["responses"].work.calls == 50
    assert lines["label"].work.calls == 50  # 25 pairs in two orders
    assert lines["evaluate"].work.calls == 40  # both policies' answers, and 10 pairs
    assert lines["policy"].work.calls == 40  # 4 checkpoints against the first, on 5 prompts
    assert lines["total"].work.calls == 25 + 50 + 50 + 40 + 40
    assert {line.state for line in lines.values()} == {"to do", ""}
    assert {line.usd for line in lines.values()} == {0.0}


def test_single_order_halves_and_samples_multiply_the_calls():
    assert labels(Pairwise(single_order=True), 10, 50, 50).calls == 10
    assert labels(Pairwise(), 10, 50, 50).calls == 20
    several = labels(Pairwise(rationale=True, samples=4), 10, 50, 50)
    assert several.calls == 160  # a rationale and a label each
    assert several.written > labels(Pairwise(), 10, 50, 50).written


def test_each_judge_of_a_panel_is_asked_and_paid(tmp_path):
    url = "https://judge.example/v1"
    other = {"kind": "remote", "model": "m", "base_url": url, "price": [2.0, 8.0]}
    panel = {"kind": "panel", "others": [other, "scripted:seed=2"]}
    alone, line = (
        plan(tmp_path, **more)["label"] for more in ({}, {"labeling": {"labeler": panel}})
    )
    assert line.work.calls == 3 * alone.work.calls
    assert line.usd == pytest.approx((2 * alone.work.read + 8 * alone.work.written) / 1e6)


def test_a_local_judge_computes_what_questions_share_once():
    work = labels(Pairwise(), 10, 50, 60)
    # Two orders of 90 (the preamble), 50 and 2 x 60 tokens; computed are 50 and 2 x 2 x 60 a pair.
    assert work.read == 10 * 2 * (90 + 50 + 120)
    assert work.read - work.shared == 10 * (50 + 2 * 120)
    assert labels(Pairwise(single_order=True), 10, 50, 60).shared == 10 * 90


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
    asked = 2 * (22 + 2 * 7 + 2 * 10) + 7
    # The policy answers the attacks, a rewording of each at most, and the benign ones.
    assert lines["redteam"].work.calls == asked + 22 + 22 + 10
    # Both policies answer 10 seeds in two ways, and 10 benign prompts that are judged twice.
    attacked = 2 * (20 + 10) + 4 * (20 + 2 * 10)
    assert lines["evaluate"].work.calls == 20 + 20 + attacked
    panel = {"labeler": {"kind": "panel", "others": ["scripted:seed=2"]}}
    asked = plan(tmp_path, redteam=part, evaluation=panel)["evaluate"].work.calls
    assert asked == 20 + 2 * 20 + attacked  # the others compare, and are asked of no harm
    assert lines["redteam"].work.written > 0


def test_an_escalation_has_as_many_turns_as_are_counted_in_each_language():
    for language in ("en", "zh"):
        assert len(load_template(PROMPTS, "attacks", language)["escalation"]) == _TURNS


def test_direct_rl_asks_the_judge_once_a_response_and_staleness_in_both_orders(tmp_path):
    how = {
        "steps": 10,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 3, "max_tokens": 50},
        "validation": {"every": 5},
    }
    learned = plan(tmp_path, policy=how)
    direct = plan(tmp_path, policy=how, score="direct")
    choice = 2 * 5 * 2  # two checkpoints against the SFT policy on 5 prompts, in both orders
    assert learned["policy"].work.calls == choice
    # 10 x 12 in training, and 5 validation prompts before the first step, after 5 and after 10.
    assert direct["policy"].work.calls == 120 + 15 + choice
    scaled = plan(tmp_path, policy=how, score={"kind": "scaled", "samples": 30})
    assert scaled["policy"].work.calls == 120 + 15 + 30 + choice
    assert direct["policy"].work.read > learned["policy"].work.read + 135 * 180
    assert not {"responses", "label", "reward"} & direct.keys()
    stale = plan(tmp_path, policy={**how, "staleness": {"every": 5, "pairs": 8}})
    assert stale["policy"].work.calls == 2 * 8 * 3 + choice
    url = "https://judge.example/v1"
    priced = {"kind": "remote", "model": "m", "base_url": url, "price": [1.0, 1.0]}
    paid = plan(tmp_path, policy=how, score="direct", judge=priced)["policy"]
    assert 0 < paid.usd < (135 + choice) * 300 / 1e6  # the policy's own tokens cost nothing


def test_fresh_labels_in_rl_are_counted_in_both_orders(tmp_path):
    how = {
        "algorithm": {"kind": "online_dpo", "labels": "judge"},
        "steps": 10,
        "sampling": {"prompts_per_step": 4, "samples_per_prompt": 2, "max_tokens": 50},
        "validation": {"every": 5},
    }
    # 4 pairs a step, and 5 validation prompts before the first step, after 5 and after 10.
    choice = 2 * 5 * 2
    found = plan(tmp_path, policy=how)["policy"].work
    assert found.calls == 2 * (10 * 4 + 3 * 5) + choice
    watched = {**how, "staleness": {"every": 1, "then": "refresh"}}  # which does nothing here
    assert plan(tmp_path, policy=watched)["policy"].work == found


def test_a_recipe_with_staleness_asks_nothing_of_it_where_the_policy_learns_from_labels(tmp_path):
    recipe = yaml.safe_load((RECIPES / "rlaif.yaml").read_text("utf-8"))["policy"]
    labels = {**recipe, "algorithm": "dpo"}
    assert recipe["staleness"]
    found = plan(tmp_path, policy=labels)["policy"].work
    assert found == plan(tmp_path, policy={**labels, "staleness": None})["policy"].work


def test_the_best_of_several_demonstrations_costs_a_grade_each(tmp_path):
    one = plan(tmp_path, sft={"source": "teacher", "temperature": 1.0})["sft"].work
    four = plan(tmp_path, sft={"source": "teacher", "temperature": 1.0, "best_of": 4})["sft"].work
    assert one.calls == 25
    assert four.calls == 4 * 25 + 4 * 25  # written by the teacher, graded by the judge


def test_what_the_evaluation_measures_beside_the_win_rate_is_asked_too(tmp_path):
    bare = plan(tmp_path)["evaluate"].work.calls
    more = {"satisfaction": {}, "toxicity": {"check": "harmless", "limit": 3}, "basic_labels": 7}
    found = plan(tmp_path, evaluation={"sampling": {"samples": 1}, **more})["evaluate"].work.calls
    # A level of each of 20 answers; 6 continuations with two orders each; 7 pairs again.
    assert found == bare + 20 + 6 + 2 * 6 + 2 * 7
    best = {"sampling": {"samples": 1}, "best_of": 3}
    graded = plan(tmp_path, score="direct", evaluation=best)["evaluate"].work.calls
    assert graded == bare + 30 + 30 + 20  # written, graded, and the best of each compared
    assert plan(tmp_path, evaluation=best)["evaluate"].work.calls == bare + 30 + 20


def test_labels_without_verification_are_paid_to_the_runs_judge_and_asked_as_it_labels(tmp_path):
    url = "https://judge.example/v1"
    judge = {"kind": "remote", "model": "m", "base_url": url, "price": [2.0, 8.0]}
    way = {"kind": "hybrid", "otherwise": {"single_order": True}}
    bare, again = (
        plan(
            tmp_path, judge=judge, labeling={"labeler": way},
            evaluation={"judge": "scripted:", "basic_labels": most},
        )["evaluate"]
        for most in (0, 7)
    )  # fmt: skip
    assert again.work.calls == bare.work.calls + 7
    assert bare.usd == 0.0
    assert again.usd > 0.0


def test_people_and_rules_are_asked_nothing_and_a_judged_check_each_response(tmp_path):
    assert plan(tmp_path, labeling={"labeler": "human"})["label"].work.calls == 0
    by_rule = {"kind": "verified", "check": "number"}
    assert plan(tmp_path, labeling={"labeler": by_rule})["label"].work.calls == 2 * 25
    judged = {"kind": "verified", "check": "same_answer"}
    known = plan(tmp_path, labeling={"labeler": judged})["label"].work.calls - 2 * 25
    assert 0 < known <= 2 * 50  # two orders of each answer to a prompt with a reference
    assert plan(tmp_path, score={"kind": "checked", "check": "harmless"})["policy"].work.calls > (
        2 * plan(tmp_path)["policy"].work.calls
    )


@pytest.fixture
def own(write):
    """A run's settings on six prompts without a category and five pairs, one of equal texts."""
    prompts = [{"id": f"p{n}", "prompt": f"Tell me about {n}."} for n in range(6)]
    pairs = [
        {"id": f"q{n}", "prompt": f"Why {n}?", "responses": [f"Since {n}.", "So." + "." * (n % 2)]}
        for n in range(4)
    ]
    pairs.append({"id": "same", "prompt": "Why?", "responses": ["So.", "So."]})
    source, given = write("prompts.jsonl", prompts), write("pairs.jsonl", pairs)
    return {
        "prompts": {"source": str(source), "validation": 1, "test": 2},
        "labeling": {"pairs": str(given)},
        "sft": None,
        "judge": "scripted:",
        "max_abstentions": 1.0,
    }


@pytest.mark.parametrize(
    ("labeler", "asked"),
    [
        ("pairwise", 8),
        ({"kind": "pairwise", "rationale": True, "samples": 2}, 32),
        ({"kind": "panel", "others": ["scripted:seed=2"]}, 16),
        ("hybrid", 8 + 5),  # and a category of each prompt
        ("human", 0),
    ],
)
def test_own_prompts_and_pairs_take_the_calls_that_the_plan_says(own, labeler, asked, tmp_path):
    own["labeling"]["labeler"] = labeler
    config, folder = Config.parse(own), tmp_path / "run"
    lines = {line.name: line for line in expectations(folder, config)}
    assert lines["prompts"].work.calls == 6
    assert lines["label"].work.calls == asked
    assert lines["label"].reads == (own["labeling"]["pairs"], "prompts.jsonl")
    for stage in ("prompts", "label"):
        run_stage(folder, config, stage)
    booked = {"prompts": 0, "label": 0}
    for row in cost_table(folder / "ledger.sqlite"):
        booked[row["stage"]] += row["calls"]
    assert booked == {"prompts": 6, "label": asked}


def test_a_whole_run_takes_at_most_the_calls_that_the_plan_says(finished, tmp_path):
    config = load(finished.config, finished.set[1::2])
    planned = {line.name: line.work.calls for line in expectations(tmp_path, config)}
    booked = dict.fromkeys(planned, 0)
    for row in cost_table(finished.folder / "ledger.sqlite"):
        booked[row["stage"]] += row["calls"] + row["failures"]
        booked["total"] += row["calls"] + row["failures"]
    exact = ("prompts", "sft", "responses", "label")
    assert {name: booked[name] for name in exact} == {name: planned[name] for name in exact}
    # Texts that RL did not change are not compared.
    assert 0 < booked["policy"] <= planned["policy"]
    assert 12 < booked["evaluate"] <= planned["evaluate"]
    assert booked["total"] <= planned["total"]


def test_the_sum_is_of_what_is_left_and_of_what_is_done_anew(finished):
    config = load(finished.config, finished.set[1::2])
    *lines, left = expectations(finished.folder, config)
    assert {line.state for line in lines} == {"done"}
    assert (left.name, left.work.counted, left.usd) == ("left", (0, 0, 0), 0)
    *lines, left = expectations(finished.folder, config, "policy")
    assert [line.state for line in lines] == ["done"] * 5 + ["to do"] * 3
    assert left.work.calls == sum(line.work.calls for line in lines[5:]) > 0
    changed = load(finished.config, [*finished.set[1::2], "reward.epochs=7"])
    *lines, left = expectations(finished.folder, changed)
    # What comes after a stale stage is done still, but will be done anew with it.
    assert [line.state for line in lines] == ["done"] * 4 + ["stale"] + ["done"] * 3
    assert left.work.calls == sum(line.work.calls for line in lines[4:])


def test_a_model_that_is_not_here_is_told_and_its_time_is_unknown(tmp_path, tiny_model):
    gone = str(tmp_path / "gone")
    line = plan(tmp_path, model=f"local:{gone}")["responses"]
    assert "unknown" in line.cells()
    (note,) = notes(Config.parse({"model": f"local:{gone}", "judge": "scripted:"}))
    assert note.startswith(f"local:{gone}: no such folder or file here")
    here = {"model": f"local:{tiny_model}", "judge": f"local:{tiny_model}"}
    assert notes(Config.parse(here)) == []
    assert "unknown" not in plan(tmp_path, **here)["responses"].cells()


@pytest.mark.parametrize("place", ["judge", "evaluation"])
def test_a_judge_in_vllm_is_said_to_leave_no_memory_to_the_policy(place, tiny_model, monkeypatch):
    def said(**values):
        asked = {"judge": served} if place == "judge" else {"evaluation": {"judge": served}}
        base = {"model": f"local:{tiny_model}", "judge": "scripted:"}
        return notes(Config.parse({**base, **asked, **values}))

    served = {"kind": "vllm", "model": "o/m"}
    monkeypatch.delenv("HRLAIF_VLLM", raising=False)
    (note,) = said()
    assert 'export HRLAIF_VLLM="vllm --gpu-memory-utilization 0.5"' in note
    assert said(compute={"device": "cpu"}) == []
    monkeypatch.setenv("HRLAIF_VLLM", "vllm --gpu-memory-utilization 0.4")
    assert said() == []
    monkeypatch.delenv("HRLAIF_VLLM")
    served["arguments"] = ["--gpu-memory-utilization=0.4"]
    assert said() == []


def test_a_reward_model_is_timed_by_what_it_is_made_of(tmp_path, tiny_model):
    here = {"model": f"local:{tiny_model}", "judge": "scripted:"}
    assert "unknown" not in plan(tmp_path, **here)["reward"].cells()
    gone = {"base": str(tmp_path / "gone")}
    assert "unknown" in plan(tmp_path, **here, reward=gone)["reward"].cells()


def test_long_times_are_told_in_hours():
    def told(seconds):
        return Line("x", "", (), (), Work(1, 1, 1), seconds, 0.0).cells()[6]

    assert [told(s) for s in (0.0, 90.0, 3540.0, 40_614.0)] == [
        "0.1 min", "1.5 min", "59.0 min", "11.3 h",
    ]  # fmt: skip
    assert told(None) == "unknown"
    assert Line("x", "", (), (), Work(), 0.0, 0.0).cells()[6] == ""


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
