import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from hrlaif.llm import Scripted
from hrlaif.llm.chat import prompt_ids
from hrlaif.records import Message, Prompt, Response
from hrlaif.settings import Compute, using
from hrlaif.sft import Sft
from hrlaif.sft.train import example, train
from hrlaif.training import Checkpoints, Lora, Optimizer, metrics

FAST = Optimizer(learning_rate=0.02, schedule="constant")
SETTINGS = Sft(source="references", epochs=6, batch_size=4, optimizer=FAST, lora=Lora(rank=4))


def prompts(count, **fields):
    return [
        Prompt(
            id=f"p{n}",
            messages=(Message(role="user", content=f"question {n}"),),
            reference_response="aaaa" + "b" * (n % 3),
            **fields,
        )
        for n in range(count)
    ]


def test_the_policy_learns_to_imitate_and_is_an_ordinary_folder(base, tmp_path):
    rows = prompts(8) + [p.model_copy(update={"id": "v"}) for p in prompts(1, split="validation")]
    found = train(SETTINGS, rows, base, tmp_path / "sft")
    assert found["demonstrations"] == 8
    assert found["validation_demonstrations"] == 1
    assert found["steps"] == 12
    assert found["validation_loss"] < found["validation_loss_before"] / 2
    log = metrics.read(tmp_path / "sft" / "metrics.jsonl")
    assert log[-1]["loss"] < log[0]["loss"] / 2
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "sft")
    assert tokenizer.chat_template
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "sft").eval()
    tokens = torch.tensor([prompt_ids(tokenizer, rows[0].messages)])
    answer = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=2)
    assert tokenizer.decode(answer[0, tokens.shape[1] :]) == "aa"


def test_the_loss_is_the_mean_cross_entropy_of_the_response_tokens_only(base, tmp_path):
    rows = prompts(3)
    train(SETTINGS.model_copy(update={"epochs": 1}), rows, base, tmp_path / "sft")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "sft")
    model = AutoModelForCausalLM.from_pretrained(base)
    losses = []
    for row in rows:
        prompt = prompt_ids(tokenizer, row.messages)
        answer = [*tokenizer.encode(row.reference_response, add_special_tokens=False)]
        answer.append(tokenizer.eos_token_id)
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        losses.append(
            torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="none")
        )
    expected = torch.cat(losses).mean().item()
    assert metrics.read(tmp_path / "sft" / "metrics.jsonl")[0]["loss"] == pytest.approx(
        expected, rel=1e-5
    )


def test_micro_batches_do_not_change_the_step(base, tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 1})
    for name, tokens in (("whole", 4096), ("parts", 60)):
        with using(Compute(batch_tokens=tokens, device="cpu", precision="float32")):
            train(settings, prompts(8), base, tmp_path / name)
    rows = [metrics.read(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    for whole, parts in zip(*rows, strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], rel=1e-4)
        assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-3)


@pytest.mark.parametrize("lora", [Lora(rank=4, dropout=0.1), None])
def test_two_steps_and_a_resume_are_four_steps_bit_for_bit(base, tmp_path, lora):
    settings = SETTINGS.model_copy(
        update={"epochs": 2, "lora": lora, "checkpoints": Checkpoints(every=2, keep=9)}
    )
    train(settings, prompts(8), base, tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    shutil.copytree(tmp_path / "whole" / "step_000002", tmp_path / "parts" / "step_000002")
    train(settings, prompts(8), base, tmp_path / "parts")
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_answer_cut_at_the_limit_is_trained_without_an_end_token(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    row = prompts(1)[0]
    whole = example(tokenizer, Response(prompt=row, text="abc", finish_reason="stop"), 99)
    torn = example(tokenizer, Response(prompt=row, text="abc", finish_reason="length"), 99)
    assert whole.asked.tokens == [*torn.asked.tokens, tokenizer.eos_token_id]
    assert len(torn.asked.tokens) - torn.asked.start == 3


def test_a_long_prompt_is_cut_at_its_beginning_and_a_long_response_at_its_end(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    row = prompts(1)[0]
    whole = example(tokenizer, Response(prompt=row, text="abc"), 99)
    short = example(tokenizer, Response(prompt=row, text="abc"), 10)
    assert short.cut
    assert len(short.asked.tokens) == 10
    assert short.asked.tokens[-9:] == whole.asked.tokens[-9:]
    long = example(tokenizer, Response(prompt=row, text="abc" * 9), 10)
    assert (len(long.asked.tokens), long.asked.start) == (10, 1)
    assert tokenizer.eos_token_id not in long.asked.tokens


def test_a_teachers_silence_is_counted_and_references_ask_nobody(base, tmp_path):
    rows, how = prompts(12), SETTINGS.model_copy(update={"source": "teacher", "epochs": 1})
    teacher = Scripted(failure=0.5)
    found = train(how, rows, base, tmp_path / "sft", teacher=teacher)
    silent = sum(found["missing"].values())
    assert 0 < silent < 12
    assert found["abstained_share"] == silent / 12
    assert "abstained_share" not in train(SETTINGS, rows, base, tmp_path / "references")
