"""Is a rewrite accepted only when it is whole, another, alike in form, harmless and helpful?"""

import re

import pytest

from hrlaif.errors import ModelError
from hrlaif.llm import Scripted
from hrlaif.records import Completion, Message, Prompt, Response, Unanswered
from hrlaif.redteam import RedTeam
from hrlaif.redteam.attempts import Watch
from hrlaif.redteam.writing import Menders, Mending, alike, form_of, mended

from .conftest import Told

ORIGINAL = "[harmful] First do this bad thing, then do that one."


def item(number=0, text=ORIGINAL, what="rewrite"):
    prompt = Prompt(id=f"p{number}", messages=(Message(role="user", content="Do it."),))
    return Mending(
        f"i{number}", Response(prompt=prompt, text=text, id=f"i{number}"), "Do it.", what
    )


def results(items, *texts, judge=None, tries=1, **settings):
    """Writes the texts in turn."""
    left = list(texts)
    writer = Told(lambda chat: left.pop(0))
    who = Menders(writer, judge or Scripted(accuracy=1.0), Watch("harm detector"))
    return mended(items, RedTeam(tries=tries, **settings), who, seed=0), writer


GOOD = "[answer] I will not help with that, but a lawyer can explain what you may do."


def test_a_good_rewrite_is_accepted_with_both_verdicts():
    [found], writer = results([item()], GOOD)
    assert (found.text, found.dropped, found.tries) == (GOOD, "", 1)
    assert found.harmless.passed is True
    assert found.responsive.passed is True
    asked = writer.chats[0].messages[0].content
    assert ORIGINAL in asked
    assert "Do not stop at a refusal" in asked


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[harmful] A wholly different and still bad text.", "still harmful"),
        ("[refusal] Sorry, no.", "merely refuses"),
        (ORIGINAL.upper() + "!!", "the same as the original"),
        ("  \n", "empty"),
        ("[answer] 我不能帮你做这件事，但是可以请教律师或者拨打求助热线。", "in another language"),
        ("[answer] Instead:\n1. Ask a friend.\n2. Ask a lawyer.", "in another form"),
        (Completion(text=GOOD, finish_reason="length"), "cut at the token limit"),
        (Unanswered(reason="filtered"), "not written: filtered"),
    ],
)
def test_each_flaw_drops_a_rewrite_and_is_named(text, reason):
    [found], _ = results([item()], text)
    assert (found.text, found.dropped) == (None, reason)


def test_a_rewrite_that_repeats_the_markers_of_its_question_is_dropped():
    _, writer = results([item()], GOOD)
    begin = re.search(r"\[Request \w+\]", writer.chats[0].messages[0].content)[0]
    [found], _ = results([item()], f"{begin}\n{GOOD}")
    assert (found.text, found.dropped) == (None, "repeats the markers of the question")


def test_what_was_dropped_is_tried_again_as_another_draw():
    found, writer = results([item(0), item(1)], "[refusal] No.", GOOD, GOOD, tries=3)
    assert [(r.text, r.tries) for r in found] == [(GOOD, 2), (GOOD, 1)]
    assert [chat.sample for chat in writer.chats] == [0, 0, 1]
    [lost], _ = results([item()], "[refusal] No.", "[harmful] Yes, so.", tries=2)
    assert (lost.dropped, lost.tries) == ("still harmful", 2)


def test_a_silent_detector_accepts_nothing():
    [found], _ = results([item()], GOOD, judge=Scripted(failure=1.0))
    assert (found.text, found.dropped) == (None, "the harm detector did not say")


def test_a_detector_that_is_down_stops_the_rewriting():
    with pytest.raises(ModelError, match="nothing is rewritten or called safe"):
        results([item(n) for n in range(8)], *[GOOD] * 8, judge=Scripted(failure=1.0))


def test_an_answer_to_a_refused_request_keeps_the_request_s_language_and_any_form():
    refused = item(0, "[refusal] Sorry.", what="answer")
    [found], writer = results([refused], "[answer] Yes:\n- Press the lever.\n- Wait.")
    assert found.text is not None
    assert "it is innocent" in writer.chats[0].messages[0].content


def test_forms_by_hand():
    assert form_of("A plain sentence. 1. Not a list.") == "prose"
    assert form_of("Do:\n1. this\n2. that") == "list"
    assert form_of("- this\n\n- that") == "list"
    assert form_of("一、\n1、甲\n2、乙") == "list"
    assert form_of("| a | b |\n|---|---|\n| 1 | 2 |") == "table"
    assert form_of('{"a": [1]}') == "json"
    assert form_of("{not json}") == "prose"
    assert form_of("```python\nx = 1\n```") == "prose"


def test_likeness_by_hand():
    # 3 of 4 words in common, in order: 2 * 3 / (4 + 4).
    assert alike("one two three four", "one two three five") == pytest.approx(0.75)
    assert alike("One, two!", "one two") == 1.0
    assert alike("a b", "c d") == 0.0
    assert alike("你好吗", "你好啊") == pytest.approx(2 / 3)
    assert alike("", "") == 1.0


def test_the_thoughts_of_a_rewriter_are_no_part_of_a_rewrite():
    thought = "<think>[harmful] They want it.</think>\n"
    assert results([item()], thought + GOOD)[0] == results([item()], GOOD)[0]
    opened_by_a_template = "[harmful] Okay, they want it.</think>\n\n"
    assert results([item()], opened_by_a_template + GOOD)[0] == results([item()], GOOD)[0]
    [found], _ = results([item()], "<think>Never ends")
    assert (found.text, found.dropped) == (None, "empty")
