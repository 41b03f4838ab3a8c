"""Does the plan count the models that lie in memory at once?"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from hrlaif.config import Config
from hrlaif.llm import Local
from hrlaif.memory import activations, needed, parameters
from hrlaif.settings import Compute, using


@pytest.fixture(autouse=True)
def float32():
    with using(Compute(device="cpu", precision="float32")):
        yield


def test_memory_is_the_weights_that_lie_there_at_once(tiny_model):
    size = 4 * parameters(Local(path=tiny_model))
    here = {"model": f"local:{tiny_model}", "judge": f"local:{tiny_model}"}
    process = needed("label", Config.parse({**here, "judge": "scripted:"}))

    batch = activations(Config.parse(here).model) / size
    assert batch > 0

    def weights(stage, **values):
        return (needed(stage, Config.parse({**here, **values})) - process) / size

    assert weights("label") == pytest.approx(1)
    assert weights("reward") == pytest.approx(1 + batch)
    assert weights("policy") == pytest.approx(2 + batch)  # the policy, and a reward model
    ensemble = {"score": "ensemble", "reward": {"members": 3}}
    assert weights("policy", **ensemble) == pytest.approx(4 + batch)
    assert weights("policy", score="direct") == pytest.approx(2 + batch)  # the judge instead
    assert weights("policy", policy={"staleness": {}}) == pytest.approx(3 + batch)
    panel = {"labeler": {"kind": "panel", "others": [f"local:{tiny_model}"] * 2}}
    assert weights("label", labeling=panel) == pytest.approx(3)
    assert weights("evaluate", evaluation=panel) == pytest.approx(4)  # and a policy
    # Weights, gradient and moments, twice for the value model; a reference and a reward model.
    assert weights("policy", policy={"lora": None}) == pytest.approx(4 + batch + 4 + 1 + 1)
    with using(Compute(device="cpu", precision="bfloat16", batch_tokens=1)):
        # Weights of 2 bytes, and 16 of a float32 copy, a gradient and two moments.
        found = needed("reward", Config.parse({**here, "reward": {"lora": None}})) - process
        assert found == pytest.approx(size / 4 * (2 + 16), rel=0.05)


def test_what_a_backward_pass_keeps_by_hand(tmp_path):
    shape = {"hidden_size": 10, "intermediate_size": 30, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 5}
    (tmp_path / "config.json").write_text(json.dumps({**shape, **heads}))
    # 7 x 10 + 2 x 20 + 2 x 5 + 3 x 30 = 210 numbers a token and layer, 3 times, in float32.
    with using(Compute(device="cpu", precision="float32", batch_tokens=100)):
        assert activations(Local(path=str(tmp_path))) == 100 * 2 * 210 * 3 * 4
    (tmp_path / "config.json").write_text('{"n_embd": 10}')
    assert activations(Local(path=str(tmp_path))) == 0
    assert needed("label", Config.parse({"judge": "local:some/hub-id"})) is None


def weights(folder, count, stored=torch.float32, **config):
    """A folder of so many parameters in two tensors."""
    folder.mkdir()
    tensors = {"a": torch.zeros(count - 3, dtype=stored), "b": torch.zeros(1, 3, dtype=stored)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


POLICY, JUDGE, BASE = 10, 1_000, 100_000


@pytest.fixture
def count(tmp_path):
    """How many parameters lie in memory: digits for the policy, the judge, and a reward's base."""
    sizes = {"model": POLICY, "judge": JUDGE, "base": BASE}
    paths = {name: weights(tmp_path / name, size) for name, size in sizes.items()}

    def counted(stage, *, base=False, **values):
        whole = {"model": f"local:{paths['model']}", "judge": f"local:{paths['judge']}", **values}
        if base:
            whole["reward"] = {**whole.get("reward", {}), "base": paths["base"]}
        empty = needed("responses", Config.parse({"model": "scripted:"}))
        return (needed(stage, Config.parse(whole)) - empty) / 4

    return counted


FRESH = {"algorithm": {"kind": "online_dpo", "labels": "judge"}}


def test_rl_on_a_judge_s_labels_holds_the_judge_and_no_reward_model(count):
    # At its end the chosen policy is made a model beside the judge.
    assert count("policy", policy=FRESH) == POLICY + JUDGE
    assert count("policy", policy=FRESH, base=True) == POLICY + JUDGE
    assert count("policy", base=True) == POLICY + BASE  # a reward model, and nothing of the judge
    assert count("policy", policy={"algorithm": "dpo"}, base=True) == POLICY + JUDGE


def test_a_check_that_asks_the_judge_holds_it_and_one_by_rule_does_not(count):
    # Weights, a gradient, two moments, and the reference: more than the choice at the end holds.
    whole = {"policy": {"lora": None, "algorithm": "rloo"}}
    rule, judged = ({"kind": "checked", "check": name} for name in ("number", "harmless"))
    assert count("policy", score=rule, **whole) == POLICY + JUDGE
    assert count("policy", score=judged, **whole) == 5 * POLICY + JUDGE
    assert count("policy", score="direct", **whole) == 5 * POLICY + JUDGE


@pytest.mark.parametrize("evaluator", [None, "scripted:"])
def test_the_final_measure_of_harm_holds_the_red_team_s_judge(evaluator, count, tmp_path):
    other = f"local:{weights(tmp_path / 'other', 100 * JUDGE)}"
    evaluation = {"judge": evaluator} if evaluator else {}
    own = 0 if evaluator else JUDGE
    plain = count("evaluate", evaluation=evaluation)
    assert plain == POLICY + own
    assert count("evaluate", evaluation=evaluation, redteam={}) == POLICY + JUDGE
    found = count("evaluate", evaluation=evaluation, redteam={"judge": other})
    assert found == POLICY + own + 100 * JUDGE


def test_a_reward_model_is_as_large_as_its_own_base(count, tmp_path):
    assert count("reward") == POLICY
    assert count("reward", base=True) == BASE
    whole = {"reward": {"lora": None}}
    assert count("reward", base=True, **whole) == BASE * (1 + 12 / 4)
    ensemble = {"score": "ensemble", "reward": {"members": 3}}
    assert count("policy", base=True, **ensemble) == POLICY + 3 * BASE
    elsewhere = {"kind": "learned", "path": str(tmp_path / "base")}
    assert count("policy", score=elsewhere) == POLICY + BASE


def test_a_reward_that_learns_anew_is_trained_beside_the_policy(count):
    told = {"reward": {"lora": None}, "policy": {"staleness": {}}}
    anew = {"reward": {"lora": None}, "policy": {"staleness": {"then": "refresh"}}}
    assert count("policy", base=True, **told) == POLICY + JUDGE + BASE
    assert count("policy", base=True, **anew) == POLICY + JUDGE + BASE * (1 + 12 / 4)
    labels = {"algorithm": {"kind": "online_dpo", "labels": "judge"}}
    anew["policy"] |= labels  # no reward is raised that could learn anew
    assert count("policy", base=True, **anew) == count("policy", base=True, policy=labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("said", [{}, {"dtype": "float32"}, {"torch_dtype": "bfloat16"}], ids=str)
def test_parameters_are_those_of_the_files_whatever_the_configuration_says(dtype, said, tmp_path):
    assert parameters(Local(path=weights(tmp_path / "model", 1234, dtype, **said))) == 1234


def test_an_adapter_is_as_large_as_the_model_that_it_is_merged_into(tmp_path):
    shape = {"hidden_size": 8, "intermediate_size": 9, "num_hidden_layers": 1}
    base, adapter = weights(tmp_path / "base", 1234, **shape), tmp_path / "adapter"
    weights(adapter, 7)
    (adapter / "config.json").unlink()
    named = {"base_model_name_or_path": base}
    (adapter / "adapter_config.json").write_text(json.dumps(named))
    assert parameters(Local(path=str(adapter))) == 1234
    assert activations(Local(path=str(adapter))) == activations(Local(path=base)) > 0
