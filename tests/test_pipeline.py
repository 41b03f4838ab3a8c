from pathlib import Path

import pytest

from hrlaif.config import Config
from hrlaif.pipeline import stages
from hrlaif.run import flatten


def fingerprints(**values):
    config = Config.parse(values)
    return {stage.name: flatten(stage.fingerprint(config)) for stage in stages(config)}


def changed(**values):
    """The stages whose work is no longer good."""
    old, new = fingerprints(), fingerprints(**values)
    return [name for name in new if old[name] != new[name]]


@pytest.mark.parametrize(
    "algorithm", ["reinforce", "ppo", "dpo", {"kind": "online_dpo", "labels": "judge"}]
)
def test_each_stage_reads_only_what_earlier_ones_wrote(algorithm):
    written = set()
    for stage in stages(Config.parse({"policy": {"algorithm": algorithm}})):
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


def test_without_sft_no_stage_reads_it():
    table = stages(Config.parse({"sft": None}))
    assert "sft" not in [stage.name for stage in table]
    assert all("sft" not in stage.reads for stage in table)


def test_what_the_policy_learns_from_decides_which_stages_there_are():
    def names(algorithm):
        return [s.name for s in stages(Config.parse({"policy": {"algorithm": algorithm}}))]

    whole = names("ppo")
    assert whole == names("reinforce")
    assert [name for name in whole if name not in names("dpo")] == ["reward"]
    fresh = names({"kind": "online_dpo", "labels": "judge"})
    assert [name for name in whole if name not in fresh] == ["responses", "label", "reward"]


def test_speed_and_limits_leave_all_work_good():
    assert changed(compute={"concurrency": 2, "threads": 1}, max_abstentions=0.5) == []


def test_the_seed_changes_all_work():
    assert len(changed(seed=1)) == 8


def test_a_setting_changes_only_the_stages_it_belongs_to():
    assert changed(reward={"epochs": 9}) == ["reward"]
    assert changed(policy={"steps": 9}) == ["policy"]
    assert changed(sampling={"samples": 9}) == ["responses"]
    assert changed(evaluation={"sampling": {"samples": 2}}) == ["policy", "evaluate"]


def test_a_file_outside_the_run_is_known_by_its_content(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("one")
    one = fingerprints(labeling={"pairs": str(pairs)})["label"]
    pairs.write_text("two")
    assert fingerprints(labeling={"pairs": str(pairs)})["label"] != one
