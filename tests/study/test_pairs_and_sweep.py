"""Pairs with votes, two halves, and a choice that never sees the half it is reported on."""

import pytest

from hrlaif.errors import DataError
from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.llm.call import NO_CALLS
from hrlaif.llm.ledger import Ledger
from hrlaif.records import Preference
from hrlaif.rows import read_rows
from hrlaif.study import Variant, read_items
from hrlaif.study.agreement import agreement, baselines, breakdown, raters
from hrlaif.study.labels import Labels, ask
from hrlaif.study.pairs import halves
from hrlaif.study.ranking import ranking
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
    assert items[0].longer == 1.0


@pytest.mark.parametrize(
    ("column", "what"),
    [({"votes": "yes"}, "votes 'yes'"), ({"votes": [2]}, "votes"), ({"chance": 0}, "chance 0")],
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
    items = make(50)
    found = agreement(items, labels(items, Scripted(accuracy=1.0)), seed=0)
    for name in ("agreement", "kappa", "unanimous", "one_rater"):
        assert found[name]["value"] == 1.0
    assert found["same_position"]["value"] == 0.0
    assert found["mass"]["value"] == 1.0


def test_the_longer_response_is_a_baseline_and_a_breakdown():
    items = make(120)
    longer = [float(i.longer == i.truth) for i in items]
    found = baselines(items, seed=0)
    assert found["always_longer"]["value"] == pytest.approx(sum(longer) / 120, abs=0.02)
    answers = said(items, lambda n: items[n].longer == items[n].truth).answers
    parts = breakdown(items, answers, seed=0)
    longer, shorter = parts["by_length"].values()
    assert longer["agreement"]["value"] == longer["always_longer"]["value"] == 1.0
    assert shorter["agreement"]["value"] == shorter["always_longer"]["value"] == 0.0
    unequal = sum(i.longer != 0.5 for i in items)
    assert longer["agreement"]["n"] + shorter["agreement"]["n"] == unequal
    assert list(parts["by_confidence"]) == ["surest", "sure", "unsure", "unsurest"]


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
    assert found["raters"]["ann"]["others"]["value"] == 0.5
    assert found["between_raters"]["value"] == pytest.approx(1 / 3)
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
    def listed(item, yes):
        b = item.comparison.b.model_copy(update={"text": "- one\n- two\n# Title"} if yes else {})
        return item._replace(comparison=item.comparison.model_copy(update={"b": b}))

    for most, traits in ((9, {"length"}), (10, {"length", "list_items", "headers"})):
        items = [listed(item, n < most) for n, item in enumerate(make(150))]
        found = ranking(items, labels(items, Scripted()), seed=0)["by"]
        assert set(found["judge at equal style"]["style"]) == traits


def test_models_of_which_one_wins_everything_are_not_ranked():
    def won(item):
        better = 1.0 if "x" not in item.models else float(item.models[0] == "x")
        return item.comparison.model_copy(update={"human_preference": better})

    items = [item._replace(comparison=won(item)) for item in make(60)]
    assert ranking(items, labels(items, Scripted(accuracy=1.0)), seed=0) == {}
