import secrets
from collections import Counter

import pytest
import sqlalchemy as sql
from scipy.stats import chisquare

from hrlaif.errors import DataError, StaleRunError
from hrlaif.human import database as db
from hrlaif.human.answers import passed_check
from hrlaif.human.desk import Conflict, Gone, Sent, hand, last, vote
from hrlaif.human.giving import SECONDS_OPEN
from hrlaif.human.items import Item
from hrlaif.human.results import cast
from hrlaif.human.study import Rules, begin, forget, join, known
from hrlaif.records import Candidate, Message, Prompt


def item(n, mode="preference", responses=2):
    prompt = Prompt(id=f"p{n}", messages=(Message(role="user", content=f"Question {n}?"),))
    texts = [Candidate(text=f"answer {n} {side}", model=f"m{side}") for side in range(responses)]
    return Item(id=f"i{n}", mode=mode, prompt=prompt, candidates=tuple(texts))


@pytest.fixture
def study(tmp_path):
    """A function that begins a study on a database of its own."""
    opened = []

    def made(items, **rules):
        opened.append(db.Database(f"sqlite:///{tmp_path}/{len(opened)}.sqlite"))
        return begin(opened[-1], items, Rules(**({"checks": 0, "repeats": 0} | rules)))

    yield made
    for database in opened:
        database.close()


def answer(study, rater, given, prefers="first", **more):
    key = more.pop("key", secrets.token_hex(8))
    return vote(study, rater, Sent(given.id, key, {"prefers": prefers}, **more))


def failed(n, mode="preference", responses=2):
    """An item whose last draw failed."""
    whole = item(n, mode, responses)
    gone = Candidate(text="", model="gone", finish_reason="error", tokens=0)
    return whole.model_copy(update={"candidates": (*whole.candidates[:-1], gone)})


def test_nobody_is_asked_about_a_draw_that_failed(study, capsys):
    one = study([item(0), failed(1), failed(2, "ranking", 3), failed(3, "harmless", 1)])
    assert capsys.readouterr().err == "3 left out: no response\n"
    with one.database.reading() as connection:
        kept = [one.item(n, connection) for n in range(1, one.size + 1)]
    assert [(i.id, [side.model for side in i.candidates]) for i in kept] == [
        ("i0", ["m0", "m1"]), ("i2", ["m0", "m1"]),
    ]  # fmt: skip


def finish(study, rater, prefers="first"):
    """Answers until nothing is left; returns what was given."""
    seen, now = [], hand(study, rater)
    while now.given:
        seen.append(now.given[0])
        now = answer(study, rater, now.given[0], prefers)
    return seen


def counted(study, table):
    with study.database.reading() as connection:
        return connection.execute(sql.select(sql.func.count()).select_from(table)).scalar_one()


def test_a_vote_sent_three_times_under_one_key_counts_once(study):
    one = study([item(n) for n in range(3)])
    rater = join(one, "ada")
    first = hand(one, rater).given[0]
    hands = [answer(one, rater, first, key="the-same-key-00001") for _ in range(3)]
    assert counted(one, db.votes) == 1
    assert [h.answered for h in hands] == [1, 1, 1]
    assert [g.id for g in hands[0].given] == [g.id for g in hands[2].given]


def test_two_windows_share_what_lies_open_and_the_second_answer_is_refused(study):
    one = study([item(n) for n in range(5)])
    rater = join(one, "ada")
    here, there = hand(one, rater), hand(one, rater)
    assert [g.id for g in here.given] == [g.id for g in there.given]
    answer(one, rater, here.given[0], "first")
    with pytest.raises(Conflict, match="another window"):
        answer(one, rater, there.given[0], "second")
    assert [v.answer.prefers for v in cast(one.database)] == ["ab"[here.given[0].shown[0]]]


def test_only_the_last_answer_can_be_corrected_and_only_from_what_it_is_now(study):
    one = study([item(n) for n in range(4)])
    rater = join(one, "ada")
    first, second = hand(one, rater).given
    answer(one, rater, first, key="vote-one-00000001")
    answer(one, rater, second, "first", key="vote-two-00000001")
    was = last(one, rater)
    assert (was.key, was.answer) == ("vote-two-00000001", {"prefers": "first"})
    answer(one, rater, second, "tie", key="vote-two-00000002", replaces=was.key)
    assert last(one, rater).answer == {"prefers": "tie"}
    with pytest.raises(Conflict, match="changed elsewhere"):
        answer(one, rater, second, "second", replaces=was.key)
    with pytest.raises(Conflict, match="only the last"):
        answer(one, rater, first, "tie", replaces="vote-one-00000001")
    assert counted(one, db.votes) == 3  # a correction is kept beside what it replaces
    assert len(cast(one.database)) == 2


def test_nobody_answers_for_another_and_a_key_belongs_to_one_item(study):
    one = study([item(n) for n in range(4)])
    ada, bob = join(one, "ada"), join(one, "bob")
    given = hand(one, ada).given
    with pytest.raises(Gone, match="not yours"):
        answer(one, bob, given[0])
    answer(one, ada, given[0], key="the-same-key-00001")
    with pytest.raises(Conflict, match="belongs to another item"):
        answer(one, ada, given[1], key="the-same-key-00001")


@pytest.mark.parametrize(
    "given",
    [
        {}, {"prefers": "a"}, {"prefers": "left"}, {"prefers": 1}, {"satisfaction": 3},
        {"prefers": "tie", "skipped": "x"}, {"ranking": [0, 1]}, {"skipped": ""},
        {"skipped": "x" * 201}, {"skipped": "a\0b"}, {"unknown": 1}, {"skipped": "\ud83d"},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_and_nothing_is_kept(given, study):
    one = study([item(0)])
    rater = join(one, "ada")
    first = hand(one, rater).given[0]
    with pytest.raises(DataError, match="not an answer"):
        vote(one, rater, Sent(first.id, "k" * 16, given))
    assert counted(one, db.votes) == 0


@pytest.mark.parametrize("given", [[0, 0, 1], [0, 1], [0, 1, 3], [-1, 0, 1], ["0", 1, 2], "012"])
def test_a_ranking_names_every_place_once(given, study):
    one = study([item(0, "ranking", 3)])
    rater = join(one, "ada")
    first = hand(one, rater).given[0]
    with pytest.raises(DataError, match="not an answer"):
        vote(one, rater, Sent(first.id, "k" * 16, {"ranking": given}))
    vote(one, rater, Sent(first.id, "k" * 16, {"ranking": [2, 0, 1]}))
    places = first.shown
    assert cast(one.database)[0].answer.ranking == (places[2], places[0], places[1])


def test_every_item_gets_its_overlap_and_no_more_and_coverage_grows_evenly(study):
    one = study([item(n) for n in range(20)], overlap=2)
    people = [join(one, f"rater {n}") for n in range(5)]
    for _ in range(4):  # 20 of the 40 answers that are wanted
        for rater in people:
            given = hand(one, rater).given
            answer(one, rater, given[0])
    with one.database.reading() as connection:
        own = sql.select(db.items.c.taken).where(db.items.c.shuffle >= 0)
        taken = list(connection.execute(own).scalars())
    assert sum(taken) == 20 + 5 * 2  # two lie open before each rater
    assert max(taken) - min(taken) <= 1
    for rater in people:
        finish(one, rater)
    votes = Counter(v.item.id for v in cast(one.database))
    assert set(votes.values()) == {2}
    assert len(votes) == 20


def test_a_skipped_item_goes_to_somebody_else_and_is_an_abstention(study):
    one = study([item(0)], overlap=1)
    ada, bob = join(one, "ada"), join(one, "bob")
    given = hand(one, ada).given[0]
    assert hand(one, bob).given == []
    vote(one, ada, Sent(given.id, "k" * 16, {"skipped": "language"}))
    assert hand(one, ada).given == []
    assert len(finish(one, bob)) == 1
    assert [v.answer.silent for v in cast(one.database)] == ["language", None]


def test_what_lies_open_for_half_an_hour_is_given_to_others_and_still_taken_from_its_owner(study):
    one = study([item(0)], overlap=1)
    ada, bob = join(one, "ada"), join(one, "bob")
    lying = hand(one, ada).given[0]
    assert hand(one, bob).given == []
    with one.database.engine.begin() as connection:
        older = db.assignments.c.opened - SECONDS_OPEN - 1
        connection.execute(db.assignments.update().values(opened=older))
    assert [g.item.id for g in hand(one, bob).given] == ["i0"]
    answer(one, ada, lying)
    assert counted(one, db.votes) == 1


def test_the_order_of_responses_passes_a_chi_square_test_and_is_recorded(study):
    one = study([item(n) for n in range(150)] + [item(n, "ranking", 3) for n in range(60)])
    orders = Counter()
    for n in range(3):
        rater = join(one, f"rater {n}")
        now = hand(one, rater)
        while now.given:
            given = now.given[0]
            orders[given.shown] += 1
            sent = {"ranking": [0, 1, 2]} if given.item.mode == "ranking" else {"prefers": "tie"}
            now = vote(one, rater, Sent(given.id, secrets.token_hex(8), sent))
    two = [orders[(0, 1)], orders[(1, 0)]]
    three = [count for shown, count in orders.items() if len(shown) == 3]
    assert (sum(two), sum(three), len(three)) == (450, 180, 6)
    # Drawn from the study's own random key: one run in ten thousand fails each by chance.
    assert chisquare(two).pvalue > 1e-4
    assert chisquare(three).pvalue > 1e-4
    assert Counter(v.shown for v in cast(one.database)) == orders


def test_the_order_is_the_same_for_the_same_rater_and_item_and_differs_between_raters(study):
    from hrlaif.human.giving import order

    one = study([item(n) for n in range(64)])
    many = [item(n) for n in range(64)]
    ada = [order(one, "ada", i) for i in many]
    assert ada == [order(one, "ada", i) for i in many]
    assert 10 < sum(a != order(one, "bob", i) for a, i in zip(ada, many, strict=True)) < 54


def test_one_item_in_ten_is_a_check_and_one_comes_again_the_other_way_round(study):
    one = study([item(n) for n in range(60)], checks=10, repeats=10)
    rater = join(one, "ada")
    seen = finish(one, rater)
    checks = [given for given in seen if given.item.check]
    assert 4 <= len(checks) <= 9
    votes = cast(one.database)
    again = [v for v in votes if v.again]
    assert 3 <= len(again) <= 9
    first = {v.item.id: v.shown for v in votes if v.counts}
    assert all(v.shown == first[v.item.id][::-1] for v in again)
    assert len(first) == 60
    assert sum(v.counts for v in votes) == 60


def test_a_check_is_passed_by_doing_what_its_text_says(study):
    one = study([item(n) for n in range(30)], checks=5)
    rater = join(one, "ada")
    now, passed = hand(one, rater), []
    while now.given:
        given = now.given[0]
        texts = [given.item.candidates[place].text for place in given.shown]
        told = [place for place, text in enumerate(texts) if "Please prefer it" in text]
        assert bool(told) == given.item.check
        now = answer(one, rater, given, ["first", "second"][told[0]] if told else "tie")
    for v in cast(one.database):
        if v.item.check:
            passed.append(passed_check(v.answer, v.item))
    assert len(passed) >= 4
    assert all(passed)


def test_a_rater_is_done_after_the_set_number_of_answers(study):
    one = study([item(n) for n in range(30)], per_rater=7)
    rater = join(one, "ada")
    assert len(finish(one, rater)) == 7
    assert hand(one, rater).given == []


def test_a_deleted_rater_leaves_no_trace_and_the_items_count_on_others_again(study):
    one = study([item(n) for n in range(3)], overlap=1)
    ada = join(one, "ada")
    finish(one, ada)
    session = one.session(ada)
    assert known(one, session) == ada
    forget(one, ada.id)
    assert known(one, session) is None
    assert (counted(one, db.votes), counted(one, db.assignments), counted(one, db.raters)) == (
        0,
        0,
        0,
    )
    assert len(finish(one, join(one, "ada"))) == 3


def test_a_forgotten_name_leaves_votes_under_a_number_and_a_link_that_is_dead(study):
    one = study([item(n) for n in range(3)])
    ada = join(one, "ada")
    finish(one, ada)
    forget(one, ada.id, keep_votes=True)
    assert known(one, one.session(ada)) is None
    assert {v.rater for v in cast(one.database)} == {f"someone {ada.id}"}


@pytest.mark.parametrize("alias", ["", "   ", "x" * 41, "a\u202eb", "a\x00b"])
def test_an_alias_is_short_printable_and_not_empty(alias, study):
    with pytest.raises(DataError, match="1 to 40 printable"):
        join(study([item(0)]), alias)


def test_an_alias_stands_for_one_rater(study):
    one = study([item(0)])
    join(one, "Ada  Lovelace")
    with pytest.raises(DataError, match="'Ada Lovelace' is taken"):
        join(one, "Ada Lovelace ")


def test_a_study_goes_on_with_the_same_items_and_rules_alone(tmp_path):
    database = db.Database(f"sqlite:///{tmp_path}/s.sqlite")
    items = [item(n) for n in range(3)]
    one = begin(database, items, Rules())
    assert begin(database, items, Rules()).sign("x") == one.sign("x")
    with pytest.raises(StaleRunError, match="other items"):
        begin(database, items[:2], Rules())
    with pytest.raises(StaleRunError, match="overlap = 3"):
        begin(database, items, Rules(overlap=2))
    database.close()
