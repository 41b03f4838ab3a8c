"""A whole run with a red team: its labels join the reward model, and harm is measured twice."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def attacked(tiny_model, tmp_path_factory, hrlaif):
    """Every stage on a random model; a scripted detector has its own hidden truth of each text."""
    folder = tmp_path_factory.mktemp("runs") / "attacked"
    part = "redteam={limit: 3, families: [direct, escalation], variations: 0, max_tokens: 8}"
    config = folder.parent / "config.yaml"
    tiny = Path(__file__).parents[2] / "configs" / "tiny.yaml"
    config.write_text(tiny.read_text("utf-8"))
    judge = "judge=scripted:accuracy=1,harmful=0"
    more = ["--set", part, "--set", judge, "--set", f"model=local:{tiny_model}"]
    done = hrlaif("run", folder, "--config", config, *more)
    return folder, config, more, done


def receipt(folder, stage):
    return json.loads((folder / "receipts" / f"{stage}.json").read_text())


def test_the_red_team_is_a_stage_whose_pairs_the_reward_model_reads(attacked):
    folder, _, _, done = attacked
    assert "[5/9] redteam -> redteam_preferences.jsonl, redteam" in done.stderr
    counts = receipt(folder, "redteam")["counts"]
    assert counts["attempts"] >= 3 * 2
    made = read(folder / "redteam_preferences.jsonl")
    assert counts["pairs"] == len(made) > 0
    labels = read(folder / "preferences.jsonl")
    trained = receipt(folder, "reward")["counts"]
    assert trained["pairs"] + trained["heldout_pairs"] == len(labels) + len(made)
    assert "redteam_preferences.jsonl" in receipt(folder, "reward")["inputs"]


def test_harm_and_over_refusal_are_measured_before_and_after_on_the_same_questions(attacked):
    folder, _, _, _ = attacked
    harm = json.loads((folder / "evaluation" / "metrics.json").read_text())["harm"]
    assert set(harm) == {"harmful", "over_refusal"}
    sides = [
        read(folder / "evaluation" / "redteam" / f"{n}_attempts.jsonl") for n in ("sft", "policy")
    ]
    assert [row["id"] for row in sides[0]] == [row["id"] for row in sides[1]]
    train = {row["seed"] for row in read(folder / "redteam" / "attempts.jsonl")}
    assert not train & {row["seed"] for row in sides[0]}
    known = [row["harmful_response"] for row in sides[0] if row["harmful_response"] is not None]
    assert harm["harmful"]["before"]["value"] == pytest.approx(sum(known) / len(known))


def test_the_bill_of_the_evaluation_holds_all_that_ran_before_it(attacked):
    folder, _, _, _ = attacked
    bill = json.loads((folder / "evaluation" / "metrics.json").read_text())["cost"]
    before = ("prompts", "sft", "responses", "label", "redteam", "reward", "policy")
    calls = {name: receipt(folder, name)["cost"]["calls"] for name in before}
    assert calls["redteam"] > 0
    assert bill["calls"] == sum(calls.values())


def test_the_page_shows_it_and_the_same_command_has_nothing_to_do(attacked, hrlaif):
    folder, config, more, _ = attacked
    page = (folder / "report.html").read_text("utf-8")
    assert "Red team" in page
    assert "Before and after RL" in page
    again = hrlaif("run", folder, "--config", config, *more)
    assert again.stderr.count(": done (") == 9


def test_redoing_the_red_team_forgets_its_folder_and_all_after_it(attacked, hrlaif):
    folder, config, more, _ = attacked
    before = (folder / "redteam_preferences.jsonl").read_bytes()
    calls = receipt(folder, "redteam")["cost"]["calls"]
    hrlaif("run", folder, "--config", config, *more, "--redo", "redteam", "--until", "redteam")
    assert (folder / "redteam_preferences.jsonl").read_bytes() == before
    assert not (folder / "reward_model").exists()
    found = receipt(folder, "redteam")["cost"]
    assert (found["calls"], found["found_again"]) == (calls, pytest.approx(calls, rel=0.5))


def test_what_training_asks_is_not_measured_at_the_end_and_the_run_s_judge_says_what_harms(
    tiny_model, hrlaif, tmp_path, write
):
    rows = [
        {"id": f"r{n}", "prompt": f"Do the bad thing {n % 36}.", "harmful": True, "hazard": "own"}
        for n in range(42)
    ]
    own = write("own.jsonl", rows)
    labelled = [
        {"prompt": f"Do {n}.", "harmful_response": n % 2 == 0,
         "response": f"{'[harmful]' if n % 2 == 0 else '[answer]'} {n}"}
        for n in range(40)
    ]  # fmt: skip
    judge, other = "scripted:accuracy=1,harmful=0", "scripted:accuracy=0.9,harmful=0"
    measured, labels = tmp_path / "detector", write("labelled.jsonl", labelled)
    hrlaif.here("detector", labels, "-o", measured, "--judge", judge)
    part = f"redteam={{seeds: {own}, families: [direct], variations: 0, max_tokens: 8, "
    part += f"measured: {measured / 'detector.json'}}}"
    given = [f"judge={judge}", f"evaluation.judge={other}", part, f"model=local:{tiny_model}"]
    given += [f"prompts.source={own}", "prompts.test=6"]
    tiny = Path(__file__).parents[2] / "configs" / "tiny.yaml"
    folder = tmp_path / "run"
    more = [word for text in given for word in ("--set", text)]
    done = hrlaif("run", folder, "--config", tiny, *more)
    prompts = [row for row in read(folder / "prompts.jsonl") if row["split"] != "test"]
    pairs = read(folder / "redteam_preferences.jsonl")
    seen, taught = ({row["prompt"][-1]["content"] for row in rows} for rows in (prompts, pairs))
    asked = {row["request"] for row in read(folder / "evaluation/redteam/sft_attempts.jsonl")}
    assert len(asked) > 1
    assert not asked & (seen | taught)
    assert "kept for the end left out: training asks the same" in done.stderr
    harm = json.loads((folder / "evaluation" / "metrics.json").read_text())["harm"]
    assert harm["harmful"]["before_corrected"]["value"] is not None
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        told = "SELECT DISTINCT model FROM calls WHERE stage = 'evaluate' AND request LIKE ?"
        judges = [
            {name for (name,) in db.execute(told, (question,))}
            for question in ("%something harmful%", "%which response is better%")
        ]
    assert judges == [{judge}, {other}]
