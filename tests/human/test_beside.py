"""Does what an AI judge said stand beside the item that it was said of, and is a stranger told?"""

import json
import secrets

import pytest
import sqlalchemy as sql

from hrlaif.errors import DataError, StaleRunError
from hrlaif.human import database as db
from hrlaif.human.desk import Sent, hand, vote
from hrlaif.human.figures import rates
from hrlaif.human.items import items_of
from hrlaif.human.results import cast
from hrlaif.human.study import Rules, begin, join

PAIRS = [
    {"id": f"r{n}", "prompt": f"Question {n}?", "a": {"text": f"a{n}"}, "b": {"text": f"b{n}"}}
    for n in range(4)
]


def response(n, policy):
    """As a run writes it: both policies sample under the name of their base."""
    return {
        "id": f"p{n}/base/0", "prompt_id": f"p{n}", "prompt": f"Question {n}?",
        "response": f"{policy} answers {n}", "model": "base", "sample": 0,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run folder, with a rating of every response: 4 before the policy was trained, 5 after."""
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir(parents=True)
    rows = {
        f"{name}_responses": [response(n, name) for n in range(3)] for name in ("sft", "policy")
    }
    rows["ratings"] = [
        {**row, "satisfaction": level, "rater": "rater/ai"}
        for name, level in (("sft", 4), ("policy", 5))
        for row in rows[f"{name}_responses"]
    ]
    for name, found in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder.parent


def test_ratings_of_a_run_stand_beside_the_responses_of_both_policies(run, capsys):
    ratings = str(run / "evaluation" / "ratings.jsonl")
    items = items_of(str(run), ("preference", "satisfaction"), beside=ratings)
    levels = {item.id: item.judged and item.judged.satisfaction for item in items}
    assert levels == {
        **{f"p{n}/base/0/sft": 4 for n in range(3)},
        **{f"p{n}/base/0/policy": 5 for n in range(3)},
        **{f"p{n}": None for n in range(3)},
    }
    assert {i.judged.labeler for i in items if i.judged} == {"rater/ai"}
    assert f"{ratings} says nothing of 3 of 9 items" in capsys.readouterr().err
    # The same id stands there for the other policy's response, too.
    alone = str(run / "evaluation" / "sft_responses.jsonl")
    items = items_of(alone, ("satisfaction",), beside=ratings)
    assert [item.judged.satisfaction for item in items] == [4, 4, 4]
    assert "says nothing" not in capsys.readouterr().err


def test_a_label_of_the_same_texts_the_other_way_round_is_turned(write):
    labels = [
        {**PAIRS[0], "prob_a": 0.9, "labeler": "ai"},
        {**PAIRS[1], "a": PAIRS[1]["b"], "b": PAIRS[1]["a"], "prob_a": 0.9, "labeler": "ai"},
        {**PAIRS[2], "id": "another id", "prob_a": 0.2, "labeler": "ai"},
        {"id": "r3", "prob_a": 0.3, "labeler": "ai"},
    ]
    items = items_of(str(write("p.jsonl", PAIRS)), beside=str(write("l.jsonl", labels)))
    assert [i.judged.prob_a for i in items] == [0.9, pytest.approx(0.1), 0.2, 0.3]


def test_a_file_that_says_nothing_of_any_item_is_refused(write):
    given = str(write("p.jsonl", PAIRS))
    for row in ({"id": "x"}, {**PAIRS[0], "a": {"text": "another"}}):
        labels = str(write("l.jsonl", [{**row, "prob_a": 0.9, "labeler": "ai"}]))
        with pytest.raises(DataError, match=r"l\.jsonl says nothing of any item of .*: give what"):
            items_of(given, beside=labels)


def test_ratings_by_people_are_no_judge_s(run):
    rated = run / "people.jsonl"
    for said in (
        {"satisfaction": 4, "rater": "human/ada"},
        {"passed": True, "check": "harmless", "evidence": {"rater": "human/ada"}},
    ):
        rated.write_text(json.dumps({**response(0, "sft"), **said}) + "\n")
        with pytest.raises(DataError, match=r"people\.jsonl, line 1: .*give what `hrlaif label`"):
            items_of(str(run), ("satisfaction", "harmless"), beside=str(rated))


@pytest.fixture
def database(tmp_path):
    opened = db.Database(f"sqlite:///{tmp_path}/study.sqlite")
    yield opened
    opened.close()


def labels(write, *probabilities):
    """A judge's file on the first pairs."""
    pairs = zip(PAIRS, probabilities, strict=False)
    rows = [{"id": row["id"], "prob_a": p, "labeler": "ai"} for row, p in pairs]
    return str(write("labels.jsonl", rows))


def judged(database):
    """How many votes there are, and what the figures have beside them."""
    found = rates(cast(database))
    agreed = found["agreement"]["preference"]["judge"]
    return found["votes"], agreed["value"], agreed["n"]


def test_a_judge_is_put_beside_votes_that_are_there_and_another_takes_its_place(database, write):
    given, rules = str(write("p.jsonl", PAIRS)), Rules(checks=2, repeats=0)
    study = begin(database, items_of(given), rules)
    ada = join(study, "ada")
    now = hand(study, ada)
    while now.given:
        side = "first" if now.given[0].shown[0] == 0 else "second"
        sent = Sent(now.given[0].id, secrets.token_hex(8), {"prefers": side})
        now = vote(study, ada, sent)
    assert judged(database) == (4, None, 0)
    begin(database, items_of(given, beside=labels(write, 0.9, 0.8, 0.7, 0.1)), rules)
    assert judged(database) == (4, 0.75, 4)
    begin(database, items_of(given), rules)  # the judge need not be named again
    assert judged(database) == (4, 0.75, 4)
    # Half of one judge and half of another would be neither.
    begin(database, items_of(given, beside=labels(write, 0.4, 0.4)), rules)
    assert judged(database) == (4, 0.0, 2)
    with pytest.raises(StaleRunError, match="begun with other items"):
        begin(database, items_of(given, limit=3, beside=labels(write, 0.9)), rules)
    assert judged(database) == (4, 0.0, 2)


def test_what_a_study_of_judges_reads_is_part_of_the_items_and_is_kept_beside_a_judge(
    database, write
):
    rows = [{**row, "chance": 0.5} for row in PAIRS]
    given = str(write("p.jsonl", rows))
    begin(database, items_of(given), Rules())
    begin(database, items_of(given, beside=labels(write, 0.9)), Rules())
    with database.reading() as connection:
        bodies = connection.execute(sql.select(db.items.c.body).where(db.items.c.shuffle >= 0))
        found = [json.loads(body) for body in bodies.scalars()]
    assert [body["also"] for body in found] == [{"chance": 0.5}] * len(PAIRS)
    assert found[0]["judged"] == {"labeler": "ai", "prob_a": 0.9}
    with pytest.raises(StaleRunError, match="begun with other items"):
        begin(database, items_of(str(write("q.jsonl", PAIRS))), Rules())
