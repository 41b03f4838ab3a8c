"""Is right preferred over wrong, and is nothing invented where no check can tell?"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif import ChoiceLetter, Hybrid, Number, Pairwise, SameAnswer, Scripted, Verified
from hrlaif.labeling.maths import prob_right_is_better
from hrlaif.labeling.verified import (
    BOTH_RIGHT,
    BOTH_WRONG,
    NO_REFERENCE,
    RIGHT_OVER_WRONG,
    UNVERIFIABLE,
)
from hrlaif.records import (
    Abstention,
    Candidate,
    Choice,
    Comparison,
    Message,
    Preference,
    Prompt,
    Response,
)

RIGHT, WRONG, OPEN = "48 + 24 = 72", "I like 71.", "It is 71 or 72."
RIGHT_TOO = "Half of 48 is 24, and together they are 72."


def comparison(a, b, reference="72", category="math", key="c", **more):
    turn = Message(role="user", content="48 and half of it?")
    prompt = Prompt(
        id=f"p-{key}", messages=(turn,), reference_answer=reference, category=category, **more
    )
    return Comparison(id=key, prompt=prompt, a=Candidate(text=a), b=Candidate(text=b))


def label(pair, labeler=None, judge=None):
    (found,) = (labeler or Verified()).label([pair], judge or Scripted())
    return found


class Mute:
    """A judge that must not be asked."""

    name, chunk = "mute", 8

    def choose(self, chats, choices, *, seed=0):
        assert not chats
        return []


def test_right_over_wrong_needs_no_judge():
    first = label(comparison(RIGHT, WRONG), judge=Mute())
    second = label(comparison(WRONG, RIGHT), judge=Mute())
    assert (first.prob_a, second.prob_a) == (1.0, 0.0)
    assert (first.labeler, first.reason) == ("verified/number", RIGHT_OVER_WRONG)
    assert first.evidence.source == "verified"
    assert first.evidence.verdicts["b"] == {"passed": False, "answer": "71", "reason": "different"}
    assert first.evidence.flipped is None


def test_between_right_ones_the_judge_is_asked_for_the_better_reasoning_in_both_orders():
    found = label(comparison(RIGHT, RIGHT_TOO), judge=Scripted(position_bias=0.4))
    assert (found.reason, found.evidence.source) == (BOTH_RIGHT, "logprobs")
    assert found.labeler.startswith("verified/number+pairwise/scripted")
    assert "reasoning" in found.labeler
    both = (found.evidence.prob_a_first + found.evidence.prob_a_second) / 2
    assert found.prob_a == pytest.approx(both, abs=1e-6)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (comparison(WRONG, "It is 70."), BOTH_WRONG),
        (comparison(RIGHT, OPEN), f"{UNVERIFIABLE}: more than one answer"),
        (comparison("", WRONG), f"{UNVERIFIABLE}: no number in the response"),
        (
            comparison(RIGHT, WRONG, "some"),
            f"{UNVERIFIABLE}: the reference 'some' is not one number",
        ),
    ],
)
def test_what_the_check_does_not_decide_is_an_abstention(pair, reason):
    found = label(pair, judge=Mute())
    assert isinstance(found, Abstention)
    assert (found.reason, found.labeler) == (reason, "verified/number")


def test_an_unread_answer_is_never_taken_for_a_wrong_one():
    assert isinstance(label(comparison(OPEN, WRONG)), Abstention)
    assert isinstance(label(comparison(RIGHT, OPEN)), Abstention)


def test_each_path_may_ask_the_basic_labeler_instead():
    asks = Verified(both_wrong="ask", unverifiable="ask")
    found = asks.label(
        [comparison(WRONG, "It is 70."), comparison(RIGHT, OPEN, key="d")], Scripted()
    )
    assert [row.reason for row in found] == [BOTH_WRONG, UNVERIFIABLE]
    assert all(isinstance(row, Preference) and "general" in row.labeler for row in found)
    basic = label(comparison(RIGHT, WRONG, reference=None))
    assert (basic.reason, basic.evidence.source) == (NO_REFERENCE, "logprobs")
    strict = label(comparison(RIGHT, WRONG, reference=None), Verified(without_reference="abstain"))
    assert isinstance(strict, Abstention)


def test_a_silent_judge_leaves_an_abstention_that_names_its_path():
    found = label(comparison(RIGHT, RIGHT_TOO), judge=Scripted(failure=1.0))
    assert found.reason == f"{BOTH_RIGHT}; scripted failure"
    assert label(comparison(RIGHT, RIGHT)).reason == f"{BOTH_RIGHT}; identical responses"


def test_how_sure_a_softened_label_is():
    # By hand: p q + (p (1 - q) + (1 - p) q) / 2 with p = 0.9, q = 0.7: 0.63 + (0.27 + 0.07) / 2.
    assert prob_right_is_better(0.9, 0.7) == pytest.approx(0.8)
    assert prob_right_is_better(1.0, 1.0) == 1.0
    soft = Verified(softened=True, reliability=0.95)
    assert label(comparison(RIGHT, WRONG), soft).prob_a == 0.95
    assert label(comparison(WRONG, RIGHT), soft).prob_a == pytest.approx(0.05)
    stated = Verified(check=SameAnswer(), softened=True)
    found = label(comparison("It is 72", "It is 7"), stated, Scripted(accuracy=1.0))
    assert 0.5 < found.prob_a < 1.0


TEXTS = st.sampled_from([RIGHT, RIGHT_TOO, WRONG, OPEN, "", "70", "seventy-two"])
LABELERS = [
    Verified(),
    Verified(softened=True, both_wrong="ask", unverifiable="ask"),
    Hybrid(),
    Hybrid(by_category={"math": Verified(check=SameAnswer(), softened=True)}),
]


@given(TEXTS, TEXTS, st.sampled_from(LABELERS), st.sampled_from(["72", None]), st.booleans())
def test_swapping_the_responses_flips_the_label(a, b, labeler, reference, verified):
    pair = comparison(a, b, reference, "math" if verified else "writing")
    judge = Scripted(position_bias=0.3, length_bias=0.2)
    one, other = label(pair, labeler, judge), label(pair.swapped(), labeler, judge)
    assert type(one) is type(other)
    if isinstance(one, Preference):
        assert one.prob_a + other.prob_a == pytest.approx(1.0, abs=1e-6)
        assert one.reason == other.reason
        if one.evidence.verdicts:
            assert one.evidence.verdicts["a"] == other.evidence.verdicts["b"]


def test_each_category_has_its_procedure_and_the_order_stays():
    pairs = [
        comparison(RIGHT, WRONG, key="1"),
        comparison("A poem", "An ode", None, "writing", "2"),
        comparison("B", "A", "B", "multiple_choice", "3", choices=("x", "y")),
        comparison(WRONG, RIGHT, key="4"),
    ]
    found = Hybrid().label(pairs, Scripted())
    assert [row.comparison.id for row in found] == ["1", "2", "3", "4"]
    assert [row.prob_a for n, row in enumerate(found) if n != 1] == [1.0, 1.0, 0.0]
    assert [row.labeler.split("/")[0] for row in found] == [
        "verified", "pairwise", "verified", "verified",
    ]  # fmt: skip


class Sorts(Scripted):
    """Requests that say "sonnet" are writing, all others math."""

    def choose(self, chats, choices, *, seed=0):
        if len(choices) == 2:
            return super().choose(chats, choices, seed=seed)
        letters = ["G" if "sonnet" in chat.messages[0].content else "A" for chat in chats]
        return [
            Choice(
                probabilities=tuple(float(choice == letter) for choice in choices),
                mass=1.0,
                source="logprobs",
            )
            for letter in letters
        ]


def test_a_prompt_without_a_category_is_given_one_by_the_judge():
    found = label(comparison(RIGHT, WRONG, category=None), Hybrid(), Sorts())
    assert (found.labeler, found.comparison.prompt.category) == ("verified/number", "math")
    kept = label(comparison(RIGHT, WRONG, category=None), Hybrid(categorize=False), Sorts())
    assert kept.labeler.startswith("pairwise/")


def of_one_id(question, key="c", category="math", texts=("It is 4.", "It is 5."), **more):
    """A comparison whose prompt has the id of all the others made so."""
    turn = Message(role="user", content=question)
    prompt = Prompt(id="p", messages=(turn,), category=category, **more)
    a, b = (Candidate(text=text) for text in texts)
    return Comparison(id=key, prompt=prompt, a=a, b=b)


OF_ONE_ID = [
    (of_one_id("2 + 2?", reference_answer="4"), 1.0),
    (of_one_id("2 + 3?", reference_answer="5"), 0.0),
    (of_one_id("2 + 2?", reference_answer="5"), 0.0),
]


@pytest.mark.parametrize("labeler", [Verified(), Verified(check=SameAnswer()), Hybrid()])
@pytest.mark.parametrize("order", [1, -1])
def test_prompts_of_one_id_are_checked_each_against_its_own_reference(labeler, order):
    pairs = OF_ONE_ID[::order]
    found = labeler.label([pair for pair, _ in pairs], Scripted(accuracy=1.0))
    assert [row.prob_a for row in found] == [wanted for _, wanted in pairs]


def test_the_same_question_with_other_choices_is_another_prompt():
    letters = {"category": "multiple_choice", "texts": ("It is the apple.", "It is the pear.")}
    first = of_one_id("Which is it?", reference_answer="A", choices=("apple", "pear"), **letters)
    second = of_one_id("Which is it?", reference_answer="A", choices=("pear", "apple"), **letters)
    for pairs, wanted in (([first, second], [1.0, 0.0]), ([second, first], [0.0, 1.0])):
        for labeler in (Verified(check=ChoiceLetter()), Hybrid()):
            assert [row.prob_a for row in labeler.label(pairs, Mute())] == wanted


def test_a_category_is_added_to_each_prompt_and_changes_nothing_else_of_it():
    rows = [
        ("2 + 2?", {"reference_answer": "4"}, "math", 1.0),
        ("2 + 3?", {"reference_answer": "5"}, "math", 0.0),
        ("A sonnet of 5?", {}, "writing", None),
        ("2 + 2?", {"reference_answer": "5"}, "math", 0.0),
    ]
    pairs = [of_one_id(text, category=None, **more) for text, more, _, _ in rows]
    found = Hybrid().label(pairs, Sorts())
    for pair, row, (_, _, category, prob) in zip(pairs, found, rows, strict=True):
        prompt = pair.prompt.model_copy(update={"category": category})
        assert row.comparison == pair.model_copy(update={"prompt": prompt})
        if prob is not None:
            assert (row.labeler, row.prob_a) == ("verified/number", prob)
    assert found[2].labeler.startswith("pairwise/")
    known = [*pairs[:1], of_one_id("2 + 2?", category="writing", reference_answer="4")]
    assert [row.comparison.prompt.category for row in Hybrid().label(known, Sorts())] == [
        "math", "writing",
    ]  # fmt: skip


def test_responses_to_prompts_of_one_id_are_verified_by_the_category_of_each():
    asked = [
        ("A sonnet of 5?", {"reference_answer": "5"}, "5"),
        ("2 + 3?", {"reference_answer": "5"}, "5"),
    ]
    for rows in (asked, asked[::-1]):
        responses = [
            Response(prompt=of_one_id(text, category=None, **more).prompt, text=said, id=text)
            for text, more, said in rows
        ]
        found = Hybrid().verdicts(responses, Sorts())
        assert [(verdict.id, verdict.passed) for verdict in found] == [("2 + 3?", True)]


def test_the_paths_can_be_counted():
    pairs = [
        comparison(RIGHT, WRONG, key="1"), comparison(RIGHT, RIGHT_TOO, key="2"),
        comparison(WRONG, "70", key="3"), comparison(OPEN, RIGHT, key="4"),
        comparison(RIGHT, WRONG, None, key="5"),
    ]  # fmt: skip
    found = Counter(row.reason.split(":")[0] for row in Verified().label(pairs, Scripted()))
    assert found == {
        RIGHT_OVER_WRONG: 1, "both right": 1, BOTH_WRONG: 1, UNVERIFIABLE: 1, NO_REFERENCE: 1,
    }  # fmt: skip


def test_no_shots_of_reasoning_are_shipped():
    with pytest.raises(ValueError, match="0 exemplars of reasoning are there"):
        Pairwise(task="reasoning", shots=1)
    assert Number() == Verified().check
