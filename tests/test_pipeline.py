import hashlib
import shutil
from pathlib import Path

import pytest

from hrlaif.config import Config
from hrlaif.pipeline import stages
from hrlaif.settings import flatten


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


def test_without_a_red_team_no_stage_knows_of_one():
    table = stages(Config())
    assert "redteam" not in [stage.name for stage in table]
    named = [name for stage in table for name in (*stage.reads, *stage.writes, *stage.settings)]
    assert not [name for name in named if "redteam" in name]


def test_a_red_team_stands_before_the_reward_model_which_reads_its_labels():
    table = {stage.name: stage for stage in stages(Config.parse({"redteam": {}}))}
    assert list(table)[3:6] == ["label", "redteam", "reward"]
    assert "redteam_preferences.jsonl" in table["redteam"].writes
    assert "redteam_preferences.jsonl" in table["reward"].reads
    written = set()
    for stage in table.values():
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


def test_a_red_team_that_teaches_nothing_only_measures():
    table = {s.name: s for s in stages(Config.parse({"redteam": {"teaches": False}}))}
    assert "redteam" not in table
    assert "redteam_preferences.jsonl" not in table["reward"].reads
    assert "redteam" in table["evaluate"].settings


def test_a_red_team_s_settings_change_its_work_and_the_evaluation():
    old, new = fingerprints(redteam={}), fingerprints(redteam={"tries": 3})
    assert [name for name in new if old[name] != new[name]] == ["redteam", "evaluate"]


def test_seeds_of_one_s_own_are_known_by_their_content(tmp_path: Path):
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("one")
    one = fingerprints(redteam={"seeds": str(seeds)})["redteam"]
    seeds.write_text("two")
    assert fingerprints(redteam={"seeds": str(seeds)})["redteam"] != one


def test_speed_and_limits_leave_all_work_good():
    assert changed(compute={"concurrency": 2, "threads": 1}, max_abstentions=0.5) == []


def test_the_seed_changes_all_work():
    assert len(changed(seed=1)) == 8


def test_a_setting_changes_only_the_stages_it_belongs_to():
    assert changed(reward={"epochs": 9}) == ["reward"]
    assert changed(policy={"steps": 9}) == ["policy"]
    assert changed(sampling={"samples": 9}) == ["responses"]
    assert changed(evaluation={"sampling": {"samples": 2}}) == ["evaluate"]
    assert changed(evaluation={"labeler": {"shots": 1}}) == ["policy", "evaluate"]


def test_a_file_outside_the_run_is_known_by_its_content(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("one")
    one = fingerprints(labeling={"pairs": str(pairs)})["label"]
    pairs.write_text("two")
    assert fingerprints(labeling={"pairs": str(pairs)})["label"] != one


def test_weights_outside_the_run_are_known_by_their_content(tiny_model, tmp_path: Path):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    named = {"model": f"local:{model}", "judge": "scripted:"}
    old = fingerprints(**named)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    new = fingerprints(**named)
    stale = [name for name in new if old[name] != new[name]]
    assert stale == ["sft", "responses", "reward", "policy", "evaluate"]
    judged = {"judge": f"local:{model}"}
    old = fingerprints(**judged)
    weights.write_bytes(weights.read_bytes()[:-1] + b"y")
    assert old["label"] != fingerprints(**judged)["label"]


@pytest.mark.parametrize("last", ["model.safetensors", "model-00002-of-00002.safetensors"])
def test_a_reward_model_outside_the_run_is_known_by_all_its_weights(last, tmp_path: Path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("config.json", "model-00001-of-00002.safetensors", last):
        (folder / name).write_text("one")
    named = {"score": {"kind": "learned", "path": str(folder)}}
    old = fingerprints(**named)
    (folder / last).write_text("two")
    new = fingerprints(**named)
    assert [name for name in new if old[name] != new[name]] == ["policy"]


def test_of_an_ensemble_outside_the_run_each_member_is_known_and_how_many_there_are(tmp_path: Path):
    for name in ("", "member_2"):
        (tmp_path / name).mkdir(exist_ok=True)
        for file in ("config.json", "model.safetensors"):
            (tmp_path / name / file).write_text("one")
    named = {"score": {"kind": "ensemble", "path": str(tmp_path)}}
    old = fingerprints(**named)
    (tmp_path / "member_2" / "model.safetensors").write_text("two")
    new = fingerprints(**named)
    shutil.copytree(tmp_path / "member_2", tmp_path / "member_3")
    more = fingerprints(**named)
    for before, after in ((old, new), (new, more)):
        assert [name for name in after if before[name] != after[name]] == ["policy"]
    alone = {"score": {**named["score"], "others": ["elsewhere"]}}
    assert not [name for name in fingerprints(**alone)["policy"] if "member_" in name]


def test_a_reward_model_in_one_file_is_fingerprinted_by_its_hash_alone(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    (tmp_path / "README.md").write_text("one")
    found = fingerprints(score={"kind": "learned", "path": str(tmp_path)})["policy"]
    files = {name: value for name, value in found.items() if name.startswith("files.")}
    weights = tmp_path / "model.safetensors"
    assert files == {f"files.{weights}": hashlib.sha256(b"one").hexdigest()}


def test_another_labeler_leaves_demonstrations_and_samples_good():
    labeler = {"labeling": {"labeler": {"kind": "hybrid"}}}
    assert changed(**labeler) == ["label"]
