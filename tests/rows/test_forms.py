"""Does every form of a row become the same record, and is a bad row refused by name?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hrlaif.errors import DataError
from hrlaif.records import Comparison, Message, Preference, Response
from hrlaif.rows import comparisons_from, prompts_from, read_rows, responses_from
from hrlaif.rows.files import SourceRow

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
    ],
)
def test_every_form_of_a_pair_is_the_same_comparison(form):
    found = comparison(**form)
    assert found.prompt.messages == (Message(role="user", content="Q"),)
    assert (found.a.text, found.b.text) == ("x", "y")
    assert found.human_preference == (1.0 if "chosen" in form else None)


def test_an_instruction_is_followed_by_its_input():
    found = comparison(instruction="Add.", input="1 2", output_1="3", output_2="4")
    assert found.prompt.messages[0].content == "Add.\n\n1 2"


@pytest.mark.parametrize("prompt", [TURNS, SAID, SAID.strip()])
def test_several_turns_come_as_a_list_or_as_a_transcript(prompt):
    found = comparison(prompt=prompt, responses=["x", "y"])
    assert [m.model_dump() for m in found.prompt.messages] == TURNS


def test_transcripts_share_their_turns_and_differ_in_the_last():
    found = comparison(chosen=f"{SAID}Because.", rejected=SAID)
    assert [m.model_dump() for m in found.prompt.messages] == TURNS
    assert (found.a.text, found.b.text) == ("Because.", "")
    other = SAID.replace("Hello", "Go away")
    said = refused(comparisons_from, {"chosen": f"{SAID}x", "rejected": f"{other}y"})
    assert "differ in the last assistant turn alone: mend or drop" in said


def test_a_response_that_looks_like_a_dialogue_is_kept_whole():
    play = "A play.\nHuman: hi\nAssistant: hello"
    again = "Human: hi\n\nAssistant: hello\n\nHuman: bye"
    found = comparison(prompt="Write a dialogue.", chosen=play, rejected=again)
    assert (found.a.text, found.b.text) == (play, again)


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
        ({"prompt": "Q", "responses": ["a"]}, "1 responses, where a pair has 2"),
        ({"prompt": "Q", "responses": "ab"}, "1 responses, where a pair has 2"),
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
        ({"prompt": "Q", "responses": ["a", "b"], "human_preference": float("nan")}, "not nan"),
        ({"prompt": "Q", "responses": ["a", "b"], "choices": "A|B"}, "choices: "),
        ({"chosen": "x", "rejected": "y"}, "without a `prompt`, `chosen` and `rejected` must be"),
        ({"chosen": [{"role": "user", "content": "x"}], "rejected": "y"}, "must end in an assis"),
    ],
)
def test_a_bad_pair_is_refused_by_row(row, said):
    assert said in refused(comparisons_from, row)


def test_an_id_met_twice_is_refused():
    pair = {"id": "p", "prompt": "Q", "responses": ["a", "b"]}
    said = refused(comparisons_from, pair, {**pair, "prompt": "R"})
    assert "id 'p' stands on an earlier row too: give each row its own id" in said
    answer = {"id": "p", "prompt": "Q", "response": "a"}
    assert "give each row its own id" in refused(responses_from, answer, answer)
    assert "another prompt's" in refused(
        prompts_from, {"id": 1, "prompt": "Q"}, {"id": 1, "prompt": "R"}
    )


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
