"""Heads that share keys stand in one row: the same states and the same gradients."""

import pytest
import torch

from hrlaif.transformer import attention, folded, forward
from hrlaif.transformer.body import body_of
from hrlaif.transformer.forward import Sequence

ROWS = [Sequence([1, *range(10, 40), *range(k, k + 12)], 31) for k in (50, 60, 70)]


def _gradients(model):
    model.zero_grad()
    forward.token_logprobs(model, ROWS).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3", "mistral"])
def test_states_and_gradients_are_those_of_plain_attention(family, tiny, monkeypatch):
    model = tiny(family)
    body = body_of(model)
    assert attention.kernel(body) == folded.NAME
    monkeypatch.setattr(folded, "times", lambda config, rows: folded.group(config))
    found, pushed = forward.token_logprobs(model, ROWS), _gradients(model)
    attention.refuse(body, folded.NAME, "to compare")
    assert attention.kernel(body) is None
    plain, wanted = forward.token_logprobs(model, ROWS), _gradients(model)
    assert torch.allclose(found, plain, atol=1e-5)
    assert float((pushed - wanted).norm() / wanted.norm()) < 1e-5


def test_as_many_heads_are_folded_as_leave_no_processor_idle(monkeypatch):
    class Config:
        num_attention_heads, num_key_value_heads = 4, 1

    def times(threads, rows):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        return folded.times(Config, rows)

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
    )
    for count in (1, 2):
        found, _ = folded.attend(
            None, query, key, key, mask.repeat(1, 1, count, 1), scaling=8**-0.5
        )
        assert torch.allclose(found, wanted.transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_what_it_would_leave_out_is_refused(name):
    query, mask = torch.ones(1, 2, 3, 4), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=name):
        folded.attend(None, query, query, query, mask, scaling=1.0, **{name: 30.0})
    folded.attend(None, query, query, query, mask, scaling=1.0, **{name: None})
