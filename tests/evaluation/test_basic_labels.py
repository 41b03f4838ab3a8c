"""Are hybrid and basic labels compared on the same rows, and never a check with itself?"""

from __future__ import annotations

import pytest

from hrlaif import Pairwise, Scripted, Verified
from hrlaif.evaluation.basic_labels import basic_labels
from hrlaif.records import Candidate, Comparison, Message, Prompt


def pairs(gold):
    made = []
    for n in range(40):
        turn = Message(role="user", content=f"What is {n} and {n}?")
        prompt = Prompt(id=f"p{n}", messages=(turn,), category="math", reference_answer=str(2 * n))
        a, b = Candidate(text=f"It is {2 * n}."), Candidate(text=f"It must be {2 * n + 1}.")
        made.append(Comparison(id=f"c{n}", prompt=prompt, a=a, b=b, gold_preference=gold))
    return made


def measured(gold, tmp_path, most=30):
    judge = Scripted(accuracy=0.7)
    labels = Verified().label(pairs(gold), judge)
    return basic_labels(labels, Pairwise(), judge, tmp_path, most=most)


def test_with_a_known_answer_both_are_measured(tmp_path):
    found = measured(1.0, tmp_path).by_category["math"]
    assert (found.hybrid.value, found.hybrid.n) == (1.0, 30)
    assert found.basic.value == pytest.approx(0.7, abs=0.2)
    assert (found.basic.n, found.silent) == (30, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_label_of_the_check_is_not_measured_against_the_check(tmp_path):
    found = measured(None, tmp_path).overall
    assert (found.hybrid.value, found.hybrid.n) == (None, 0)
    assert found.basic.n == 30
    assert 0.2 < found.basic.value < 1.0


def test_no_more_are_asked_than_there_are(tmp_path):
    assert measured(1.0, tmp_path, most=500).overall.basic.n == 40
