"""Pairs with votes, two halves, and a choice that never sees the half it is reported on."""

import csv
import json

import pytest

from hrlaif.errors import DataError
from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.llm.call import NO_CALLS
from hrlaif.llm.ledger import Ledger
from hrlaif.pages.charts import Charts
from hrlaif.records import Abstention, Preference
from hrlaif.rows import read_rows
from hrlaif.study import Variant, read_items
from hrlaif.study.agreement import agreement, baselines, breakdown, raters
from hrlaif.study.labels import Labels, ask
from hrlaif.study.pairs import halves
from hrlaif.study.ranking import ranking
from hrlaif.study.shown_agreement import ranking as shown
from hrlaif.study.sweep import Halves, chosen, table

from .conftest import labels, make


def test_votes_of_raters_are_read_and_their_mean_is_peoples_preference(write):
    row = {"prompt": "q", "responses": ["aa", "b"]}
    path = write(
        "p.jsonl",
        [
            {**row, "id": "1", "votes": {"ann": 1, "bob": 0, "eve": 1}},
            {**row, "id": "2", "votes": [1, 0.5], "human_preference": 1.0},
            {**row, "id": "3", "gold_preference": 0.0, "chance": 0.25, "models": ["x", "y"]},
            {**row, "id": "4", "human_preference": 0.5},
        ],
    )
    items = read_items(read_rows(path))
    assert [i.truth for i in items] == [pytest.approx(2 / 3), 1.0, 0.0, 0.5]
    assert items[1].votes == {"rater 1": 1.0, "rater 2": 0.5}
    assert (items[2].chance, items[2].models) == (0.25, ("x", "y"))
    assert [i.decided for i in items] == [True, True, True, False]
    assert [i.weight for i in items] == [1, 1, 4, 1]
    assert items[0].longer == 1.0


def test_a_table_is_read_as_the_same_rows_in_json_lines(write, tmp_path):
    rows = [
        {
            "Id": str(n),
            "Prompt": f"q{n}",
            "Response A": "aa",
            "Response B": f"b{n}",
            "Human preference": 0.75,
            "Chance": 0.5,
            "Raters": 3 if n else 3.0,
            "Votes": {"ann": 1, "bob": None, "eve": 0.25} if n else [1, 0.5],
            "Models": ["m", "n"],
            "Meta": {"n_annotators": 4},
        }
        for n in range(2)
    ]
    rows.append({k: v for k, v in rows[1].items() if k not in ("Raters", "Models", "Votes")})
    rows[2] |= {"Id": "2", "Chance": 1, "Meta": {"n_annotators": 4.0, "models": ["x", "y"]}}
    table = tmp_path / "p.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
            writer.writerow(cells)
    items = read_items(read_rows(write("p.jsonl", rows)))
    assert read_items(read_rows(table)) == items
    assert [i.votes for i in items] == [{"rater 1": 1, "rater 2": 0.5}, {"ann": 1, "eve": 0}, {}]
    assert [i.chance for i in items] == [0.5, 0.5, 1.0]
    assert [i.raters for i in items] == [3, 3, 4]
    assert [i.models for i in items] == [("m", "n"), ("m", "n"), ("x", "y")]


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ({"votes": "yes"}, "votes 'yes'"),
        ({"votes": [2]}, "votes"),
        ({"chance": 0}, "chance 0"),
        ({"raters": 0}, "raters 0"),
        ({"raters": 2.5}, "raters 2.5"),
        ({"votes": {"ann": "yes"}}, "votes {'ann': 'yes'}"),
        ({"Chance": "often"}, "chance 'often'"),
    ],
)
def test_votes_that_are_none_are_refused_with_their_row(write, column, what):
    path = write("p.jsonl", [{"prompt": "q", "responses": ["a", "b"], **column}])
    with pytest.raises(DataError, match=rf"p\.jsonl, line 1: {what}"):
        read_items(read_rows(path))


def test_no_prompt_is_in_both_halves_and_the_seed_moves_them():
    items = make(60, per_prompt=3)
    dev, test = halves(items, seed=0)
    assert {items[n].prompt for n in dev}.isdisjoint({items[n].prompt for n in test})
    assert sorted([*dev, *test]) == list(range(60))
    assert len(dev) == len(test) == 30
    assert halves(items, seed=1)[0] != dev


def test_the_same_question_under_several_ids_is_one_prompt_in_one_half(write):
    path = write(
        "p.jsonl",
        [
            {
                "id": f"{n}/{sample}",
                "prompt": f"Question {n}",
                "prompt_id": f"{n}-{sample}",
                "responses": [f"aa {sample}", "b"],
                "human_preference": 1.0,
            }
            for n in range(20)
            for sample in range(4)
        ],
    )
    items = read_items(read_rows(path))
    assert [i.prompt for i in items[:5]] == ["0-0"] * 4 + ["1-0"]
    dev, test = halves(items, seed=0)
    assert (len(dev), len(test)) == (40, 40)
    asked = [{items[n].comparison.prompt.messages for n in half} for half in (dev, test)]
    assert asked[0].isdisjoint(asked[1])


def test_raters_agree_only_where_two_or_more_are_known_of(write):
    row = {"prompt": "q", "responses": ["aa", "b"]}
    path = write(
        "p.jsonl",
        [
            {**row, "id": "one rater", "human_preference": 1.0},
            {**row, "id": "said to be one", "human_preference": 1.0, "raters": 1},
            {**row, "id": "majority of three", "human_preference": 0.75, "raters": 4},
            {**row, "id": "three", "human_preference": 0.0, "meta": {"n_annotators": 3}},
            {**row, "id": "unread", "human_preference": 0.0, "meta": {"n_annotators": "some"}},
            {**row, "id": "two votes", "votes": [1, 0.5], "human_preference": 1.0},
            {**row, "id": "a vote", "votes": [1]},
        ],
    )
    items = read_items(read_rows(path))
    assert [i.rater_share for i in items] == [None, None, 0.75, 0.0, None, 0.75, None]
    assert [i.unanimous for i in items] == [False, False, False, True, False, False, False]
    answers = [Preference(comparison=i.comparison, prob_a=0.9, labeler="x") for i in items]
    found = agreement(items, answers, seed=0)
    # a is named in all; of the three pairs, 0.75, 0 and 0.75 of the raters prefer it.
    assert found["one_rater"]["value"] == pytest.approx(0.5)
    assert found["ceiling"]["value"] == pytest.approx((0.75 + 1 + 0.75) / 3)
    assert (found["unanimous"]["value"], found["unanimous"]["n"]) == (0.0, 1)
    single = agreement(items[:2], answers[:2], seed=0)
    for name in ("unanimous", "one_rater", "ceiling"):
        assert (single[name]["value"], single[name]["n"]) == (None, 0)


def said(items, right):
    """Labels that are right where `right` says so."""
    return Labels(
        [
            Preference(
                comparison=item.comparison,
                prob_a=item.truth if right(n) else 1 - item.truth,
                labeler="x",
            )
            for n, item in enumerate(items)
        ],
        NO_CALLS,
    )


def test_the_choice_is_made_on_the_dev_half_alone():
    items = make(40)
    parts = Halves(items, *halves(items, seed=0))
    dev = set(parts.dev)
    made = {"on test": said(items, lambda n: n not in dev), "on dev": said(items, dev.__contains__)}
    assert chosen(parts, made, seed=0) == "on dev"
    found = table(parts, made, seed=0)
    assert found["on dev"]["agreement"]["value"] == 0.0
    assert found["on dev"]["agreement_dev"]["value"] == 1.0
    # The paired difference to the first way of asking, on the test half: always worse.
    assert found["on dev"]["against_base"]["difference"]["value"] == -1.0
    assert found["on dev"]["against_base"]["p_holm"] == 2.0**-19
    assert found["on test"]["against_base"] is None


def silent(items, made, keep):
    """The same labels, with no verdict where `keep` is not so."""
    answers = [
        a if keep(n) else Abstention(comparison=i.comparison, labeler="x", reason="no")
        for n, (i, a) in enumerate(zip(items, made.answers, strict=True))
    ]
    return Labels(answers, NO_CALLS)


def test_a_way_that_answers_three_pairs_rightly_is_not_chosen_over_one_right_in_nine_of_ten():
    items = make(100)
    parts = Halves(items, *halves(items, seed=0))
    few = set(parts.dev[:3])
    good = said(items, lambda n: n % 10 > 0)
    made = {"few": silent(items, said(items, lambda n: True), few.__contains__), "good": good}
    assert chosen(parts, made, seed=0) == "good"
    rows = table(parts, made, seed=0)
    assert (rows["few"]["agreement_dev"]["value"], rows["few"]["agreement_dev"]["n"]) == (1.0, 3)
    # Three right, and 47 coins.
    assert rows["few"]["points_dev"]["value"] == pytest.approx((3 + 47 / 2) / 50)
    assert rows["few"]["points_dev"]["n"] == 50


def test_a_silent_way_leaves_the_differences_of_the_others():
    items = make(100)
    parts = Halves(items, *halves(items, seed=0))
    first, right = said(items, lambda n: n % 2 > 0), said(items, lambda n: True)
    half = set(parts.test[:20])
    made = {
        "first": first,
        "right": right,
        "half": silent(items, right, half.__contains__),
        "none": silent(items, right, lambda n: False),
    }
    found = table(parts, made, seed=0)
    gaps = {name: row["against_base"] for name, row in found.items()}
    assert gaps["first"] is None
    assert [gaps[n]["difference"]["n"] for n in ("right", "half", "none")] == [50, 20, 0]
    wrong = [n for n in parts.test if n % 2 == 0]
    assert gaps["right"]["difference"]["value"] == pytest.approx(len(wrong) / 50)
    assert gaps["half"]["difference"]["value"] == pytest.approx(len(half & set(wrong)) / 20)
    assert (gaps["none"]["difference"]["value"], gaps["none"]["p_holm"]) == (None, None)
    # Holm over the two that were tested.
    two = sorted([gaps["right"]["p"], gaps["half"]["p"]])
    assert gaps["right"]["p_holm"] == pytest.approx(2 * two[0])


def test_one_order_is_asked_no_second_time(tmp_path):
    items = [item.comparison for item in make(12)]
    judge = Scripted()
    with Ledger(tmp_path / "l.sqlite") as ledger:
        both = ask(Variant("base", Pairwise()), judge, items, what="x")
        single = ask(Variant("single", Pairwise(single_order=True)), judge, items, what="x")
        assert ledger.totals().calls == 24
    # What the calls behind the labels cost is told of each way, whoever paid them first.
    assert (both.used.calls, single.used.calls) == (24, 12)
    assert single.cost()["prompt_tokens"] < both.cost()["prompt_tokens"]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        again = ask(Variant("base", Pairwise()), judge, items, what="x")
        assert (ledger.hits, ledger.totals().calls) == (24, 24)
    assert again == both


def test_agreement_of_a_judge_never_wrong_is_1_and_its_kappa_too():
    items = [i._replace(raters=3) for i in make(50)]
    found = agreement(items, labels(items, Scripted(accuracy=1.0)), seed=0)
    for name in ("agreement", "kappa", "unanimous", "one_rater", "ceiling"):
        assert found[name]["value"] == 1.0
        assert found[name]["low"] < 1.0
    assert found["same_position"]["value"] == 0.0
    assert found["mass"]["value"] == 1.0


def test_the_longer_response_is_a_baseline_and_lengths_that_differ_little_stand_apart():
    items = [i for i in make(130) if i.longer != 0.5][:120]
    longer = [float(i.longer == i.truth) for i in items]
    found = baselines(items, seed=0)
    assert found["always_longer"]["value"] == pytest.approx(sum(longer) / 120, abs=0.02)
    answers = said(items, lambda n: items[n].longer == items[n].truth).answers
    parts = breakdown(items, answers, seed=0)
    groups = parts["by_length"]
    assert list(groups) == ["nearly equal", "somewhat different", "different", "very different"]
    for group in groups.values():  # a judge of length is always the longer in every group
        assert group["agreement"]["value"] == group["always_longer"]["value"]
        assert 0.1 < group["always_longer"]["value"] < 0.9
        inside = [i for i in items if group["from"] <= round(i.length_difference, 6) <= group["to"]]
        assert group["agreement"]["n"] == len(inside) == pytest.approx(30, abs=3)
    assert groups["nearly equal"]["to"] < groups["very different"]["from"]
    # All labels say 1 or 0: none is surer than another.
    assert list(parts["by_confidence"]) == ["all alike"]


def test_labels_as_sure_are_in_one_part_whichever_side_they_name():
    items = make(80)
    # Float noise: 1 - 0.8526 is 0.14739999999999998, no less sure.
    answers = [
        Preference(comparison=i.comparison, prob_a=0.8526 if n % 2 else 1 - 0.8526, labeler="x")
        for n, i in enumerate(items)
    ]
    found = agreement(items, answers, seed=0)
    assert found["agreement"]["n"] == 80
    assert found["confident_half"] == found["faint_half"]
    assert found["confident_half"]["value"] is None
    mixed = [
        a.model_copy(update={"prob_a": 0.99 if n % 2 else 0.01}) if n < 30 else a
        for n, a in enumerate(answers)
    ]
    parts = breakdown(items, mixed, seed=0)["by_confidence"]
    assert {name: group["agreement"]["n"] for name, group in parts.items()} == {
        "surest": 30, "unsurest": 50,
    }  # fmt: skip
    turned = [i._replace(comparison=i.comparison.swapped()) for i in items]
    others = [
        Preference(comparison=i.comparison, prob_a=1 - a.prob_a, labeler="x")
        for i, a in zip(turned, mixed, strict=True)
    ]
    again = breakdown(turned, others, seed=0)["by_confidence"]
    assert [g["agreement"] for g in again.values()] == [g["agreement"] for g in parts.values()]


def test_raters_who_grade_by_more_than_sides_agree_where_they_lean_to_the_same_one(write):
    rows = [
        {
            "id": str(n), "prompt": f"q{n}", "responses": ["aa", "b"],
            "votes": {"ann": 0.75 if n % 2 else 0.25, "bob": float(n % 2)},
        }
        for n in range(12)
    ]  # fmt: skip
    items = read_items(read_rows(write("graded.jsonl", rows)))
    assert [item.truth for item in items[:2]] == [0.125, 0.875]
    assert all(item.unanimous for item in items)
    answers = [Preference(comparison=i.comparison, prob_a=i.truth, labeler="x") for i in items]
    found = raters(items, answers, seed=0)
    assert found["between_raters"]["value"] == 1.0
    assert found["kappa_raters"]["value"] == pytest.approx(1.0)
    assert found["alpha_with_judge"]["value"] == pytest.approx(1.0)
    told = agreement(items, answers, seed=0)
    assert told["ceiling"]["value"] == told["one_rater"]["value"] == 1.0


def test_single_raters_stand_beside_the_judge_and_beside_one_another():
    # Three raters: two always say the same, the third the opposite.
    items = make(
        40, votes=lambda n: {"ann": 1.0 * (n % 2), "bob": 1.0 * (n % 2), "eve": n % 2 == 0}
    )
    items = [i._replace(votes={k: float(v) for k, v in i.votes.items()}) for i in items]
    answers = [
        Preference(comparison=i.comparison, prob_a=0.9 if n % 2 else 0.1, labeler="x")
        for n, i in enumerate(items)
    ]
    found = raters(items, answers, seed=0)
    assert {n: r["judge"]["value"] for n, r in found["raters"].items()} == {
        "ann": 1.0, "bob": 1.0, "eve": 0.0,
    }  # fmt: skip
    assert {n: r["kappa"]["value"] for n, r in found["raters"].items()} == {
        "ann": 1.0, "bob": 1.0, "eve": -1.0,
    }  # fmt: skip
    assert found["raters"]["ann"]["others"]["value"] == 0.5
    assert found["between_raters"]["value"] == pytest.approx(1 / 3)
    # Three pairs of raters, of kappa 1, -1 and -1.
    assert found["kappa_raters"]["value"] == pytest.approx(-1 / 3)
    # With the judge as a fourth rater, three of four agree: 3 of 6 pairs instead of 1 of 3.
    assert found["alpha_with_judge"]["value"] > found["alpha_raters"]["value"]
    assert raters(make(3), answers[:3], seed=0) == {}


def test_a_judge_never_wrong_ranks_the_models_as_people_do():
    items = make(150)
    found = ranking(items, labels(items, Scripted(accuracy=1.0)), seed=0)
    # It wins what people's favourites win, so no draw of prompts tells the two orders apart.
    tau = {"value": 1.0, "low": None, "high": None, "n": 150}
    assert found["same_order"] == {"alike": 3, "of": 3, "tau": tau}
    assert set(found["by"]) == {
        "people", "people at equal style", "judge", "judge at equal style", "judge, soft",
    }  # fmt: skip
    two = [i._replace(models=("x", "y")) for i in items]
    assert ranking(two, labels(two, Scripted()), seed=0) == {}


def test_an_unsure_judge_that_names_what_people_prefer_ranks_as_steeply_as_they_do():
    items = make(150)
    faint = [
        Preference(comparison=i.comparison, prob_a=0.49 + 0.02 * i.truth, labeler="x")
        for i in items
    ]
    by = ranking(items, faint, seed=0)["by"]
    assert by["judge"] == by["people"]
    assert by["judge at equal style"] == by["people at equal style"]
    best = max(by["people"]["strength"].values(), key=lambda f: f["value"])["value"]
    soft = max(f["value"] for f in by["judge, soft"]["strength"].values())
    assert 0 < soft < 0.05 * best


def test_a_trait_in_which_few_pairs_differ_is_not_asked_for_its_pull():
    def listed(item, n, yes):
        text = "- one\n" * (1 + n % 3) + "# Title"
        b = item.comparison.b.model_copy(update={"text": text} if yes else {})
        return item._replace(comparison=item.comparison.model_copy(update={"b": b}))

    for most, traits in ((9, {"length"}), (10, {"length", "list_items", "headers"})):
        items = [listed(item, n, n < most) for n, item in enumerate(make(150))]
        found = ranking(items, labels(items, Scripted()), seed=0)
        assert set(found["by"]["judge at equal style"]["style"]) == traits
        assert not traits & found["style_left_out"].keys()
        assert found["style_left_out"]["bold"] == "fewer than 10 comparisons differ"


def test_a_judge_of_length_alone_is_not_ranked_at_equal_style():
    items = [item for item in make(150) if item.longer != 0.5]
    of_length = [
        Preference(comparison=i.comparison, prob_a=float(i.length_gap > 0), labeler="x")
        for i in items
    ]
    found = ranking(items, of_length, seed=0)
    assert found["style_left_out"]["length"] == "style tells wins apart: no pull is large enough"
    assert found["by"]["judge at equal style"] == found["by"]["judge"]
    assert found["by"]["people at equal style"]["style"] == {}
    one = {"ranking": found}
    assert ("length", found["style_left_out"]["length"]) in shown(one, Charts())["left_out"]


def test_models_of_which_one_wins_everything_are_not_ranked():
    def won(item):
        better = 1.0 if "x" not in item.models else float(item.models[0] == "x")
        return item.comparison.model_copy(update={"human_preference": better})

    items = [item._replace(comparison=won(item)) for item in make(60)]
    assert ranking(items, labels(items, Scripted(accuracy=1.0)), seed=0) == {}


def test_rules_without_a_judge_are_marked_on_the_same_pairs_as_each_agreement():
    items = [i._replace(raters=2) for i in make(200) if i.longer != 0.5][:120]
    # As people prefer; surest where the first is the better, and silent on every fifth pair.
    answers = silent(
        items,
        Labels(
            [
                Preference(comparison=i.comparison, prob_a=0.9 if i.truth else 0.4, labeler="x")
                for i in items
            ],
            NO_CALLS,
        ),
        lambda n: n % 5,
    ).answers
    told = [i for n, i in enumerate(items) if n % 5]
    sure, unsure = [i for i in told if i.truth], [i for i in told if not i.truth]
    # Of two parts of about the same size: both are whole sets of labels as sure.
    found = agreement(items, answers, seed=0)
    for part, of in (
        ("agreement", told),
        ("unanimous", told),
        ("one_rater", told),
        ("confident_half", sure),
        ("faint_half", unsure),
    ):
        rules = found["baselines"][part]
        longer = sum(i.longer == i.truth for i in of) / len(of)
        assert rules["always_longer"]["value"] == pytest.approx(longer), part
        first = sum(i.truth for i in of) / len(of)
        assert rules["always_first"]["value"] == pytest.approx(first), part
        assert [rule["n"] for rule in rules.values()] == [found[part]["n"]] * 2 == [len(of)] * 2
    assert baselines(items, seed=0)["always_longer"]["n"] == 120
    assert found["baselines"]["agreement"] == baselines(told, seed=0)


def test_one_rater_beside_the_rules_prefers_what_they_name_as_often_as_raters_do():
    items = [i._replace(raters=4) for i in make(40)]
    share = [i.comparison.model_copy(update={"human_preference": 0.75}) for i in items]
    items = [i._replace(comparison=c) for i, c in zip(items, share, strict=True)]
    found = agreement(items, said(items, lambda n: True).answers, seed=0)["baselines"]["one_rater"]
    assert found["always_first"]["value"] == 0.75
    longer = [{1.0: 0.75, 0.5: 0.5, 0.0: 0.25}[i.longer] for i in items]
    assert found["always_longer"]["value"] == pytest.approx(sum(longer) / 40)


def test_a_rater_s_agreement_with_the_judge_stands_beside_the_rules_on_the_same_pairs():
    items = make(60, votes=lambda n: {"ann": float(n % 3 == 0), "bob": 0.5 if n % 2 else 1.0})
    answers = silent(items, said(items, lambda n: True), lambda n: n >= 12).answers
    found = raters(items, answers, seed=0)["raters"]
    kept = items[12:]
    assert found["ann"]["always_first"]["value"] == pytest.approx(16 / 48)
    longer = [0.5 if i.longer == 0.5 else float(i.longer == i.votes["ann"]) for i in kept]
    assert found["ann"]["always_longer"]["value"] == pytest.approx(sum(longer) / 48)
    # Bob calls every second pair a tie.
    bob = [found["bob"][name] for name in ("judge", "always_longer", "always_first")]
    assert [figure["n"] for figure in bob] == [24, 24, 24]
    assert bob[2]["value"] == 1.0
