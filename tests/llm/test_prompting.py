"""Is a question rendered once, fenced safely, cut visibly?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hrlaif.labeling
from hrlaif.categories import categorize
from hrlaif.checks import Harmless, SameAnswer
from hrlaif.errors import UsageError
from hrlaif.labeling import Pairwise
from hrlaif.llm.prompting import clip, fence_mark, load_template, render, transcript
from hrlaif.messages import as_seen
from hrlaif.records import Candidate, Comparison, Message, Prompt, Response, Unanswered
from hrlaif.reward import Direct

PROMPTS = Path(hrlaif.labeling.__file__).parent / "prompts"
ENGLISH = {"user": "Human", "assistant": "Assistant"}
CHINESE = {"user": "用户", "assistant": "助手"}


def said(*turns: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=text) for role, text in turns)  # type: ignore[arg-type]


def test_a_lone_turn_stands_alone_and_several_are_named():
    assert transcript(said(("user", "Hi")), ENGLISH) == "Hi"
    turns = said(("system", "S"), ("user", "Hi"), ("assistant", "Yo"))
    assert transcript(turns, ENGLISH) == "System: S\n\nHuman: Hi\n\nAssistant: Yo"
    assert transcript(turns, CHINESE) == "系统：S\n\n用户：Hi\n\n助手：Yo"


@given(st.text(), st.text())
def test_values_are_never_read_as_templates(first, second):
    assert render("<{{ a }}|{{ b }}>", a=first, b=second) == f"<{first}|{second}>"
    assert render("{{ a }}", a="{{ b }}{% raw %}", b="x") == "{{ b }}{% raw %}"


@given(st.lists(st.text(alphabet="0123456789abcdef \n", max_size=200), min_size=1, max_size=3))
def test_the_mark_stands_in_none_of_the_texts_whatever_their_order(texts):
    mark = fence_mark(*texts)
    assert not any(mark in text for text in texts)
    assert fence_mark(*reversed(texts)) == mark


def test_the_mark_is_drawn_again_where_the_data_holds_it():
    mark = fence_mark("prompt")
    assert fence_mark("prompt", inside=["a response"]) == mark
    assert fence_mark("prompt", inside=[f"[End {mark}]"]) != mark


@pytest.mark.parametrize(
    "disguise",
    [
        str.upper,
        "\u200b".join,
        "\u00ad".join,
        lambda mark: "".join(chr(ord(character) + 0xFEE0) for character in mark),
        lambda mark: "\u2060".join(mark.upper()),
    ],
    ids=["capitals", "zero width", "soft hyphens", "full width", "hidden capitals"],
)
def test_what_only_looks_like_the_mark_makes_another_be_drawn(disguise):
    mark = fence_mark("a prompt")
    assert mark.upper() != mark
    assert fence_mark("a prompt", inside=[f"[End {disguise(mark)}]"]) != mark
    response = f"[End {disguise(fence_mark('x'))}]"
    assert fence_mark("x", response) not in as_seen(response).casefold()


def test_cuts_are_visible_and_told():
    assert clip("abc", 3, keep="start") == ("abc", False)
    assert clip("abcde", 3, keep="start") == ("abc [2 characters cut ...]", True)
    assert clip("abcde", 3, keep="end") == ("[... 2 characters cut] cde", True)


def test_a_language_has_its_own_file_or_the_english_one():
    for language, found in (("zh", "zh"), ("zh-CN", "zh"), ("fr", "en"), (None, "en"), ("", "en")):
        assert load_template(PROMPTS, "general", language)["language"] == found


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"task 'poems' is none of .*'general'"):
        load_template(PROMPTS, "poems", None)


class Keeps:
    """A judge that says nothing of its own, and keeps what it is asked."""

    name, chunk = "keeps", 8

    def __init__(self):
        self.asked = []

    def choose(self, chats, choices, *, seed=0):
        self.asked += [chat.messages[-1].content for chat in chats]
        return [Unanswered(reason="silent") for _ in chats]


@pytest.mark.parametrize("who", ["pairwise", "same_answer", "harmless", "grade", "category"])
def test_a_judge_reads_options_that_a_row_has_apart_and_reads_none_twice(who):
    def asked(text):
        prompt = Prompt(
            id="q",
            messages=said(("user", text)),
            choices=("oxygen", "iron"),
            reference_answer="A",
        )
        response, judge = Response(prompt=prompt, text="The first."), Keeps()
        sides = (Candidate(text=text) for text in ("The first.", "The second."))
        pair = Comparison(id="c", prompt=prompt, a=next(sides), b=next(sides))
        {
            "pairwise": lambda: Pairwise().label([pair], judge),
            "same_answer": lambda: SameAnswer().check([response], judge),
            "harmless": lambda: Harmless().check([response], judge),
            "grade": lambda: Direct().score([response], judge),
            "category": lambda: categorize([prompt], judge),
        }[who]()
        assert judge.asked
        return [chat.count("oxygen") for chat in judge.asked]

    apart = asked("Which is a gas?")
    assert set(apart) == {1}
    assert asked("Which is a gas?\nA. oxygen\nB. iron") == apart
