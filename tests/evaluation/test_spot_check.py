"""The share that passes, corrected by people: against a judge whose accuracy is known."""

import json

import numpy as np
import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation.spot_check import Seen, Word, judged, passed_share, rows_to_check, word_of
from hrlaif.records import Message, Prompt, Response, Verdict
from hrlaif.rows.files import SourceRow


def seen(said, words=None, *, per_prompt=1):
    """Responses by the probability of harm that a judge gave, and people's word on them."""
    found = []
    for n, p in enumerate(said):
        message = Message(role="user", content=f"Question {n // per_prompt}")
        prompt = Prompt(id=f"p{n // per_prompt}", messages=(message,))
        response = Response(prompt=prompt, text=f"Answer {n}", id=f"r{n}")
        verdict = Verdict(
            id=f"r{n}", check="harmless", passed=bool(p < 0.5), evidence={"prob_harmful": float(p)}
        )
        found.append(Seen(response, verdict, words[n] if words else Word(None)))
    return found


def known_judge(seed):
    """Whether 200 answers are harmful (30 %), and what a judge says that doubts where it errs."""
    rng = np.random.default_rng(seed)
    harmful, coins, strength = rng.random(200) < 0.3, rng.random(200), 0.5 + 0.45 * rng.random(200)
    right = coins < strength + 0.05
    return harmful, np.where(harmful == right, strength, 1 - strength)


@pytest.mark.parametrize("way", ["random", "doubt"])
def test_the_corrected_share_is_in_its_interval_in_at_least_93_percent_of_200_seeds(way):
    inside, as_judged, rogan_gladen, figures = 0, 0, 0, {}
    for seed in range(200):
        harmful, said = known_judge(seed)
        bare = seen(said if way == "doubt" else np.round(said))
        rows = rows_to_check(bare, 80, seed=seed)
        drawn = {int(row["id"][1:]): row["chance"] for row in rows}
        after = [
            one._replace(word=Word(not harmful[n], drawn[n])) if n in drawn else one
            for n, one in enumerate(bare)
        ]
        found = passed_share(after, seed=seed)
        for name in ("judged", "corrected", "rogan_gladen"):
            figures.setdefault(name, []).append(found.get(name))
        inside += found["corrected"]["low"] <= 0.7 <= found["corrected"]["high"]
        as_judged += found["judged"]["low"] <= 0.7 <= found["judged"]["high"]
        assert ("rogan_gladen" in found) == (way == "random")
        if way == "random":
            own = found["rogan_gladen"]
            rogan_gladen += own["low"] <= 0.7 <= own["high"]
    assert inside >= 186
    # The judge, right in 77.5 %, says 0.7 0.775 + 0.3 0.225 = 0.61.
    assert as_judged < 120
    assert way == "doubt" or rogan_gladen >= 186
    for name in ("judged", "corrected", *["rogan_gladen"] * (way == "random")):
        width = np.mean([f["high"] - f["low"] for f in figures[name]])
        assert width < 1.2 * 3.92 * np.std([f["value"] for f in figures[name]], ddof=1), name


@pytest.mark.parametrize("done", [40, 200])
def test_the_first_rows_of_a_check_stand_for_all_that_it_was_drawn_from(done):
    # 400 answers seen before, 0.9 of them harmless; of 400 others, half of them, some of 200 drawn.
    rng = np.random.default_rng(3)
    passes = rng.random(800) < np.where(np.arange(800) < 400, 0.9, 0.5)
    words = [Word(bool(p)) if n < 400 else Word(None) for n, p in enumerate(passes)]
    for n in 400 + rng.permutation(400)[:done]:
        words[n] = Word(bool(passes[n]), 0.5)
    found = passed_share(seen([0.5] * 800, words))["corrected"]
    assert found["low"] <= 0.7 <= found["high"]
    assert abs(found["value"] - 0.7) < 0.06


def test_answers_to_one_prompt_that_share_their_harm_widen_every_interval():
    harmful = np.arange(320) // 8 % 3 == 0
    said = np.where(harmful == (np.random.default_rng(0).random(320) < 0.9), 0.9, 0.1)
    words = [Word(not harm) if n % 2 else Word(None) for n, harm in enumerate(harmful)]
    apart = passed_share(seen(said, words))
    together = passed_share(seen(said, words, per_prompt=8))
    for name in ("judged", "corrected", "rogan_gladen"):
        (low, high), (least, most) = (
            [found[name][end] for end in ("low", "high")] for found in (apart, together)
        )
        assert most - least > 1.15 * (high - low), name


def test_counts_and_shares_by_hand():
    words = [Word(True), Word(False), Word(True), *[Word(None)] * 7]
    found = passed_share(seen([0.1] * 6 + [0.9] * 4, words))
    assert found["judged"]["value"] == 0.6
    counts = [found[name] for name in ("checked", "checked_passed", "checked_agreed")]
    assert counts == [3, 2, 2]
    assert passed_share(seen([0.1] * 4)) == {}


def test_everything_checked_is_people_s_share_and_needs_no_rogan_gladen():
    harmful, said = known_judge(1)
    words = [Word(not harm) for harm in harmful]
    found = passed_share(seen(said, words))
    assert found["corrected"]["value"] == pytest.approx(1 - harmful.mean())
    assert "rogan_gladen" not in found


def test_rows_for_a_person_lie_in_doubt_and_say_nothing_of_the_verdict():
    said = [0.5 if n < 20 else 0.001 for n in range(100)]
    words = [Word(True) if n < 5 else Word(None) for n in range(100)]
    rows = rows_to_check(seen(said, words), 20)
    places = [int(row["id"][1:]) for row in rows]
    assert len(rows) == 20
    assert min(places) >= 5
    assert sum(n < 20 for n in places) >= 8
    assert all(0 < row["chance"] <= 1 for row in rows)
    assert "harmful" not in json.dumps(rows)
    assert not {"passed", "verdict", "evidence"} & set(rows[0])


def test_a_check_that_does_not_say_how_sure_it_is_is_checked_by_lot():
    plain = [
        one._replace(verdict=one.verdict.model_copy(update={"evidence": {}}))
        for one in seen([0.1] * 25 + [0.9] * 25)
    ]
    assert {row["chance"] for row in rows_to_check(plain, 10)} == {0.2}
    assert [one.probability for one in plain[24:26]] == [1.0, 0.0]
    sure = Verdict(id="r", check="same_answer", passed=False, evidence={"confidence": 0.9})
    assert plain[0]._replace(verdict=sure).probability == pytest.approx(0.1)


def test_what_the_check_cannot_tell_is_in_no_share():
    one = seen([0.1])[0]
    silent = Verdict(id="r0", check="harmless", passed=None, reason="empty")
    responses, verdicts = [one.response, one.response], [one.verdict, silent]
    assert len(judged(responses, verdicts, [Word(None)] * 2)) == 1
    assert rows_to_check([], 5) == []


def test_peoples_word_is_true_false_or_nothing():
    def word(**values):
        return word_of(SourceRow("f.csv, row 2", values))

    assert word() == word(human_passed=None) == word(human_passed="") == Word(None)
    assert word(human_passed=False, chance=0.25) == Word(False, 0.25)
    assert word(human_passed="True", chance="0.5") == Word(True, 0.5)
    for bad in ({"human_passed": "yes"}, {"human_passed": 1}, {"chance": 0}, {"chance": "x"}):
        with pytest.raises(DataError, match="row 2"):
            word(**bad)


def test_rows_drawn_at_random_correct_the_share_of_a_judge_that_says_how_sure_it_is():
    values, widths, people, inside, rogan_gladen = [], [], [], 0, 0
    for seed in range(200):
        harmful, said = known_judge(seed)
        bare = seen(said)
        rows = rows_to_check(bare, 80, by="random", seed=seed)
        assert {row["chance"] for row in rows} == {0.4}
        drawn = {int(row["id"][1:]) for row in rows}
        after = [
            one._replace(word=Word(not harmful[n], 0.4)) if n in drawn else one
            for n, one in enumerate(bare)
        ]
        found = passed_share(after, seed=seed)
        people.append(1 - harmful.mean())
        values.append(found["corrected"]["value"])
        widths.append(found["corrected"]["high"] - found["corrected"]["low"])
        inside += found["corrected"]["low"] <= 0.7 <= found["corrected"]["high"]
        rogan_gladen += found["rogan_gladen"]["low"] <= 0.7 <= found["rogan_gladen"]["high"]
    assert inside >= 186
    assert rogan_gladen >= 186
    # As wide as the estimate scatters, and no wider; and right on average.
    assert np.mean(widths) < 1.2 * 3.92 * np.std(values, ddof=1)
    assert abs(np.mean(np.subtract(values, people))) < 0.01


def test_rows_drawn_at_random_lie_in_doubt_no_more_often_than_any_others():
    said = [0.5 if n < 50 else 0.001 for n in range(100)]
    for by, least, most in (("random", 12, 28), ("doubt", 32, 40)):
        rows = rows_to_check(seen(said), 40, by=by)
        assert least <= sum(int(row["id"][1:]) < 50 for row in rows) <= most, by
