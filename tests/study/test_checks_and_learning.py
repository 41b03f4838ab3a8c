"""Which labels to check, what checks correct, and what a reward model makes of the labels."""

import json

import numpy as np
import pytest

from hrlaif.labeling import Pairwise
from hrlaif.llm import Scripted
from hrlaif.records import Preference
from hrlaif.statistics import Calibration
from hrlaif.study import learning
from hrlaif.study.agreement import Scored
from hrlaif.study.calibrate import calibrated, quality
from hrlaif.study.checks import Checkable, corrected, to_check
from hrlaif.study.learning import Lesson, curve, doubtful, linear
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


def test_where_others_may_be_ties_those_that_are_known_speak_for_them():
    """Half of the checked pairs are ties; of the others the judge is right in three of four."""
    items, answers = [], []
    for n, item in enumerate(make(200)):
        truth = None if n >= 80 else 0.5 if n % 2 else 1.0
        known = item.comparison.model_copy(update={"human_preference": truth})
        items.append(item._replace(comparison=known))
        sure = 0.55 if n % 2 else 0.8
        p = 1 - sure if n % 8 == 0 else sure
        answers.append(Preference(comparison=known, prob_a=p, labeler="x"))
    found = corrected(pool(items, answers), 10, seed=0)
    assert (found["people"], found["checked"], found["agreement"]["n"]) == (80, 80, 40)
    assert found["agreement"]["value"] == pytest.approx(0.75, abs=0.03)
    assert "rogan_gladen" not in found


def test_everything_checked_is_weighed_by_its_chances():
    """20 pairs of chance 0.1 are right, of 20 of chance 0.5 half: 220 of 240 in all."""
    items, answers = [], []
    for n, item in enumerate(make(40)):
        item = item._replace(chance=0.1 if n < 20 else 0.5)
        truth = item.truth if n < 20 or n % 2 else 1 - item.truth
        items.append(item)
        answers.append(
            Preference(comparison=item.comparison, prob_a=0.5 + 0.3 * (truth - 0.5), labeler="x")
        )
    found = corrected(pool(items, answers), 10, seed=0)
    assert list(found) == ["people", "partly", "all"]
    assert found["all"]["agreement"]["value"] == pytest.approx(220 / 240)


def by_length(count, seed=0):
    """Pairs of which people prefer the longer response, which features can tell."""
    items = []
    for item in make(count, seed=seed):
        truth = {"human_preference": item.longer}
        items.append(item._replace(comparison=item.comparison.model_copy(update=truth)))
    return [i for i in items if i.decided]


def taught(count, wrong=0.0, seed=0):
    """Labels of a judge that likes the longer response, as people here do, some turned round."""
    items = by_length(count, seed)
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


def poisoned(lesson, trainer, shares=(0.05, 0.1, 0.2, 0.3)):
    return learning.poisoned(lesson, trainer, shares=shares, seed=0)


def prompts(items):
    return {item.prompt for item in items}


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
    counts = [int(n) for n in grown["accuracy"]]
    assert counts == [round(len(made) * s) for s in (0.125, 0.25, 0.5, 1.0)]
    values = [f["value"] for f in grown["accuracy"].values()]
    assert values[-1] > values[0]
    spoilt = poisoned(lesson, linear)
    assert list(spoilt) == ["0", "0.05", "0.1", "0.2", "0.3"]
    clean, worst = spoilt["0"], spoilt["0.3"]
    assert clean == {"accuracy": grown["accuracy"][str(len(made))], "difference": None, "turned": 0}
    lost = worst["accuracy"]["value"] - clean["accuracy"]["value"]
    assert worst["difference"]["value"] == pytest.approx(lost)
    assert lost < -0.05
    assert worst["difference"]["high"] < 0
    assert curve(Lesson(made[:4], items), linear, seed=0) == {}
    assert poisoned(Lesson(made[:4], items), linear) == {}
    few = poisoned(Lesson(made[:9], items), linear)  # of nine labels 5 % are none
    assert {share: row["turned"] for share, row in few.items()} == {
        "0": 0, "0.1": 1, "0.2": 2, "0.3": 3,
    }  # fmt: skip


def test_what_needs_no_labels_stands_beside_what_they_teach_on_the_same_pairs():
    _, made = taught(40)
    items, _ = taught(60, seed=1)
    found = curve(Lesson(made, items), linear, seed=0)
    assert found["always_longer"]["value"] == 1.0
    assert found["always_first"]["value"] == pytest.approx(np.mean([i.truth for i in items]))
    sizes = {f["n"] for f in (found["always_longer"], *found["accuracy"].values())}
    assert sizes == {len(items)}


def drawn(monkeypatch, chance):
    """A trainer whose model names what people do in a share of pairs that `chance` draws."""

    def trainer(train, test):
        coins = np.random.default_rng(int(sum(p.prob_a * n for n, p in enumerate(train)) * 1e6))
        right = coins.random(len(test)) < chance(coins)
        return [1.0 if (p.prob_a > 0.5) == r else -1.0 for p, r in zip(test, right, strict=True)]

    monkeypatch.setattr(learning, "linear", trainer)  # drawn as often as the linear one
    return trainer


def widths(spoilt):
    return [one["accuracy"]["high"] - one["accuracy"]["low"] for one in spoilt.values()]


def test_poison_is_known_no_better_than_the_clean_labels_it_spoils(monkeypatch):
    """Means of ten draws of 0.6 vary by a third of what one does; one is what is trained."""
    _, made = taught(60)
    items, _ = taught(100, seed=1)
    trainer = drawn(monkeypatch, lambda coins: 0.6)
    clean, *rest = widths(poisoned(Lesson(made, items), trainer))
    assert min(rest) > 0.9 * clean
    assert clean == pytest.approx(2 * 1.96 * (0.24 / 100) ** 0.5, rel=0.15)


def test_an_interval_holds_what_the_draw_decides(monkeypatch):
    _, made = taught(60)
    items, _ = taught(100, seed=1)
    trainer = drawn(monkeypatch, lambda coins: coins.choice([0.4, 0.9]))
    found = poisoned(Lesson(made, items), trainer)["0.2"]["accuracy"]
    assert found["low"] < 0.45
    assert found["high"] > 0.85


def test_what_a_few_pairs_tell_of_learning_stays_a_share(monkeypatch):
    _, made = taught(60)
    items, _ = taught(4, seed=1)
    trainer = drawn(monkeypatch, lambda coins: 0.6)
    for one in poisoned(Lesson(made, items), trainer).values():
        assert 0.0 <= one["accuracy"]["low"] < one["accuracy"]["high"] <= 1.0
        gap = one["difference"]
        assert gap is None or -1.0 <= gap["low"] < gap["high"] <= 1.0


def test_the_shares_of_poison_are_the_users_in_ascending_order(hrlaif, rows, tmp_path):
    few = ("--judge", "scripted:", "--variants", "base", "--probes", 0)
    hrlaif.here("study", rows(40), "-o", tmp_path, *few, "--poison", "0.15, 0.05,0.15")
    found = json.loads((tmp_path / "study.json").read_text())
    assert list(found["judges"]["scripted"]["poison"]) == ["0", "0.05", "0.15"]
    assert found["about"]["settings"]["poison"] == [0.05, 0.15]
    assert "With 15 % turned round, minus none" in (tmp_path / "study.html").read_text()


@pytest.mark.parametrize("share", ["0", "0.6", "-0.1", "nan", "ten", ""])
def test_a_share_of_poison_that_is_none_or_more_than_half_is_refused(share, hrlaif, rows, tmp_path):
    asked = ("--judge", "scripted:", "--poison", f"0.1,{share}")
    told = hrlaif.here("study", rows(10), "-o", tmp_path / "o", *asked, code=2)
    assert "poison" in told.stderr
    assert f"'{share}'" in told.stderr
    assert not (tmp_path / "o").exists()


def test_poison_that_changes_nothing_seen_may_still_cost_something():
    _, made = taught(60)
    items, _ = taught(40, seed=1)
    found = poisoned(Lesson(made, items), lambda train, test: [1.0] * len(test))
    unseen = 1.96**2 / (len(items) + 1.96**2)
    assert found["0.3"]["difference"]["value"] == 0.0
    assert found["0.3"]["difference"]["low"] == pytest.approx(-unseen, abs=1e-3)
    assert found["0.3"]["difference"]["high"] == pytest.approx(unseen, abs=1e-3)


@pytest.fixture(scope="module")
def scripted():
    """100 judges, each at random wrong about 0.15 of 150 pairs that features tell apart."""
    items, found = by_length(150), []
    single = Pairwise(single_order=True)
    for seed in range(100):
        made = labels(items, Scripted(accuracy=0.85, seed=seed), single)
        found.append(doubtful(made, linear, test=prompts(items), seed=0))
    return found


def test_random_flips_are_in_their_interval_in_at_least_93_of_100_seeds(scripted):
    inside = [f["random_flips"]["low"] <= 0.15 <= f["random_flips"]["high"] for f in scripted]
    assert sum(inside) >= 93
    assert np.mean([f["random_flips"]["high"] for f in scripted]) < 0.3
    assert sum(f["random_flips_at_most"]["high"] >= 0.15 for f in scripted) >= 98


def test_suspects_are_mostly_labels_that_people_contradict(scripted):
    assert np.mean([f["contradicted"]["value"] for f in scripted]) == pytest.approx(0.15, abs=0.02)
    assert np.mean([f["likely_contradicted"]["value"] for f in scripted]) > 0.6
    for found in scripted[:5]:
        margins = [row["margin"] for row in found["suspects"]]
        assert margins == sorted(margins, reverse=True)
        assert margins[-1] > 0
        assert [row["rank"] for row in found["suspects"]] == [*range(1, len(margins) + 1)]


def test_suspects_are_those_of_the_trainer_in_force_which_never_saw_their_prompt():
    items = make(60, per_prompt=3)
    made = labels(items, Scripted(accuracy=1.0))
    made[0] = made[0].model_copy(update={"prob_a": 1 - made[0].prob_a})
    made[1] = made[1].model_copy(update={"prob_a": 0.5})
    calls = []

    def knowing(train, test):
        calls.append([{p.comparison.prompt.id for p in part} for part in (train, test)])
        return [2.5 if p.comparison.human_preference == 1.0 else -2.5 for p in test]

    found = doubtful(made, knowing, test=prompts(items), seed=0)
    assert found["suspects"] == [{"rank": 1, "id": "c0", "margin": 2.5}]
    assert found["likely_contradicted"] == {"value": 1.0, "low": pytest.approx(0.21, abs=0.01),
                                            "high": 1.0, "n": 1}  # fmt: skip
    assert found["held_out"]["value"] == pytest.approx(58 / 59)
    assert len(calls) == found["folds"] == 3
    assert all(not learnt & asked for learnt, asked in calls)
    assert set.union(*(asked for _, asked in calls)) == prompts(items)
    assert doubtful(made[:5], knowing, test=set(), seed=0) == {}
    of_one = [p for p in made if p.comparison.prompt.id == "p0"] * 4
    assert doubtful(of_one, knowing, test=set(), seed=0) == {}


def test_people_are_asked_about_prompts_of_the_test_half_alone():
    items, made = taught(60)
    turned = [p.model_copy(update={"prob_a": 1 - p.prob_a}) for p in made[:30]]
    found = doubtful(turned + made[30:], linear, test=prompts(items[30:]), seed=0)
    assert (found["contradicted"]["value"], found["contradicted"]["n"]) == (0.0, len(items) - 30)


def test_a_judge_that_follows_length_is_not_called_nearly_free_of_noise(hrlaif, rows, tmp_path):
    """Here people do not care for length: half of such labels are wrong, and none at random."""
    judge = "scripted:accuracy=0.5,length_bias=0.4999"
    few = ("--variants", "base", "--probes", 0)
    hrlaif.here("study", rows(120), "-o", tmp_path, "--judge", judge, *few)
    (one,) = json.loads((tmp_path / "study.json").read_text())["judges"].values()
    found, page = one["noise"], (tmp_path / "study.html").read_text()
    assert found["contradicted"]["low"] > 0.3
    assert found["random_flips"]["high"] < 0.15
    assert not any("probability" in row for row in found["suspects"])
    lead = page.index(f"People contradict {100 * found['contradicted']['value']:.1f} %")
    assert lead < page.index("Random flips, which depend on nothing in the responses, are at most")
    assert (
        "more than random flips of the labels account for: the rest are errors of the judge" in page
    )
    assert "such as a taste for length, are invisible here" in page
    assert "log-odds tell the truth" not in page


def test_where_the_model_foretells_no_labels_the_page_says_nothing_of_flips(hrlaif, rows, tmp_path):
    few = ("--variants", "base", "--probes", 0)
    hrlaif.here("study", rows(60), "-o", tmp_path, "--judge", "scripted:accuracy=0.5", *few)
    (one,) = json.loads((tmp_path / "study.json").read_text())["judges"].values()
    assert one["noise"]["held_out"]["low"] < 0.5
    assert one["noise"]["random_flips"]["value"] is None
    page = (tmp_path / "study.html").read_text()
    assert "not shown to be more than a coin does: it says nothing of which are wrong" in page
    assert "Random flips" not in page


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


def test_the_squared_error_of_a_tie_is_a_quarter_and_not_nothing():
    items = make(40)
    ties = [Preference(comparison=i.comparison, prob_a=0.5, labeler="x") for i in items]
    found = quality(Scored.of(items, ties), None, seed=0)
    assert found["brier"]["value"] == 0.25
    assert found["ece"]["value"] == 0.0
    near = [Preference(comparison=i.comparison, prob_a=0.50001, labeler="x") for i in items]
    close = quality(Scored.of(items, near), None, seed=0)["brier"]["value"]
    assert close == pytest.approx(0.25, abs=1e-4)
