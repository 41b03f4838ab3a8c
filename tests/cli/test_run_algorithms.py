"""Does every algorithm pass through a run, from the configuration to the report?"""

import json
import shutil

import pytest

from hrlaif import running
from hrlaif.config import load

KINDS = {
    "ppo": "{kind: ppo, kl: {target: 2}}",
    "rloo": "{kind: rloo}",
    "grpo": "{kind: grpo, scale: none, average: sum}",
    "online_dpo": "{kind: online_dpo}",
}


def begun(finished, hrlaif, run, algorithm, *more):
    """The finished run with another policy stage and what comes after it."""
    shutil.copytree(finished.folder, run)
    (run / "report.html").unlink()
    chosen = ("--set", f"policy.algorithm={algorithm}")
    return hrlaif("run", run, "--redo", "policy", *finished.set, *chosen, *more)


@pytest.mark.parametrize("kind", KINDS)
def test_an_algorithm_is_one_setting(kind, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.folder, run)
    config = load(finished.config, [*finished.set[1::2], f"policy.algorithm={KINDS[kind]}"])
    running.redo(run, config, "policy")
    running.run_stage(run, config, "policy")
    rows = (run / "policy" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2]
    assert (run / "policy" / "model.safetensors").exists()


def test_offline_dpo_needs_no_reward_stage_and_ends_in_a_report(finished, hrlaif, tmp_path):
    run = tmp_path / "run"
    done = begun(finished, hrlaif, run, "{kind: dpo, batch_size: 4}")
    assert "[5/7] policy -> policy" in done.stderr
    receipt = json.loads((run / "receipts" / "policy.json").read_text())
    assert "preferences.jsonl" in receipt["inputs"]
    assert not any(name.startswith("reward_model") for name in receipt["inputs"])
    assert receipt["counts"]["pairs"] > 0
    row = json.loads((run / "policy" / "validation.jsonl").read_text().splitlines()[-1])
    assert row["reward_mean"] is None
    assert row["heldout_loss"] > 0
    assert (run / "report.html").exists()
    assert json.loads((run / "evaluation" / "metrics.json").read_text())["win_rate"]["asked"]


def test_online_dpo_asks_the_judge_at_each_step_and_needs_neither_labels_nor_reward(
    finished, hrlaif, tmp_path
):
    run = tmp_path / "run"
    done = hrlaif(
        *("run", run, "--config", finished.config, *finished.set),
        *("--set", "policy.algorithm={kind: online_dpo, labels: judge}"),
        *("--set", "policy.sampling.max_unscored=0.6", "--set", "sft=null"),
    )
    assert "[2/4] policy -> policy" in done.stderr
    assert not (run / "preferences.jsonl").exists()
    receipt = json.loads((run / "receipts" / "policy.json").read_text())
    assert receipt["settings"]["labeling"]["labeler"]["kind"] == "pairwise"
    rows = [json.loads(r) for r in (run / "policy" / "validation.jsonl").read_text().splitlines()]
    assert rows[0]["reward_mean"] == 0
    assert (run / "report.html").exists()
