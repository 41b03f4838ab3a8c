"""The last MLP computes what is asked: the same states there, and nothing elsewhere."""

import pytest
import torch

from hrlaif.transformer import asked
from hrlaif.transformer.body import body_of

TOKENS = torch.arange(3, 23).view(2, 10)


def _mlp(body):
    return (getattr(body, "layers", None) or body.h)[-1].mlp


@pytest.mark.parametrize("family", ["gemma3", "qwen2", "gpt2", "gpt_neox"])
def test_states_and_gradients_are_those_of_all_where_asked(family, tiny):
    body, index = body_of(tiny(family)), torch.tensor([9, 14, 14, 3])
    seen = []
    _mlp(body).register_forward_hook(lambda *args: seen.append(args[2].flatten(0, 1)))
    weight = body.get_input_embeddings().weight

    def looked_at():
        states = body(input_ids=TOKENS, use_cache=False).last_hidden_state.flatten(0, 1)[index]
        return states, torch.autograd.grad(states.sin().sum(), weight)[0]

    states, gradient = looked_at()
    with asked.only(body, index):
        found, moved = looked_at()
    assert torch.allclose(found, states, atol=1e-5)
    assert torch.allclose(moved, gradient, atol=1e-4)
    assert (seen[0] != 0).any(1).all()
    assert (seen[1] != 0).any(1).nonzero().flatten().tolist() == [3, 9, 14]
    looked_at()
    assert torch.equal(seen[2], seen[0])


def test_where_nearly_all_is_asked_and_where_the_mlp_is_not_known_all_is_computed(tiny):
    for family, index in (("llama", range(18)), ("bloom", [1])):
        body = body_of(tiny(family))
        plain = body(input_ids=TOKENS).last_hidden_state
        with asked.only(body, torch.tensor([*index])):
            assert torch.equal(body(input_ids=TOKENS).last_hidden_state, plain)
