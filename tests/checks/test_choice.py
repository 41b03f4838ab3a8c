"""Is the chosen option read in any usual dress, and is a list of options never a choice?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.checks import Answer, ChoiceLetter, Number
from hrlaif.checks.choice import chosen_letters
from hrlaif.records import Message, Prompt, Response, Verdict

CITIES = ("Berlin", "Paris", "Rome", "Oslo")


def response(text: str, reference: str | None = "B", choices=CITIES) -> Response:
    turns = (Message(role="user", content="Q"),)
    prompt = Prompt(id="q", messages=turns, reference_answer=reference, choices=choices)
    return Response(prompt=prompt, text=text, id="r")


def verdict(text: str, reference: str | None = "B", choices=CITIES) -> Verdict:
    (found,) = ChoiceLetter().check([response(text, reference, choices)], None)
    assert (found.id, found.check) == ("r", "choice")
    return found


B = [
    "B",
    "b",
    "B.",
    "(B)",
    "[B]",
    "**B**",
    "B) Paris",
    "B. Paris",
    "B: Paris",
    "b) paris",
    "Option B",
    "Option B: Paris",
    r"\boxed{B}",
    r"\boxed{\text{B}}",
    r"$\boxed{(B)}$",
    "Answer: B",
    "**Answer:** B",
    "The answer is B.",
    "The answer is (B) Paris.",
    "The correct answer is option B.",
    "the answer is b.",
    "I'd pick B because A is wrong",
    "A good choice is B",
    "I would go with B",
    "I choose (B).",
    "B is correct.",
    "B is the only correct answer.",
    "256 = 2^8\nAnswer B",
    "ANS:B",
    "Answer - B.",
    "48 more km (ANSWER B)",
    "B is the right answer, A is not.",
    "A is wrong, C is wrong, so B is the correct answer.",
    "The answer is A. No, wait: the answer is B.",
    "First I thought A. The answer is B",
    "I believe (B) fits best.",
    "It is Paris.",
    "It must be Paris, of course",
    "答案是B。",
    "答案：B",
    "答案为（B）",
    "正确答案是B",
    "正确选项是 B",
    "应选B",
    "故选 B。",
    "选择B项",
    "我选B，因为A不对",
    "选项A是错误的，所以选B",
    "选项 B",
    "Ｂ",
    "B是正确的",
    "A. Berlin\nB. Paris\nC. Rome\nD. Oslo\nThe answer is B.",
    "A is too cold, C is too hot. Answer: B",
]


@pytest.mark.parametrize("text", B)
def test_the_chosen_letter_is_read(text):
    found = verdict(text)
    assert (found.passed, found.answer, found.reason) == (True, "B", "equal"), found


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("C", "C"),
        ("A good choice is C", "C"),
        ("The answer is B. On reflection, the answer is C.", "C"),
        ("It is Rome.", "C"),
        ("不选B，选C", "C"),
    ],
)
def test_another_letter_is_wrong_and_shown(text, answer):
    found = verdict(text)
    assert (found.passed, found.answer, found.reason) == (False, answer, "different")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A. Berlin\nB. Paris\nC. Rome\nD. Oslo", "more than one option named"),
        ("(A) Berlin (B) Paris (C) Rome (D) Oslo", "more than one option named"),
        ("The answer is A or B.", "more than one option named"),
        ("The answer is (A) and (B)", "more than one option named"),
        ("答案是A或B", "more than one option named"),
        ("Berlin, Paris", "more than one option named"),
        ("", "no option named"),
        ("I don't know.", "no option named"),
        ("A difficult question, I think.", "no option named"),
        ("The answer is a city.", "no option named"),
        ("The answer is not B.", "no option named"),
        ("I would not pick B.", "no option named"),
        ("B is not correct.", "no option named"),
        ("Vitamin B12", "no option named"),
        ("The answer is G", "no option named"),
        ("Answer B is not right", "no option named"),
    ],
)
def test_what_cannot_be_told_is_never_wrong(text, reason):
    found = verdict(text)
    assert (found.passed, found.reason, found.answer) == (None, reason, None)


OTHERS = (
    "A common mistake is to choose {}.",
    "It is tempting to pick {}.",
    "Students often choose {}.",
    "Some would say {}.",
    "Many people think the answer is {}.",
    "You might think that it is {}.",
    "If {} were right, it would be colder.",
    "My teacher would go with {}.",
    "Careless readers select {}.",
)


@pytest.mark.parametrize("supposed", OTHERS)
def test_what_others_choose_or_is_only_supposed_is_no_choice(supposed):
    for letter in ("A", "B", "(C)", "Paris"):
        assert verdict(supposed.format(letter)).passed is None
        assert verdict(f"{supposed.format(letter)} However, the answer is B.").passed is True
        assert verdict(f"The answer is C. {supposed.format(letter)}").answer == "C"


def test_options_listed_on_one_line_are_no_choice():
    assert verdict("A) False B) True C) False D) False").reason == "more than one option named"
    assert verdict("A) False B) True\nAnswer: B").passed is True


@pytest.mark.parametrize("reference", ["B", "b", "(B)", "B.", "Paris", "Ｂ"])
def test_a_reference_is_a_letter_or_the_text_of_an_option(reference):
    assert verdict("The answer is B", reference).passed is True


def test_a_reference_that_is_no_option_gives_no_verdict():
    assert verdict("B", "Madrid").reason == "no option fits the reference 'Madrid'"
    assert verdict("B", None).reason == "no reference answer"


def test_an_option_inside_another_is_not_held_twice():
    assert chosen_letters("It is 120.", ("12", "120")) == ["B"]
    assert chosen_letters("It is New York City", ("New York", "New York City")) == ["B"]
    assert chosen_letters("It is 12.", ("12", "120")) == ["A"]


def test_an_option_that_begins_with_a_letter_is_not_that_letter():
    times = ("The moon's orbit", "One rotation", "A light year", "A Solar Year on earth")
    assert chosen_letters("Answer: A Solar Year on earth.", times) == ["D"]
    assert chosen_letters("The answer is A light year", times) == ["C"]
    assert chosen_letters("Answer: A", times) == ["A"]
    assert chosen_letters("Answer: A (the moon's orbit)", times) == ["A"]
    assert chosen_letters("The answer is B cells.", ("T cells", "Platelets", "B cells")) == ["C"]


def test_words_before_a_stated_letter_that_is_no_option_are_not_the_choice():
    kinds = ("heat", "chemical", "mechanical", "electromagnetic")
    assert chosen_letters("It becomes electromagnetic energy.\n\nAnswer: E", kinds) == []
    assert chosen_letters("It becomes electromagnetic energy.\n\nAnswer: (E).", kinds) == []
    assert chosen_letters("Answer: E\nNo, the answer is heat.", kinds) == ["A"]


def test_letters_beyond_the_options_are_words():
    assert chosen_letters("The answer is I think Rome", CITIES) == ["C"]
    assert chosen_letters("Answer: F", ()) == ["F"]


@pytest.mark.parametrize(
    ("text", "reference", "passed"),
    [
        ("The answer is (I).", "I", True),
        ("A. is out of the question here.\nAnswer: I", "I", True),
        ("The answer is (J).", "I", False),
        ("Option A covers mass. Therefore the answer is (J).", "J", True),
        ("The answer is I think B", "B", None),
    ],
)
def test_ten_options_that_stand_only_in_the_text_are_letters(text, reference, passed):
    options = "\n".join(f"{letter}. {word}" for letter, word in zip("ABCDEFGHIJ", TEN, strict=True))
    turns = (Message(role="user", content=f"Which is a gas?\n{options}"),)
    prompt = Prompt(id="q", messages=turns, reference_answer=reference)
    (found,) = ChoiceLetter().check([Response(prompt=prompt, text=text)], None)
    assert found.passed is passed


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("The answer is A.\n\nExplanation: I is correct because of this. II is incorrect.", True),
        ("**Answer: A**\n\nStatement I is correct; statement II is false.", True),
        ("A, because only I is correct.", True),
        ("Option A: I is correct", True),
        ("选A。I是正确的，II是错误的。", True),
        ("A\n\n解析：I正确，II错误。", True),
        ("I. True\nII. False\n\nA", True),
        (
            "Let's see.\n\nI. All squares: true.\n\nII. All rectangles: false.\n\n**A. I only**",
            True,
        ),
        ("C, I is correct and II is correct.", False),
        ("Statement I is true. So, only I.", None),
        ("I, as an AI, think that this is a matter of taste.", None),
    ],
)
def test_the_number_of_a_statement_is_no_option(text, passed):
    statements = "I. All squares are rectangles.\nII. All rectangles are squares.\n\n"
    question = f"Which is true?\n{statements}A. I only\nB. II only\nC. Both\nD. Neither"
    turns = (Message(role="user", content=question),)
    prompt = Prompt(id="q", messages=turns, reference_answer="A")
    (found,) = ChoiceLetter().check([Response(prompt=prompt, text=text)], None)
    assert found.passed is passed


def test_an_answer_that_is_no_option_leaves_what_stands_before_it_unread():
    found = verdict("Option A covers mass. Therefore the answer is (J).", "A")
    assert (found.passed, found.reason) == (None, "no option named")


def test_the_option_named_at_the_end_of_a_marked_sentence_is_the_choice():
    germs = ("S. aureus", "Escherichia coli", "Salmonella", "Listeria")
    assert verdict("The answer is E. coli, option B.", "B", germs).passed is True
    assert verdict("The answer is E. coli (B).", "A", germs).passed is False
    assert verdict("The answer is F = ma, which is option B.").passed is True
    for text in ("Answer: E. Option A covers mass.", "The answer is E or option B.",
                 "The answer is E because this is not in option B", "Answer: E\n(B)"):  # fmt: skip
        assert verdict(text, "B").passed is None


def test_a_letter_in_latex_brackets_is_read():
    assert verdict(r"The answer is \(B\).").passed is True
    assert verdict(r"So, \(C\).").passed is False
    assert verdict(r"The answer is \(b\).").passed is True


@pytest.mark.parametrize("reference", ["B. Paris", "(B) Paris", "B: Paris"])
def test_a_reference_may_be_a_letter_with_its_text(reference):
    assert verdict("Paris", reference).passed is True
    assert verdict("Answer: A", reference).passed is False
    assert verdict("Paris", reference.replace("Paris", "Rome")).passed is None


def test_a_reference_that_is_no_option_or_two_is_not_checked():
    assert verdict("B", "E").reason == "no option fits the reference 'E'"
    grades = ("C", "G", "D", "A")
    assert verdict("The answer is C", "A", grades).passed is None
    assert verdict("The answer is B", "G", grades).passed is True
    assert verdict("C", "C", ("A", "B", "C", "D")).passed is True


TEN = ("iron", "gold", "tin", "lead", "zinc", "neon", "argon", "helium", "xenon", "radon")


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("I think B is correct.", ["B"]),
        ("I think gold is correct.", ["B"]),
        ("I, as an AI, think B is correct.", ["B"]),
        ("I, too, like gold.", ["B"]),
        ("I is correct.", ["I"]),
        ("A closer look shows that J is correct.", ["J"]),
        ("I or J is correct.", ["I", "J"]),
    ],
)
def test_the_words_a_and_i_are_no_options(text, letters):
    assert chosen_letters(text, TEN) == letters


def test_an_option_that_says_not_is_not_rejected_by_it():
    verdicts = ("guilty", "not guilty")
    assert chosen_letters("The verdict is not guilty.", verdicts) == ["B"]
    assert chosen_letters("Guilty is wrong. It is not guilty.", verdicts) == ["B"]


def test_the_check_fits_the_prompt():
    math = response("It is 7", "7", None)
    found = Answer().check([response("B"), math], None)
    assert [(v.check, v.passed) for v in found] == [("choice", True), ("number", True)]
    assert Number().check([math], None) == found[1:]


@pytest.mark.parametrize(
    ("category", "question", "reference"),
    [
        ("multiple_choice", "Which is in France?", "B"),
        ("multiple_choice", "Which is in France?", "(b)"),
        (None, "Which is in France?\nA. Berlin\nB. Paris\nC. Rome", "B"),
        ("math", "Which is in France? (A) Berlin (B) Paris", "B."),
    ],
)
def test_a_letter_of_options_that_stand_only_in_the_text_is_read_as_one(
    category, question, reference
):
    turns = (Message(role="user", content=question),)
    prompt = Prompt(id="q", messages=turns, reference_answer=reference, category=category)
    texts = ("The answer is B.", "The answer is A.", "A common mistake is to choose A.")
    found = Answer().check([Response(prompt=prompt, text=text) for text in texts], None)
    assert [(v.check, v.passed) for v in found] == [
        ("choice", True),
        ("choice", False),
        ("choice", None),
    ]


@pytest.mark.parametrize(
    ("question", "reference"),
    [("Which vitamin cures scurvy?", "C"), ("A. Smith has 3 apples. How many?", "3")],
)
def test_a_letter_where_no_options_are_listed_is_no_option(question, reference):
    turns = (Message(role="user", content=question),)
    prompt = Prompt(id="q", messages=turns, reference_answer=reference)
    assert Answer().check([Response(prompt=prompt, text="B")], None)[0].check == "number"


@given(st.text())
def test_no_text_breaks_the_check(text):
    assert verdict(text).passed in (True, False, None)
