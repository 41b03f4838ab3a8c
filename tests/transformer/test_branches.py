"""Do rows that share a beginning write the same, whether it stands once or in each of them?"""

import pytest
import torch

from hrlaif.transformer import branches, prefill
from hrlaif.transformer.body import body_of, evaluating
from hrlaif.transformer.branches import Branches, Trunks, works
from hrlaif.transformer.cache import NOWHERE, KeyValues
from hrlaif.transformer.forward import next_logprobs
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefill import Beginnings

BEGIN = [5, 9, 11, 30, 31, 8, 7, 60, 61, 62, 13, 14, 15, 70, 71, 72, 73, 90, 91, 92]
UNEVEN = [[*BEGIN, 5 + k, 9, *range(20, 20 + 3 * (k % 4))] for k in range(13)]
HOW = Sampling(max_tokens=14, seed=2)  # twice the window of the tiny models with one
ONCE = {"qwen2", "qwen3", "llama", "mistral", "gemma3", "gpt_neox", "gpt2"}


def _loaded(model, ends=frozenset(range(3, 24))):
    return Loaded(model, None, torch.device("cpu"), "float32", ends)


@pytest.fixture
def always(monkeypatch):
    """However few tokens it saves."""
    monkeypatch.setattr(prefill, "_WORTH", 1)


def _same(found, want):
    for mine, theirs in zip(found, want, strict=True):
        assert (mine.tokens, mine.finish_reason) == (theirs.tokens, theirs.finish_reason)
        assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


def _as_copies(model, prompts, monkeypatch, **more):
    monkeypatch.setattr(prefill, "_WORTH", 10**9)
    return generate(_loaded(model), prompts, HOW, **more)


def test_rows_behind_one_preamble_write_as_from_copies(sharing_family, tiny, always, monkeypatch):
    model = tiny(sharing_family)
    once = "prefix" if sharing_family in ONCE else "nothing"
    assert Beginnings.of(_loaded(model), UNEVEN, keep=False).once == once
    found = generate(_loaded(model), UNEVEN, HOW, rows=4)
    assert len({len(sampled.tokens) for sampled in found}) > 3  # rows end, and others begin
    _same(found, _as_copies(model, UNEVEN, monkeypatch, rows=4))


def test_samples_of_each_prompt_write_as_from_copies(sharing_family, tiny, always, monkeypatch):
    model = tiny(sharing_family)
    prompts = [list(range(3, 12)), [40, 41, 42], list(range(3, 12)), *[list(range(50, 64))] * 5] * 3
    samples = list(range(len(prompts)))
    once = "prompts" if sharing_family in ONCE else "nothing"
    assert Beginnings.of(_loaded(model), prompts, keep=False).once == once
    found = generate(_loaded(model), prompts, HOW, samples=samples, rows=7)
    _same(found, _as_copies(model, prompts, monkeypatch, samples=samples, rows=7))


def test_prompts_with_a_preamble_and_samples_write_as_from_copies(tiny, always, monkeypatch):
    model = tiny("gemma3")
    prompts = [prompt for prompt in UNEVEN[:3] for _ in range(4)]
    assert Beginnings.of(_loaded(model), prompts, keep=False).once == "prompts"
    found = generate(_loaded(model), prompts, HOW, samples=range(12))
    _same(found, _as_copies(model, prompts, monkeypatch, samples=range(12)))


def test_rows_of_uneven_length_are_read_in_bands_and_write_as_by_the_models_own_attention(
    sharing_family, tiny, monkeypatch
):
    model, made, bands = tiny(sharing_family), [], branches._bands
    prompts = [list(range(3, 3 + n)) for n in (60, 41, 22, 9, 8, 5, 3)]
    monkeypatch.setattr(branches, "_BAND", 2)
    monkeypatch.setattr(branches, "_bands", lambda mask: made.append(bands(mask)) or made[-1])
    found = generate(_loaded(model), prompts, HOW, rows=5)
    if sharing_family in ONCE - {"mistral"}:  # which sees a window alone, as long for all rows
        assert max(map(len, made)) == 3
    monkeypatch.setattr(branches, "works", lambda body: False)
    _same(found, generate(_loaded(model), prompts, HOW, rows=5))


def test_every_shared_token_goes_through_the_model_once(tiny):
    model, seen = tiny("qwen2"), []
    works(body_of(model))  # the trial
    conversations = [[*BEGIN, *range(k, k + 16)] for k in (30, 50)]
    orders = [[*c, *x, *y] for c in conversations for x, y in (([3], [4]), ([4], [3]))]
    with evaluating(model):
        begun = Beginnings.of(_loaded(model), orders, keep=False)
        hook = body_of(model).register_forward_pre_hook(
            lambda _, __, given: seen.append(given["input_ids"].numel()), with_kwargs=True
        )
        prefill.prefill(_loaded(model), orders, begun)
        hook.remove()
    assert begun.prefix.length == len(BEGIN)
    assert seen == [2 * (16 + 4)]


def test_a_trunk_without_rows_is_let_go_and_equal_ones_stand_once(tiny):
    body = body_of(tiny("llama"))
    cached = KeyValues(body)
    tokens = torch.arange(3, 15).view(3, 4)
    with evaluating(body):
        cached.extend(tokens, torch.arange(4).expand(3, 4), torch.ones(3, 4, dtype=torch.bool))
    rows, last = torch.tensor([0, 0, 1, 2]), torch.full((4, 1), 3)
    one = Branches(cached.picked(rows, last, last), Trunks.of(cached, 3), rows.tolist())
    some = Branches.join([(one, [0, 1, 3])])
    assert (len(some.trunks.positions), some.of) == (2, [0, 0, 1])
    both = Branches.join([(one, [0, 1, 2]), (one, [3, 2])])
    assert both.trunks.is_same(one.trunks)
    assert both.of == [0, 0, 1, 2, 1]
    apart = Branches.join([(one, [3]), (some, [0])])
    assert (len(apart.trunks.positions), apart.of) == (2, [0, 1])
    keys, want = (x.cache.layers[0].keys for x in (apart.whole([1, 0]), cached))
    assert torch.equal(keys[:, :, :4], want[[0, 2], :, :4])


def test_joined_rows_end_together_and_emptied_parts_hold_nothing(tiny):
    body, parts = body_of(tiny("llama")), []
    with evaluating(body):
        for length in (2, 4):
            row, every = torch.arange(3, 3 + length)[None], torch.ones(1, length, dtype=torch.bool)
            parts.append(KeyValues(body))
            parts[-1].extend(row, torch.arange(length)[None], every)
    short, long = (part.cache.layers[1].values.clone() for part in parts)
    both = KeyValues.join([(part, torch.tensor([0])) for part in parts], emptied=True)
    assert both.positions.tolist() == [[NOWHERE, NOWHERE, 0, 1], [0, 1, 2, 3]]
    values = both.cache.layers[1].values
    assert torch.equal(values[:1, :, 2:4], short[:, :, :2])
    assert torch.equal(values[1:, :, :4], long[:, :, :4])
    assert not any(layer.keys.numel() for part in parts for layer in part.cache.layers)


def test_labels_behind_what_was_written_from_a_trunk_are_those_of_a_plain_pass(tiny, always):
    loaded = _loaded(tiny("gemma3"))
    prompts = [[*row, *range(33, 73)] for row in UNEVEN]  # long enough to be taken from there
    assert Beginnings.of(loaded, prompts, keep=True).once == "prefix"
    written = generate(loaded, prompts, HOW, keep=True)
    rows = [[*p[:-2], 3, *w.tokens, 4] for p, w in zip(prompts, written, strict=True)]
    assert all(loaded.answered.find(row, len(BEGIN)) for row in rows)
    want = next_logprobs(loaded.model, rows, {(): [16, 17]})[()]
    got = next_logprobs(loaded.model, rows, {(): [16, 17]}, loaded.kept, loaded.answered)[()]
    assert torch.allclose(got, want, atol=1e-5)


def test_where_it_does_not_work_rows_are_written_from_copies_and_that_is_said(
    tiny, always, monkeypatch, caplog
):
    def fails(*_):
        raise RuntimeError("no such operator")

    model = tiny("qwen2")
    monkeypatch.setattr(branches, "_flash", fails)
    assert Beginnings.of(_loaded(model), UNEVEN, keep=False).once == "nothing"
    assert "copies of what is shared (RuntimeError: no such operator)" in caplog.text
    assert not works(body_of(tiny("gemma2")))  # its attention has a softcap
