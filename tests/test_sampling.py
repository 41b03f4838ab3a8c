"""Is each prompt asked as often as wanted, and is silence marked as such?"""

from __future__ import annotations

from typing import final

from hrlaif.llm.scripted import Scripted
from hrlaif.protocols import LanguageModel
from hrlaif.records import Completion, Message, Prompt, Unanswered
from hrlaif.sampling import Sampling, key

PROMPTS = [Prompt(id=n, messages=(Message(role="user", content=n),)) for n in ("p", "q")]


@final
class Echo:
    """Repeats the question and the sample; keeps how it was asked."""

    name, chunk = "echo", 8

    def generate(self, chats, *, temperature, max_tokens, seed=0, top_k=None):
        self.settings = (temperature, max_tokens, seed)
        return [
            Unanswered(reason="refused")
            if (chat.messages[0].content, chat.sample) == ("q", 1)
            else Completion(text=f"{chat.messages[0].content}{chat.sample}", completion_tokens=3)
            for chat in chats
        ]

    def choose(self, chats, choices, *, seed=0):
        return []


def test_samples_of_a_prompt_stand_side_by_side_under_keys_known_before():
    sampling, model = Sampling(samples=2, temperature=0.5, max_tokens=9), Echo()
    questions = sampling.questions(PROMPTS)
    rows = sampling.sampler(model, name="policy", seed=4)(questions)
    assert [row.key for row in rows] == [key(question, "policy") for question in questions]
    assert [row.key for row in rows] == ["p/policy/0", "p/policy/1", "q/policy/0", "q/policy/1"]
    assert [row.text for row in rows] == ["p0", "p1", "q0", ""]
    assert [row.finish_reason for row in rows] == ["stop", "stop", "stop", "error"]
    assert [row.tokens for row in rows] == [3, 3, 3, 0]
    assert model.settings == (0.5, 9, 4)


def test_the_scripted_model_and_the_fakes_are_language_models():
    assert isinstance(Echo(), LanguageModel)
    assert isinstance(Scripted(), LanguageModel)


def test_the_scripted_model_draws_other_samples():
    sampling = Sampling(samples=4)
    rows = sampling.sampler(Scripted(), name="s", seed=0)(sampling.questions(PROMPTS))
    assert len({row.text for row in rows}) > 2
    again = sampling.sampler(Scripted(), name="s", seed=0)(sampling.questions(PROMPTS))
    assert again == rows
