"""Is a question rendered once, fenced safely, cut visibly?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hrlaif.labeling
from hrlaif.errors import UsageError
from hrlaif.llm.prompting import clip, fence_mark, load_template, render, transcript
from hrlaif.records import Message

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
