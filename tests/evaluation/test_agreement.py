"""Agreement with people, on four rows computed by hand."""

import pytest

from hrlaif.evaluation.agreement import agreement
from hrlaif.records import Candidate, Comparison, Evidence, Message, Preference, Prompt
from hrlaif.statistics import right


def row(number, prob_a, human=None, *, orders=None, labeler="pairwise/x", **more):
    evidence = None
    if orders:
        first, second = orders
        flipped = (first - 0.5) * (second - 0.5) < 0
        evidence = Evidence(
            source="logprobs", prob_a_first=first, prob_a_second=second, flipped=flipped
        )
    comparison = Comparison(
        id=str(number),
        prompt=Prompt(id=str(number), messages=(Message(role="user", content="q"),)),
        a=Candidate(text="aaaa"),
        b=Candidate(text="bb"),
        human_preference=human,
        **more,
    )
    return Preference(comparison=comparison, prob_a=prob_a, labeler=labeler, evidence=evidence)


ROWS = [
    row(1, 0.9, 1.0, orders=(0.9, 0.9)),  # right, sure
    row(2, 0.6, 0.0, orders=(0.8, 0.4)),  # wrong, and the orders disagree
    row(3, 0.5, 0.8, orders=(0.7, 0.3)),  # names no winner: half
    row(4, 0.2, 0.3, orders=(0.3, 0.1)),  # right
    row(5, 0.9, 0.5, orders=(0.9, 0.9)),  # people call it a tie: left out
    row(6, 0.9),  # nobody said
]


def test_agreement_of_four_rows_is_right_wrong_half_right():
    found = agreement(ROWS)
    assert (found.overall.value, found.overall.n) == (pytest.approx(2.5 / 4), 4)
    assert (found.human_ties, found.without_reference, found.gold) == (1, 1, 0)


def test_unanimous_rows_are_those_of_0_and_1():
    found = agreement(ROWS)
    assert (found.unanimous.value, found.unanimous.n) == (0.5, 2)


def test_known_answers_are_no_ones_unanimous_word():
    found = agreement([*ROWS, row(7, 0.9, gold_preference=1.0)])
    assert (found.overall.n, found.gold) == (5, 1)
    assert found.unanimous == agreement(ROWS).unanimous
    alone = agreement([row(7, 0.9, gold_preference=1.0)]).unanimous
    assert (alone.value, alone.n) == (None, 0)


def test_the_confident_half_is_the_two_furthest_from_one_half():
    found = agreement(ROWS)
    assert found.confident_half.value == 1.0
    assert found.faint_half.value == 0.25


def test_labels_as_sure_are_all_in_one_half_and_halves_of_them_are_unknown():
    # 1 - 0.8526 is 0.14739999999999998, no less sure than 0.8526.
    rows = [row(n, 0.8526 if n % 2 else 1 - 0.8526, float(n % 3 > 0)) for n in range(12)]
    found = agreement(rows)
    assert found.overall.n == 12
    assert (found.confident_half.value, found.faint_half.n) == (None, 0)
    rows += [row(n, 0.99, 1.0) for n in range(12, 22)]
    found = agreement(rows)
    assert (found.confident_half.n, found.faint_half.n) == (10, 12)


def test_one_order_alone_is_the_mean_over_either_order():
    found = agreement(ROWS)
    # Row 2: one of two orders right; row 3: one of two; rows 1 and 4: both.
    assert found.one_order.value == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert found.both_orders == found.overall
    assert found.same_position.value == pytest.approx(2 / 5)


def test_baselines_that_need_no_judge_stand_beside():
    found = agreement(ROWS)
    # a is always the longer and the first; people prefer it in rows 1 and 3.
    assert found.always_longer.value == found.always_first.value == 0.5


def test_votes_and_rewrites_are_not_judges():
    found = agreement(
        [row(1, 1.0, 1.0, labeler="human/ann"), row(2, 1.0, 1.0, labeler="redteam/x")]
    )
    assert found.overall.n == 0


def test_a_gold_preference_stands_in_for_people_and_is_counted():
    found = agreement([row(1, 0.8, gold_preference=1.0)])
    assert (found.overall.value, found.gold) == (1.0, 1)


def test_a_label_of_one_half_is_half_right_whatever_people_say():
    assert (right(0.5, 1.0), right(0.51, 1.0), right(0.51, 0.2)) == (0.5, 1.0, 0.0)


def test_samples_of_one_prompt_under_ids_of_their_own_are_no_independent_rows():
    def rows(turns):
        made = []
        for n, text in enumerate(turns):
            told = row(n, 0.9, float(n % 8 < 4))
            prompt = Prompt(id=str(n), messages=(Message(role="user", content=text),))
            comparison = told.comparison.model_copy(update={"prompt": prompt})
            made.append(told.model_copy(update={"comparison": comparison}))
        return agreement(made).overall

    # Ten questions of four samples each, as right or wrong as one another.
    ten, forty = rows([f"q{n // 4}" for n in range(40)]), rows([f"q{n}" for n in range(40)])
    assert ten.value == forty.value == 0.5
    assert ten.high - ten.low > 1.5 * (forty.high - forty.low)
