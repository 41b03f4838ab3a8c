"""Do rows in a table, as on a GPU, say what rows in a growing cache say? Here without its graph."""

import pytest
import torch

from hrlaif.transformer import steps
from hrlaif.transformer.body import body_of
from hrlaif.transformer.cache import KeyValues
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.table import Table, token_bytes

LONG = [5, 9, 11, 30, 31, 8, 7, 60, 61, 62, *range(20, 40)]
PROMPTS = [LONG, [5, 9], [40, 41, 42, 43, 44], [5, 9], [*LONG, 12], [40, 41], [60, 61, 62]]
SAMPLES = [0, 0, 0, 1, 0, 0, 0]


def _written(model, rows, ends=frozenset({2})):
    loaded = Loaded(model, None, torch.device("cpu"), "float32", ends)
    return generate(loaded, PROMPTS, Sampling(0.9, 14), samples=SAMPLES, rows=rows)


@pytest.mark.parametrize("rows", [2, 4, 64])
def test_what_is_written_is_the_same_as_rows_end_and_begin(tiny, sharing_family, rows, monkeypatch):
    model, ends = tiny(sharing_family), frozenset(range(2, 30))  # a third of all tokens end a row
    wanted = _written(model, rows, ends)
    monkeypatch.setattr("hrlaif.transformer.generate.states", steps._in_a_table)
    found = _written(model, rows, ends)
    assert len({len(row.tokens) for row in found}) > 2
    for one, other in zip(found, wanted, strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_a_table_holds_fewer_rows_when_half_have_ended_and_more_when_more_begin(tiny):
    body = body_of(tiny("gemma3"))
    table = Table(body, rows=3, width=12)
    with torch.no_grad():
        cache, tokens = KeyValues(body), torch.tensor([[5, 9], [7, 8], [3, 4]])
        cache.extend(tokens, torch.tensor([[0, 1]] * 3), torch.ones_like(tokens, dtype=torch.bool))
        table.put(cache, [0, 1, 2], torch.tensor([2, 2, 2]))
        first = table.step([10, 11, 12], [0, 1, 2])
        fewer, more = table.moved([2], 1), table.moved([2, 0], 5)
        assert (fewer.rows, more.rows) == (1, 5)
        wanted = table.step([20, 21, 22], [0, 1, 2])
        torch.testing.assert_close(fewer.step([22], [0]), wanted[[2]])
        torch.testing.assert_close(more.step([22, 20], [0, 1]), wanted[[2, 0]])
        row = torch.tensor([[7, 8, 11]])
        torch.testing.assert_close(first[1], body(input_ids=row).last_hidden_state[0, -1])


def test_the_bytes_of_a_token_are_what_its_keys_and_values_take(tiny, sharing_family):
    body = body_of(tiny(sharing_family))
    cache, tokens = KeyValues(body), torch.tensor([[5, 9, 11]])
    with torch.no_grad():
        cache.extend(tokens, torch.tensor([[0, 1, 2]]), torch.ones_like(tokens, dtype=torch.bool))
    kept = [(x[:, :, :3]) for layer in cache.cache.layers for x in (layer.keys, layer.values)]
    assert token_bytes(body) == sum(x.nbytes for x in kept) / 3
