"""Is each shared token computed once, and seen by its own sequences alone?"""

import torch
from hypothesis import given
from hypothesis import strategies as st

from hrlaif.transformer.body import body_of
from hrlaif.transformer.forward import next_logprobs
from hrlaif.transformer.prefix import KeptPrefix
from hrlaif.transformer.tree import groups, micro_batches, plant, size

few = st.lists(st.integers(0, 2), min_size=1, max_size=6)
many = st.lists(few, min_size=1, max_size=6)


def test_a_tree_by_hand():
    forest = plant([[1, 2, 3], [1, 2, 4, 5], [1, 9]])
    assert forest.tokens.tolist() == [[1, 2, 3, 4, 5, 9]]
    assert forest.positions.tolist() == [[0, 1, 2, 2, 3, 1]]
    assert forest.ends.tolist() == [[6, 5, 3, 5, 5, 6]]
    assert forest.columns == [[0, 1, 2], [0, 1, 3, 4], [0, 5]]
    seen = forest.visible()[0].int().tolist()
    assert seen[4] == [1, 1, 0, 1, 1, 0]
    assert seen[5] == [1, 0, 0, 0, 0, 1]


def test_padding_sees_itself_alone_and_nothing_sees_it():
    forest = plant([[5] * 40, [5] * 40 + [6], [7]])
    small = forest.rows[2]
    seen = forest.visible()[small]
    assert seen[0].nonzero().flatten().tolist() == [0]
    assert torch.equal(seen[1:, 1:], torch.eye(len(seen) - 1, dtype=torch.bool))
    assert not seen[0, 1:].any()


@given(many)
def test_every_sequence_stands_in_its_tree_and_sees_itself_alone(rows):
    forest = plant(rows)
    seen = forest.visible()
    for row, tree, columns in zip(rows, forest.rows, forest.columns, strict=True):
        assert forest.tokens[tree, columns].tolist() == row
        assert forest.positions[tree, columns].tolist() == list(range(len(row)))
        for depth, column in enumerate(columns):
            assert seen[tree, column].nonzero().flatten().tolist() == columns[: depth + 1]


@given(many)
def test_a_tree_has_as_many_tokens_as_there_are_different_beginnings(rows):
    beginnings = {tuple(row[: n + 1]) for row in rows for n in range(len(row))}
    assert size(rows) == len(beginnings)


@given(many, st.integers(1, 20))
def test_micro_batches_hold_every_sequence_once_and_no_tree_in_two(rows, budget):
    found = micro_batches(rows, budget)
    assert sorted(i for part in found for i in part) == list(range(len(rows)))
    for tree in groups(rows):
        assert sum(bool(set(tree) & set(part)) for part in found) == 1


def test_sequences_that_share_next_to_nothing_keep_a_tree_each():
    template = [1] * 20
    prompts = [[2] * 300, [3] * 300]
    answers = [[4] * 60, [5] * 60]
    rows = [template + prompt + answer for prompt in prompts for answer in answers]
    assert groups(rows) == [[0, 1], [2, 3]]
    assert size(rows[:2]) == 20 + 300 + 2 * 60


def test_the_beginning_of_a_job_is_computed_once_and_cut_to_what_its_questions_share(tiny):
    model, kept = tiny("gemma3"), KeptPrefix()
    body, preamble = body_of(model), [3 + i % 90 for i in range(40)]
    calls: list[int] = []
    body.register_forward_hook(lambda *_: calls.append(1))

    def ask(*ways):
        rows = [[*preamble, *way] for way in ways]
        found = next_logprobs(model, rows, {(): [5]}, kept)[()][:, 0]
        for row, value in zip(rows, found, strict=True):
            plain = model(torch.tensor([row])).logits[0, -1].log_softmax(-1)[5]
            torch.testing.assert_close(value, plain, atol=1e-5, rtol=1e-5)

    ask([50, 51, 60], [50, 51, 61])  # by chance they share two tokens more
    assert kept.of(body, [[*preamble, 50, 51, 7], [*preamble, 50, 51, 8]], 42).length == 42
    ask([70], [71])
    calls.clear()
    assert kept.of(body, [[*preamble, 80], [*preamble, 81]], 40).length == 40
    assert calls == []
    assert kept.of(body, [[9] * 30 + [1], [9] * 30 + [2]], 30).length == 30
    assert calls == [1]
    assert kept.of(body, [[8, 1], [7, 1]], 1) is None
