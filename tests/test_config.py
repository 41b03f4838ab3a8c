import json
import re
from pathlib import Path

import pytest
import yaml

from hrlaif import config
from hrlaif.errors import ModelError, UsageError
from hrlaif.labeling import Human, Hybrid, Pairwise
from hrlaif.llm import Local, Packaged, Scripted
from hrlaif.policy import Rloo
from hrlaif.settings import Settings, kind_of


@pytest.fixture
def load(tmp_path):
    """A function from YAML and changes to a configuration."""

    def read(text="", *changes):
        path = tmp_path / "config.yaml"
        path.write_text(text, "utf-8")
        return config.load(path, changes)

    return read


def test_an_empty_file_is_the_defaults(load):
    assert load() == config.Config()
    assert load().model == Packaged(name="gemma-3-270m")


@pytest.mark.parametrize("name", config.RECIPES)
def test_each_recipe_is_a_configuration(name, load):
    found = load(config.recipe(name))
    assert type(found.labeling.labeler) is {"rlhf": Human, "hrlaif": Hybrid}.get(name, Pairwise)


def partly(part):
    """Each setting of a configuration alone, as it is by default, in the blocks around it."""
    for name in type(part).model_fields:
        below = getattr(part, name)
        yield {name: below}
        if isinstance(below, Settings):
            yield from ({name: one} for one in partly(below))


def test_one_setting_of_a_block_changes_no_other():
    default = config.Config()
    given = [*partly(default)]
    assert {"sft": {"optimizer": {"schedule": "linear"}}} in given
    for one in given:
        assert config.Config.parse(one) == default, one


def test_a_configuration_survives_json(load):
    one = load("judge: 'scripted:accuracy=0.7,seed=3'\nlabeling: {labeler: {kind: human}}\n")
    assert config.Config.parse(json.loads(json.dumps(one.model_dump(mode="json")))) == one
    assert one.judge == Scripted(accuracy=0.7, seed=3)


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("policy.steps=5", ("policy", "steps"), 5),
        ("sft=null", ("sft",), None),
        ("model=local:/a/b", ("model",), Local(path="/a/b")),
        ("labeling.labeler={kind: pairwise, shots: 2}", ("labeling", "labeler", "shots"), 2),
        ("prompts.categories=[math, code]", ("prompts", "categories"), ("math", "code")),
        ("reward.lora.rank=4", ("reward", "lora", "rank"), 4),
        ("judge=scripted:", ("judge",), Scripted()),
    ],
)
def test_any_setting_can_be_changed(change, path, value, load):
    found = load("", change)
    for name in path:
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("text", "change", "says"),
    [
        ("polcy: {}", [], "polcy is not a setting; did you mean 'policy'?"),
        ("policy: {step: 3}", [], "policy.step is not a setting; did you mean 'steps'?"),
        ("policy: {steps: many}", [], "policy.steps: input should be a valid integer"),
        ("labeling: {labeler: {kind: debate}}", [], "kind 'debate' is none of"),
        ("judge: gpt", [], "'gpt' is no model: give local:PATH"),
        ("- a", [], "holds a list, not settings with names"),
        ("a: [", [], "is not YAML"),
        ("", ["policy.steps"], "is not of the form a.b=value"),
        ("", ["policy.steps=["], "is not YAML"),
        ("judge: 'scripted:seed=1'", ["judge.seed=2"], "set judge as a whole"),
    ],
)
def test_what_is_wrong_is_told_by_name(text, change, says, load):
    with pytest.raises(UsageError, match=re.escape(says)) as told:
        load(text, *change)
    assert told.value.exit_code == 2


def test_changes_are_kept_at_the_end_of_a_file_and_the_last_of_each_setting_counts(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("# how many\npolicy:\n  steps: 7\n")
    assert config.with_changes(path, []) == path.read_text()
    for changes in (["policy.steps=5"], ["judge=scripted:", "policy.steps=6"], []):
        path.write_text(config.with_changes(path, changes))
    text = path.read_text()
    assert config.with_changes(path, ["judge=scripted:", "policy.steps=6"]) == text
    assert text.startswith("# how many\npolicy:\n  steps: 7\n")
    assert text.count("policy.steps") == 1
    assert config.load(path).policy.steps == 6
    assert config.load(path).judge == Scripted()
    assert config.load(path, ["policy.steps=8"]).policy.steps == 8
    path.write_text("set:\n- policy.steps=5\n")
    assert config.load(path).policy.steps == 5
    with pytest.raises(UsageError, match="of its own: write the changes there"):
        config.with_changes(path, ["policy.steps=6"])  # a second list would undo the first
    path.write_text("set: policy.steps=5")
    with pytest.raises(UsageError, match="set is no list of changes"):
        config.load(path)


def test_settings_written_below_the_kept_changes_survive_the_next_change(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("policy: {steps: 7}\n")
    path.write_text(config.with_changes(path, ["prompts.train=8", "judge=scripted:"]))
    added = "# more may be silent\nmax_abstentions: 0.5\nsampling:\n  samples: 3\n"
    path.write_text(path.read_text() + added)
    before = config.load(path)
    path.write_text(config.with_changes(path, ["prompts.train=9"]))
    found = config.load(path)
    assert (found.max_abstentions, found.sampling.samples, found.policy.steps) == (0.5, 3, 7)
    assert (before.prompts.train, found.prompts.train) == (8, 9)
    assert added in path.read_text()
    assert config.kept_changes(path) == ["judge=scripted:", "prompts.train=9"]


@pytest.mark.parametrize("left", ["# - prompts.train=8\n", "", "\n"])
def test_kept_changes_that_are_all_comments_are_none(left, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("policy: {steps: 7}\n")
    path.write_text(config.with_changes(path, ["prompts.train=8"]))
    path.write_text(path.read_text().replace("- prompts.train=8\n", left))
    assert config.kept_changes(path) == []
    assert config.load(path) == config.Config.parse({"policy": {"steps": 7}})
    path.write_text(config.with_changes(path, ["prompts.train=9"]))
    assert config.load(path).prompts.train == 9


def test_a_block_set_as_a_whole_takes_the_place_of_its_parts_set_before(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("judge: packaged:qwen2.5-coder-1.5b-instruct\n")
    for command in (
        "judge={kind: scripted, accuracy: 0.8}",
        "judge.accuracy=0.9",
        "judge={kind: scripted, accuracy: 0.7}",
    ):
        told = config.load(path, [command])
        path.write_text(config.with_changes(path, [command]))
        assert config.load(path) == told
    assert config.kept_changes(path) == [command]


@pytest.mark.parametrize("kind", ["reinforce", "ppo", "rloo", "grpo", "dpo", "online_dpo"])
@pytest.mark.parametrize("name", config.RECIPES)
def test_each_recipe_takes_each_algorithm(name, kind, load):
    found = load(config.recipe(name), f"policy.algorithm.kind={kind}")
    assert kind_of(found.policy.algorithm) == kind


@pytest.mark.parametrize("changes", [[0, 1, 2], [1, 0, 2], [2, 1, 0]])
def test_settings_of_another_kind_stay_in_whatever_order_a_command_gives_them(changes, tmp_path):
    given = ["policy.algorithm.kind=rloo", "policy.algorithm.kl.beta=0.3", "policy.steps=5"]
    path = tmp_path / "config.yaml"
    path.write_text("policy: {algorithm: {kind: ppo, lam: 0.9, kl: {beta: 0.2}}}\n")
    command = [given[n] for n in changes]
    before = config.load(path, command)
    assert before.policy.algorithm == Rloo.parse({"kl": {"beta": 0.3}})
    assert before.policy.steps == 5
    path.write_text(config.with_changes(path, command))
    text = path.read_text()
    for again in (command, given[:1], []):
        assert config.with_changes(path, again) == text
        assert config.load(path, again) == before


def test_a_later_command_may_take_another_kind_and_then_the_first_one_again(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("policy: {algorithm: {kind: ppo, lam: 0.9}}\n")
    for command in (
        ["policy.algorithm.kind=rloo", "policy.algorithm.kl.beta=0.3"],
        ["policy.algorithm.kind=ppo"],
        ["policy.algorithm.kind=rloo"],
        ["policy.algorithm={kind: dpo, beta: 0.2}"],
        ["policy.algorithm.kind=rloo"],
    ):
        told = config.load(path, command)
        path.write_text(config.with_changes(path, command))
        assert config.load(path) == told
    assert told.policy.algorithm == Rloo()


def test_the_kind_of_a_part_goes_before_its_part_s_kind(load):
    parts = ["labeling.labeler.otherwise.kind=verified", "labeling.labeler.kind=hybrid"]
    for command in (parts, parts[::-1]):
        labeler = load("labeling: {labeler: {kind: pairwise, shots: 1}}", *command).labeling.labeler
        assert kind_of(labeler.otherwise) == "verified"


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(UsageError, match="no such file: check its name; `hrlaif init RUN`"):
        config.load(tmp_path / "config.yaml")


@pytest.mark.parametrize("text", [None, "a: [", "- a", "set: x", "polcy: 1"])
def test_what_is_wrong_with_a_file_names_it_once(text, tmp_path):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as told:
        config.load(path)
    assert str(told.value).count(str(path)) == 1


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        ("Qwen/Qwen2.5-0.5B", True),
        ("folder", True),
        ("weights.gguf", True),
        ("x", False),
        ("my/own/model", False),
        ("./model", False),
        ("gone/weights.gguf", False),
        ("notes.txt", False),
    ],
)
def test_a_local_model_is_a_folder_a_gguf_file_or_a_hub_id(path, fine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("weights.gguf", "notes.txt"):
        (tmp_path / name).touch()
    found = config.Config.parse({"model": f"local:{path}", "judge": "scripted:"})
    if fine:
        config.refuse_missing_models(found)
        return
    with pytest.raises(ModelError, match=r"no such folder or \.gguf file, and no hub id"):
        config.refuse_missing_models(found)


def test_an_unknown_recipe_is_told():
    with pytest.raises(UsageError, match="recipe 'slow' is none of quickstart, rlaif"):
        config.recipe("slow")


def test_recipes_are_commented():
    for name in config.RECIPES:
        text = config.recipe(name)
        assert "#" in text
        assert isinstance(yaml.safe_load(text), dict)


def test_the_command_line_names_every_recipe():
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text("utf-8")
    assert f"{', '.join(config.RECIPES)}." in " ".join(text.split())
