"""A simulated rater of known bias and noise must come out of the figures as it went in."""

import json
import random
import secrets

import pytest

from hrlaif.errors import DataError
from hrlaif.human import database as db
from hrlaif.human.answers import Answer
from hrlaif.human.beside import Judged
from hrlaif.human.desk import Sent, hand, vote
from hrlaif.human.figures import agreement, rates
from hrlaif.human.items import Item, items_of
from hrlaif.human.quality import quality
from hrlaif.human.results import Vote, cast, pairs_of, rows_of
from hrlaif.human.study import Rules, begin, join
from hrlaif.labeling import Human
from hrlaif.records import Candidate, Message, Preference, Prompt, Rating
from hrlaif.rows import comparisons_from
from hrlaif.rows.files import SourceRow


@pytest.fixture
def study(tmp_path, write):
    opened = []

    def made(rows, *modes, **rules):
        opened.append(db.Database(f"sqlite:///{tmp_path}/{len(opened)}.sqlite"))
        items = items_of(str(write(f"{len(opened)}.jsonl", rows)), modes)
        return begin(opened[-1], items, Rules(**({"checks": 0, "repeats": 0} | rules)))

    yield made
    for database in opened:
        database.close()


def simulate(study, alias, answers):
    """One rater who answers each item with `answers(given)` until nothing is left."""
    rater = join(study, alias)
    now = hand(study, rater)
    while now.given:
        given = now.given[0]
        now = vote(study, rater, Sent(given.id, secrets.token_hex(8), answers(given), seconds=2.0))


def pair(n, **more):
    sides = {"a": {"text": f"a{n}", "model": "old"}, "b": {"text": f"b{n}", "model": "new"}}
    return {"id": f"r{n}", "prompt": f"Question {n}?", "category": "xy"[n % 2], **sides, **more}


def test_a_rater_with_bias_and_noise_is_recovered(study):
    """b is truly better in 70 %; the rater errs in 20 % and then takes the left one in 75 %.

    Orders are drawn from the study's own random key; tolerances are five standard errors.
    """
    one = study([pair(n, prob_a=0.9 if n % 10 < 3 else 0.1, labeler="judge") for n in range(400)])

    def noisy(seed):
        chance = random.Random(seed)

        def answer(given):
            if chance.random() < 0.2:
                return {"prefers": "first" if chance.random() < 0.75 else "second"}
            best = 0 if int(given.item.id[1:]) % 10 < 3 else 1
            return {"prefers": "first" if given.shown[0] == best else "second"}

        return answer

    for name in ("ada", "bob", "cyd"):
        simulate(one, name, noisy(name))
    votes = cast(one.database)
    assert len(votes) == 1200
    found = rates(votes)
    won = found["win_rate"][0]
    assert (won["of"], won["over"]) == ("new", "old")
    # 0.8 of 70 % and half of the 20 % that are noise: the order is random, so bias cancels.
    assert won["people"]["value"] == pytest.approx(0.66, abs=0.04)
    assert won["people"]["low"] < 0.66 < won["people"]["high"]
    assert won["judge"]["value"] == pytest.approx(0.7 * 0.9 + 0.3 * 0.1)
    # Right with 0.9: two raters agree with 0.81 + 0.01 = 0.82, by chance with 0.66^2 + 0.34^2.
    by_chance = 0.66**2 + 0.34**2
    kappa = (0.82 - by_chance) / (1 - by_chance)
    assert found["agreement"]["preference"]["kappa"]["value"] == pytest.approx(kappa, abs=0.15)
    assert found["agreement"]["preference"]["judge"]["value"] == pytest.approx(0.9, abs=0.045)
    for row in quality(votes):
        left, n = row["left"]
        # The left one is better in half of the items: 0.8 * 0.5 + 0.2 * 0.75.
        assert left / n == pytest.approx(0.55, abs=0.12)
        same, seen = row["with_others"]
        # Two others who agree are right with 0.81 / 0.82.
        assert same / seen == pytest.approx(0.9 * 0.988 + 0.1 * 0.012, abs=0.09)


def test_a_rater_who_clicks_blindly_is_seen_by_checks_repeats_and_sides(study):
    one = study([pair(n) for n in range(150)], checks=10, repeats=10)
    simulate(one, "careless", lambda given: {"prefers": "first"})

    def reads(given):
        texts = [given.item.candidates[place].text for place in given.shown]
        told = [n for n, text in enumerate(texts) if "Please prefer it" in text]
        best = told[0] if told else given.shown.index(0)
        return {"prefers": ["first", "second"][best]}

    simulate(one, "careful", reads)
    careful, careless = sorted(quality(cast(one.database)), key=lambda row: row["rater"])
    assert careful["checks"][0] == careful["checks"][1] >= 8
    assert careful["same_again"][0] == careful["same_again"][1] >= 8
    assert careless["same_again"][0] == 0  # the order is turned round, so left is the other one
    assert careless["left"] == [careless["left"][1]] * 2
    assert careless["checks"][0] < careless["checks"][1]


def test_the_same_text_is_asked_of_each_question_also_where_they_share_an_id(write):
    sides = {"a": {"text": "Yes."}, "b": {"text": "No."}}
    rows = [{"id": f"r{n}", "prompt_id": "p", "prompt": f"Is it {n}?", **sides} for n in (1, 2, 2)]
    rows[2]["id"] = "r3"
    items = items_of(str(write("pairs.jsonl", rows)), ("harmless",))
    asked = [(i.prompt.messages[0].content, i.candidates[0].text) for i in items]
    assert asked == [(f"Is it {n}?", text) for n in (1, 2) for text in ("Yes.", "No.")]


def test_of_scores_only_grades_from_1_to_10_stand_beside_satisfaction(write):
    given = str(write("r.jsonl", [{"id": "r", "prompt": "Q", "response": "x"}]))

    def beside(**row):
        scores = str(write("s.jsonl", [{"id": "r", "value": 7.0, **row}]))
        return items_of(given, ("satisfaction",), beside=scores)[0].judged

    grades = {str(n): 0.1 for n in range(1, 11)}
    told = beside(scorer="direct/m/general/1-10", distribution=grades)
    assert told.satisfaction == pytest.approx(1 + 6 * 4 / 9)
    parts = {"1 learned": 5.0, "2 length": 2.0}
    for row in (
        {"scorer": "direct/m/general", "distribution": grades},  # from -1 to 1
        {"scorer": "learned+length", "distribution": parts},
    ):
        with pytest.raises(DataError, match="`hrlaif score --judge`"):
            beside(**row)


def test_only_verdicts_of_the_harmless_check_stand_beside_harmlessness(write):
    given = str(write("r.jsonl", [{"id": "r", "prompt": "Q", "response": "x"}]))

    def beside(**row):
        verdicts = str(write("v.jsonl", [{"id": "r", "passed": True, **row}]))
        return items_of(given, ("harmless",), beside=verdicts)[0].judged

    assert beside(check="harmless").harmless is True
    assert beside().harmless is True
    said = r"v\.jsonl, line 1: a verdict of the check 'number' .*: give what `hrlaif check --check"
    with pytest.raises(DataError, match=said):
        beside(check="number")


def test_rates_of_satisfaction_and_harmlessness_leave_abstentions_out_and_count_them(study):
    rows = [
        {"id": f"r{n}", "prompt": f"Q{n // 2}", "response": f"text {n}", "model": "ab"[n % 2]}
        for n in range(40)
    ]
    one = study(rows, "satisfaction", "harmless")

    def answer(given):
        number = int(given.item.id[1:])
        if given.item.mode == "satisfaction":
            return {"satisfaction": 5 if number % 4 else 2} if number else {"skipped": "language"}
        return {"harmless": "unsure" if number % 10 == 9 else ["yes", "no"][number % 2]}

    for name in ("ada", "bob"):
        simulate(one, name, answer)
    found = rates(cast(one.database))
    by_model = {row["of"]: row["people"] for row in found["satisfaction_rate"]}
    assert by_model["b"] == {
        "value": 1.0,
        "low": pytest.approx(0.839, abs=1e-3),
        "high": 1.0,
        "n": 40,
    }
    # Of the twenty of model a, ten are multiples of four; one of these, 0, was skipped by both.
    assert by_model["a"]["value"] == pytest.approx(10 / 19)
    assert by_model["a"]["n"] == 38
    harmless = {row["of"]: row["people"] for row in found["harmless_rate"]}
    assert (harmless["a"]["value"], harmless["b"]["value"]) == (1.0, 0.0)
    assert harmless["b"]["n"] == 2 * (20 - 4)
    assert found["abstentions"] == {"satisfaction": {"language": 2}, "harmless": {"unsure": 8}}


def test_rankings_of_three_models_are_win_rates_and_kendalls_w(study):
    rows = [
        {
            "id": f"{model}{n}",
            "prompt": f"Question {n}?",
            "response": f"{model} {n}",
            "model": model,
        }
        for n in range(20)
        for model in ("good", "fair", "poor")
    ]
    one = study(rows)
    order = ["good", "fair", "poor"]

    def answer(given):
        names = [given.item.candidates[place].model for place in given.shown]
        return {"ranking": [names.index(name) for name in order]}

    for name in ("ada", "bob", "cyd"):
        simulate(one, name, answer)
    votes = cast(one.database)
    found = rates(votes)
    won = {(row["of"], row["over"]): row["people"]["value"] for row in found["win_rate"]}
    assert won == {("fair", "good"): 0.0, ("poor", "fair"): 0.0, ("poor", "good"): 0.0}
    assert found["agreement"]["ranking"]["w"]["value"] == 1.0
    kept = rows_of(votes)["preferences"]
    assert len(kept) == 20 * 3 * 3
    first = Preference.from_row(kept[0])
    assert first.labeler == "human/ada"
    assert first.comparison.id.count(" vs ") == 1


def test_votes_are_the_rows_that_every_other_part_reads(study):
    one = study([pair(n, gold_preference=1.0) for n in range(6)])
    sides = {"r0": "a", "r1": "a", "r2": "b", "r3": "tie", "r4": "both bad"}

    def says(change):
        def answer(given):
            side = sides.get(given.item.id)
            if side is None:
                return {"skipped": "cannot judge"}
            if change and given.item.id == "r0":
                side = "b"
            if side not in ("a", "b"):
                return {"prefers": side}
            return {"prefers": "first" if given.shown[0] == "ab".index(side) else "second"}

        return answer

    for name in ("ada", "bob", "cyd"):
        simulate(one, name, says(change=name == "cyd"))
    votes = cast(one.database)
    rows = rows_of(votes)
    for row in rows["preferences"]:
        kept = Preference.from_row(json.loads(json.dumps(row)))
        assert kept.labeler.startswith("human/")
        orders = (kept.evidence.prob_a_first, kept.evidence.prob_a_second)
        assert sorted(orders, key=str) == [kept.prob_a, None]
    assert {r["reason"] for r in rows["preferences"]} == {"", "tie", "both bad"}
    assert [r["reason"] for r in rows["abstentions"]] == ["cannot judge"] * 3
    said = {row["id"]: row["human_preference"] for row in pairs_of(votes)}
    assert {row["id"]: row["raters"] for row in pairs_of(votes)} == dict.fromkeys(said, 3)
    assert said == {"r0": pytest.approx(2 / 3), "r1": 1.0, "r2": 0.0, "r3": 0.5, "r4": 0.5}
    # What the rlhf recipe does with them.
    pairs = comparisons_from(SourceRow("pairs", row) for row in rows["pairs"])
    labels = Human().label(pairs, None)
    assert {x.comparison.id: x.prob_a for x in labels} == said


def test_rows_of_a_check_come_back_with_their_chance_and_their_models(study):
    given = [
        {**pair(0), "chance": 0.25, "models": ["x", "y"], "raters": 9},
        {**pair(1), "Chance": 1.0, "meta": {"models": ["y", "z"]}},
        pair(2),
    ]
    one = study(given, checks=2)
    for name in ("ada", "bob"):
        simulate(one, name, lambda given: {"prefers": "first"})
    rows = {row["id"]: row for row in rows_of(cast(one.database))["pairs"]}
    assert [rows[f"r{n}"].get("chance") for n in range(3)] == [0.25, 1.0, None]
    assert [rows[f"r{n}"].get("models") for n in range(3)] == [["x", "y"], ["y", "z"], None]
    # Of how many people's word the preference is now.
    assert [rows[f"r{n}"]["raters"] for n in range(3)] == [2, 2, 2]


def test_a_rating_can_be_read_alone(study):
    rows = [{"id": "x", "prompt": "Q", "response": "text", "model": "m", "category": "c"}]
    one = study(rows)
    simulate(one, "ada", lambda given: {"satisfaction": 4})
    (row,) = rows_of(cast(one.database))["ratings"]
    found = Rating.from_row(row)
    assert (found.id, found.satisfaction, found.rater) == ("x", 4, "human/ada")
    assert (found.response.text, found.response.prompt.category) == ("text", "c")
    assert found.row() == row


def test_quick_figures_have_the_same_values_without_intervals(study):
    one = study([pair(n) for n in range(40)])
    for name in ("ada", "bob"):
        chance = random.Random(name)
        sides = chance.choices(["first", "second", "tie"], k=100)
        simulate(one, name, lambda given, sides=sides: {"prefers": sides.pop()})
    votes = cast(one.database)
    whole, quick = agreement(votes), agreement(votes, quick=True)
    for name in ("kappa", "alpha"):
        assert quick["preference"][name]["value"] == whole["preference"][name]["value"]
        assert quick["preference"][name]["low"] is None
        assert whole["preference"][name]["low"] is not None


@pytest.mark.parametrize("mode", ["satisfaction", "harmless", "preference", "ranking"])
def test_samples_of_one_prompt_count_as_one_prompt_whatever_their_ids_are(mode, write):
    """12 prompts with 8 samples each, told apart by ids of their own and by nothing else."""
    names = "abc"[: {"preference": 2, "ranking": 3}.get(mode, 1)]
    rows = [
        {"prompt": f"Question {n % 12}?", "prompt_id": f"p{n % 12}", "id": f"r{n}"}
        for n in range(96)
    ]
    chance = random.Random(4)
    likely = [chance.random() for _ in range(12)]

    def figures(own_ids):
        votes = []
        for n, row in enumerate(rows):
            prompt_id = row["id"] if own_ids else row["prompt_id"]
            prompt = Prompt(id=prompt_id, messages=[Message(role="user", content=row["prompt"])])
            sides = tuple(Candidate(text=f"{name}{n}", model=name) for name in names)
            judged = Judged(labeler="ai", prob_a=n % 2, satisfaction=5 - n % 2, harmless=n % 2)
            sources = tuple(f"{row['id']}/{name}" for name in names)
            item = Item(
                id=row["id"], mode=mode, prompt=prompt, candidates=sides, sources=sources,
                judged=judged,
            )  # fmt: skip
            yes = random.Random(n)
            for rater in ("ada", "bob"):
                said = yes.random() < likely[n % 12]
                answer = {
                    "satisfaction": {"satisfaction": 5 if said else 2},
                    "harmless": {"harmless": "yes" if said else "no"},
                    "preference": {"prefers": "a" if said else "b"},
                    "ranking": {"ranking": (0, 1, 2) if said else (2, 1, 0)},
                }[mode]
                votes.append(Vote(item, rater, Answer(**answer), (), False, "", None, 0.0))
        return rates(votes)

    assert figures(own_ids=True) == figures(own_ids=False)
