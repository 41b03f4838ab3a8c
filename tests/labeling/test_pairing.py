"""Are pairs made of different answers to one prompt, the same every time?"""

from __future__ import annotations

from hrlaif.labeling import Pairing
from hrlaif.records import Message, Prompt, Response


def answers(*texts: str, prompt: str = "q", reason: str = "stop") -> list[Response]:
    asked = Prompt(id=prompt, messages=(Message(role="user", content=prompt),))
    return [
        Response(prompt=asked, text=text, model="m", sample=n, finish_reason=reason)
        for n, text in enumerate(texts)
    ]


def test_each_prompt_gives_at_most_the_wanted_number_of_pairs():
    given = answers("a", "b", "c", prompt="one") + answers("d", "e", prompt="two")
    assert len(Pairing().pair(given, seed=0)) == 2
    made = Pairing(per_prompt=9).pair(given, seed=0)
    assert len(made) == 3 + 1
    assert len({pair.id for pair in made}) == 4
    for pair in made:
        sides = {(pair.a.text, pair.a.sample), (pair.b.text, pair.b.sample)}
        assert len(sides) == 2
        assert sides <= {(r.text, r.sample) for r in given if r.prompt == pair.prompt}


def test_equal_and_missing_answers_make_no_pair():
    assert Pairing().pair(answers("same", "same ", "same\n"), seed=0) == []
    lost = answers("", reason="error")
    assert Pairing().pair([*answers("a"), *lost], seed=0) == []


def test_the_seed_decides_and_position_is_a_fair_coin():
    groups = [r for n in range(400) for r in answers("a", "b", prompt=f"q{n}")]
    made = Pairing().pair(groups, seed=3)
    assert made == Pairing().pair(groups, seed=3)
    assert made != Pairing().pair(groups, seed=4)
    # 400 tosses: 200 +- 3.3 standard deviations of 10.
    assert 167 <= sum(pair.a.text == "a" for pair in made) <= 233


def test_a_prompts_pairs_do_not_depend_on_the_other_prompts():
    alone = Pairing().pair(answers("a", "b", "c"), seed=0)
    beside = Pairing().pair(answers("x", "y", prompt="p") + answers("a", "b", "c"), seed=0)
    assert beside[1:] == alone
