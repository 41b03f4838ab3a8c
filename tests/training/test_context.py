"""Does a model of few positions train on texts that are longer than it can read?"""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from hrlaif.errors import DataError
from hrlaif.policy import Policy, offline
from hrlaif.policy.loop import train as train_policy
from hrlaif.policy.rollouts import Scorer
from hrlaif.records import Candidate, Comparison, Message, Preference, Prompt, Response, Score
from hrlaif.reward.learned import Learned, unload
from hrlaif.reward.train import RewardTraining
from hrlaif.reward.train import train as train_reward
from hrlaif.settings import Settings
from hrlaif.sft import Sft
from hrlaif.sft.train import train as train_sft
from hrlaif.training import Lora

POSITIONS = 64
LONG, SHORT = "x" * 100, "short"
LORA = Lora(rank=2)


@pytest.fixture
def base(tmp_path):
    """A tiny GPT-2, which has a table of 64 positions, and a byte tokenizer."""
    torch.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    config = GPT2Config(
        vocab_size=264, n_embd=32, n_layer=2, n_head=2, n_positions=POSITIONS, eos_token_id=257
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def prompt(number, text, **fields):
    return Prompt(id=f"p{number}", messages=(Message(role="user", content=text),), **fields)


def pairs(count):
    texts = (LONG, *[SHORT] * (count - 1))
    return [
        Preference(
            comparison=Comparison(
                id=f"c{n}",
                prompt=prompt(n, text),
                a=Candidate(text="yes!"),
                b=Candidate(text="well"),
            ),
            prob_a=0.9,
            labeler="test",
        )
        for n, text in enumerate(texts)
    ]


class Length(Settings):
    """The length of a response."""

    def score(self, responses, judge=None):
        return [Score(id=r.key, value=float(len(r.text)), scorer="length") for r in responses]


def test_demonstrations_are_cut_to_the_models_context(base, tmp_path):
    rows = [prompt(n, text, reference_response="aa") for n, text in enumerate((LONG, SHORT))]
    found = train_sft(Sft(source="references", lora=LORA), rows, base, tmp_path / "sft")
    assert (found["demonstrations"], found["cut"]) == (2, 1)


def test_a_reward_model_reads_and_scores_within_its_context(base, tmp_path):
    rows, folder = pairs(6), tmp_path / "rm"
    samples = [Response(prompt=p.comparison.prompt, text="yes!") for p in rows]
    found = train_reward(
        RewardTraining(lora=LORA, heldout_share=0.0),
        rows,
        base,
        folder,
        reference_responses=samples,
    )
    assert found["cut_pairs"] == 1
    assert all(s.value is not None for s in Learned(path=str(folder)).score(samples))
    unload()


def policy(**more):
    sampling = {"prompts_per_step": 2, "samples_per_prompt": 2, "max_tokens": 8}
    return Policy.parse({"steps": 1, "sampling": sampling, "lora": {"rank": 2}, **more})


def test_prompts_without_room_for_an_answer_are_left_out_of_rl_and_counted(base, tmp_path, capsys):
    rows = [prompt(n, text) for n, text in enumerate((LONG, SHORT, SHORT + "er"))]
    found = train_policy(policy(), rows, Scorer(Length()), start=base, folder=tmp_path / "rl")
    assert found == {"too_long_prompts": 1}
    assert "1 of 3 prompts do not fit into the model's context of 64 tokens" in (
        capsys.readouterr().err
    )
    with pytest.raises(DataError, match=r"1 of 1 prompts .* lower max_tokens"):
        train_policy(policy(), rows[:1], Scorer(Length()), start=base, folder=tmp_path / "no")


def test_labels_that_a_policy_learns_from_are_cut_to_its_context(base, tmp_path):
    how = policy(algorithm={"kind": "dpo", "batch_size": 2})
    found = offline.train(how, pairs(2), heldout=[], start=base, folder=tmp_path / "dpo")
    assert found["pairs"] == 2
