import json

import pytest

from hrlaif.errors import DataError, UsageError
from hrlaif.records import (
    Candidate,
    Comparison,
    Completion,
    Message,
    Preference,
    Prompt,
    Score,
    Unanswered,
)
from hrlaif.sft import Sft
from hrlaif.sft.demonstrations import Sources, collect


def prompt(number, **fields):
    return Prompt(id=f"p{number}", messages=(Message(role="user", content=f"q{number}"),), **fields)


class Teacher:
    """Answers `a` to each question, but not question 1, and stops answering after `calls`."""

    name = "teacher"
    chunk = 1

    def __init__(self, calls=99):
        self.calls = calls
        self.asked = []

    def generate(self, chats, *, temperature, max_tokens, seed=0, top_k=None):
        if len(self.asked) == self.calls:
            raise KeyboardInterrupt
        self.asked.append([chat.messages[-1].content for chat in chats])
        return [
            Unanswered(reason="refused")
            if chat.messages[-1].content == "q1"
            else Completion(text="a", finish_reason="length", completion_tokens=1)
            for chat in chats
        ]


PROMPTS = [prompt(n) for n in range(4)] + [prompt(4, split="validation"), prompt(5, split="test")]


def test_a_teacher_answers_train_and_validation_prompts_and_silence_is_counted(tmp_path):
    found = collect(Sft(), Sources(PROMPTS, Teacher()), tmp_path, seed=0)
    assert [r.prompt.id for r in found.responses] == ["p0", "p2", "p3", "p4"]
    assert found.missing == {"refused": 1}
    text = (tmp_path / "demonstrations.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0]["id"] == "p0/teacher/0"
    assert rows[0]["finish_reason"] == "length"


def test_a_stopped_teacher_is_not_asked_twice(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        collect(Sft(), Sources(PROMPTS, Teacher(calls=1)), tmp_path, seed=0)
    again = Teacher()
    found = collect(Sft(), Sources(PROMPTS, again), tmp_path, seed=0)
    assert again.asked == [["q4"]]
    assert len(found.responses) == 4
    assert found.missing == {"refused": 1}


def test_at_most_limits_train_prompts_only(tmp_path):
    found = collect(Sft(at_most=1), Sources(PROMPTS, Teacher()), tmp_path, seed=0)
    assert [r.prompt.id for r in found.responses] == ["p0", "p4"]


def test_references_are_imitated_where_there_are_any(tmp_path):
    prompts = [prompt(0, reference_response=" yes "), prompt(1)]
    found = collect(Sft(source="references"), Sources(prompts), tmp_path, seed=0)
    assert [(r.text, r.finish_reason) for r in found.responses] == [("yes", "stop")]
    assert found.missing == {"the prompt has no reference_response": 1}


def test_the_preferred_side_is_imitated_and_ties_are_left_out(tmp_path):
    sides = {"a": Candidate(text="left"), "b": Candidate(text="right")}
    pairs = [
        Preference(
            comparison=Comparison(id=f"c{n}", prompt=prompt(n), **sides),
            prob_a=p,
            labeler="human/x",
        )
        for n, p in enumerate([1.0, 0.2, 0.5])
    ]
    found = collect(Sft(source="preferred"), Sources(pairs=pairs), tmp_path, seed=0)
    assert [r.text for r in found.responses] == ["left", "right"]
    assert found.missing == {"the pair is a tie": 1}


def test_nothing_to_imitate_is_an_error_that_names_the_next_move(tmp_path):
    with pytest.raises(DataError, match="choose another source"):
        collect(Sft(source="references"), Sources(PROMPTS), tmp_path, seed=0)
    with pytest.raises(DataError, match="needs a teacher"):
        collect(Sft(), Sources(PROMPTS), tmp_path, seed=0)


class Sampler(Teacher):
    """Says which draw it is; the first draw of every answer is empty, and q2 has no other."""

    def generate(self, chats, *, temperature, max_tokens, seed=0, top_k=None):
        self.asked.append([(chat.messages[-1].content, chat.sample) for chat in chats])
        empty = [c.sample == 0 or c.messages[-1].content == "q2" for c in chats]
        return [
            Completion(text="" if e else f"draw {c.sample}", finish_reason="stop")
            for e, c in zip(empty, chats, strict=True)
        ]


class Thinker(Teacher):
    """Thinks without end on even questions, and of its answers to odd ones nothing remains."""

    def generate(self, chats, *, temperature, max_tokens, seed=0, top_k=None):
        odd = [int(chat.messages[-1].content[1:]) % 2 for chat in chats]
        return [
            Completion(text="<think>\n\n</think>\n\n", finish_reason="stop")
            if o
            else Completion(text="<think>\nOkay, the user", finish_reason="length")
            for o in odd
        ]


def test_an_open_thought_is_not_imitated_and_counted_by_its_reason(tmp_path):
    with pytest.raises(DataError, match="did not come to an end of its thoughts"):
        collect(Sft(), Sources(PROMPTS, Thinker()), tmp_path, seed=0)
    rows = (tmp_path / "teacher_answers.jsonl").read_text().splitlines()
    reasons = [json.loads(row)["reason"] for row in rows]
    told = (
        "the teacher did not come to an end of its thoughts: raise sft.max_tokens, or name a "
        "teacher that does not think"
    )
    assert reasons == [told, "the answer is empty", told, "the answer is empty", told]


def test_the_best_graded_of_several_answers_is_imitated(tmp_path):
    grades = {"draw 1": 0.5, "draw 2": 0.9, "draw 3": None}

    def grade(responses):
        return [
            Score(id=r.key, value=None if r.prompt.id == "p3" else grades[r.text], scorer="g")
            for r in responses
        ]

    teacher, how = Sampler(), Sft(best_of=4, temperature=0.8)
    found = collect(how, Sources(PROMPTS, teacher, grade=grade), tmp_path, seed=0)
    assert {r.prompt.id: r.text for r in found.responses} == {
        "p0": "draw 2",
        "p1": "draw 2",
        "p4": "draw 2",
    }
    assert found.missing == {"the answer is empty": 1, "no answer has a grade: ": 1}
    assert teacher.asked[0][:5] == [("q0", 0), ("q0", 1), ("q0", 2), ("q0", 3), ("q1", 0)]


def test_several_greedy_answers_are_refused():
    with pytest.raises(UsageError, match="needs source: teacher and a temperature above 0"):
        Sft.parse({"best_of": 4})
