"""Does the decode loop write what the model says, whatever else is in the batch?"""

import math
from collections import Counter

import peft
import pytest
import torch

from hrlaif.errors import UsageError
from hrlaif.transformer import generate as decoding
from hrlaif.transformer.draw import _blocks, _likeliest, draw, inverse_cdf
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded

PROMPTS = [[5, 9, 11, 30, 31, 8, 7, 60, 61, 62], [5, 9], [40, 41, 42, 43, 44], [5, 9]]


def _loaded(model, ends=frozenset({2})):
    return Loaded(model, None, torch.device("cpu"), "float32", ends)


@torch.no_grad()
def _next(model, tokens, temperature=1.0):
    return (model(torch.tensor([tokens])).logits[0, -1].float() / temperature).log_softmax(-1)


def test_greedy_tokens_and_logprobs_are_the_model_own_in_each_family(any_model):
    found = generate(_loaded(any_model), PROMPTS, Sampling(temperature=0, max_tokens=12))
    for prompt, sampled in zip(PROMPTS, found, strict=True):
        text = list(prompt)
        for token, logprob in zip(sampled.tokens, sampled.logprobs, strict=True):
            scores = _next(any_model, text)
            assert scores[token] == pytest.approx(float(scores.max()), abs=1e-4)
            assert logprob == pytest.approx(float(scores[token]), abs=1e-4)
            text.append(token)


def test_sampled_logprobs_are_at_the_sampling_temperature_over_the_full_vocabulary(tiny):
    model = tiny("gemma3")
    how = Sampling(temperature=0.6, max_tokens=10, top_k=5)
    for prompt, sampled in zip(PROMPTS, generate(_loaded(model), PROMPTS, how), strict=True):
        text = list(prompt)
        for token, logprob in zip(sampled.tokens, sampled.logprobs, strict=True):
            scores = _next(model, text, 0.6)
            assert token in scores.topk(5).indices
            assert logprob == pytest.approx(float(scores[token]), abs=1e-4)
            text.append(token)


def test_a_row_does_not_depend_on_its_batch_mates(tiny):
    model = _loaded(tiny("llama"))
    how = Sampling(max_tokens=16, seed=4)
    together = generate(model, PROMPTS, how, samples=[0, 0, 0, 1])
    for i, (prompt, sample) in enumerate(zip(PROMPTS, [0, 0, 0, 1], strict=True)):
        alone = generate(model, [prompt], how, samples=[sample])[0]
        assert alone.tokens == together[i].tokens
        assert alone.logprobs == pytest.approx(together[i].logprobs, abs=1e-5)


def test_samples_and_seeds_are_independent_draws_and_repeat(tiny):
    model = _loaded(tiny("qwen2"))
    draws = [
        generate(model, [[5, 9]], Sampling(max_tokens=16, seed=seed), samples=[sample])[0].tokens
        for seed, sample in [(0, 0), (0, 1), (1, 0), (0, 0)]
    ]
    assert draws[0] == draws[3]
    assert draws[0] != draws[1]
    assert draws[0] != draws[2]


def test_every_end_token_ends_a_row_and_stays_in_its_tokens(tiny):
    ends = frozenset(range(3, 40))
    found = generate(
        _loaded(tiny("qwen2"), ends), [[50, 51]] * 40, Sampling(max_tokens=20), samples=range(40)
    )
    assert {len(s.tokens) for s in found} > {1, 2}  # rows end at different steps and are dropped
    for sampled in found:
        assert not ends & set(sampled.tokens[:-1])
        assert (sampled.tokens[-1] in ends) == (sampled.finish_reason == "stop")
        assert len(sampled.tokens) == len(sampled.logprobs)


UNEVEN = [[5 + k, 9, *range(20, 20 + 3 * (k % 4))] for k in range(13)]


def test_where_rows_have_ended_others_begin_and_all_write_as_alone(any_model):
    model, how = _loaded(any_model, frozenset(range(3, 24))), Sampling(max_tokens=15, seed=2)
    found = generate(model, UNEVEN, how, rows=4)
    assert len({len(s.tokens) for s in found}) > 3
    for prompt, sampled in zip(UNEVEN, found, strict=True):
        alone = generate(model, [prompt], how)[0]
        assert (sampled.tokens, sampled.finish_reason) == (alone.tokens, alone.finish_reason)
        assert sampled.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_no_more_rows_are_written_at_once_than_allowed_and_few_stand_idle(tiny, monkeypatch):
    model, how = _loaded(tiny("qwen2"), frozenset(range(3, 24))), Sampling(max_tokens=15, seed=2)
    sizes = []
    monkeypatch.setattr(
        decoding, "draw", lambda m, h, *a, **k: (sizes.append(len(h)), draw(m, h, *a, **k))[1]
    )
    found = generate(model, UNEVEN, how, rows=4)
    lengths = [len(s.tokens) for s in found]
    in_fours = sum(max(lengths[i : i + 4]) for i in range(0, len(lengths), 4))
    assert max(sizes) == 4
    assert len(sizes) < in_fours


def test_the_cache_bounds_how_many_rows_are_written_at_once(tiny, monkeypatch):
    monkeypatch.setattr(decoding, "room", lambda loaded: 60)  # two rows of 30 tokens
    model, how = _loaded(tiny("llama")), Sampling(max_tokens=20, seed=3)
    sizes = []
    monkeypatch.setattr(
        decoding, "draw", lambda m, h, *a, **k: (sizes.append(len(h)), draw(m, h, *a, **k))[1]
    )
    few = generate(model, [[7] * 10] * 5, how, samples=range(5))
    assert max(sizes) == 2
    monkeypatch.undo()
    many = generate(model, [[7] * 10] * 5, how, samples=range(5))
    assert [s.tokens for s in few] == [s.tokens for s in many]


def test_others_begin_where_a_quarter_of_the_rows_that_there_is_room_for_has_ended(
    tiny, monkeypatch
):
    monkeypatch.setattr(decoding, "room", lambda loaded: 8 * 30)  # 8 rows of 30 tokens
    model, how = _loaded(tiny("llama"), frozenset(range(3, 24))), Sampling(max_tokens=20, seed=3)
    begun, next_rows = [], decoding._Queue.next
    monkeypatch.setattr(
        decoding._Queue,
        "next",
        lambda self, busy: begun.append((len(busy), next_rows(self, busy))) or begun[-1][1],
    )
    generate(model, [[7] * 10] * 30, how, samples=range(30))
    groups = [(busy, len(rows)) for busy, rows in begun if rows]
    assert groups[0] == (0, 8)
    assert all(busy <= 6 and busy + count == 8 for busy, count in groups[1:-1])
    assert sum(count for _, count in groups) == 30


def test_frequencies_of_first_tokens_are_the_model_probabilities(tiny):
    model = tiny("gpt2")
    count = 2000
    found = generate(
        _loaded(model), [[7, 8]] * count, Sampling(max_tokens=1), samples=range(count), rows=500
    )
    probabilities = _next(model, [7, 8]).exp()
    seen = Counter(s.tokens[0] for s in found)
    for token in probabilities.topk(5).indices.tolist():
        p = float(probabilities[token])
        assert abs(seen[token] / count - p) < 4 * math.sqrt(p * (1 - p) / count)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT 0.21
def test_the_live_adapted_policy_is_what_writes_and_its_mode_is_put_back(tiny):
    base = tiny("qwen2")
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=4,
        lora_dropout=0.5,
        target_modules=["q_proj", "v_proj", "up_proj"],
        init_lora_weights=False,
    )
    model = peft.get_peft_model(base, config).train()
    sampled = generate(_loaded(model), [[5, 9]], Sampling(temperature=0, max_tokens=4))[0]
    assert model.training
    with model.disable_adapter():
        other = generate(_loaded(model), [[5, 9]], Sampling(temperature=0, max_tokens=4))[0]
    model.eval()
    assert sampled.logprobs[0] == pytest.approx(float(_next(model, [5, 9]).max()), abs=1e-4)
    assert sampled.logprobs != pytest.approx(other.logprobs, abs=1e-4)


def test_the_inverse_of_the_running_sum_is_exact_at_block_borders():
    weights = torch.zeros(1, 1030)
    weights[0, [3, 511, 512, 1029]] = torch.tensor([1.0, 1.0, 1.0, 1.0])
    for uniform, token in [(0.0, 3), (0.24, 3), (0.26, 511), (0.5, 512), (0.76, 1029), (1.0, 1029)]:
        assert inverse_cdf(weights, torch.tensor([uniform])).tolist() == [token]


def test_the_likeliest_token_is_the_first_of_the_largest_in_whichever_block():
    weights = torch.rand(4, 1030, generator=torch.Generator().manual_seed(0))
    weights[1, [511, 512, 1029]] = weights[2, [512, 1029]] = weights[3, 1029] = 1.0
    found = _likeliest(_blocks(weights)).tolist()
    assert found == [int(weights[0].argmax()), 511, 512, 1029]


@pytest.mark.parametrize("how", [Sampling(temperature=-1), Sampling(max_tokens=0)])
def test_impossible_settings_are_refused(tiny, how):
    with pytest.raises(UsageError, match="cannot sample"):
        generate(_loaded(tiny("qwen2")), [[5]], how)
    with pytest.raises(UsageError, match="empty prompt"):
        generate(_loaded(tiny("qwen2")), [[]], Sampling())
