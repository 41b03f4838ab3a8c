"""The same questions in two languages: what is asked, and that a judge weak in one is seen."""

import pytest

from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.records import Abstention
from hrlaif.study import bias, parallel


def one(language, count=24):
    return [c for c in parallel.comparisons(count) if c.prompt.language == language]


def chinese(text):
    return sum("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_there_are_24_questions_in_both_languages_with_the_same_right_side():
    english, other = one("en"), one("zh")
    assert len(english) == len(other) == 24
    assert [c.prompt.id for c in english] == [c.prompt.id for c in other]
    assert [c.gold_preference for c in english] == [c.gold_preference for c in other]
    assert len({c.id for c in (*english, *other)}) == 48
    for c in (*english, *other):
        texts = [c.prompt.messages[0].content, c.a.text, c.b.text]
        assert len(set(texts)) == 3
        assert all(texts)
    assert not sum(chinese(c.prompt.messages[0].content + c.a.text + c.b.text) for c in english)
    assert all(chinese(c.prompt.messages[0].content) >= 5 for c in other)


@pytest.mark.parametrize("count", [4, 10, 20, 24])
def test_any_first_few_have_as_many_right_on_either_side(count):
    assert sum(c.gold_preference for c in one("en", count)) == count / 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_always_the_longer_is_no_way_to_be_right(language):
    gaps = [
        (len(c.a.text) - len(c.b.text)) * (2 * c.gold_preference - 1) for c in one(language)
    ]  # fmt: skip
    assert abs(sum(g > 0 for g in gaps) - sum(g < 0 for g in gaps)) <= 2


def test_a_judge_that_is_weak_in_chinese_is_seen_on_the_questions_that_both_answered():
    english = Pairwise().label(one("en"), Scripted(accuracy=1.0))
    other = Pairwise().label(one("zh"), Scripted(accuracy=0.5))
    (line,) = bias.same_questions([*english, *other], seed=0)
    right = sum((a.prob_a > 0.5) == (a.comparison.gold_preference > 0.5) for a in other)
    assert line["figure"]["value"] == pytest.approx(right / 24 - 1)
    assert line["figure"]["high"] < 0
    assert line["figure"]["n"] == 24
    assert line["beside"]["agreement in Chinese"]["value"] == pytest.approx(right / 24)
    silent = Abstention(comparison=other[0].comparison, labeler="x", reason="none")
    (line,) = bias.same_questions([*english, silent, *other[1:]], seed=0)
    assert line["figure"]["n"] == line["beside"]["agreement in English"]["n"] == 23
    assert bias.same_questions(english, seed=0) == []


def test_a_judge_as_good_in_both_has_an_interval_that_is_not_empty():
    answers = Pairwise().label(parallel.comparisons(24), Scripted(accuracy=1.0))
    (line,) = bias.same_questions(answers, seed=0)
    assert line["figure"]["value"] == 0.0
    # Two shares of 24 in 24: each Wilson's, 24 / (24 + z^2) to 1, joined.
    off = 1.96**2 / (24 + 1.96**2)
    assert line["figure"]["low"] == pytest.approx(-off, abs=1e-4)
    assert line["figure"]["high"] == pytest.approx(off, abs=1e-4)
