"""Whole runs whose reward is not a reward model alone: direct grades, a weighted sum, a refresh."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

TINY = Path(__file__).parents[2] / "configs" / "tiny.yaml"


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def run(hrlaif, tiny_model, tmp_path):
    """A function that runs the tiny recipe with changes: the folder, and what was said."""

    def begin(*changes, **options):
        given = [f"model=local:{tiny_model}", *changes]
        more = [part for change in given for part in ("--set", change)]
        return tmp_path / "run", hrlaif("run", tmp_path / "run", "--config", TINY, *more, **options)

    return begin


def test_a_direct_run_has_no_labels_and_no_reward_model_and_says_so(run):
    folder, done = run("score=direct", "evaluation.best_of=3")
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert not found & {"responses.jsonl", "preferences.jsonl", "reward_model"}
    assert re.findall(r"^\[\d/(\d)\] (\w+) -> ", done.stderr, re.M) == [
        ("5", name) for name in ("prompts", "sft", "policy", "evaluate", "report")
    ]
    steps = rows(folder / "policy" / "metrics.jsonl")
    assert all(-1 <= row["reward_mean"] <= 1 for row in steps)
    assert json.loads((folder / "policy" / "score.json").read_text())["kind"] == "direct"
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert metrics["best_of"]["n"] == 3
    assert metrics["best_of"]["reward"]["value"] > metrics["best_of"]["reward_of_all"]["value"]
    page = (folder / "report.html").read_text()
    assert "The judge graded every response" in page
    assert "Best of 3" in page


def test_a_weighted_run_scales_its_grades_and_watches_how_stale_it_grows(run):
    parts = "{reward: learned}, {reward: {kind: scaled, reward: direct}, weight: 0.5}"
    folder, _ = run(
        f"score={{kind: weighted, parts: [{parts}, {{reward: length, weight: 0.1}}]}}",
        "policy.staleness={every: 1, pairs: 6, threshold: 1.0, then: refresh, refresh_pairs: 4}",
        "judge=scripted:accuracy=0.9,failure=0.02",
        "policy.sampling.max_unscored=0.5",
    )
    kept = json.loads((folder / "policy" / "score.json").read_text())
    learned, scaled, length = (part["reward"] for part in kept["parts"])
    assert (learned["kind"], learned["path"]) == ("learned", "reward_model")
    assert scaled["deviation"] > 0
    assert length["kind"] == "length"
    seen = rows(folder / "policy" / "staleness.jsonl")
    assert [(row["step"], row["refreshed"]) for row in seen] == [(0, None), (1, 1), (2, None)]
    fresh = folder / "policy" / "refresh_000001"
    assert len(rows(fresh / "preferences.jsonl")) == seen[1]["fresh_labels"]
    old = len(rows(folder / "preferences.jsonl"))
    found = json.loads((fresh / "reward_model" / "evaluation.json").read_text())
    assert found["pairs"] + found["heldout_pairs"] == old + seen[1]["fresh_labels"]
    page = (folder / "report.html").read_text()
    assert "Agreement with the judge" in page
    assert "learned anew after step 1" in page


def test_a_run_killed_while_its_reward_learns_anew_ends_as_the_one_that_was_not(
    hrlaif, tiny_model, tmp_path
):
    stale = "{every: 1, pairs: 6, threshold: 1.0, then: refresh, refresh_pairs: 4}"
    changes = [f"model=local:{tiny_model}", f"policy.staleness={stale}", "policy.steps=3"]
    more = ["--config", TINY, *(part for change in changes for part in ("--set", change))]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    hrlaif("run", cut, *more, "--until", "reward")
    shutil.copytree(cut, whole)
    hrlaif("run", whole, *more, "--until", "policy")
    process = hrlaif.start("run", cut, *more, "--until", "policy")
    begun, end = cut / "policy" / "refresh_000001" / "reward_model", time.monotonic() + 100
    while not begun.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert not (cut / "policy" / "choice.json").exists()
    hrlaif("run", cut, *more, "--until", "policy")
    for name in ("staleness.jsonl", "samples.jsonl", "validation.jsonl"):
        assert (cut / "policy" / name).read_text() == (whole / "policy" / name).read_text(), name
    for name in ("model.safetensors", "refresh_000001/reward_model/model.safetensors"):
        assert (cut / "policy" / name).read_bytes() == (whole / "policy" / name).read_bytes(), name


def test_a_judge_that_fails_too_often_stops_the_run_and_leaves_no_policy(run):
    folder, done = run("score=direct", "judge=scripted:failure=0.6", "sft=null", code=3)
    assert "responses of this step have no reward (the first: scripted failure)" in done.stderr
    assert "policy.sampling.max_unscored" in done.stderr
    assert not (folder / "policy" / "config.json").exists()


def test_a_judge_that_is_silent_on_the_checkpoints_stops_the_run_which_goes_on_from_there(
    run, hrlaif
):
    quiet = "evaluation.judge=scripted:failure=0.3"  # of the orders, and both must be told
    moved = "policy.optimizer.learning_rate=0.02"  # so that no answers are the same
    folder, done = run("score=direct", quiet, moved, "sft=null", code=3)
    assert "of the comparisons of checkpoints have no verdict, more than the 20%" in done.stderr
    assert f"see {folder / 'policy' / 'choice.json'}; all steps are done and kept" in done.stderr
    path, log = folder / "receipts" / "policy.json", folder / "policy" / "metrics.jsonl"
    assert json.loads(path.read_text())["finished"] is None
    assert list((folder / "policy").glob("step_*/weights.safetensors"))
    assert not (folder / "evaluation").exists()
    before = log.read_bytes()
    allowed = "max_abstentions=1", "--until", "policy"
    hrlaif("run", folder, "--set", *allowed)
    assert log.read_bytes() == before
    choice = json.loads((folder / "policy" / "choice.json").read_text())
    silent = sum(found["abstained"] for found in choice["candidates"])
    asked = sum(6 - found["identical"] for found in choice["candidates"])
    assert json.loads(path.read_text())["counts"]["abstained_share"] == silent / asked > 0.2


def test_staleness_is_said_to_do_nothing_where_no_reward_is_raised(run):
    changes = "policy.algorithm={kind: online_dpo, labels: judge}", "policy.staleness={every: 1}"
    folder, done = run(*changes, "sft=null")
    assert done.stderr.count("policy.staleness does nothing here") == 1
    assert not (folder / "policy" / "staleness.jsonl").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["score=ensemble"], "an ensemble asks several reward models"),
        (["score=direct", "policy.staleness={then: refresh}"], "set it to say, or score to"),
        (["evaluation.best_of=4", "evaluation.sampling.temperature=0"], "greedy answers are all"),
        (["score={kind: scaled, reward: other}"], "kind 'other' is none of"),
        (["prompts.validation=0"], "the checkpoint is chosen on validation prompts"),
        (["evaluation.best_of=4", "policy.algorithm={kind: dpo}"], "trains no reward model"),
    ],
)
def test_a_reward_that_cannot_be_is_refused_before_any_work(changes, says, run):
    folder, done = run(*changes, code=2)
    assert says in done.stderr
    assert not (folder / "prompts.jsonl").exists()


def test_a_detector_that_was_measured_with_another_judge_is_refused_before_any_work(run, tmp_path):
    counts = {"hits": 8, "positives": 10, "clears": 9, "negatives": 10}
    found = {"threshold": 0.5, "counts": counts, "at_one_half": {"counts": counts}}
    (tmp_path / "detector.json").write_text(json.dumps({"judge": "scripted", "harmless": found}))
    measured = f"redteam.measured={tmp_path / 'detector.json'}"
    folder, done = run("judge=scripted:seed=2", measured, code=1)
    assert "was measured with scripted" in done.stderr
    assert "or name redteam.judge" in done.stderr
    assert not (folder / "prompts.jsonl").exists()
