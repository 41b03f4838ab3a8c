"""Are pairs made of different answers to one prompt, the same every time?"""

from __future__ import annotations

from collections import Counter

from hrlaif.labeling import Hybrid, Pairing, Verified
from hrlaif.labeling.pairing import allowed
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


def solved(prompt, sample, text, category="math"):
    turn = Message(role="user", content="Q")
    known = Prompt(id=prompt, messages=(turn,), category=category)
    return Response(prompt=known, text=text, model="m", sample=sample)


def test_a_checked_prompt_pairs_right_over_wrong_first_and_never_two_wrong_ones():
    group = [solved("p", n, f"text {n}") for n in range(6)]
    passed = dict(zip((r.key for r in group), (True, True, False, False, None, None), strict=True))
    texts = {r.text: passed[r.key] for r in group}
    for per_prompt, decided, right in ((1, 1, 0), (4, 4, 0), (5, 4, 1), (15, 4, 1)):
        made = Pairing(per_prompt=per_prompt).pair(group, seed=0, passed=passed)
        found = [{texts[c.a.text], texts[c.b.text]} for c in made]
        assert found.count({True, False}) == decided
        assert found.count({True}) == right
        assert len(made) == decided + right


def test_what_a_labeler_asks_about_although_it_is_not_decided_is_paired_last():
    group = [solved("p", n, f"text {n}") for n in range(4)]
    for values, both_wrong, unverifiable, count in (
        ((False, False, False, None), "abstain", "abstain", 0),
        ((False, False, False, None), "ask", "abstain", 3),
        ((False, False, False, None), "abstain", "ask", 3),
        ((False, False, False, None), "ask", "ask", 6),
        ((True, False, False, None), "ask", "ask", 6),
        ((True, False, False, None), "abstain", "abstain", 2),
    ):
        passed = dict(zip((r.key for r in group), values, strict=True))
        labeler = Verified(both_wrong=both_wrong, unverifiable=unverifiable)
        for asks in (labeler.asks, Hybrid(by_category={"math": labeler}).asks):
            made = Pairing(per_prompt=9).pair(group, seed=0, passed=passed, asks=asks)
            assert len(made) == count
            if True in values:
                texts = {r.text: passed[r.key] for r in group}
                assert all({texts[c.a.text], texts[c.b.text]} == {True, False} for c in made[:2])


def test_an_all_wrong_prompt_makes_no_pair_and_an_unchecked_one_its_usual_pairs():
    wrong = [solved("p", n, f"text {n}") for n in range(3)]
    other = [solved("q", n, f"text {n}") for n in range(3)]
    passed = {r.key: False for r in wrong}
    made = Pairing(per_prompt=2).pair([*wrong, *other], seed=0, passed=passed)
    assert [c.prompt.id for c in made] == ["q", "q"]
    assert made == Pairing(per_prompt=2).pair(other, seed=0)


def test_no_category_exceeds_its_share_of_what_is_kept():
    # By hand: 10 + 10 pairs, at most 0.3 math: x = 0.3 (10 + x), so x = 4.28 and 4 are kept.
    assert allowed({"math": 10, "": 10}, {"math": 0.3}) == {"math": 4, "": 10}
    assert allowed({"math": 3, "": 7}, {"math": 0.3}) == {"math": 3, "": 7}
    assert allowed({"math": 5}, {"math": 0.5}) == {"math": 5}  # there is nothing else to mix
    group = [
        solved(f"{c}{n}", s, f"text {s}", c)
        for c in ("math", "writing")
        for n in range(10)
        for s in range(2)
    ]
    made = Pairing(most_of_category={"math": 0.3}).pair(group, seed=1)
    assert Counter(c.prompt.category for c in made) == {"math": 4, "writing": 10}
    assert made == Pairing(most_of_category={"math": 0.3}).pair(group, seed=1)
