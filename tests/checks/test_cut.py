"""Is a thought that never ends, or an answer that was cut, never taken for an answer?"""

from __future__ import annotations

import pytest

from hrlaif.checks import ChoiceLetter, Number, SameAnswer
from hrlaif.checks.cut import CUT
from hrlaif.llm import Scripted
from hrlaif.records import Message, Prompt, Response, Verdict

CITIES = ("Paris", "London", "Rome", "Oslo")
TURNS = (Message(role="user", content="Q"),)


def response(text: str, reference: str, finish: str | None = "length") -> Response:
    prompt = Prompt(
        id="q",
        messages=TURNS,
        reference_answer=reference,
        choices=CITIES if reference == "B" else None,
    )
    return Response(prompt=prompt, text=text, finish_reason=finish)


def number(text: str, reference: str = "37", finish: str | None = "length", **how) -> Verdict:
    return Number.parse(how).check([response(text, reference, finish)], None)[0]


def letter(text: str, finish: str | None = "length") -> Verdict:
    return ChoiceLetter().check([response(text, "B", finish)], None)[0]


@pytest.mark.parametrize("ends", ["37. Wait, let me check that", "41. Wait", r"\boxed{37}", "B."])
def test_a_thought_that_never_ends_says_nothing(ends):
    text = f"<think>Perhaps the answer is {ends}"
    found, chosen = number(text, finish="stop"), letter(text, "stop")
    assert (found.passed, found.reason) == (None, "no number in the response")
    assert (chosen.passed, chosen.reason) == (None, "no option named")
    assert (number(text).reason, letter(text).reason) == (CUT, CUT)


def test_what_is_said_after_a_thought_is_the_answer_also_where_the_thought_is_long():
    thought = f"<think>{'The answer is 41. ' * 500}</think>"
    assert number(f"{thought}It is 37.", finish="stop").passed is True
    assert number(f"{thought}", finish="stop").passed is None


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 3",
        "The answer is 3.",
        "So she has 180 - 143 = 37",
        "9 * 20 = 180 rolls. She sells 143 rolls",
        "#### 3",
        r"\boxed{3",
        r"The answer is $\frac{37}{1",
        "<answer>3",
        "The answer is 41. Wait, that is",
        "The answer is 37. But the",
        "The answer is 37. So the final answer",
        r"\boxed{37} or",
        "The answer is 12. Again: the answer is approx. 3",
        "If weeks were meant, the answer would be 41. Days are",
        "37",
        "答案是3",
        "答案是41。不对",
        "",
    ],
)
def test_a_number_that_may_have_gone_on_has_no_verdict(text):
    assert {number(text, r).passed for r in ("37", "3", "41", "12", "180", "143")} == {None}
    assert number(text).reason == CUT


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 37. She sold",
        "The answer is thirty-seven. She sold",
        "#### 37\nQuestion: how many",
        r"So she has \boxed{37}",
        r"\boxed{\frac{74}{2}}$. We used",
        "<answer>37</answer>",
        "Answer: 37\nShe",
        "答案是37。她",
    ],
)
def test_a_marked_answer_that_is_closed_counts_though_the_response_was_cut(text):
    assert number(text).passed is True
    assert number(text, "38").passed is False


@pytest.mark.parametrize(
    "text", ["B", "The answer is B", "The answer is A.", "A is right. B", "The answer is A. Wait",
             r"\boxed{A", "London is the capital. It", "答案是A", "The answer is A or",
             "It is London. A common wrong answer is A. The"],
)  # fmt: skip
def test_a_letter_that_may_have_gone_on_has_no_verdict(text):
    assert (letter(text).passed, letter(text).reason) == (None, CUT)


@pytest.mark.parametrize(
    "text", ["The answer is B. It", "Answer: B\nParis", r"\boxed{\text{B}}", "答案是B。", "故选B。",
             "<answer>B</answer>"],
)  # fmt: skip
def test_a_marked_letter_that_is_closed_counts_though_the_response_was_cut(text):
    assert letter(text).passed is True
    assert letter(text.replace("B", "C")).passed is False


def test_no_expression_of_a_cut_response_is_compared():
    pytest.importorskip("math_verify")
    assert number(r"The answer is 2\sqrt{3", "2\\sqrt{3", symbolic={}).passed is None
    assert number(r"So \boxed{\sqrt{12}}", r"2\sqrt{3}", symbolic={}).passed is True


def test_a_judge_is_not_asked_about_a_cut_response_before_its_answer():
    texts = ("First, the Rhine", "The answer is the Nile. It flows")
    found = SameAnswer().check([response(t, "the Nile") for t in texts], Scripted(accuracy=1.0))
    assert [(v.passed, v.reason) for v in found] == [(None, CUT), (True, "same")]
