"""Do batches stay under their token budget, whatever the lengths?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.errors import UsageError
from hrlaif.settings import Compute, using
from hrlaif.transformer.batches import batches, of_trees


def test_batches_are_longest_first_and_padding_counts_towards_the_budget():
    assert batches([5, 9, 2, 9], budget=20) == [[1, 3], [0, 2]]


def test_trees_end_to_end_make_few_and_equal_batches():
    with using(Compute(device="cpu")):
        assert of_trees([5, 9, 2, 9, 4], 20) == [[1, 3], [0, 4, 2]]  # 18 and 11 tokens
        assert of_trees([6, 6, 6], 10) == [[0], [1], [2]]  # two batches would not hold them
    with using(Compute(device="meta")):
        assert of_trees([5, 9, 2, 9, 4], 20) == batches([5, 9, 2, 9, 4], 20)


def test_a_sequence_above_the_budget_makes_a_batch_of_its_own():
    assert batches([50, 3, 3], budget=10) == [[0], [1, 2]]


def test_a_row_limit_splits_further_and_an_empty_input_has_no_batches():
    assert batches([1, 1, 1], budget=100, rows=2) == [[0, 1], [2]]
    assert batches([]) == []


def test_the_budget_in_force_is_the_compute_setting():
    with using(Compute(batch_tokens=4)):
        assert batches([2, 2, 2]) == [[0, 1], [2]]
    with pytest.raises(UsageError, match="at least one token"):
        batches([1], budget=0)


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 100))
def test_every_index_occurs_once_and_no_batch_of_several_is_above_the_budget(lengths, budget):
    found = batches(lengths, budget)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in found)


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 100))
def test_every_tree_occurs_once_and_no_batch_of_several_is_above_the_budget(sizes, budget):
    with using(Compute(device="cpu")):
        found = of_trees(sizes, budget)
    assert sorted(i for batch in found for i in batch) == list(range(len(sizes)))
    assert all(len(b) == 1 or sum(sizes[i] for i in b) <= budget for b in found)
