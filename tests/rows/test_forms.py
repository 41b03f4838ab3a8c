"""Does every form of a row become the same record, and is a bad row refused by name?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hrlaif.errors import DataError
from hrlaif.records import Comparison, Message, Preference, Response, digest
from hrlaif.rows import comparisons_from, prompts_from, read_rows, responses_from
from hrlaif.rows.files import SourceRow
from hrlaif.rows.forms import comparisons_and_rows

TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Why?"},
]
SAID = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant: "


def rows(*values: dict) -> list[SourceRow]:
    return [SourceRow(f"pairs.jsonl, line {n}", v) for n, v in enumerate(values, start=1)]


def comparison(**values: object) -> Comparison:
    return comparisons_from(rows(values))[0]


def refused(read, *values: dict) -> str:
    with pytest.raises(DataError) as error:
        read(rows(*values))
    message = str(error.value)
    assert message.startswith(f"pairs.jsonl, line {len(values)}: ")
    return message


def test_a_reference_answer_may_stand_beside_the_row_s_columns():
    row = {"prompt": "2 + 2?", "responses": ["4", "5"], "meta": {"reference_answer": 4}}
    assert comparison(**row).prompt.reference_answer == "4"
    assert comparison(**row, reference_answer="four").prompt.reference_answer == "four"
    assert comparison(**{**row, "meta": "none"}).prompt.reference_answer is None


def last(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


@pytest.mark.parametrize(
    "form",
    [
        {"prompt": "Q", "responses": ["x", "y"]},
        {"prompt": last("user", "Q"), "responses": ["x", "y"]},
        {"prompt": "Q", "responses": [last("assistant", "x"), last("assistant", "y")]},
        {"prompt": "Q", "responses": [{"text": "x"}, {"text": "y"}]},
        {"prompt": "Q", "a": {"text": "x", "model": ""}, "b": {"text": "y"}},
        {"prompt": "Q", "chosen": "x", "rejected": "y"},
        {"prompt": last("user", "Q"), "chosen": last("assistant", "x"), "rejected": "y"},
        {
            "prompt": "Q",
            "chosen": last("user", "Q") + last("assistant", "x"),
            "rejected": last("user", "Q") + last("assistant", "y"),
        },
        {
            "chosen": last("user", "Q") + last("assistant", "x"),
            "rejected": last("user", "Q") + last("assistant", "y"),
        },
        {
            "chosen": "\n\nHuman: Q\n\nAssistant: x",
            "rejected": "\n\nHuman: Q\n\nAssistant: y",
        },
        {
            "prompt": "Q",
            "chosen": "Human: Q\n\nAssistant: x",
            "rejected": "Human: Q\n\nAssistant: y",
        },
        {"instruction": "Q", "output_1": "x", "output_2": "y"},
        {"instruction": "Q", "input": "", "output_1": "x", "output_2": "y"},
        {"question": "Q", "answer_a": "x", "answer_b": "y"},
        {"query": "Q", "response_a": "x", "response_b": "y"},
        {"messages": last("user", "Q"), "response_1": "x", "response_2": "y"},
        {"prompt": [{"from": "human", "value": "Q"}], "completion_a": "x", "completion_b": "y"},
        {"instruction": "Q", "input": "", "response1": "x", "response2": "y"},  # PandaLM
        {"prompt": "Q", "answer_1": "x", "answer_2": "y"},
        {"prompt": "Q", "completion_1": "x", "completion_2": "y"},
        {"prompt": "Q", "output_a": "x", "output_b": "y"},
        {"Prompt": "Q", "Response A": "x", "Response B": "y"},
        {"PROMPT": "Q", "response 1": "x", "response-2": "y"},  # Auto-J
        {"question": "Q", "response_A": "x", "response_B": "y"},  # JudgeBench
        {"context": last("user", "Q"), "response1": "x", "response2": "y"},  # HelpSteer3
        {"prompt": "Q", "response_0": "x", "response_1": "y"},  # PKU-SafeRLHF
        {"history": "Q", "human_ref_A": "x", "human_ref_B": "y"},  # SHP
        {"prompt": "Q", "A": "x", "B": "y"},
        {"Prompt": "Q", "Chosen": "x", "Rejected": "y"},
    ],
)
def test_every_form_of_a_pair_is_the_same_comparison(form):
    found = comparison(**form)
    assert found.prompt.messages == (Message(role="user", content="Q"),)
    given = "chosen" in map(str.lower, form)
    assert found.human_preference == (better(found, "x") if given else None)
    assert {found.a.text, found.b.text} == {"x", "y"}
    assert given or found.a.text == "x"


def better(found: Comparison, text: str) -> float:
    """The preference under which the side with this text is the better."""
    return float(found.a.text == text)


@pytest.mark.parametrize("third", [{"response_2": "z"}, {"response_3": "z"}])
def test_three_responses_are_no_pair(third):
    row = {"prompt": "Q", "response_0": "x", "response_1": "y", "response_2": "z"}
    row = row if "response_2" in third else {"prompt": "Q", "response_1": "x", "response_2": "y"}
    assert "3 responses, where a pair has 2: split" in refused(comparisons_from, row | third)
    options = {"question": "Q", "A": "1", "B": "2", "C": "3", "D": "4"}
    assert "4 responses, where a pair has 2" in refused(comparisons_from, options)


def test_of_two_columns_with_one_name_the_plain_one_counts():
    found = comparison(Prompt="no", prompt="Q", **{"Response A": "no", "response_a": "x"}, b="y",
                       response_b="y")  # fmt: skip
    assert (found.prompt.messages[0].content, found.a.text) == ("Q", "x")


def test_an_empty_cell_under_any_name_of_a_response_is_an_empty_response(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("Prompt,Response A,Response B,Category\nQ,,y,\n")
    [found] = comparisons_from(read_rows(path))
    assert (found.a.text, found.b.text, found.prompt.category) == ("", "y", None)


PREFERRED = {"prompt": "Q", "chosen": "x", "rejected": "y"}


def test_chosen_is_the_first_or_the_second_by_a_coin_of_the_row():
    found = comparisons_from(rows(*({**PREFERRED, "id": n} for n in range(400))))
    first = [pair.a.text == "x" for pair in found]
    assert 160 < sum(first) < 240
    assert all(pair.human_preference == better(pair, "x") for pair in found)
    # The same on every machine, and for rows whose id is their content.
    assert first[:8] == [False, True, False, False, True, True, True, True]
    again = comparisons_from(rows(*({**PREFERRED, "chosen": f"x{n}"} for n in range(400))))
    assert 160 < sum(pair.human_preference == 1.0 for pair in again) < 240


def test_a_turned_pair_keeps_its_id_and_turns_what_is_known_of_it():
    row = {"prompt": "Q", "chosen": "x", "rejected": "y"}
    assert comparison(**row).id == digest([comparison(**row).prompt.id, "x", "y"])
    known = [
        comparison(**row, id=n, human_preference=0.75, gold_preference=0.25) for n in range(20)
    ]
    sides = {(pair.a.text, pair.human_preference, pair.gold_preference) for pair in known}
    assert sides == {("x", 0.75, 0.25), ("y", 0.25, 0.75)}


@pytest.mark.parametrize(
    "known",
    [{"prob_a": 0.9}, {"votes": [1, 0]}, {"models": ["m", "n"]}, {"meta": {"models": "mn"}}],
)
def test_chosen_stays_first_where_a_row_speaks_of_the_first(known):
    found = comparisons_from(rows(*({**PREFERRED, **known, "id": n} for n in range(20))))
    assert {pair.a.text for pair in found} == {"x"}


@pytest.mark.parametrize("two", [{"responses": ["x", "y"]}, {"a": "x", "b": {"text": "y"}},
                                 {"response_1": "x", "response_2": "y"}])  # fmt: skip
@pytest.mark.parametrize(("chosen", "implied"), [("x", 1.0), ("y", 0.0)])
def test_responses_keep_their_order_beside_chosen_and_rejected(two, chosen, implied):
    row = {"prompt": "Q", **two, "chosen": chosen, "rejected": "y" if chosen == "x" else "x"}
    for n in range(8):  # no coin is thrown
        assert comparison(**row, id=n).a.text == "x"
    assert comparison(**row).human_preference == implied
    told = comparison(**row, human_preference=0.25, gold_preference=0.75)
    assert (told.human_preference, told.gold_preference) == (0.25, 0.75)
    assert comparison(**row, prob_a=0.3).human_preference is None  # a judge's word


def test_chosen_that_is_none_of_the_responses_beside_it_is_refused_where_sides_are_spoken_of():
    row = {"prompt": "Q", "responses": ["x", "y"], "chosen": "z", "rejected": "y"}
    found = comparison(**row)
    assert (found.human_preference, {found.a.text, found.b.text}) == (better(found, "z"), {*"zy"})
    for known in ({"human_preference": 1.0}, {"gold_preference": 0.0}, {"votes": [1, 0]}):
        said = refused(comparisons_from, {**row, **known})
        assert "`chosen` and `rejected` are not the two responses beside them: drop" in said
    several = comparison(**{**row, "responses": ["x", "y", "z"], "human_preference": 1.0})
    assert {several.a.text, several.b.text} == {"z", "y"}


def test_chosen_beside_how_sure_a_judge_was_is_no_word_of_people():
    found = comparisons_from(rows(*({**PREFERRED, "prob_chosen": 0.9, "id": n} for n in range(20))))
    assert {pair.human_preference for pair in found} == {None}
    assert {pair.a.text for pair in found} == {"x", "y"}  # and the coin is thrown as ever
    table = comparison(**PREFERRED, prob_chosen=None)  # an empty cell says nothing
    assert table.human_preference == better(table, "x")
    asked = comparison(**PREFERRED, prob_chosen=0.9, human_preference=0.5)
    assert asked.human_preference == 0.5


def test_an_unknown_preference_beside_chosen_and_rejected_changes_nothing():
    row = {"prompt": "Q", "chosen": "x", "rejected": "y", "human_preference": None}
    found = comparison(**row)
    assert found.human_preference == better(found, "x")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["A", "a", "response_a", "Response 1", "model_a", "1", "left", "[[A]]", "a>b"], 1.0),
        (["B", "b", "response_b", "Response 2", "model_b", "2", "right", "[[B]]"], 0.0),
        (["tie", "Tie", "draw", "equal", "same", "both", "tie (bothbad)", "both bad"], 0.5),
    ],
)
def test_words_name_the_better_side(words, known):
    pair = {"prompt": "Q", "responses": ["x", "y"]}
    for word in words:
        assert comparison(**pair, winner=word).human_preference == known
        if word != "2":
            assert comparison(**pair, human_preference=word).human_preference == known
            assert comparison(**pair, gold_preference=word).gold_preference == known


@pytest.mark.parametrize("stem", ["response", "answer"])
def test_a_winner_is_counted_from_0_where_the_responses_are(stem):
    pair = {"prompt": "Q", f"{stem}_0": "x", f"{stem}_1": "y"}
    first, second = (0, 0.0, "0", f"{stem}_0", "Response 0", "a"), (1, "1", f"{stem}_1", "B")
    for words, known in ((first, 1.0), (second, 0.0), (("tie",), 0.5)):
        assert [comparison(**pair, winner=w).human_preference for w in words] == [known] * len(
            words
        )
    # A number is here a probability, as ever; a word is not.
    for name in ("human_preference", "gold_preference"):
        found = [
            getattr(comparison(**pair, **{name: w}), name) for w in (1, f"{stem}_1", "model_0")
        ]
        assert found == [1.0, 0.0, 1.0]
    for known in ({"winner": 2}, {"human_preference": f"{stem}_2"}):
        assert "a, b, tie, 0 or 1" in refused(comparisons_from, {**pair, **known})


def test_a_winner_may_be_a_number_and_gives_way_to_a_preference():
    pair = {"prompt": "Q", "responses": ["x", "y"]}
    assert [comparison(**pair, winner=n).human_preference for n in (1, 2, 1.0, 2.0)] == [1, 0, 1, 0]
    assert comparison(**pair, winner="a", human_preference=0.25).human_preference == 0.25
    assert comparison(**pair, winner="a", human_preference=None).human_preference == 1.0
    assert comparison(**pair, winner=None).human_preference is None
    assert comparison(**pair, human_preference="0.25").human_preference == 0.25


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"winner": 0}, "winner: 0 is none of a, b, tie, 1 or 2: write one of these, or rename"),
        ({"winner": "gpt-4"}, "winner: 'gpt-4' is none of a, b, tie"),
        ({"winner": 0.7}, "winner: 0.7 is none of"),
        (
            {"human_preference": "first"},
            "human_preference: 'first' is neither a, b, tie, 1 or 2 nor",
        ),
        ({"gold_preference": "2"}, "where 1 and 2 are sides, name the column `winner`"),
        (
            {"human_preference": 2},
            "human_preference: 2 is no probability from 0 to 1: mend it, or where",
        ),
        ({"human_preference": -0.5}, "human_preference: -0.5 is no probability from 0 to 1"),
        ({"gold_preference": [0.5]}, "gold_preference: [0.5] is no probability from 0 to 1"),
    ],
)
def test_a_verdict_that_could_mean_two_things_is_refused(known, said):
    assert said in refused(comparisons_from, {"prompt": "Q", "responses": ["x", "y"], **known})


def test_a_column_that_looks_like_a_verdict_and_is_not_read_is_named_once(tmp_path, capsys):
    path = tmp_path / "verdicts.csv"
    path.write_text("prompt,a,b,Preference,label\nQ,x,y,1,\nR,x,y,2,\n")
    for _ in range(2):
        assert comparisons_from(read_rows(path))[0].human_preference is None
    said = capsys.readouterr().err
    assert said.count("is not read") == 1
    assert f"{path}: the column `preference` is not read." in said
    assert "name it `winner` (a, b, tie, 1 or 2) or `human_preference`" in said
    path.write_text("prompt,a,b,label,winner\nQ,x,y,1,a\n")
    comparisons_from(read_rows(path))
    assert capsys.readouterr().err == ""


def test_an_instruction_is_followed_by_its_input():
    found = comparison(instruction="Add.", input="1 2", output_1="3", output_2="4")
    assert found.prompt.messages[0].content == "Add.\n\n1 2"


@pytest.mark.parametrize("name", ["instruction", "question", "query"])
def test_a_question_is_followed_by_its_context(name):
    found = comparison(**{name: "who?", "context": "Ann spoke."}, answer_1="a", answer_2="b")
    assert found.prompt.messages == (Message(role="user", content="who?\n\nAnn spoke."),)


@pytest.mark.parametrize(
    "form",
    [
        {"prompt": "Q", "responses": ["x", "y"]},
        {"prompt": last("user", "Q"), "responses": ["x", "y"]},
        {"prompt": "Q", "chosen": "Human: Q\n\nAssistant: x", "rejected": "y"},
        {"chosen": "Human: Q\n\nAssistant: x", "rejected": "Human: Q\n\nAssistant: y"},
    ],
)
def test_a_system_s_text_is_the_first_turn(form):
    for name in ("system", "System Prompt"):
        found = comparison(**form, **{name: "be terse"})
        assert [(m.role, m.content) for m in found.prompt.messages] == [
            ("system", "be terse"), ("user", "Q"),
        ]  # fmt: skip
        assert {found.a.text, found.b.text} == {"x", "y"}
        assert len(comparison(**form, **{name: ""}).prompt.messages) == 1


def test_columns_of_a_prompt_that_are_not_read_are_named_once_a_file(tmp_path, capsys):
    path = tmp_path / "beside.jsonl"
    rows = [
        {"instruction": f"Q{n}", "input": "2", "history": [["a", "b"]], "output": "x",
         "system": ["s"]}
        for n in range(3)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert responses_from(read_rows(path))[0].prompt.messages[0].content == "Q0\n\n2"
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"{path}: the column `history` is not read beside `instruction`",
        f"{path}: the column `system` is not read",
    ]
    system = last("system", "be terse") + last("user", "Q")
    path.write_text(json.dumps({"prompt": system, "system": "be terse", "output": "x"}))
    assert len(responses_from(read_rows(path))[0].prompt.messages) == 2
    assert capsys.readouterr().err == ""


def test_parts_of_text_are_one_turn_and_an_image_is_refused_by_its_name():
    parts = [{"type": "text", "text": "Why "}, {"type": "text", "text": "so?"}]
    turn = {"role": "user", "content": parts}
    found = comparison(messages=[turn], responses=[[{**turn, "role": "assistant"}], "y"])
    assert found.prompt.messages == (Message(role="user", content="Why so?"),)
    assert found.a.text == "Why so?"
    turn["content"] = [*parts, {"type": "image_url", "image_url": {"url": "x"}}]
    said = refused(comparisons_from, {"messages": [turn], "responses": ["x", "y"]})
    assert "a turn of messages holds 'image_url', and only text is read: mend or drop" in said


def test_what_is_null_is_not_there_as_in_a_table():
    pair = {"prompt": "Q", "response_a": "x", "response_b": "y"}
    plain = comparison(**pair)
    for name in ("responses", "chosen", "a", "b", "messages", "prompt_id", "id", "category"):
        assert comparison(**pair, **{name: None}) == plain
    nested = {"text": "x", "model": None, "sample": None}
    assert comparison(prompt="Q", a=nested, b={"text": "y", "tokens": None}) == plain
    known = comparison(**pair, human_preference="", gold_preference="", winner="b")
    assert (known.human_preference, known.gold_preference) == (0.0, None)
    null = dict.fromkeys(("model", "sample", "tokens", "finish_reason", "id", "generator"))
    answer = {"prompt": "Q", "response": "x"}
    assert responses_from(rows({**answer, **null})) == responses_from(rows(answer))


def test_answers_to_one_prompt_without_ids_are_its_samples():
    texts = ["4", "four", "4", "IV"]
    one = [{"prompt": "2 + 2?", "response": text} for text in texts]
    two = {"prompt": "2 + 2?", "response": "4", "model": "m"}
    found = responses_from(rows(*one, two, {"prompt": "3?", "response": "3"}))
    assert [(r.text, r.model, r.sample) for r in found] == [
        ("4", "", 0), ("four", "", 1), ("IV", "", 2), ("4", "m", 0), ("3", "", 0),
    ]  # fmt: skip
    assert len({r.key for r in found}) == 5
    given = responses_from(rows({**two, "sample": 7}))
    assert [r.sample for r in given] == [7]


@pytest.mark.parametrize("prompt", [TURNS, SAID, SAID.strip()])
def test_several_turns_come_as_a_list_or_as_a_transcript(prompt):
    found = comparison(prompt=prompt, responses=["x", "y"])
    assert [m.model_dump() for m in found.prompt.messages] == TURNS


def test_transcripts_share_their_turns_and_differ_in_the_last():
    found = comparison(chosen=f"{SAID}Because.", rejected=SAID)
    assert [m.model_dump() for m in found.prompt.messages] == TURNS
    assert {found.a.text, found.b.text} == {"Because.", ""}
    other = SAID.replace("Hello", "Go away")
    said = refused(comparisons_from, {"chosen": f"{SAID}x", "rejected": f"{other}y"})
    assert "differ in the last assistant turn alone: mend or drop" in said


def test_a_response_that_looks_like_a_dialogue_is_kept_whole():
    play = "A play.\nHuman: hi\nAssistant: hello"
    again = "Human: hi\n\nAssistant: hello\n\nHuman: bye"
    found = comparison(prompt="Write a dialogue.", chosen=play, rejected=again)
    assert {found.a.text, found.b.text} == {play, again}


def test_what_is_known_of_a_row_is_kept_and_the_rest_left():
    found = comparison(
        id=7, prompt="Q", responses=["x", "y"], category="math", reference_answer=12,
        choices=[1, 2], language="zh", human_preference=0.25, gold_preference=1, meta={"x": 1},
    )  # fmt: skip
    assert (found.id, found.human_preference, found.gold_preference) == ("7", 0.25, 1.0)
    assert found.prompt.reference_answer == "12"
    assert found.prompt.choices == ("1", "2")
    assert (found.prompt.category, found.prompt.language) == ("math", "zh")


def test_rows_without_ids_get_the_hash_of_their_content():
    one, two = comparisons_from(
        rows({"prompt": "Q", "responses": ["x", "y"]}, {"prompt": "Q", "responses": ["y", "x"]})
    )
    assert one.id != two.id
    assert one.prompt.id == two.prompt.id
    assert comparison(prompt="Q", responses=["x", "y"]).id == one.id


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "Q"}, "no responses: a pair needs `responses: [a, b]`"),
        ({}, "the row has nothing"),
        ({"prompt": "Q", "responses": ["a", "b", "c"]}, "3 responses, where a pair has 2: split"),
        ({"prompt": "Q", "responses": ["a"]}, "1 response, where a pair has 2"),
        ({"prompt": "Q", "responses": "ab"}, "responses is no list: write [a, b], or drop"),
        ({"prompt": "Q", "responses": {"a": 1, "b": 2}}, "responses is no list: write [a, b], or"),
        ({"prompt": "Q", "responses": [{"text": None}, "b"]}, "response 1 is not text"),
        ({"prompt": "Q", "responses": ["a", 3]}, "response 2 is not text: mend or drop"),
        ({"prompt": "Q", "responses": ["a", None]}, "response 2 is not text"),
        ({"prompt": "Q", "responses": ["a", {"text": "b", "where": 1}]}, "where: Extra inputs"),
        ({"prompt": " ", "responses": ["a", "b"]}, "prompt is empty: mend or drop"),
        ({"responses": ["a", "b"]}, "no prompt: name it `prompt`"),
        ({"prompt": [], "responses": ["a", "b"]}, "prompt is neither text nor a list of turns"),
        ({"prompt": 3, "responses": ["a", "b"]}, "prompt is neither text nor a list of turns"),
        ({"prompt": [{"role": "user"}], "responses": ["a", "b"]}, "a turn of prompt is not"),
        ({"prompt": [{"role": "judge", "content": "x"}], "responses": ["a", "b"]}, "role 'judge'"),
        ({"prompt": "Q", "responses": ["a", "b"], "human_preference": 3}, "human_preference: "),
        ({"prompt": "Q", "responses": ["a", "b"], "human_preference": float("nan")}, ": nan is"),
        ({"prompt": "Q", "responses": ["a", "b"], "choices": "A|B"}, "choices: "),
        ({"chosen": "x", "rejected": "y"}, "without a `prompt`, `chosen` and `rejected` must be"),
        ({"chosen": [{"role": "user", "content": "x"}], "rejected": "y"}, "must end in an assis"),
    ],
)
def test_a_bad_pair_is_refused_by_row(row, said):
    assert said in refused(comparisons_from, row)


TALK = last("user", "Hi") + last("assistant", "Hello") + last("user", "2 + 2?")
FOUR, FIVE = (TALK + last("assistant", text) for text in "45")


@pytest.mark.parametrize(
    "form", [{"chosen": FOUR, "rejected": FIVE}, {"responses": [FOUR, FIVE], "winner": "a"}]
)
def test_turns_before_a_response_that_its_prompt_lacks_are_refused_and_never_lost(form):
    said = refused(comparisons_from, {"prompt": "Hi", **form})
    assert "holds turns that the prompt lacks: give them all there, or `chosen` and" in said
    for prompt in (TALK, last("system", "Be terse.") + TALK):
        (found,) = comparisons_from(rows({"prompt": prompt, **form}))
        assert {found.a.text, found.b.text} == {"4", "5"}
        assert [m.content for m in found.prompt.messages if m.role != "system"][-1] == "2 + 2?"
    end = {"prompt": TALK, "responses": [FOUR[2:], FIVE[3:]]}  # the prompt's end, or nothing of it
    (found,) = comparisons_from(rows(end))
    assert (found.a.text, found.b.text) == ("4", "5")


def test_a_system_turn_that_the_prompt_lacks_is_said_not_to_be_read(tmp_path, capsys):
    row = {"prompt": "Q", "chosen": last("system", "Be terse.") + last("assistant", "x"),
           "rejected": "y"}  # fmt: skip
    for prompt, said in (("Q", 1), (last("system", "Be terse.") + last("user", "Q"), 0)):
        path = tmp_path / f"{said}.jsonl"
        path.write_text(json.dumps({**row, "prompt": prompt}) + "\n")
        assert len(comparisons_from(read_rows(path))) == 1
        assert capsys.readouterr().err.count("the system turn of chosen is not read") == said


def test_numbers_name_a_category_a_model_and_a_row_as_in_a_table():
    (found,) = responses_from(rows({"id": 7, "prompt": "Q", "response": "x", "category": 4,
                                    "model": 3}))  # fmt: skip
    assert (found.id, found.prompt.category, found.model) == ("7", "4", "3")


def test_the_last_turn_of_a_response_is_the_assistant_s():
    user = last("user", "2 + 2?")
    said = refused(comparisons_from, {"prompt": "2 + 2?", "responses": [user, "5"]})
    assert "response 1 must end in an assistant turn: mend or drop" in said
    said = refused(responses_from, {"prompt": "2 + 2?", "response": user})
    assert "response 1 must end in an assistant turn: mend or drop" in said


def test_an_id_of_two_different_rows_is_refused_naming_both():
    pair = {"id": "p", "prompt": "Q", "responses": ["a", "b"]}
    said = refused(comparisons_from, pair, {**pair, "prompt": "R"})
    assert "line 2: id 'p' stands on pairs.jsonl, line 1 too, with other content: give each" in said
    nameless = {"prompt": "Q", "responses": ["a", "b"]}
    said = refused(comparisons_from, nameless, {**nameless, "winner": "a"})
    assert said.endswith(
        "line 2: without an id, and the same texts stand on pairs.jsonl, line 1 with other "
        "content: give each row its own id, or drop one of the two"
    )
    # What another command reads of the row counts as well.
    assert "other content" in refused(comparisons_from, pair, {**pair, "votes": [1]})
    answer = {"id": "p", "prompt": "Q", "response": "a"}
    assert "line 1 too" in refused(responses_from, answer, {**answer, "response": "b"})
    said = refused(prompts_from, {"id": 1, "prompt": "Q"}, {"id": 1, "prompt": "R"})
    assert "id '1' is another prompt's on pairs.jsonl, line 1: give" in said


def test_rows_that_say_the_same_are_read_once_and_counted(capsys):
    pair = {"id": "p", "prompt": "Q", "responses": ["a", "b"]}
    nameless = {"prompt": "Q", "chosen": "x", "rejected": "y"}
    noted = {**pair, "note": "a column that nothing reads"}
    found = comparisons_and_rows(rows(pair, nameless, noted, nameless, pair))
    assert [row.where[-6:] for _, row in found] == ["line 1", "line 2"]
    assert capsys.readouterr().err == "3 rows left out: an earlier row says the same\n"
    answer = {"id": "p", "prompt": "Q", "response": "a"}
    assert len(responses_from(rows(answer, answer))) == 1
    assert capsys.readouterr().err.startswith("1 row left out")


def test_empty_identical_and_enormous_responses_are_read_as_they_are():
    found = comparison(prompt="Q", responses=["", "x" * 1_000_000])
    assert (found.a.text, len(found.b.text)) == ("", 1_000_000)
    assert comparison(prompt="Q", responses=["same", "same"]).a.text == "same"


def test_prompts_come_from_rows_of_any_kind_once_each():
    found = prompts_from(
        rows(
            {"id": 1, "prompt": "Q", "reference_output": "A"},
            {"chosen": f"{SAID}x", "rejected": f"{SAID}y"},
            {"prompt_id": "1", "id": "other", "prompt": "Q", "responses": ["x", "y"]},
        )
    )
    assert [len(prompt.messages) for prompt in found] == [1, 3]
    assert found[0].reference_response == "A"


CHAT = [*TURNS, {"role": "assistant", "content": "Of the sky."}]


def test_a_chat_that_ends_with_an_answer_asks_what_came_before_it_and_keeps_the_answer():
    [found] = prompts_from(rows({"messages": CHAT}))
    assert [m.model_dump() for m in found.messages] == TURNS
    assert found.reference_response == "Of the sky."
    assert prompts_from(rows({"messages": TURNS}))[0].id == found.id
    [spoken] = prompts_from(rows({"prompt": "\n\nHuman: Hi\n\nAssistant: Hello."}))
    assert ([m.content for m in spoken.messages], spoken.reference_response) == (["Hi"], "Hello.")
    for name in ("reference_response", "reference_output"):
        [told] = prompts_from(rows({"messages": CHAT, name: "Better."}))
        assert told.reference_response == "Better."


def test_words_put_first_are_no_answer_to_imitate_and_stay_where_responses_are_read():
    prefilled = {"messages": CHAT, "response": " At noon."}
    [asked] = prompts_from(rows(prefilled))
    assert (asked.messages[-1].role, asked.reference_response) == ("user", None)
    [answer] = responses_from(rows(prefilled))
    pair = comparison(messages=CHAT, responses=["x", "y"])
    for prompt in (answer.prompt, pair.prompt):
        assert [m.model_dump() for m in prompt.messages] == CHAT


@pytest.mark.parametrize("before", [[], [{"role": "system", "content": "Be brief."}], CHAT])
def test_an_answer_to_nothing_is_no_prompt(before):
    said = refused(prompts_from, {"messages": [*before, CHAT[-1]]})
    assert "no turn of the user before the assistant's last: mend or drop that row" in said


@pytest.mark.parametrize("name", ["response", "output", "completion", "answer", "text"])
def test_single_responses_have_many_names(name):
    found = responses_from(rows({"id": 5, "prompt": "Q", name: "x", "generator": "m"}))[0]
    assert (found.key, found.text, found.model, found.prompt.id) == ("5", "x", "m", "5")


def test_a_row_without_a_response_is_refused():
    assert "no response: name it `response`" in refused(responses_from, {"prompt": "Q"})


def test_rows_that_a_run_wrote_are_read_back_the_same():
    prompt = comparison(prompt=TURNS, responses=["x", "y"]).prompt
    answer = Response(prompt=prompt, text="x", model="m", sample=3, tokens=2)
    assert responses_from(rows(answer.row()))[0].model_copy(update={"id": ""}) == answer
    pair = comparison(id="p", prompt=TURNS, responses=["x", "y"], human_preference=1)
    label = Preference(comparison=pair, prob_a=0.5, labeler="l")
    assert comparisons_from(rows(label.row()))[0].a == pair.a


def test_rows_of_the_page_are_read_as_it_says():
    page = Path(__file__).parents[2] / "docs" / "rows.md"
    blocks = re.findall(r"^```json\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    *pairs, others, named, exported = (
        [json.loads(b) for b in block.splitlines()] for block in blocks
    )
    found = comparisons_from(rows(*(row for block in (*pairs, named) for row in block)))
    found += (unsure := comparisons_from(rows(*exported)))
    assert [pair.human_preference for pair in unsure] == [None]
    assert all(pair.a.text and pair.b.text and pair.prompt.messages for pair in found)
    assert [len(block) for block in pairs] == [2, 3]
    assert [r.text for r in responses_from(rows(others[0]))] == ["4"]
    assert prompts_from(rows(others[1]))[0].choices == ("oxygen", "carbon dioxide")


SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = sorted(SHARED.glob("*/*.jsonl.gz"))


@pytest.mark.skipif(not REAL, reason="the development data is not beside the project")
@pytest.mark.parametrize("path", REAL, ids=[f"{p.parent.name}/{p.stem[:-6]}" for p in REAL])
def test_every_row_of_the_real_data_is_read(path):
    found = read_rows(path)
    prompts = prompts_from(found)
    assert all(prompt.messages[-1].role == "user" for prompt in prompts)
    if path.name.startswith("pairs"):
        pairs = comparisons_from(found)
        assert len(pairs) == len(found)
        for pair, row in zip(pairs, found, strict=True):
            assert [pair.a.text, pair.b.text] == row.values["responses"]
            known = (pair.human_preference, pair.gold_preference)
            assert known == tuple(row.values.get(f"{k}_preference") for k in ("human", "gold"))
            assert Comparison.from_row(json.loads(json.dumps(pair.row()))) == pair
    if "responses" in path.name:
        assert len(responses_from(found)) == len(found)


def test_a_question_that_is_asked_again_with_other_choices_is_another_prompt():
    asked = {"prompt": "Which of these is true?", "reference_answer": "B"}
    one, other = ({**asked, "choices": choices} for choices in (["a", "b"], ["c", "d"]))
    found = prompts_from(rows(one, other, one))
    assert [p.choices for p in found] == [("a", "b"), ("c", "d")]
    assert len({p.id for p in found}) == 2
    assert prompts_from(rows({"prompt": "Q"}))[0].id == prompts_from(rows({"prompt": "Q"}))[0].id
    said = refused(prompts_from, {**one, "id": "1"}, {**one, "id": "1", "reference_answer": "A"})
    assert "id '1' is another prompt's on pairs.jsonl, line 1" in said


def test_a_checked_row_takes_the_place_of_the_same_pair_without_people_s_word(capsys):
    pairs = [{"id": n, "prompt": "Q", "responses": [n, "b"], "note": "x"} for n in ("p", "q", "r")]
    drawn = [{**pair, "chance": 0.5, "prompt_id": "a cluster's"} for pair in pairs[:2]]
    judged = {**drawn[0], "winner": "b"}
    for given in ([*pairs, judged, drawn[1]], [judged, drawn[1], *pairs]):
        found = comparisons_and_rows(rows(*given))
        assert sorted(c.id for c, _ in found) == ["p", "q", "r"]
        told = {c.id: (c.human_preference, row.values.get("chance")) for c, row in found}
        assert told == {"p": (0.0, 0.5), "q": (None, None), "r": (None, None)}
        assert "1 checked row in the place of pairs" in capsys.readouterr().err
    votes = {**drawn[0], "votes": {"ann": 1}}
    [(_, row)] = comparisons_and_rows(rows(pairs[0], votes))
    assert row.values["votes"] == {"ann": 1}


@pytest.mark.parametrize(
    "more",
    [
        {"winner": "a"},  # no check drew it
        {"winner": "a", "chance": 0.5, "responses": ["x", "b"]},
        {"winner": "a", "chance": 0.5, "gold_preference": 1},
    ],
)
def test_no_other_row_of_its_id_takes_the_place_of_a_pair(more):
    pair = {"id": "p", "prompt": "Q", "responses": ["a", "b"]}
    assert "with other content" in refused(comparisons_from, pair, {**pair, **more})
    judged = {**pair, "winner": "b"}
    check = {**pair, "winner": "a", "chance": 0.5}
    assert "with other content" in refused(comparisons_from, judged, check)
