"""Are answers of other tools read where they are clear, and else refused by row?"""

from __future__ import annotations

import re

import pytest

from hrlaif.errors import DataError
from hrlaif.rows.files import SourceRow
from hrlaif.rows.imports import brought


def of_people(values: dict) -> list[tuple]:
    return [
        (a.said.by, a.said.question, a.said.value)
        for a in brought([SourceRow("f.json, row 1", values)])
    ]


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        (None, []),
        ([{"rater": "ann", "result": None}], []),
        ([{"rater": "ann"}], []),
        (
            [
                {
                    "rater": "ann",
                    "result": [{"from_name": "preference", "value": {"choices": ["a"]}}],
                }
            ],
            [("human/ann", "preference", "a")],
        ),
        (
            [{"rater": "ann", "result": [{"from_name": "satisfaction", "value": 4}]}],
            [("human/ann", "satisfaction", 4)],
        ),
        (
            [{"rater": "ann", "result": [{"type": "relation"}, {"from_name": "why", "value": 1}]}],
            [],
        ),
    ],
)
def test_annotations_of_label_studio_may_lack_what_does_not_matter(annotations, said):
    assert of_people({"data": {"id": "1"}, "annotations": annotations}) == said


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"data": {"id": "1"}, "annotations": [12]}, "annotations are no list of objects: mend or"),
        ({"data": {"id": "1"}, "annotations": [{"result": ["a"]}]}, "results of an annotation are"),
        (
            {
                "data": {"id": "1"},
                "annotations": [{"result": [{"from_name": "harmless", "value": "so"}]}],
            },
            "'so' is no answer to 'harmless'",
        ),
        ({"annotations": ["a"]}, "annotations are no list of objects: mend or drop"),
        ({"annotations": [{"labels": "a"}]}, "answers are not named: export the file again"),
        ({"fields": {}, "responses": {"preference": "a"}}, "answers to 'preference' are no list"),
        ({"fields": {}, "responses": {"preference": ["a"]}}, "answers to 'preference' are no list"),
    ],
)
def test_answers_of_another_shape_are_refused_by_row(answers, said):
    with pytest.raises(DataError, match=re.escape(f"f.json, row 1: {said}")):
        of_people({"id": "1", **answers})


def test_answers_of_potato_may_be_texts_and_other_questions_are_passed_over():
    labels = {"preference": "b", "why": "It is short.", "harmless": None}
    row = {"id": "1", "annotations": [{"user_id": "ann", "labels": labels}]}
    assert of_people(row) == [("human/ann", "preference", "b")]
    assert of_people({"id": "1", "annotations": None}) == []


@pytest.mark.parametrize(("side", "said"), [("A", "a"), ("B", "b"), ("tie", "tie")])
def test_a_row_that_potato_writes_is_a_vote(side, said):
    labels = {"preference": {"selection": side, "justification": "{}"}, "other": {"x": "y"}}
    row = {"instance_id": "i7", "user_id": "ann", "labels": labels}
    [vote] = brought([SourceRow("annotations.jsonl, line 1", row)])
    assert (vote.item, vote.said.by) == ("i7", "human/ann")
    assert (vote.said.question, vote.said.value) == ("preference", said)
    labels = {"harmless": {"yes": "yes"}, "satisfaction": {"4": "4"}}
    assert of_people({**row, "labels": labels}) == [
        ("human/ann", "harmless", "yes"), ("human/ann", "satisfaction", 4),
    ]  # fmt: skip
    assert of_people({**row, "labels": {"preference": {"selection": ""}}}) == []


def test_a_question_of_argilla_without_answers_has_none():
    row = {"id": "1", "fields": {}, "responses": {"preference": None, "harmless": []}}
    assert of_people(row) == of_people({**row, "responses": None}) == []


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_what_nobody_answered_is_no_vote_and_refuses_none(nothing):
    assert of_people({"id": "1", "question": "preference", "answer": nothing, "by": ""}) == []
    answers = [{"value": nothing, "user_id": "ann"}, {"value": "a", "user_id": "bob"}]
    argilla = {"id": "1", "fields": {}, "responses": {"preference": answers}}
    assert of_people(argilla) == [("human/bob", "preference", "a")]
    result = [{"from_name": "harmless", "value": {"choices": [nothing]}}]
    assert of_people({"data": {"id": "1"}, "annotations": [{"result": result}]}) == []
    assert of_people({"data": {"id": "1"}, "annotations": [{"result": [{}, *result]}]}) == []


def test_a_judge_s_answer_is_left_out_whatever_it_is():
    row = {"question": "satisfaction", "answer": 3.7, "by": "rating/gpt-4"}
    assert of_people(row) == []  # and needs no id
    said = [{"user_id": "rating/gpt-4", "labels": {"satisfaction": {"3.7": True}}}]
    assert of_people({"id": "1", "annotations": said}) == []
    with pytest.raises(DataError, match=r"3\.7 is no answer to 'satisfaction'"):
        of_people({**row, "id": "1", "by": "human/ann"})


def test_a_rater_of_a_file_made_by_hand_needs_no_slash():
    row = {"id": "1", "question": "harmless", "answer": "Yes", "by": "ann"}
    assert brought([SourceRow("h.csv, line 2", row)])[0].said.by == "human/ann"
    with pytest.raises(DataError, match=r"h\.csv, line 2: nobody is named who answered"):
        brought([SourceRow("h.csv, line 2", {**row, "by": ""})])
