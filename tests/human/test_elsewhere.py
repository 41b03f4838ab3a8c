"""Do votes made elsewhere come in once each, also where the rater holds the item unanswered?"""

import secrets

import pytest
import sqlalchemy as sql

from hrlaif.errors import DataError
from hrlaif.human import database as db
from hrlaif.human.desk import Conflict, Sent, hand, last, vote
from hrlaif.human.elsewhere import Added, bring
from hrlaif.human.giving import SECONDS_OPEN
from hrlaif.human.items import Item
from hrlaif.human.results import cast, rows_of
from hrlaif.human.study import Rules, begin, every_rater, join
from hrlaif.records import Candidate, Message, Prompt
from hrlaif.rows.exports import exported
from hrlaif.rows.files import SourceRow, read_rows


def item(n):
    prompt = Prompt(id=f"p{n}", messages=(Message(role="user", content=f"Question {n}?"),))
    sides = tuple(Candidate(text=f"answer {n} {side}") for side in "ab")
    return Item(id=f"i{n}", mode="preference", prompt=prompt, candidates=sides)


@pytest.fixture
def study(tmp_path):
    """A function that begins a study of so many pairs on a database of its own."""
    opened = []

    def made(many, first="i0", **rules):
        opened.append(db.Database(f"sqlite:///{tmp_path}/{len(opened)}.sqlite"))
        rules = Rules(**({"checks": 0, "repeats": 0} | rules))
        asked = [item(n) for n in range(many)]
        return begin(opened[-1], [asked[0].model_copy(update={"id": first}), *asked[1:]], rules)

    yield made
    for database in opened:
        database.close()


def told(*ids, answer="b", by="ada"):
    """Rows of a table made elsewhere."""
    values = {"question": "preference", "answer": answer, "by": by}
    return [SourceRow(f"line {n}", {"id": name, **values}) for n, name in enumerate(ids, start=1)]


def stands(study):
    """Of each item how many it counts on, and what the raters were given and have answered."""
    with study.database.reading() as connection:
        own = sql.select(db.items.c.taken).order_by(db.items.c.id)
        people = sql.select(db.raters.c.given, db.raters.c.answered).order_by(db.raters.c.id)
        return list(connection.execute(own).scalars()), [
            tuple(r) for r in connection.execute(people)
        ]


def answered(study):
    return {
        v.item.id: (v.answer.prefers or v.answer.skipped, v.shown) for v in cast(study.database)
    }


def send(study, rater, given, **answer):
    return vote(study, rater, Sent(given.id, secrets.token_hex(8), answer))


def test_an_item_that_lies_open_before_the_rater_takes_the_answer_from_elsewhere(study):
    one = study(2)
    ada = join(one, "ada")
    held = hand(one, ada).given
    assert bring(one, told("i0", "i1")) == Added(2, 0)
    assert answered(one) == {"i0": ("b", ()), "i1": ("b", ())}
    assert stands(one) == ([1, 1], [(2, 2)])
    assert hand(one, ada).given == []
    with pytest.raises(Conflict, match="answered in another window"):
        send(one, ada, held[0], prefers="first")
    assert bring(one, told("i0", "i1")) == Added(0, 2)
    assert stands(one) == ([1, 1], [(2, 2)])


def test_an_item_given_up_counts_on_the_rater_again_once_the_answer_is_there(study):
    one = study(1, overlap=1)
    ada, bob = join(one, "ada"), join(one, "bob")
    hand(one, ada)
    with one.database.engine.begin() as connection:
        older = db.assignments.c.opened - SECONDS_OPEN - 1
        connection.execute(db.assignments.update().values(opened=older))
    hand(one, bob)  # ada's is released, and given to bob
    assert bring(one, told("i0")) == Added(1, 0)
    assert stands(one) == ([2], [(1, 1), (1, 0)])
    assert [(v.rater, v.answer.prefers) for v in cast(one.database)] == [("ada", "b")]


def test_a_skipped_item_takes_the_answer_and_keeps_what_it_replaces(study):
    one = study(1)
    ada = join(one, "ada")
    send(one, ada, hand(one, ada).given[0], skipped="language")
    assert stands(one) == ([0], [(1, 1)])
    assert bring(one, told("i0")) == Added(1, 0)
    assert answered(one) == {"i0": ("b", ())}
    assert stands(one) == ([1], [(1, 1)])
    with one.database.reading() as connection:
        kept = connection.execute(sql.select(db.votes.c.key, db.votes.c.replaces)).all()
    assert len(kept) == 2
    assert {replaces for _, replaces in kept} - {None} < {key for key, _ in kept}


def test_a_verdict_given_here_stands_against_one_from_elsewhere(study):
    one = study(1)
    ada = join(one, "ada")
    given = hand(one, ada).given[0]
    send(one, ada, given, prefers="tie")
    assert bring(one, told("i0")) == Added(0, 1)
    assert answered(one) == {"i0": ("tie", given.shown)}


def test_the_last_answer_is_the_last_one_given_here(study):
    one = study(3)
    ada = join(one, "ada")
    first, second = hand(one, ada).given
    send(one, ada, first, prefers="first")
    bring(one, told(second.item.id))
    assert last(one, ada).given.id == first.id
    only = study(1)
    bring(only, told("i0", by="bob"))
    (bob,) = every_rater(only)
    assert last(only, bob) is None


def chosen(n, first, second, **more):
    """A row as `--to trl` writes it, of two texts of which the first was chosen."""
    row = {"id": f"i{n}", "prompt": f"Question {n}?", "chosen": first, "rejected": second}
    return SourceRow(f"line {n}", {**row, "prob_chosen": 1.0, "human_preference": 1.0, **more})


def test_a_chosen_response_is_the_one_of_its_text_whatever_the_row_s_coin_says(study):
    one = study(8)
    rows = [chosen(n, *(f"answer {n} {side}" for side in ("ab", "ba")[n % 2])) for n in range(8)]
    assert bring(one, rows) == Added(8, 0)
    assert answered(one) == {f"i{n}": ("ab"[n % 2], ()) for n in range(8)}


def test_responses_are_compared_without_thoughts_as_people_read_them(study):
    one = study(2)
    thought = "<think>psst</think>answer 0 b"
    assert bring(one, [chosen(0, thought, "answer 0 a")]) == Added(1, 0)
    assert answered(one) == {"i0": ("b", ())}
    own = {
        "a": {"text": "answer 1 a"},
        "b": {"text": "answer 1 b"},
        "prob_a": 1,
        "labeler": "human/x",
    }
    assert bring(one, [SourceRow("line 1", {"id": "i1", "prompt": "Q", **own})]) == Added(1, 0)
    assert answered(one)["i1"] == ("a", ())


def test_an_answer_about_other_responses_is_refused_and_nothing_is_added(study):
    one = study(2)
    rows = [chosen(0, "answer 0 a", "answer 0 b"), chosen(1, "answer 1 a", "another")]
    with pytest.raises(DataError, match="line 1: the responses are not those of id 'i1' here"):
        bring(one, rows)
    assert answered(one) == {}


def _as(form, n, first, second):
    """An answer for the first of two texts, as other tools hold it."""
    sides, ada = {"response_a": first, "response_b": second}, {"user_id": "ada"}
    choice = {"from_name": "preference", "type": "choices", "value": {"choices": ["a"]}}
    row = {
        "csv": {"id": f"i{n}", **sides, "question": "preference", "answer": "a", "by": "ada"},
        "argilla": {
            "id": f"i{n}", "fields": {"prompt": "Q", **sides},
            "responses": {"preference": [{"value": "a", **ada}]},
        },
        "label-studio": {
            "id": 1, "data": {"id": f"i{n}", "prompt": "Q", **sides},
            "annotations": [{"completed_by": "ada", "result": [choice]}],
        },
        "potato": {
            "id": f"i{n}", "text": [first, second],
            "annotations": [{**ada, "labels": {"preference": {"a": True}}}],
        },
    }[form]  # fmt: skip
    return SourceRow(f"line {n + 1}", row)


@pytest.mark.parametrize("form", ["csv", "argilla", "label-studio", "potato"])
def test_texts_in_a_row_of_another_tool_must_be_those_of_its_id(study, form):
    one = study(3)
    other = [_as(form, 0, "answer 0 a", "answer 0 b"), _as(form, 1, "answer 1 a", "another")]
    with pytest.raises(DataError, match="line 2: the responses are not those of id 'i1' here"):
        bring(one, other)
    turned = _as(form, 1, "answer 1 b", "answer 1 a")
    spaced = _as(form, 2, "answer  2\r\na ", "'answer 2 b")
    assert bring(one, [other[0], turned, spaced]) == Added(3, 0)
    assert answered(one) == {"i0": ("a", ()), "i1": ("b", ()), "i2": ("a", ())}


def test_votes_that_return_from_trl_are_of_the_raters_that_its_rows_name(study):
    one = study(1)
    bring(one, told("i0", by="ada") + told("i0", by="bob", answer="a"))
    rows = rows_of(cast(one.database))["preferences"]
    back = exported([SourceRow("line", row) for row in rows], "trl").records
    another = study(1)
    assert bring(another, [SourceRow(row["rater"], row) for row in back]) == Added(2, 0)
    found = {(vote.by, vote.answer.prefers) for vote in cast(another.database)}
    assert found == {("human/ada", "b"), ("human/bob", "a")}


def test_an_unanswered_row_and_a_judge_s_level_refuse_no_file_of_votes(study, tmp_path):
    path = tmp_path / "votes.csv"
    lines = ("1,preference,a,ada", "2,preference,,ada", "3,satisfaction,3.7,rating/gpt-4")
    path.write_text("\n".join(("id,question,answer,by", *lines)))
    assert bring(study(4, first="1"), read_rows(path)) == Added(1, 0, 2)


@pytest.mark.parametrize("name", ["-abc", "=x", "+1", "@y", "'-abc"])
def test_an_id_that_a_table_quotes_comes_back_once(study, tmp_path, name):
    one, path = study(2, first=name), tmp_path / "votes.csv"
    bring(one, told(name, "i1"))
    rows = rows_of(cast(one.database))["preferences"]
    path.write_text(exported([SourceRow("line", row) for row in rows], "csv").text, "utf-8")
    for place in (one, study(2, first=name)):
        assert sum(bring(place, read_rows(path))) == 2
        assert answered(place) == {name: ("b", ()), "i1": ("b", ())}
    with pytest.raises(DataError, match='id "\'i1" is asked no question'):
        bring(study(1, first=name), told("'i1"))


def test_rows_that_hold_no_answer_by_people_are_counted(study):
    unpaired = {"id": "i1", "prompt": "Question 1?", "completion": "answer 1 a", "label": True}
    judge = {"id": "i0", "question": "preference", "answer": "a", "by": "pairwise/gpt-4"}
    rows = [SourceRow("line 8", unpaired), SourceRow("line 9", judge)]
    assert bring(study(2), [*told("i0"), *rows]) == Added(1, 0, 2)
