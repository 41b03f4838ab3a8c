"""Checks by people through the whole command, and on pairs that share prompts."""

import json

import pytest

from hrlaif.llm import Scripted
from hrlaif.study.checks import Checkable, corrected, to_check

from .conftest import labels, make

JUDGE = "scripted:accuracy=0.8"


def studied(hrlaif, rows, out, *more, code=0):
    given = ("study", rows, "-o", out, "--judge", JUDGE, "--variants", "base", "--probes", 0)
    done = hrlaif.here(*given, *more, code=code)
    if code:
        return done.stderr
    return json.loads((out / "study.json").read_text())["judges"]["scripted"]


def test_a_budget_of_0_leaves_the_part_out(hrlaif, rows, tmp_path):
    one = studied(hrlaif, rows(24), tmp_path / "o", "--budget", 0)
    assert one["checking"] == {"corrected": {}}
    assert (tmp_path / "o" / "checks" / "scripted.jsonl").read_text() == ""
    assert "Which labels should a person check?" not in (tmp_path / "o" / "study.html").read_text()


def test_with_a_budget_of_0_what_people_checked_already_still_corrects(hrlaif, write, tmp_path):
    pairs = [
        {
            "prompt": i.prompt,
            "responses": [i.comparison.a.text, i.comparison.b.text],
            **({"human_preference": i.comparison.human_preference} if n < 50 else {}),
        }
        for n, i in enumerate(make(60))
    ]
    one = studied(hrlaif, write("some.jsonl", pairs), tmp_path / "o", "--budget", 0)
    assert list(one["checking"]) == ["corrected"]
    assert one["checking"]["corrected"]["partly"]
    page = (tmp_path / "o" / "study.html").read_text()
    assert "Which labels should a person check?" in page
    assert "rows to check" not in page


def test_everything_checked_is_the_agreement_of_the_test_half(hrlaif, rows, tmp_path):
    one = studied(hrlaif, rows(80), tmp_path / "o", "--budget", 30, "--check-by", "random")
    head = one["variants"]["base"]["agreement"]
    found = one["checking"]["corrected"]
    assert found["people"] == head["n"] == 40
    assert found["all"]["agreement"]["value"] == pytest.approx(head["value"])
    assert found["all"]["agreement"]["low"] == pytest.approx(head["low"], abs=0.03)
    assert one["checking"]["budget_test"] == found["random"]["checked"] == 15
    assert "rogan_gladen" not in found["all"]
    assert "rogan_gladen" in found["random"]
    drawn = (tmp_path / "o/checks/scripted.jsonl").read_text().splitlines()
    assert [json.loads(row)["chance"] for row in drawn] == [30 / 80] * 30
    page = (tmp_path / "o" / "study.html").read_text()
    assert "drawn at random. About 15 of so many fall in the test half" in page


def test_an_unknown_way_to_draw_checks_is_told(hrlaif, rows, tmp_path):
    told = studied(hrlaif, rows(4), tmp_path / "o", "--check-by", "taste", code=2)
    assert "check_by" in told
    assert "'random', 'doubt' or 'disagreement'" in told


def split(count):
    """Labels as sure as each other, and another way of asking that turns every other one round."""
    items = make(count)
    answers = labels(items, Scripted(accuracy=1.0))
    turned = [
        a.model_copy(update={"prob_a": 1 - a.prob_a}) if n % 2 else a for n, a in enumerate(answers)
    ]
    return items, Checkable.of(items, answers, others=[turned], calibration=None)


def test_checks_by_disagreement_go_where_the_ways_of_asking_differ():
    items, pool = split(40)
    for by, least, most in (("disagreement", 8, 10), ("random", 2, 8)):
        plan, rows = to_check(pool, 10, by=by, test=items, seed=0)
        assert plan["check_by"] == by
        assert least <= sum(int(row["id"][1:]) % 2 for row in rows) <= most


def test_what_is_planned_is_of_the_checks_that_fall_in_the_test_half():
    items, pool = split(40)
    whole, _ = to_check(pool, 20, test=items, seed=0)
    half, _ = to_check(pool, 20, test=items[20:], seed=0)
    assert (whole["budget_test"], half["budget_test"]) == (20, 10)
    # Every label is 0.88 or 0.12 sure: sd 0.325 by sqrt(chance N), and no spread of confidences.
    for plan, checks in ((whole, 20), (half, 10)):
        found = plan["strategies"]["random"]["half_width"]
        assert found == pytest.approx(1.96 * (0.8808 * 0.1192 / checks) ** 0.5, rel=1e-3)
    shares = whole["strategies"]["random"]
    assert shares["half_width_a_is_better"] > shares["half_width"]
    assert "strategies" not in to_check(pool, 20, test=[], seed=0)[0]


def test_rows_to_check_stand_in_no_order_of_doubt():
    items = make(60)
    answers = [
        a.model_copy(update={"prob_a": 0.5 + n / 130})
        for n, a in enumerate(labels(items, Scripted()))
    ]
    pool = Checkable.of(items, answers, others=[], calibration=None)
    _, rows = to_check(pool, 30, test=items, seed=0)
    places = [int(row["id"][1:]) for row in rows]
    first, second = sum(places[:15]) / 15, sum(places[15:]) / 15
    assert places != sorted(places)
    assert abs(first - second) < 12


def test_pairs_of_one_prompt_that_are_right_together_widen_the_interval():
    items = make(80, per_prompt=8)
    answers = [
        a.model_copy(update={"prob_a": 0.8 if (i.truth == 1) == (n // 8 % 3 > 0) else 0.2})
        for n, (i, a) in enumerate(zip(items, labels(items, Scripted()), strict=True))
    ]
    found = corrected(Checkable.of(items, answers, others=[], calibration=None), 40, seed=0)
    agreement = found["all"]["agreement"]
    assert agreement["value"] == pytest.approx(0.6)
    # Six of ten prompts right throughout: t with 9 degrees, sd of a share of ten.
    half = 2.262157 * (0.24 / 9) ** 0.5
    assert agreement["low"] == pytest.approx(0.6 - half, abs=1e-3)


def test_rows_to_check_keep_who_wrote_them():
    items = make(12)
    pool = Checkable.of(items, labels(items, Scripted()), others=[], calibration=None)
    _, rows = to_check(pool, 12, test=items, seed=0)
    written_by = {item.comparison.id: list(item.models) for item in items}
    assert {row["id"]: row["models"] for row in rows} == written_by


def test_pairs_and_their_checks_in_one_file_are_as_many_as_the_pairs(hrlaif, write, tmp_path):
    items = make(60)
    asked = [
        {"id": f"p{n}", "prompt": i.prompt, "responses": [i.comparison.a.text, i.comparison.b.text]}
        for n, i in enumerate(items)
    ]
    known = {f"p{n}": i.comparison.human_preference for n, i in enumerate(items)}
    pairs = [{**row, "human_preference": known[row["id"]]} for row in asked[:20]] + asked[20:]
    first = tmp_path / "first"
    studied(hrlaif, write("pairs.jsonl", pairs), first, "--budget", 20)
    drawn = [
        json.loads(line) for line in (first / "checks/scripted.jsonl").read_text().splitlines()
    ]
    judged = [{**row, "human_preference": known[row["id"]]} for row in drawn[:8]]
    together = write("all.jsonl", [*pairs, *judged, *drawn[8:]])
    studied(hrlaif, together, tmp_path / "second", "--budget", 20)
    found = json.loads((tmp_path / "second" / "study.json").read_text())
    counted = found["pairs"]
    assert (counted["rows"], counted["without_preference"], counted["weighed"]) == (60, 32, 8)
