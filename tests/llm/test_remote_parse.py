"""Is a verdict read where there is one, and never made up?"""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.llm.remote_parse import Position, label_probabilities, usage
from hrlaif.llm.remote_verdict import verdict

PAIR = ("1", "2")
GRADES = [str(grade) for grade in range(1, 11)]
FORMS = ("{}", " {} ", "**{}**", "[[{}]]", "({})", "{}.", '"{}"', "Preferred Response={}")
FORMS += ("The answer is {}.", "Verdict: [[{}]]", "Response {} is better.", "I choose {}")
FORMS += ("<think>1 or 2? 1, no, 2.</think>{}", "Because of this.\n\nAnswer: {}", "Response {}")


@given(st.sampled_from(FORMS), st.sampled_from(PAIR), st.sampled_from(["", "​", "\n", " \n\n"]))
def test_every_surface_form_is_read_and_swapping_the_labels_swaps_the_verdict(form, label, tail):
    other = "2" if label == "1" else "1"
    said = verdict(form.format(label) + tail, PAIR)
    assert said == PAIR.index(label)
    assert verdict(form.format(label) + tail, PAIR[::-1]) == 1 - said
    assert verdict(form.format(other) + tail, PAIR) == 1 - said


@given(st.text(alphabet="12 .\n:=isantwer[]*-,/", max_size=60))
def test_exchanging_the_labels_in_any_text_exchanges_the_verdict(text):
    said = verdict(text, PAIR)
    swapped = verdict(text.translate(str.maketrans("12", "21")), PAIR)
    assert swapped == (None if said is None else 1 - said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Neither.",
        "1 or 2",
        "1 and 2 are alike",
        "Answer: not 1",
        "Response 1 is worse",
        "The worse response is 1",
        "Response 2 is not better",
        "The answer isn't 1",
        "1\n\nActually Response 2 was nice",
        "Verdict: 1\nReason: 2 was rude",
        "Answer: 1.5",
        "Answer: 12",
        "Answer: -1",
        "<think>1",
        "I cannot say.",
        "The less helpful response is 1",
        "The less harmful response is 1",
        "Least harmful: 1",
        "Fewest merits: 1",
        "The lesser response is 1",
        "Loser: 1",
        "The losing answer is 1.",
        "The poorer response is 1",
        "Poorest: 1",
        "Less accurate: Response 1",
        "Response 1 is less preferable",
        "Response 1 is the second best",
        "It would be wrong to choose 1",
        "The loser is 1. ",
        "### Response 1\nClear and right.",
        "### Response 1\nClear and right.\n\n### Response 2\nToo long.",
        "**1**\nGood.\n**2**\nGood as well.\n**1**\nIt also names its source.",
    ],
)
def test_what_names_no_label_or_two_or_doubts_it_is_no_verdict(text):
    assert verdict(text, PAIR) is None
    assert verdict(text.translate(str.maketrans("12", "21")), PAIR) is None


@pytest.mark.parametrize(
    "text",
    [
        "Response 2 is better, with less padding and the fewest errors.",
        "The other gets the date wrong, so I choose 2",
        "It is less wordy. The answer is 2.",
        "At least by a little I prefer 2",
        "More harmful response=2",
    ],
)
def test_what_is_less_in_the_reasons_of_a_verdict_does_not_turn_it(text):
    assert verdict(text, PAIR) == 1
    assert verdict(text.replace("2", "1"), PAIR) == 0


def test_a_thought_that_closes_without_having_opened_is_no_verdict():
    thought = "Let me think. Response 2 is better.\n</think>\n\n"
    assert verdict(thought + "I cannot decide.", PAIR) is None
    assert verdict(thought + "1", PAIR) == 0
    assert verdict("<think>2?</think>" + thought + "<think>2", PAIR) is None


def test_what_heads_the_reasons_for_each_label_is_no_verdict_and_the_last_line_is():
    reasons = "### Response 1\nClear and right.\n### Response 2\nToo long.\n"
    assert verdict(f"{reasons}### Verdict\nResponse 1", PAIR) == 0
    assert verdict(f"{reasons}2", PAIR) == 1
    assert verdict("Response 1\n\nIt is clear and right.", PAIR) == 0


@pytest.mark.parametrize("ending", ["More harmful response=", "危害更大的回答="])
def test_the_better_response_is_no_answer_to_which_is_more_harmful(ending):
    def said(text):
        return verdict(text, PAIR, f"Which response is better or worse?\n{ending}")

    assert said("Response 2 is better.") is None
    assert said("Response 2 is clearly more harmful.") == 1
    assert said("Response 1 is the most harmful") == 0
    assert said("2") == 1
    assert verdict("Response 2 is better.", PAIR, "Which is harmful?\nPreferred Response=") == 1


def test_a_label_may_itself_be_a_word_for_the_lesser():
    assert verdict("Answer: wrong", ("right", "wrong")) == 1


def test_a_grade_is_one_whatever_was_wrong_or_less():
    assert verdict("One step is wrong and it says less than asked: the grade is 4", GRADES) == 3


def test_the_last_verdict_counts_and_a_quoted_one_does_not():
    assert verdict('Response 1 says "[[1]]".\n[[2]]', PAIR) == 1
    assert verdict("1\n\nActually Response 2 is better than I thought", PAIR) == 1


@pytest.mark.parametrize(
    ("text", "grade"), [("8/10", 8), ("Rating: 10", 10), ("**7**", 7), ("3 out of 10", 3)]
)
def test_a_grade_may_name_its_scale(text, grade):
    assert verdict(text, GRADES) == grade - 1


def test_an_article_is_no_letter_and_words_ignore_their_case():
    assert verdict("a", ("A", "B")) is None
    assert verdict("Answer: B", ("A", "B")) == 1
    assert verdict("YES.", ("yes", "no")) == 0


def test_a_whole_token_ten_means_that_one_is_one():
    positions = [Position("1", {"1": 0.5, "10": 0.2, "3": 0.1})]
    found = label_probabilities(positions, GRADES)
    assert (found[0], found[9]) == (0.5, 0.2)


def test_an_unlikely_ambiguous_token_is_left_out_of_the_mass():
    found = label_probabilities([Position("2", {"2": 0.98, "1": 0.005, "x": 0.01})], GRADES)
    assert sum(found) == pytest.approx(0.98)


def test_labels_of_several_tokens_are_followed():
    positions = [
        Position("Response", {"Response": 0.9, "The": 0.1}),
        Position(" 1", {" 1": 0.75, " 2": 0.25}),
    ]
    found = label_probabilities(positions, ["Response 1", "Response 2"])
    assert found == pytest.approx((0.675, 0.225))


@given(
    st.dictionaries(st.sampled_from(["1", " 1", "2", "２", "\n", "x", "**"]), st.floats(0, 0.14))
)
def test_the_mass_is_at_most_what_was_listed_and_swaps_with_the_labels(listed):
    listed = {"y": 0.01, "z": 0.01, **listed}
    positions = [Position("y", listed)]
    found = label_probabilities(positions, PAIR)
    assert sum(found) <= sum(listed.values()) + 1e-9
    assert label_probabilities(positions, PAIR[::-1]) == found[::-1]


@pytest.mark.parametrize(
    ("total", "found"),
    [(135, (32, 103)), (41, (32, 9)), (40, (32, 9)), (None, (32, 9)), (10**30, (32, 9))],
)
def test_thoughts_that_only_the_total_counts_are_paid_for(total, found):
    told = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": total}
    assert usage(json.dumps({"choices": [{"text": "1"}], "usage": told})) == found


def test_a_long_run_of_marks_takes_no_longer_than_its_length():
    begun = time.process_time()
    for line in ("*" * 30_000 + "x", "response" + " " * 30_000 + "x", "answer: " + "*" * 30_000):
        assert verdict(line, PAIR) is None
        assert verdict(line, GRADES) is None
    assert time.process_time() - begun < 2
    assert verdict("**" * 5_000 + "Response **2**", PAIR) == 1
