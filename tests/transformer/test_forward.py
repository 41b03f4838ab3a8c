"""Are hidden states and log-probabilities those of the plain computation over full logits?"""

import peft
import pytest
import torch
import transformers

from hrlaif.errors import ModelError, UsageError
from hrlaif.transformer.body import Squash, body_of
from hrlaif.transformer.forward import (
    Sequence,
    hidden_before,
    hidden_last,
    next_logprobs,
    token_logprobs,
    token_scores,
)
from hrlaif.transformer.head import score_rows
from hrlaif.transformer.prefix import can_share, shared_length


def _sequences(shared=20, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randint(3, 97, (count,), generator=generator).tolist()

    prompt = draw(shared)
    return [Sequence(prompt + draw(n), shared + s) for n, s in [(9, 2), (4, 1), (13, 5)]]


def _plain(model, sequences, temperature=1.0):
    """One row at a time over full logits: nothing padded, nothing shared."""
    found, entropies = [], []
    for s in sequences:
        logits = model(torch.tensor([s.tokens])).logits[0].float() / temperature
        rows = logits.log_softmax(-1)
        for i in range(s.start, len(s.tokens)):
            found.append(rows[i - 1, s.tokens[i]])
            entropies.append(-(rows[i - 1].exp() * rows[i - 1]).sum())
    return torch.stack(found), torch.stack(entropies)


def test_logprobs_are_those_of_full_logits_in_each_family(any_model):
    expected, _ = _plain(any_model, _sequences(), temperature=0.7)
    found = token_logprobs(any_model, _sequences(), temperature=0.7)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_shared_tokens_change_nothing_sliding_windows_included(sharing_model):
    expected, entropies = _plain(sharing_model, _sequences())
    assert can_share(body_of(sharing_model))
    with torch.no_grad():
        found = token_scores(sharing_model, _sequences())
    torch.testing.assert_close(found.logprobs, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.entropies, entropies, atol=1e-5, rtol=1e-5)


def test_a_family_without_position_ids_takes_the_plain_path_and_says_so(tiny, caplog):
    model = tiny("bloom")
    with torch.no_grad():
        found = token_logprobs(model, _sequences())
    torch.testing.assert_close(found, _plain(model, _sequences())[0], atol=1e-5, rtol=1e-5)
    assert "takes no position ids" in caplog.text


def test_gradients_are_those_of_full_logits_in_each_family(tiny, sharing_family):
    weights = torch.linspace(-1, 1, 18)
    gradients = []
    for own in (True, False):
        model = tiny(sharing_family)
        scores = token_scores(model, _sequences(), temperature=0.8) if own else None
        logprobs, entropies = scores or _plain(model, _sequences(), temperature=0.8)
        ((logprobs * weights).sum() + (entropies * weights.flip(0)).sum()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=2e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
def test_gradients_reach_adapters_when_the_head_is_adapted_too(tiny):
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    torch.manual_seed(3)
    model = peft.get_peft_model(tiny("qwen2"), config)
    found = token_logprobs(model, _sequences())
    expected, _ = _plain(model, _sequences())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    parameters = [p for p in model.parameters() if p.requires_grad]
    own, plain = (torch.autograd.grad(x.sum(), parameters) for x in (found, expected))
    assert any("lm_head" in name for name in names)
    for a, b in zip(own, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


def test_hidden_states_come_from_before_each_asked_token(tiny):
    model, sequences = tiny("llama"), _sequences()
    states = [model.model(torch.tensor([s.tokens])).last_hidden_state[0] for s in sequences]
    before = torch.cat([h[s.start - 1 : -1] for h, s in zip(states, sequences, strict=True)])
    last = torch.stack([h[-1] for h in states])
    torch.testing.assert_close(hidden_before(model, sequences), before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hidden_last(model, sequences), last, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(hidden_last(model, sequences), last, atol=1e-5, rtol=1e-5)


def test_the_last_state_is_found_by_length_when_the_text_itself_ends_in_the_pad_token(tiny):
    model = tiny("qwen2")
    rows = [Sequence([5, 6, 0, 0], 0), Sequence([5, 6, 7, 8, 9, 10], 0)]
    alone = model.model(torch.tensor([[5, 6, 0, 0]])).last_hidden_state[0, -1]
    torch.testing.assert_close(hidden_last(model, rows)[0], alone, atol=1e-5, rtol=1e-5)


def test_a_reward_body_has_hidden_states_and_no_head(tiny):
    config = tiny("qwen2").config
    config.num_labels = 1
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    assert hidden_last(model, _sequences()).shape == (3, 32)
    with pytest.raises(ModelError, match="no language-model head"):
        token_logprobs(model, _sequences())


def test_next_logprobs_follow_each_row_and_each_continuation(any_model):
    rows = [s.tokens for s in _sequences()]
    found = next_logprobs(any_model, rows, {(): [5, 6], (5,): [7], (5, 6): [8]})
    for i, row in enumerate(rows):
        plain = any_model(torch.tensor([[*row, 5, 6]])).logits[0].float().log_softmax(-1)
        torch.testing.assert_close(found[()][i], plain[-3, [5, 6]], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[(5,)][i], plain[-2, [7]], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[(5, 6)][i], plain[-1, [8]], atol=1e-5, rtol=1e-5)


def test_the_entropy_of_a_uniform_distribution_is_its_log_count():
    head = torch.nn.Linear(4, 10, bias=False)
    head.weight.data.zero_()
    scores = score_rows(head, torch.randn(3, 4), torch.tensor([0, 5, 9]), Squash())
    torch.testing.assert_close(scores.entropies, torch.full((3,), 10.0).log())
    torch.testing.assert_close(scores.logprobs, -torch.full((3,), 10.0).log())


def test_no_token_before_what_is_asked_is_an_error_that_says_so(tiny):
    with pytest.raises(UsageError, match="at least one token must come before"):
        token_logprobs(tiny("llama"), [Sequence([4, 5], 0)])


def test_the_common_prefix_is_the_longest_and_at_most_the_limit():
    assert shared_length([[1, 2, 3], [1, 2, 4], [1, 2, 3, 9]]) == 2
    assert shared_length([[1, 2], [1, 2]], limit=1) == 1
    assert shared_length([[1], [2]]) == 0
