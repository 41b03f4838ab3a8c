"""Which labels to check, what checks correct, and what a reward model makes of the labels."""

import numpy as np
import pytest

from hrlaif.llm import Scripted
from hrlaif.records import Preference
from hrlaif.statistics import Calibration
from hrlaif.study.calibrate import calibrated
from hrlaif.study.checks import Checkable, corrected, to_check
from hrlaif.study.learning import Lesson, curve, doubtful, linear, poisoned
from hrlaif.study.worst import disagreements

from .conftest import labels, make


def pool(items, answers, others=()):
    return Checkable.of(items, answers, others=list(others), calibration=None)


def test_rows_to_check_hide_what_judge_and_people_said_and_carry_their_chance():
    items = make(50)
    plan, rows = to_check(pool(items, labels(items, Scripted())), 10, test=items, seed=0)
    assert len(rows) == 10
    assert all(0 < row["chance"] <= 1 for row in rows)
    assert not any({"human_preference", "prob_a", "evidence"} & set(row) for row in rows)
    assert set(plan["strategies"]) == {"random", "doubt", "disagreement"}
    assert to_check(pool([], []), 10, test=[], seed=0) == ({}, [])


def test_the_doubtful_label_is_checked_before_the_sure_one():
    items = make(40)
    answers = [
        Preference(comparison=i.comparison, prob_a=0.51 if n < 10 else 0.999, labeler="x")
        for n, i in enumerate(items)
    ]
    _, rows = to_check(pool(items, answers), 8, test=items, seed=3)
    assert sum(int(row["id"][1:]) < 10 for row in rows) >= 6


def test_variants_that_split_evenly_are_what_disagreement_looks_for():
    items = make(4)
    one = labels(items, Scripted(accuracy=1.0))
    turned = [a.model_copy(update={"prob_a": 1 - a.prob_a}) for a in one]
    found = pool(items, one, [one[:2] + turned[2:]])
    assert found.split.tolist() == [0.0, 0.0, 0.5, 0.5]


def test_no_corrected_share_passes_one_or_zero():
    """Nine right of ten: Student's interval around 0.9 would end at 1.126."""
    items = make(10)
    answers = [
        Preference(
            comparison=item.comparison,
            prob_a=0.75 if (item.truth > 0.5) == (n > 0) else 0.25,
            labeler="x",
        )
        for n, item in enumerate(items)
    ]
    found = corrected(pool(items, answers), 10, seed=0)["all"]["agreement"]
    assert (found["value"], found["high"]) == (pytest.approx(0.9), 1.0)
    assert found["low"] == pytest.approx(0.9 - 2.262157 * 0.1, abs=1e-4)


def test_where_only_some_pairs_have_peoples_word_it_corrects_the_whole():
    items = make(400)
    answers = labels(items, Scripted(accuracy=0.7, seed=5))
    bare = {"human_preference": None}
    some = [
        i if n < 120 else i._replace(comparison=i.comparison.model_copy(update=bare))
        for n, i in enumerate(items)
    ]
    found = corrected(pool(some, answers), 50, seed=0)
    assert (found["people"], found["partly"], found["checked"]) == (120, True, 120)
    assert found["agreement"]["low"] <= 0.7 <= found["agreement"]["high"]
    better = float(np.mean([i.truth for i in items]))
    for name in ("a_is_better", "rogan_gladen"):
        assert found[name]["low"] <= better <= found[name]["high"]
    unequal = [i._replace(chance=0.2 if n % 2 else 0.4) for n, i in enumerate(some)]
    assert "rogan_gladen" not in corrected(pool(unequal, answers), 50, seed=0)


def test_a_check_drawn_in_doubt_and_added_to_what_was_known_stays_unbiased():
    items = make(300)
    answers = labels(items, Scripted(accuracy=0.7, seed=5))
    bare = {"human_preference": None}
    first = [
        i if n < 60 else i._replace(comparison=i.comparison.model_copy(update=bare))
        for n, i in enumerate(items)
    ]
    _, rows = to_check(pool(first, answers), 80, test=first, seed=1)
    assert not {row["id"] for row in rows} & {f"c{n}" for n in range(60)}
    drawn = {row["id"]: row["chance"] for row in rows}
    then = [
        whole._replace(chance=drawn.get(whole.comparison.id))
        if whole.comparison.id in drawn
        else before
        for whole, before in zip(items, first, strict=True)
    ]
    found = corrected(pool(then, answers), 50, seed=0)
    assert (found["people"], found["checked"]) == (140, 140)
    share = np.mean(
        [(a.prob_a > 0.5) == (i.truth == 1) for i, a in zip(items, answers, strict=True)]
    )
    assert found["agreement"]["low"] <= share <= found["agreement"]["high"]


def test_ties_of_people_are_in_no_check():
    items = make(30)
    tied = [
        i._replace(comparison=i.comparison.model_copy(update={"human_preference": 0.5}))
        if n < 5
        else i
        for n, i in enumerate(items)
    ]
    found = corrected(pool(tied, labels(tied, Scripted())), 10, seed=0)
    assert (found["people"], found["partly"]) == (25, False)
    assert found["all"]["checked"] == 25


def taught(count, wrong=0.0, seed=0):
    """Labels of a judge that likes the longer response, as people here do, some turned round."""
    items = []
    for item in make(count, seed=seed):
        truth = {"human_preference": item.longer}
        items.append(item._replace(comparison=item.comparison.model_copy(update=truth)))
    items = [i for i in items if i.decided]
    coins = np.random.default_rng(seed)
    made = [
        Preference(
            comparison=i.comparison,
            prob_a=0.9 if (i.truth == 1.0) ^ (coins.random() < wrong) else 0.1,
            labeler="x",
        )
        for i in items
    ]
    return items, made


def test_a_linear_reward_model_learns_length_from_labels_of_length():
    _, made = taught(200)
    items, test = taught(80, seed=1)
    gaps = linear(made, test)
    assert np.mean([(g > 0) == (i.truth == 1.0) for g, i in zip(gaps, items, strict=True)]) > 0.9


def test_more_labels_teach_more_and_poison_less():
    _, made = taught(160)
    items, _ = taught(120, seed=1)
    lesson = Lesson(made, items)
    grown = curve(lesson, linear, seed=0)
    counts = [int(n) for n in grown]
    assert counts == [round(len(made) * s) for s in (0.125, 0.25, 0.5, 1.0)]
    values = [f["value"] for f in grown.values()]
    assert values[-1] > values[0]
    spoilt = poisoned(lesson, linear, seed=0)
    assert list(spoilt) == ["0", "0.05", "0.1", "0.2", "0.3"]
    assert spoilt["0"]["value"] == values[-1]
    assert spoilt["0.3"]["value"] < spoilt["0"]["value"] - 0.05
    assert curve(Lesson(made[:4], items), linear, seed=0) == {}
    assert poisoned(Lesson(made[:4], items), linear, seed=0) == {}


def test_labels_that_look_flipped_are_mostly_those_that_people_contradict():
    _, made = taught(300, wrong=0.15)
    found = doubtful(made, seed=0)
    assert found["contradicted"]["value"] == pytest.approx(0.15, abs=0.05)
    assert found["rate"]["low"] <= 0.15 <= found["rate"]["high"]
    assert found["likely_contradicted"]["value"] > 0.8
    assert len(found["likely"]) == 20
    assert doubtful(made[:5], seed=0) == {}


def test_disagreements_come_worst_first_and_agreements_not_at_all():
    items = make(3)
    answers = [
        Preference(comparison=i.comparison, prob_a=p if i.truth == 1.0 else 1 - p, labeler="x")
        for i, p in zip(items, (0.4, 0.1, 0.8), strict=True)
    ]
    rows = disagreements(items, answers, most=5)
    assert [(row["id"], row["gap"]) for row in rows] == [("c1", 0.9), ("c0", 0.6)]
    assert disagreements(items, answers, most=1)[0]["people"] == items[1].truth


def test_calibrated_labels_keep_the_raw_ones():
    label = labels(make(1), Scripted())[0]
    found = calibrated(label, {"temperature": Calibration(method="temperature", slope=0.0)})
    assert found.prob_a == label.prob_a
    assert found.evidence.calibrated == {"temperature": 0.5}
