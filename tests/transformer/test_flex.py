"""Does FlexAttention say what SDPA says? Its kernel needs a GPU; here it runs uncompiled."""

import pytest
import torch

from hrlaif.settings import Compute, using
from hrlaif.transformer import attention, flex, forward
from hrlaif.transformer.body import body_of
from hrlaif.transformer.forward import Sequence

ROWS = [Sequence([1, *range(10, 40), *range(k, k + 12)], 31) for k in (50, 60, 70)]


@pytest.fixture
def uncompiled():
    with torch.compiler.set_stance("force_eager"):
        yield


def _logprobs(model, way):
    with using(Compute(attention=way)), torch.no_grad():
        return forward.token_logprobs(model, ROWS)


@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3"])
def test_flex_attention_gives_the_log_probabilities_of_sdpa(family, tiny, uncompiled, caplog):
    plain = _logprobs(tiny(family), "sdpa")
    found = _logprobs(tiny(family), "flex")
    assert not caplog.records  # it was not refused
    assert torch.allclose(found, plain, atol=1e-5)


def test_a_model_on_which_flex_attention_failed_goes_on_with_sdpa_and_says_why(tiny, caplog):
    model = tiny("llama")
    attention.refuse(body_of(model), flex.NAME, "no kernel for this head")
    assert torch.equal(_logprobs(model, "flex"), _logprobs(model, "sdpa"))
    assert "LlamaModel does not attend by flex_attention (no kernel for" in caplog.text


def test_on_a_cpu_gradients_stay_with_sdpa(tiny):
    body = body_of(tiny("llama"))
    with using(Compute(attention="flex")):
        assert attention.kernel(body) != flex.NAME
        with torch.no_grad():
            assert attention.kernel(body) == flex.NAME
            attention.refuse(body, flex.NAME, "a reason")
            assert attention.kernel(body) != flex.NAME
