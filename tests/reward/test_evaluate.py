import math

import pytest

from hrlaif.reward.evaluate import held_out, summary


def row(difference, prob_a, *, human=None, category=None):
    return {
        "difference": difference,
        "prob_a": prob_a,
        "human": human,
        "gold": None,
        "category": category,
    }


def test_accuracy_leaves_out_ties_and_counts_by_category():
    rows = [
        row(1.0, 0.9, human=0.0, category="math"),
        row(-1.0, 0.9, category="math"),
        row(2.0, 0.5, human=0.5, category="chat"),
        row(0.0, 0.2, human=0.0),
    ]
    found = summary(rows)
    assert found["accuracy"] == {"right": 1, "n": 3, "value": pytest.approx(1 / 3)}
    assert found["human_accuracy"] == {"right": 0, "n": 2, "value": 0.0}
    assert found["gold_accuracy"] == {"right": 0, "n": 0, "value": None}
    assert found["by_category"]["math"]["accuracy"] == {"right": 1, "n": 2, "value": 0.5}
    assert found["by_category"]["chat"]["accuracy"]["n"] == 0


def test_loss_and_floor_are_means_over_rows():
    found = summary([row(math.log(3), 0.8), row(0.0, 1.0)])
    assert found["loss"] == pytest.approx((0.507404 + math.log(2)) / 2, abs=1e-6)
    assert found["floor"] == pytest.approx(0.500402 / 2, abs=1e-6)


def test_nothing_held_out_has_no_figures():
    assert summary([])["loss"] is None


def test_validation_prompts_are_held_out_and_test_prompts_are_not_used(pairs):
    rows = pairs(2) + pairs(3, split="validation")[2:] + pairs(4, split="test")[3:]
    assert held_out(rows, share=0.5, seed=0) == ([0, 1], [2])


def test_without_validation_prompts_a_seeded_share_of_the_prompts_is_held_out(pairs):
    rows = pairs(10) + pairs(10)  # two rows a prompt
    train, aside = held_out(rows, share=0.2, seed=3)
    assert len(aside) == 4
    prompts = [{rows[i].comparison.prompt.id for i in side} for side in (train, aside)]
    assert not prompts[0] & prompts[1]
    assert held_out(rows, share=0.2, seed=3) == (train, aside)
    assert held_out(rows, share=0.0, seed=3) == (list(range(20)), [])
