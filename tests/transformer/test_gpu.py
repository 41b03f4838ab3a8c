"""Does a GPU say what a CPU says? In float32; skipped where there is none."""

import copy

import peft
import pytest
import torch

from hrlaif.settings import Compute, using
from hrlaif.transformer import forward
from hrlaif.transformer.body import body_of, evaluating
from hrlaif.transformer.forward import Sequence
from hrlaif.transformer.generate import Sampling, generate
from hrlaif.transformer.load import Loaded
from hrlaif.transformer.prefix import KeptPrefix, begin_prefix
from hrlaif.transformer.table import Table

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),  # PEFT 0.21
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),  # of its compiler, for FlexAttention
]
CLOSE = {"atol": 2e-5, "rtol": 1e-4}
ROWS = [Sequence([1, *range(10, 40), *range(k, k + 12)], 31) for k in (50, 60, 70)]
ROWS += [Sequence([1, 5, 6, *range(20, 20 + n)], 3) for n in (9, 30)]


@pytest.fixture(autouse=True)
def _on_the_gpu():
    with using(Compute(device="cuda", precision="float32")):
        yield


def _adapted(model):
    kinds = ["q_proj", "v_proj", "query_key_value", "c_attn"]
    names = [n for n, _ in model.named_modules() if n.rsplit(".", 1)[-1] in kinds]
    transposed = any(type(m).__name__ == "Conv1D" for m in model.modules())
    more = {"target_modules": names, "init_lora_weights": False, "fan_in_fan_out": transposed}
    config = peft.LoraConfig(r=2, **more)
    torch.manual_seed(3)
    return peft.get_peft_model(model, config)


def _learned(model):
    scores = forward.token_scores(model, ROWS, temperature=0.8)
    weights = torch.linspace(-1, 1, len(scores.logprobs), device=scores.logprobs.device)
    ((scores.logprobs * weights).sum() + (scores.entropies * weights.flip(0)).sum()).backward()
    gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
    return [x.detach().cpu() for x in scores], gradients


@pytest.mark.parametrize("adapters", [False, True])
def test_log_probabilities_and_gradients_are_the_cpu_own(tiny, sharing_family, adapters):
    model = _adapted(tiny(sharing_family)) if adapters else tiny(sharing_family)
    found, gradients = _learned(copy.deepcopy(model).to("cuda"))
    with using(Compute(device="cpu", precision="float32", compile="off")):
        wanted, expected = _learned(model)
    torch.testing.assert_close(found, wanted, **CLOSE)
    torch.testing.assert_close(gradients, expected, **CLOSE)


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma3"])
def test_flex_attention_compiled_gives_what_sdpa_gives_with_gradients(tiny, family, caplog):
    model = tiny(family, hidden=64).to("cuda")  # its kernel takes heads of 16 and more
    wanted, expected = _learned(copy.deepcopy(model))
    with using(Compute(device="cuda", precision="float32", attention="flex")):
        found, gradients = _learned(model)
    assert "does not attend" not in caplog.text
    torch.testing.assert_close(found, wanted, **CLOSE)
    torch.testing.assert_close(gradients, expected, atol=2e-4, rtol=1e-3)


def test_answers_behind_a_kept_prefix_are_the_cpu_own(tiny, sharing_family):
    model = tiny(sharing_family)
    rows, asked = [row.tokens for row in ROWS[:3]], {(): [5, 6], (5,): [7]}
    wanted = forward.next_logprobs(model, rows, asked)
    model, kept = model.to("cuda"), KeptPrefix()
    for _ in range(2):  # the second time from what was kept
        found = forward.next_logprobs(model, rows, asked, kept)
        for path in asked:
            torch.testing.assert_close(found[path].cpu(), wanted[path], **CLOSE)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_what_is_written_is_what_a_cpu_writes(tiny, sharing_family, temperature):
    model, how = tiny(sharing_family), Sampling(temperature, 12, seed=1)
    prompts = [ROWS[0].tokens, ROWS[3].tokens, ROWS[0].tokens, ROWS[4].tokens]

    def written(device):
        loaded = Loaded(model.to(device), None, torch.device(device), "float32", frozenset({2}))
        return generate(loaded, prompts, how, samples=[0, 0, 1, 0], rows=2)

    for one, other in zip(written("cpu"), written("cuda"), strict=True):
        assert one.tokens == other.tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral", "gemma3", "gpt_neox"])
def test_in_16_bits_a_table_reads_only_what_its_rows_hold_and_says_the_same(tiny, family, caplog):
    model = tiny(family).to("cuda", torch.bfloat16)
    body, rows = body_of(model), [list(range(3, 3 + n)) for n in (5, 40, 17)]
    with evaluating(model):
        tables = [Table(body, 3, 64, way) for way in ("flash", "own")]
        for table in tables:
            for place, row in enumerate(rows):
                lengths = torch.tensor([len(row)], device="cuda")
                table.put(begin_prefix(body, row), torch.zeros_like(lengths), [place], lengths)
        for step in range(4):  # the first is computed, the others are replayed
            found, wanted = (table.step([7, 8 + step, 9], [0, 1, 2]) for table in tables)
            torch.testing.assert_close(found, wanted, atol=0.05, rtol=0.05)
        assert Table(body, 1, 4)._way == "flash"
    assert not caplog.text
