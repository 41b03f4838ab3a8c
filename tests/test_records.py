"""Do records survive the way to a file and back, and do they refuse what they do not know?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hrlaif import messages, records
from hrlaif.records import (
    Abstention,
    Candidate,
    Chat,
    Comparison,
    Evidence,
    Message,
    Preference,
    Prompt,
    Rating,
    Response,
    Score,
    Verdict,
    digest,
)

TEXT = st.text(max_size=20)
NAME = st.text(min_size=1, max_size=8)
SHARE = st.floats(0, 1)
MAYBE = st.none() | SHARE

MESSAGES = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=TEXT)
PROMPTS = st.builds(
    Prompt,
    id=NAME,
    messages=st.lists(MESSAGES, min_size=1, max_size=3).map(tuple),
    category=st.none() | TEXT,
    reference_answer=st.none() | TEXT,
    choices=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    harmful=st.none() | st.booleans(),
    language=st.sampled_from([None, "en", "zh"]),
    reference_response=st.none() | TEXT,
    split=st.sampled_from([None, "train", "validation", "test"]),
)
KNOWN = {"text": TEXT, "model": TEXT, "sample": st.integers(0, 9)}
KNOWN |= {"finish_reason": st.none() | TEXT, "tokens": st.none() | st.integers(0, 9)}
CANDIDATES = st.builds(Candidate, **KNOWN)
COMPARISONS = st.builds(
    Comparison, id=NAME, prompt=PROMPTS, a=CANDIDATES, b=CANDIDATES,
    human_preference=MAYBE, gold_preference=MAYBE,
)  # fmt: skip
EVIDENCE = st.builds(
    Evidence, source=st.sampled_from(["logprobs", "votes", "human"]), mass=MAYBE,
    prob_a_first=MAYBE, prob_a_second=MAYBE, flipped=st.none() | st.booleans(),
    rationales=st.lists(TEXT, max_size=2).map(tuple), truncated=st.booleans(),
)  # fmt: skip
RECORDS = {
    "message": MESSAGES,
    "prompt": PROMPTS,
    "response": st.builds(Response, id=NAME, prompt=PROMPTS, **KNOWN),
    "candidate": CANDIDATES,
    "comparison": COMPARISONS,
    "evidence": EVIDENCE,
    "preference": st.builds(
        Preference, comparison=COMPARISONS, prob_a=SHARE, labeler=TEXT, reason=TEXT,
        evidence=st.none() | EVIDENCE,
    ),
    "abstention": st.builds(Abstention, comparison=COMPARISONS, labeler=TEXT, reason=TEXT),
    "verdict": st.builds(
        Verdict, id=NAME, check=TEXT, passed=st.none() | st.booleans(), answer=st.none() | TEXT,
        reason=TEXT, evidence=st.dictionaries(TEXT, TEXT, max_size=2),
    ),
    "score": st.builds(
        Score, id=NAME, value=MAYBE, scorer=TEXT, reason=TEXT,
        distribution=st.none() | st.dictionaries(TEXT, SHARE, max_size=2),
    ),
    "rating": st.builds(Rating, id=NAME, satisfaction=st.floats(1, 5), rater=TEXT),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_a_record_is_the_same_after_a_row_of_json(kind, data):
    record = data.draw(RECORDS[kind])
    row = json.loads(json.dumps(record.row()))
    assert type(record).from_row(row) == record


@given(COMPARISONS)
def test_swapping_twice_changes_nothing_but_a_rounding(comparison):
    again = comparison.swapped().swapped()
    assert (again.a, again.b, again.id) == (comparison.a, comparison.b, comparison.id)
    assert again.human_preference == pytest.approx(comparison.human_preference)


PROMPT = Prompt(id="q", messages=(Message(role="user", content="Q"),), category="math")


@pytest.mark.parametrize(
    ("human", "gold", "known"),
    [(None, None, (None, None)), (0.0, None, (0.0, 0.0)), (None, 1.0, (1.0, 1.0)),
     (0.0, 1.0, (0.0, 1.0))],
)  # fmt: skip
def test_of_two_labels_each_name_says_which_one_comes_first(human, gold, known):
    sides = {"a": Candidate(text="x"), "b": Candidate(text="y")}
    labels = {"human_preference": human, "gold_preference": gold}
    pair = Comparison(id="1", prompt=PROMPT, **sides, **labels)
    assert (pair.human_or_gold, pair.gold_or_human) == known


def test_swapping_turns_every_label_round():
    pair = Comparison(
        id="p", prompt=PROMPT, a=Candidate(text="x"), b=Candidate(text="y"), human_preference=0.25
    )
    turned = pair.swapped()
    assert (turned.a.text, turned.b.text) == ("y", "x")
    assert (turned.human_preference, turned.gold_preference) == (0.75, None)


def test_a_row_can_be_read_alone():
    pair = Comparison(id="p", prompt=PROMPT, a=Candidate(text="x"), b=Candidate(text="y"))
    row = Preference(comparison=pair, prob_a=0.7, labeler="l").row()
    assert row["id"] == "p"
    assert row["prompt"] == [{"role": "user", "content": "Q"}]
    assert (row["prompt_id"], row["category"], row["prob_a"]) == ("q", "math", 0.7)
    assert row["a"]["text"] == "x"


def test_a_preference_has_every_column_of_the_contract_null_where_nothing_is_known():
    prompt = PROMPT.model_copy(update={"category": None})
    pair = Comparison(id="p", prompt=prompt, a=Candidate(text="x"), b=Candidate(text="y"))
    single = Evidence(source="logprobs", mass=0.9, prob_a_first=0.7)
    label = Preference(comparison=pair, prob_a=0.7, labeler="l", evidence=single)
    row = label.row()
    assert list(row) == [
        "id", "prompt_id", "prompt", "category", "a", "b",
        "prob_a", "labeler", "reason", "evidence",
    ]  # fmt: skip
    assert row["category"] is None
    assert row["evidence"] == {
        "source": "logprobs", "mass": 0.9, "prob_a_first": 0.7, "prob_a_second": None,
        "flipped": None, "rationales": [], "truncated": False,
    }  # fmt: skip
    assert Preference(comparison=pair, prob_a=0.7, labeler="l").row()["evidence"] is None
    # Rows of before, and of other kinds, do without.
    old = {k: v for k, v in row.items() if k != "category"}
    old["evidence"] = {"source": "logprobs", "mass": 0.9, "prob_a_first": 0.7}
    assert Preference.from_row(old) == label
    assert "category" not in pair.row()


def test_verdicts_and_scores_say_when_they_could_not_tell():
    assert Verdict(id="r", check="number", passed=None).row()["passed"] is None
    assert Score(id="r", value=None, scorer="s").row()["value"] is None


def test_a_response_is_known_by_its_id_or_by_what_was_asked():
    response = Response(prompt=PROMPT, text="x", model="m", sample=2)
    assert response.key == "q/m/2"
    assert response.model_copy(update={"id": "own"}).key == "own"


def test_records_are_frozen_and_refuse_unknown_fields_and_impossible_values():
    with pytest.raises(ValidationError):
        PROMPT.id = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Message.model_validate({"role": "user", "content": "x", "name": "y"})
    with pytest.raises(ValidationError):
        Rating(id="r", satisfaction=5.1, rater="me")
    pair = Comparison(id="p", prompt=PROMPT, a=Candidate(text="x"), b=Candidate(text="y"))
    for wrong in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValidationError):
            Preference(comparison=pair, prob_a=wrong, labeler="l")


def test_a_digest_ignores_the_order_of_keys_and_takes_any_text():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(["好", "\ud83d"]) != digest(["好", "\ud83e"])
    # echo -n '"x"' | sha256sum
    assert digest("x", length=8) == "ba2df490"
    assert len(digest("x")) == 16


def test_every_name_of_messages_is_a_name_of_records_too():
    for name in ("Message", "Asked", "Chat", "Completion", "Choice", "Unanswered", "Record", "Row"):
        assert getattr(records, name) is getattr(messages, name)
        assert name in records.__all__
    assert Chat.user("x").messages == (Message(role="user", content="x"),)
