"""Trees end to end in one row, heads that share keys in one row: the same states and gradients."""

import pytest
import torch

from hrlaif.transformer import attention, forward, packed
from hrlaif.transformer.body import body_of
from hrlaif.transformer.forward import Sequence
from hrlaif.transformer.packed import Spans

SHARED = [Sequence([1, *range(10, 40), *range(k, k + 12)], 31) for k in (50, 60, 70)]
UNEVEN = [Sequence([*range(k, k + n)], 2) for k, n in ((3, 5), (20, 40), (60, 17), (81, 3))]


def _gradients(model, rows):
    model.zero_grad()
    forward.token_logprobs(model, rows).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("rows", [SHARED, UNEVEN, [*UNEVEN, *SHARED]], ids=len)
@pytest.mark.parametrize("fold", [1, 2])
@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3", "mistral", "gpt2", "gpt_neox"])
def test_states_and_gradients_are_those_of_plain_attention(family, fold, rows, tiny, monkeypatch):
    model = tiny(family)
    body = body_of(model)
    if fold > 1 and family.startswith("gpt"):
        pytest.skip("its heads share no keys")
    assert attention.kernel(body) == packed.NAME
    monkeypatch.setattr(packed, "times", lambda config, rows: fold)
    found, pushed = forward.token_logprobs(model, rows), _gradients(model, rows)
    attention.refuse(body, packed.NAME, "to compare")
    assert attention.kernel(body) is None
    plain, wanted = forward.token_logprobs(model, rows), _gradients(model, rows)
    assert torch.allclose(found, plain, atol=1e-5)
    assert float((pushed - wanted).norm() / wanted.norm()) < 1e-5


def test_padding_is_not_computed(tiny, monkeypatch):
    model = tiny("llama")
    forward.can_share(body_of(model))
    seen = []
    body_of(model).embed_tokens.register_forward_hook(lambda *args: seen.append(args[1][0].shape))
    forward.token_logprobs(model, UNEVEN)
    assert seen == [(1, 68)]  # 65 on the grid; in rows it would be 4 x 40


def test_the_one_row_is_as_wide_as_the_grid_says():
    rows = torch.ones(2, 40, dtype=torch.long)
    packed_row = Spans([40, 27], 40).pack(rows)
    assert packed_row.tolist() == [[1] * 67 + [0]]


def test_spreading_and_its_gradient_are_those_of_slices():
    spans = Spans([2, 3], 4)
    packed_row = torch.arange(10.0).view(1, 1, 5, 2).requires_grad_()
    rows = packed._spread(packed_row, spans)
    assert rows.tolist() == [
        [[[0, 1], [2, 3], [0, 0], [0, 0]]],
        [[[4, 5], [6, 7], [8, 9], [0, 0]]],
    ]
    (rows * torch.arange(16.0).view(2, 1, 4, 2)).sum().backward()
    assert packed_row.grad.tolist() == [[[[0, 1], [2, 3], [8, 9], [10, 11], [12, 13]]]]


def test_as_many_heads_are_folded_as_leave_no_processor_idle(monkeypatch):
    class Config:
        num_attention_heads, num_key_value_heads = 4, 1

    def times(threads, rows):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        return packed.times(Config, rows)

    assert times(2, 4) == 4  # 4 units for 2 processors
    assert times(2, 3) == 2  # 3 would leave one waiting, 6 do not
    assert times(1, 1) == 4
    assert times(64, 4) == 1  # never enough units: as many as there are


def test_the_folded_rows_are_the_heads_of_one_group_in_order():
    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 3, 8)
    mask = torch.ones(3, 3, dtype=torch.bool).tril().expand(2, 1, 3, 3)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key.repeat_interleave(2, 1), key.repeat_interleave(2, 1), attn_mask=mask
    ).transpose(1, 2)
    query, key = (torch.cat([*x], 1)[None] for x in (query, key))  # end to end
    for count in (1, 2):
        with packed.standing(Spans([3, 3], 3)):
            found, _ = packed.attend(
                None, query, key, key, mask.repeat(1, 1, count, 1), scaling=8**-0.5
            )
        assert torch.allclose(found.view(2, 3, 4, 8), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_what_it_would_leave_out_is_refused(name):
    query, mask = torch.ones(1, 2, 3, 4), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    with packed.standing(Spans([3], 3)):
        with pytest.raises(ValueError, match=name):
            packed.attend(None, query, query, query, mask, scaling=1.0, **{name: 30.0})
        packed.attend(None, query, query, query, mask, scaling=1.0, **{name: None})
