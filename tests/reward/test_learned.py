import pytest

from hrlaif.errors import ModelError
from hrlaif.protocols import Reward
from hrlaif.records import Message, Prompt, Response
from hrlaif.reward.learned import Learned, unload
from hrlaif.reward.train import RewardTraining, train
from hrlaif.settings import kind_of

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
