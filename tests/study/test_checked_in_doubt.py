"""Pairs that people were asked about more often where the judge doubts, weighed by their chance."""

import json

import numpy as np
import pytest

from hrlaif.llm.call import NO_CALLS
from hrlaif.records import Preference
from hrlaif.rows import read_rows
from hrlaif.statistics.checking import chances, doubt, draw
from hrlaif.study.agreement import Scored, agreement, baselines, breakdown
from hrlaif.study.calibrate import calibrate
from hrlaif.study.checks import Checkable, corrected
from hrlaif.study.labels import Labels
from hrlaif.study.pairs import as_far_as_done, halves, read_items
from hrlaif.study.sweep import Halves, against_longer, chosen, table

from .conftest import make

FAINT, SURE = 0.55, 0.95


def doubted(items, seed, budget):
    """A judge that is as often right as it says, and a check of its doubtful labels."""
    coins = np.random.default_rng(seed)
    said = np.where(coins.random(len(items)) < 0.5, FAINT, SURE)
    right = coins.random(len(items)) < said
    chance = chances(doubt(said), budget)
    checked = draw(chance, seed=seed)
    rows = [
        (
            items[n]._replace(chance=float(chance[n])),
            float(said[n] if right[n] == (items[n].truth > 0.5) else 1 - said[n]),
        )
        for n in checked
    ]
    return rows, float(right.mean())


def test_agreement_of_doubted_checks_is_in_its_interval_in_at_least_93_of_100_seeds():
    items = make(600)
    inside, errors, plain, width = 0, [], [], 0.0
    for seed in range(100):
        rows, truth = doubted(items, seed, 120)
        found = Scored(rows).share(seed)
        inside += found.low <= truth <= found.high
        width += (found.high - found.low) / 100
        errors.append(found.value - truth)
        bare = Scored([(item._replace(chance=None), p) for item, p in rows])
        plain.append(bare.share(seed).value - truth)
    assert inside >= 93
    assert abs(np.mean(errors)) < 0.01
    assert width < 1.3 * 3.92 * np.std(errors)
    # What the same checks say unweighed: people were asked where the judge errs.
    assert np.mean(plain) < -0.05


def early(*, done):
    """1000 pairs judged before, the judge right in 0.9; of 1000 others, right in 0.5, `done`."""
    items = make(2000)
    rng = np.random.default_rng(5)
    right = rng.random(2000) < np.where(np.arange(2000) < 1000, 0.9, 0.5)
    drawn = 1000 + rng.permutation(1000)[:500]
    for n in range(1000, 2000):
        unseen = items[n].comparison.model_copy(update={"human_preference": None})
        asked = n in drawn[:done]
        items[n] = items[n]._replace(chance=0.5) if asked else items[n]._replace(comparison=unseen)
    said = [0.9 if r == (i.truth > 0.5) else 0.1 for r, i in zip(right, make(2000), strict=True)]
    answers = [
        Preference(comparison=i.comparison, prob_a=p, labeler="x")
        for i, p in zip(items, said, strict=True)
    ]
    return items, answers


@pytest.mark.parametrize("done", [100, 500])
def test_the_first_rows_of_a_check_stand_for_all_that_it_was_drawn_from(done):
    items, answers = early(done=done)
    pool = Checkable.of(items, answers, others=[], calibration=None)
    corrected_ = corrected(pool, 0, seed=0)["agreement"]
    weighed = Scored.of(as_far_as_done(items), answers).share(0).row()
    for found in (corrected_, weighed):
        assert found["low"] <= 0.7 <= found["high"]
        assert abs(found["value"] - 0.7) < 0.04
    assert sum(i.weight for i in as_far_as_done(items) if i.truth is not None) == pytest.approx(2e3)


def test_a_study_weighs_the_first_rows_of_a_check_for_all_that_are_left(hrlaif, write, tmp_path):
    pairs = [
        {
            "id": i.comparison.id,
            "prompt": i.comparison.prompt.messages[0].content,
            "responses": [i.comparison.a.text, i.comparison.b.text],
            "prompt_id": i.prompt,
            **({"human_preference": i.truth} if n < 60 else {}),
            **({"chance": 0.5} if 40 <= n < 60 else {}),
        }
        for n, i in enumerate(make(120))
    ]
    rows = write("some.jsonl", pairs)
    hrlaif.here(
        *("study", rows, "-o", tmp_path / "o", "--judge", "scripted:accuracy=0.8"),
        *("--variants", "base", "--probes", 0),
    )
    found = json.loads((tmp_path / "o" / "study.json").read_text())["judges"]["scripted"]
    # 20 of 80: each stands for four.
    test = halves(read_items(read_rows(rows)), seed=0)[1]
    weights = np.array([4.0 if n >= 40 else 1.0 for n in test if n < 60])
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert found["variants"]["base"]["effective"] == pytest.approx(effective, abs=0.06)


def test_calibration_is_fitted_as_to_all_pairs_and_not_as_to_the_doubted_ones():
    rows, _ = doubted(make(300), 0, 150)
    rows = [(i._replace(chance=0.2 if abs(p - 0.5) > 0.1 else 0.5), p) for i, p in rows]
    # Each stands for 1 / chance: five sure ones, two faint ones.
    whole = [row for row in rows for _ in range(round(row[0].weight))]
    repeated = Scored([(item._replace(chance=None), p) for item, p in whole])
    bare = Scored([(item._replace(chance=None), p) for item, p in rows])
    plain = calibrate(bare, bare, judge="j", labeler="l", seed=0)
    one, other = (
        calibrate(part, part, judge="j", labeler="l", seed=0) for part in (Scored(rows), repeated)
    )
    assert one.figures["slope"] == pytest.approx(other.figures["slope"], abs=1e-4)
    assert abs(plain.figures["slope"] - other.figures["slope"]) > 0.01
    assert one.maps["isotonic"].y == pytest.approx(other.maps["isotonic"].y)
    for way in ("raw", "temperature", "isotonic"):
        for name in ("brier", "ece"):
            found = [fitted.figures[way][name]["value"] for fitted in (one, other)]
            assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_equal_chances_change_no_figure():
    items = make(80, per_prompt=2)
    alike = [i._replace(chance=0.3) for i in items]
    coins = np.random.default_rng(3)
    answers = [
        Preference(comparison=i.comparison, prob_a=float(p), labeler="x")
        for i, p in zip(items, coins.random(80), strict=True)
    ]

    def everything(items):
        parts = Halves(items, range(40), range(40, 80))
        made = {"one": Labels(answers, NO_CALLS), "two": Labels(answers[::-1], NO_CALLS)}
        halves = [Scored.of(parts.of(half), [answers[n] for n in half]) for half in parts[1:]]
        return [
            agreement(items, answers, seed=0),
            breakdown(items, answers, seed=0),
            baselines(items, seed=0),
            table(parts, made, seed=0),
            against_longer(parts, made["one"], seed=0),
            calibrate(*halves, judge="j", labeler="l", seed=0).figures,
        ]

    assert flat(everything(alike)) == pytest.approx(flat(everything(items)), abs=1e-6)
    assert len(flat(everything(items))) > 200


def flat(value):
    """All numbers in it."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for below in value for number in flat(below)]
    return [float(value)] if isinstance(value, int | float) else []


def test_the_choice_weighs_pairs_by_their_chance():
    items = make(20)
    # The first ten were asked about for certain, the others with a chance of a tenth.
    items = [i._replace(chance=0.1) if n >= 10 else i for n, i in enumerate(items)]
    parts = Halves(items, range(20), ())

    def of(right):
        answers = [
            Preference(
                comparison=i.comparison, prob_a=i.truth if right(n) else 1 - i.truth, labeler="x"
            )
            for n, i in enumerate(items)
        ]
        return Labels(answers, NO_CALLS)

    made = {"on the rare": of(lambda n: n < 12), "on the many": of(lambda n: n >= 10)}
    # 10 + 20 of 110, and 100 of 110: by rows it would be 12 against 10.
    assert chosen(parts, made, seed=0) == "on the many"
    row = agreement(items, made["on the rare"].answers, seed=0)
    assert row["agreement"]["value"] == pytest.approx(30 / 110)
    assert row["effective"] == pytest.approx(110**2 / (10 + 10 * 100), abs=0.05)
