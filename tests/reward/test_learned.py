import pytest
import torch

from hrlaif.errors import ModelError
from hrlaif.protocols import Reward
from hrlaif.records import Message, Prompt, Response
from hrlaif.reward import head
from hrlaif.reward.learned import Learned, unload
from hrlaif.reward.train import RewardTraining, rendered, train
from hrlaif.settings import kind_of
from hrlaif.transformer.load import load_causal

PROMPT = Prompt(id="p", messages=(Message(role="user", content="hi"),))


def test_it_is_a_reward():
    assert isinstance(Learned(), Reward)
    assert kind_of(Learned()) == "learned"
    assert Learned().score([]) == []


def test_an_empty_response_is_scored(base, pairs, tmp_path):
    train(RewardTraining(batch_size=8), pairs(8), base(), tmp_path / "rm")
    reward = Learned(path=str(tmp_path / "rm"), normalise=False)
    score = reward.score([Response(prompt=PROMPT, text="")])[0]
    assert isinstance(score.value, float)
    missing = Response(prompt=PROMPT, text="", finish_reason="error")
    one, other = reward.score([missing, Response(prompt=PROMPT, text="")])
    assert (one.value, one.reason) == (None, "the response is missing: its model gave none")
    assert other == score
    with pytest.raises(ModelError, match="set normalise: false"):
        Learned(path=str(tmp_path / "rm")).score([Response(prompt=PROMPT, text="")])
    unload()


def test_a_folder_without_a_reward_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no reward model"):
        Learned(path=str(tmp_path)).score([Response(prompt=PROMPT, text="x")])


@pytest.mark.parametrize("positions", [2048, 64])
def test_a_reward_model_of_others_reads_as_much_as_its_context_holds(
    base, tmp_path, capsys, positions
):
    reward = head.with_head(load_causal(base("llama"), train=True))
    torch.nn.init.normal_(reward.model.score.weight)
    reward.model.config.max_position_embeddings = positions
    reward.model.save_pretrained(tmp_path / "rm")  # no reward_max_length in its config.json
    reward.tokenizer.save_pretrained(tmp_path / "rm")
    theirs = Learned(path=str(tmp_path / "rm"), normalise=False)
    longs = [
        Response(
            prompt=Prompt(id=word, messages=(Message(role="user", content=word * 400),)), text="x"
        )
        for word in ("abcd", "bcda")
    ]
    one, other = (score.value for score in theirs.score(longs))
    whole = [t.tokens for t in rendered(reward, longs, 10**6)]
    assert max(map(len, whole)) > 1152
    expected = head.rewards_of(reward.model, [t[-positions:] for t in whole])
    told = capsys.readouterr().err
    if positions == 2048:
        assert (one, other) == pytest.approx(expected, abs=1e-5)
        assert "cut" not in told
    else:
        assert "reads 64 tokens: 2 of 2 texts were longer" in told
        theirs.score(longs)
        assert "reads 64" not in capsys.readouterr().err
    unload()
