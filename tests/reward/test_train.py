import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from hrlaif.errors import DataError
from hrlaif.records import Response
from hrlaif.reward.learned import Learned, unload
from hrlaif.reward.train import RewardTraining, train
from hrlaif.settings import Compute, using
from hrlaif.training import Checkpoints, Lora, Optimizer, metrics

FAST = Optimizer(learning_rate=0.01, schedule="constant")
SETTINGS = RewardTraining(batch_size=8, optimizer=FAST, lora=Lora(rank=4), epochs=4)


def samples(pairs):
    return [
        Response(prompt=p.comparison.prompt, text=side.text)
        for p in pairs
        for side in (p.comparison.a, p.comparison.b)
    ]


def test_a_reward_model_learns_what_the_labeler_prefers(base, pairs, tmp_path):
    rows = pairs(32)
    found = train(SETTINGS, rows, base(), tmp_path / "rm", reference_responses=samples(rows))
    assert found["heldout_accuracy"] == 1.0
    assert found["heldout_human_accuracy"] == 1.0
    assert found["pairs"] == 29
    assert found["heldout_pairs"] == 3
    assert found["heldout_floor"] == pytest.approx(0.325083, abs=1e-6)
    assert found["heldout_floor"] < found["heldout_loss"] < 0.6
    lines = (tmp_path / "rm" / "heldout_predictions.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0]).keys() >= {"id", "prompt_id", "category", "prob_a", "difference"}
    config = json.loads((tmp_path / "rm" / "config.json").read_text())
    assert config["reward_std"] == found["reward_std"] > 0.1
    log = metrics.read(tmp_path / "rm" / "metrics.jsonl")
    assert log[-1]["loss"] < log[0]["loss"]
    assert log[-1]["floor"] == pytest.approx(0.325083, abs=1e-6)


def test_scores_are_normalised_on_the_policys_samples(base, pairs, tmp_path):
    rows = pairs(16)
    folder = str(tmp_path / "rm")
    settings = SETTINGS.model_copy(update={"epochs": 1})
    found = train(settings, rows, base(), tmp_path / "rm", reference_responses=samples(rows))
    raw = Learned(path=folder, normalise=False).score(samples(rows))
    scaled = Learned(path=folder).score(samples(rows))
    values = torch.tensor([score.value for score in scaled])
    assert values.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert values.std(unbiased=False).item() == pytest.approx(1.0, abs=1e-4)
    expected = (raw[0].value - found["reward_mean"]) / found["reward_std"]
    assert scaled[0].value == pytest.approx(expected)
    assert scaled[0].id == "p0//0"
    unload()


@pytest.mark.parametrize("lora", [Lora(rank=4), None])
def test_the_step_is_the_same_however_it_is_cut_into_micro_batches(base, pairs, tmp_path, lora):
    settings = SETTINGS.model_copy(update={"epochs": 1, "lora": lora, "heldout_share": 0.0})
    path = base()
    for name, tokens in (("whole", 4096), ("parts", 100)):
        with using(Compute(batch_tokens=tokens, device="cpu", precision="float32")):
            train(settings, pairs(16), path, tmp_path / name)
    rows = [metrics.read(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    for whole, parts in zip(*rows, strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-4)
        assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-2)


def test_two_steps_and_a_resume_are_four_steps_bit_for_bit(base, pairs, tmp_path):
    settings = SETTINGS.model_copy(
        update={"epochs": 2, "heldout_share": 0.0, "checkpoints": Checkpoints(every=2, keep=9)}
    )
    path, rows = base(), pairs(16)
    train(settings, rows, path, tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    shutil.copytree(tmp_path / "whole" / "step_000002", tmp_path / "parts" / "step_000002")
    shutil.copy(tmp_path / "whole" / "metrics.jsonl", tmp_path / "parts" / "metrics.jsonl")
    train(settings, rows, path, tmp_path / "parts")
    logs = [metrics.read(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_in_16_bits_the_folder_gives_the_rewards_that_were_evaluated(base, pairs, tmp_path):
    rows, faint = pairs(16), Optimizer(learning_rate=5e-4)
    how = SETTINGS.model_copy(update={"optimizer": faint, "epochs": 2})
    with using(Compute(device="cpu", precision="bfloat16")):
        train(how, rows, base(), tmp_path / "rm")
        lines = (tmp_path / "rm" / "heldout_predictions.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        prompts = {p.comparison.id: p.comparison for p in rows}
        sides = [
            Response(prompt=c.prompt, text=side.text)
            for row in told
            for c in [prompts[row["id"]]]
            for side in (c.a, c.b)
        ]
        scores = Learned(path=str(tmp_path / "rm"), normalise=False).score(sides)
    expected = [row[name] for row in told for name in ("reward_a", "reward_b")]
    assert [score.value for score in scores] == pytest.approx(expected, rel=1e-6)
    unload()


def test_the_saved_folder_is_the_model_that_was_evaluated(base, pairs, tmp_path):
    rows = pairs(16)
    train(SETTINGS.model_copy(update={"epochs": 1}), rows, base("gemma3"), tmp_path / "rm")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm")
    assert type(model).__name__ == "Gemma3TextForSequenceClassification"
    line = (tmp_path / "rm" / "heldout_predictions.jsonl").read_text().splitlines()[0]
    row = json.loads(line)
    comparison = next(p.comparison for p in rows if p.comparison.id == row["id"])
    response = Response(prompt=comparison.prompt, text=comparison.a.text)
    score = Learned(path=str(tmp_path / "rm"), normalise=False).score([response])[0]
    assert score.value == pytest.approx(row["reward_a"], abs=1e-5)
    unload()


def test_without_any_label_the_likely_causes_are_named(base, pairs, tmp_path):
    with pytest.raises(DataError, match="no two responses to a prompt differ beside their thought"):
        train(RewardTraining(), [], "not read", tmp_path / "rm")
    test = [p.model_copy(update={"comparison": of_test(p.comparison)}) for p in pairs(2)]
    with pytest.raises(DataError, match="label more train prompts"):
        train(RewardTraining(), test, "not read", tmp_path / "rm")


def of_test(comparison):
    prompt = comparison.prompt.model_copy(update={"split": "test"})
    return comparison.model_copy(update={"prompt": prompt})
