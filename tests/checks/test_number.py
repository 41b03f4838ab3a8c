"""Is the number that a response settles on read, and is a hedge never read as one?"""

from __future__ import annotations

import re
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.checks import Number
from hrlaif.checks.clauses import UNCLEAR
from hrlaif.checks.final import UNSETTLED
from hrlaif.checks.numbers import numbers_in
from hrlaif.checks.spelled import spelled
from hrlaif.records import Message, Prompt, Response, Verdict
from hrlaif.rows import read_rows


def verdict(text: str, reference: str | None = "72", **settings: float) -> Verdict:
    prompt = Prompt(
        id="q", messages=(Message(role="user", content="Q"),), reference_answer=reference
    )
    (found,) = Number(**settings).check([Response(prompt=prompt, text=text, id="r")], None)
    assert (found.id, found.check) == ("r", "number")
    return found


RIGHT = [
    # The table of measured weaknesses of other verifiers.
    (r"First \boxed{4}. Wait, no: \boxed{5}.", "5"),
    ("#### 72\nThis took 3 steps.", "72"),
    ("Answer: 1 1/2", "1.5"),
    ("Answer: −5", "-5"),
    ("Answer: ５", "5"),
    ("答案：−５", "-5"),
    ("Answer: 3e8", "300000000"),
    ("Answer: 3 x 10^8", "300000000"),
    (r"Answer: $3 \times 10^{-2}$", "0.03"),
    # The percent sign is a unit and is ignored.
    ("seventy-two", "72"),
    ("Answer: 42%", "42"),
    (r"Answer: 42\%", "42"),
    ("42", "42%"),
    # Dress.
    ("72", "72"),
    ("72.", "72"),
    ("The answer is 72.", "72"),
    ("**Answer:** 72", "72"),
    ("**Answer**: **72**", "72"),
    ("The final answer is $72$.", "72"),
    ("The answer is $72.00", "72"),
    ("So the answer is x = 72", "72"),
    ("Answer:\n72", "72"),
    ("ANSWER = 72", "72"),
    (r"\boxed{72 \text{ clips}}", "72"),
    (r"\boxed{\frac{3}{8}}", "3/8"),
    (r"\boxed{-\dfrac{1}{2}}", "-0.5"),
    (r"\boxed{1\frac{1}{2}}", "3/2"),
    (r"\boxed{\frac12}", "1/2"),
    ("½", "0.5"),
    ("1½ cups", "1.5"),
    ("3/8", "0.375"),
    ("6/16", "3/8"),
    ("Answer: .5", "1/2"),
    # Thousands.
    ("1,234,567", "1234567"),
    ("1{,}234", "1234"),
    ("12\u202f345", "12345"),
    ("$1,000.50", "1000.5"),
    ("１，２３４", "1234"),
    # What stands beside the answer.
    ("The answer is 72. It took 3 steps.", "72"),
    ("The answer is 72 clips because 48 + 24 were sold.", "72"),
    ("The answer is 48 + 24 = 72 clips.", "72"),
    ("48 in April, 24 in May.\nSo she sold 48 + 24 = 72 clips.", "72"),
    ("Natalia sold 48/2 = 24 clips in May.\nAltogether 72.", "72"),
    ("The area is 72 cm^2.", "72"),
    ("162 kg/day * $50/kg = $8100/day", "8100"),
    ("72/day", "72"),
    ("The area is 72 cm².", "72"),
    ("It is 10² - 28 = 72", "72"),
    ("10^2", "100"),
    ("I tried 4 or 5 ways and got 72", "72"),
    ("Adding 48 to 24 gives 72", "72"),
    ("The answer is -3", "-3"),
    ("5 - 8 = -3", "-3"),
    # A changed mind.
    ("The answer is 70. No, wait. The answer is 72.", "72"),
    (r"\boxed{70} was wrong. The answer is 72.", "72"),
    ("The answer is not 70 but 72", "72"),
    # Chinese.
    ("答案是72。", "72"),
    ("答案：72", "72"),
    ("所以一共是72个。", "72"),
    ("答：4月和5月一共卖了72个。", "72"),
    ("因此，结果为 72 元", "72"),
    ("正确答案应该是７２。", "72"),
]


@pytest.mark.parametrize(("text", "reference"), RIGHT)
def test_the_right_number_is_read(text, reference):
    found = verdict(text, reference)
    assert (found.passed, found.reason) == (True, "equal"), found


@pytest.mark.parametrize(
    "text",
    [
        "2+4=6\nStep 2: done.",
        "The total is 6.\n\n(Method 2 gives the same.)",
        "6\n\nLet me know if you want me to show method 2.",
        "She has 6 apples.\n\nNote: rounded to 2 decimal places.",
        "The result: 6\n1. Check\n2. Verified",
        "Total: 6\n\nReferences: [1] Smith 2020",
        "So there are 6 left.\n\nConfidence: 95%",
        "6 apples\n\n---\nWord count: 120",
        "She has 6 apples.\nCheck: 6 - 4 = 2.",
        "2 + 4 = 6\n\nI am 95% sure.",
        "2 + 4 = 6 apples [3]",
    ],
)
def test_numbers_of_steps_lists_references_and_checks_are_no_answer(text):
    assert (verdict(text, "6").passed, verdict(text, "6").answer) == (True, "6")
    assert verdict(text, "2").passed is verdict(text, "95").passed is False


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("6 apples.\n\nThis took me 2 minutes.", None),
        ("6 apples\n2 people asked", None),
        ("2 + 4 = 6\nShe has 2 friends.", None),
        ("2 + 4 = 6\nShe has 6 apples.", True),
        ("2 + 1 = 3\nSo she has 6 apples.", True),
        ("Half of 12 is 3?\n6", True),
        ("2 + 4 = 6\nSo she has 2 friends.", False),
    ],
)
def test_of_two_unmarked_lines_that_differ_none_is_the_answer_unless_the_last_concludes(
    text, passed
):
    found = verdict(text, "6")
    assert found.passed is passed
    assert found.reason == UNSETTLED or passed is not None


@pytest.mark.parametrize(
    "text",
    [
        "The price is $40 after a 20% discount.",
        "He walked 40 miles in 20 days.",
        "It costs $40 (20% off).",
        "40 of the 20000 rolls are left.",
        "He has 40 rolls left. He sold 20.",
        "It cost $40 because 10 + 10 = 20.",
        "价格是40元，比原来便宜了20%。",
    ],
)
def test_where_it_is_not_plain_which_number_is_the_answer_there_is_no_verdict(text):
    found = [verdict(text, reference) for reference in ("40", "20", "20000", "7")]
    assert {v.passed for v in found} == {None}
    assert {v.reason for v in found} <= {UNCLEAR, UNSETTLED}


def test_a_number_given_exactly_and_rounded_is_right_where_either_is_and_its_digits_agree():
    text = "The probability is 1/6, or about 16.7%."
    assert [verdict(text, r).passed for r in ("1/6", "16.7", "1/5", "17")] == [
        *(True, True),
        *(False, False),
    ]
    assert verdict("1/6 (about 25.1%)", "1/6").passed is None
    assert verdict("1/6 ≈ 16.7%", "0.167", percent="hundredths").passed is True
    assert verdict("1/5 ≈ 16.7%", "0.2", percent="hundredths").passed is False
    # What is rounded to whole numbers may mean either.
    assert [verdict("2.5 ≈ 3", r).passed for r in ("3", "2.5", "2")] == [True, None, False]
    assert [verdict("7/2 = 3", r).passed for r in ("3", "3.5")] == [True, False]


@pytest.mark.parametrize(
    ("text", "reference", "answer"),
    [
        ("The answer is 71.", "72", "71"),
        ("72 clips in all, so the answer is 71.", "72", "71"),
        ("-72", "72", "-72"),
        ("seventy-two", "73", "72"),
        ("0.42", "42%", "0.42"),
        ("72.1", "72", "72.1"),
        ("1,234", "1.234", "1234"),
        (r"\boxed{5}. No: \boxed{4}", "5", "4"),
        ("720", "72", "720"),
        ("7.2e1", "72.5", "72"),
    ],
)
def test_a_wrong_number_is_wrong_and_shown(text, reference, answer):
    found = verdict(text, reference)
    assert (found.passed, found.reason, found.answer) == (False, "different", answer)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It is either 4 or 5", "more than one answer"),
        ("The answer is 4 or 5.", "more than one answer"),
        ("Somewhere between 4 and 5", "more than one answer"),
        ("Answer: 4-5", "more than one answer"),
        ("14 or 15", "more than one answer"),
        ("It is 4 or 5 or 6", "more than one answer"),
        ("答案是4或5", "more than one answer"),
        ("可能是4还是5", "more than one answer"),
        (r"\boxed{33\sqrt{5}}", "the answer is not a plain number"),
        (r"The answer is 5\pi", "the answer is not a plain number"),
        ("5π", "the answer is not a plain number"),
        (r"\boxed{5!}", "the answer is not a plain number"),
        ("The answer is more than 5.", "the answer is not a plain number"),
        ("x = 5 or x = 6", "more than one answer"),
        ("5 feet 6 inches", "more than one answer"),
        ("The answer isn't 5.", "no number in the response"),
        ("I need five more minutes.", "no number in the response"),
        ("", "no number in the response"),
        ("I cannot say.", "no number in the response"),
        ("1/0", "no number in the response"),
        ("x" * 1_000_000, "no number in the response"),
        ("9" * 1_000_000, "no number in the response"),
    ],
)
def test_what_cannot_be_told_is_never_wrong(text, reason):
    found = verdict(text, "5")
    assert (found.passed, found.reason, found.answer) == (None, reason, None)


@pytest.mark.parametrize("reference", [r"\frac{21}{2}\pi", "4 or 5", r"33\sqrt{30}", "Tuesday", ""])
def test_a_reference_that_is_no_number_gives_no_verdict(reference):
    found = verdict("21", reference)
    assert found.passed is None
    assert found.reason == f"the reference {reference!r} is not one number"
    assert verdict("21", None).reason == "no reference answer"


def test_what_a_percent_sign_means_is_declared():
    assert [verdict(text, "42").passed for text in ("42%", "0.42")] == [True, False]
    assert [verdict(text, "42%").passed for text in ("42%", "42", "0.42")] == [True, True, False]
    hundredths = [verdict(text, "0.42", percent="hundredths").passed for text in ("42%", "42")]
    assert hundredths == [True, False]
    assert verdict("百分之四十二", "0.42", percent="hundredths").passed is True


def test_a_missing_response_is_never_wrong():
    turn = Message(role="user", content="Q")
    prompt = Prompt(id="q", messages=(turn,), reference_answer="1")
    lost = Response(prompt=prompt, text="", finish_reason="error")
    (found,) = Number().check([lost], None)
    assert (found.passed, found.reason) == (None, "the response is missing: its model gave none")


def test_the_tolerance_is_relative():
    assert verdict("1000000.5", "1000000").passed is True
    assert verdict("1000002", "1000000").passed is False
    assert verdict("1000002", "1000000", tolerance=1e-5).passed is True
    assert verdict("6.6e-34", "1.6e-19").passed is False
    assert verdict("1.6000001e-19", "1.6e-19").passed is True
    assert [verdict(text, "0").passed for text in ("0.0", "1e-9")] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "9^9^9^9", "10^99", "9e999", "9e9999999", "\\boxed{" * 20_000, "1/" * 50_000,
        "answer is " * 50_000 + "5", "1 " * 100_000, "((((" * 100_000, "4 or " * 50_000,
    ],
)  # fmt: skip
def test_a_hostile_response_takes_no_time(text):
    begun = time.perf_counter()
    verdict(text)
    assert time.perf_counter() - begun < 3


@given(st.fractions(max_denominator=999))
def test_every_fraction_is_read_back(value):
    assert numbers_in(str(value)) == [value]


@given(st.integers(-(10**12), 10**12))
def test_every_integer_is_read_with_and_without_thousands(value):
    assert numbers_in(f"{value:,}") == numbers_in(str(value)) == [Fraction(value)]


def section_in_chinese(value: int) -> str:
    """1 to 9999 as schoolbooks write it: 一千零五."""
    digits = f"{value:04}"
    words = [
        "零一二三四五六七八九"[int(d)] + u if d != "0" else "零"
        for d, u in zip(digits, "千百十 ", strict=True)
    ]
    return re.sub("零+", "零", "".join(words).replace(" ", "")).removesuffix("零")


def in_chinese(value: int) -> str:
    """Up to 10**12 as schoolbooks write it, each gap marked by one 零."""
    parts = []
    for scale, word in ((10**8, "亿"), (10**4, "万"), (1, "")):
        part, value = divmod(value, scale)
        parts.append(section_in_chinese(part) + word if part else "零")
    return re.sub("零+", "零", "".join(parts)).strip("零") or "零"


@given(st.integers(10, 10**12 - 1))
def test_every_chinese_numeral_of_the_schoolbooks_is_read_back(value):
    assert numbers_in(spelled(f"答案是{in_chinese(value)}。")) == [value]


@pytest.mark.parametrize("power", ["百", "千", "万", "亿"])
def test_a_last_chinese_digit_without_its_power_counts_the_next_lower_one(power):
    value = {"百": 10**2, "千": 10**3, "万": 10**4, "亿": 10**8}[power]
    assert numbers_in(spelled(f"三{power}五")) == [3.5 * value]
    assert numbers_in(spelled(f"三{power}零五")) == [3 * value + 5]


@given(st.text())
def test_no_text_breaks_the_check(text):
    assert verdict(text).passed in (True, False, None)


SOLVED = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "pairs_correct_vs_wrong.jsonl.gz"


@pytest.mark.skipif(not SOLVED.exists(), reason="the development data is not beside the project")
def test_right_and_wrong_solutions_of_real_problems_are_told_apart():
    told = Counter()
    for _, row in read_rows(SOLVED):
        reference = str(row["meta"]["reference_answer"])
        first_is_right = row["gold_preference"] > 0.5
        for text, right in zip(row["responses"], (first_is_right, not first_is_right), strict=True):
            told[right, verdict(text, reference).passed] += 1
    assert told == {(True, True): 524, (False, False): 524}
