"""Does a model on this machine answer as its probabilities say, once, and from the ledger after?"""

import json
import math
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hrlaif.errors import ModelError, UsageError
from hrlaif.llm import Local, Packaged, Scripted, ledger, open_model, packaged
from hrlaif.llm.calls import export
from hrlaif.llm.chat import prompt_ids
from hrlaif.llm.labels import asked_tokens, label_probabilities
from hrlaif.llm.local import unload
from hrlaif.protocols import LanguageModel
from hrlaif.records import Chat, Completion, Unanswered
from hrlaif.settings import Compute, using


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random Llama with one token a byte, saved as any transformers folder."""
    path = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<eos>", pad_token="<pad>"
    )
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    model.save_pretrained(path)
    return path


@pytest.fixture
def local(folder):
    """The folder as a language model, in float32."""
    unload()
    with using(Compute(precision="float32", device="cpu")):
        yield Local(path=str(folder))
    unload()


CHATS = [Chat.user(text) for text in ("Which?", "Which is better, one or ten?", "Hm")]


def _logprob(local, chat, answer):
    """log P(answer | chat) by one plain forward pass over full logits."""
    loaded = local.loaded()
    prompt = prompt_ids(loaded.tokenizer, chat.messages)
    ids = loaded.tokenizer(answer, add_special_tokens=False).input_ids
    with torch.no_grad():
        rows = loaded.model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
    return sum(float(rows[len(prompt) + i - 1, token]) for i, token in enumerate(ids))


def test_one_excludes_ten_and_both_surface_forms_count(local):
    for chat, choice in zip(CHATS, local.choose(CHATS, ["1", "10"]), strict=True):
        ten = sum(math.exp(_logprob(local, chat, form)) for form in ("10", " 10"))
        one = sum(math.exp(_logprob(local, chat, form)) for form in ("1", " 1")) - ten
        assert choice.probabilities == pytest.approx(
            (one / (one + ten), ten / (one + ten)), abs=2e-6
        )
        assert choice.mass == pytest.approx(one + ten, abs=2e-6)
        assert choice.source == "scored"


def test_label_arithmetic_by_hand():
    forms = {(1,): 0, (9, 1): 0, (1, 0): 1}
    assert asked_tokens(forms) == {(): [1, 9], (1,): [0], (9,): [1]}
    logs = {(): {1: math.log(0.5), 9: math.log(0.2)}, (1,): {0: math.log(0.4)}, (9,): {1: 0.0}}
    assert label_probabilities(forms, logs) == pytest.approx([0.5 * 0.6 + 0.2, 0.5 * 0.4])


def test_answers_do_not_depend_on_the_batch(local):
    together = local.choose(CHATS, ["A", "B"])
    with using(Compute(precision="float32", device="cpu", batch_tokens=1)):
        alone = [local.choose([chat], ["A", "B"])[0] for chat in CHATS]
    for a, b in zip(together, alone, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=2e-6)


def test_a_completion_is_verbatim_and_says_how_it_ended(local):
    found = local.generate(CHATS, temperature=1.0, max_tokens=12, seed=3)
    assert found == local.generate(CHATS, temperature=1.0, max_tokens=12, seed=3)
    assert found != local.generate(CHATS, temperature=1.0, max_tokens=12, seed=4)
    for answer in found:
        assert isinstance(answer, Completion)
        assert "<eos>" not in answer.text
        assert (answer.completion_tokens < 12) <= (answer.finish_reason == "stop")


def test_a_new_sample_is_a_new_draw_and_greedy_knows_none(local):
    chats = [Chat.user("Hm", sample=i) for i in range(3)]
    draws = local.generate(chats, temperature=1.0, max_tokens=12)
    assert len({d.text for d in draws}) == 3
    assert len({d.text for d in local.generate(chats, temperature=0.0, max_tokens=12)}) == 1


def test_what_does_not_fit_is_unanswered_with_both_numbers(local):
    long = Chat.user("x" * 300)
    found = local.choose([CHATS[0], long], ["1", "2"])
    assert not isinstance(found[0], Unanswered)
    assert found[1].reason.startswith("too long: ")
    assert found[1].reason.endswith("the context holds 256")
    short = Local(path=local.path, max_context=8).generate(CHATS[:1], temperature=0.0, max_tokens=4)
    assert "the context holds 8" in short[0].reason


def test_an_answer_in_the_ledger_is_found_without_the_weights(local, tmp_path):
    with ledger.Ledger(tmp_path / "ledger.sqlite") as book:
        choices = local.choose(CHATS, ["1", "2"])
        written = local.generate(CHATS, temperature=0.7, max_tokens=8)
        assert book.totals().calls == 6
        unload()
        assert local.choose(CHATS, ["1", "2"]) == choices
        assert local.generate(CHATS, temperature=0.7, max_tokens=8) == written
        assert book.hits == 6
        local.choose(CHATS, ["2", "1"])
        assert book.totals().calls == 9


def test_other_weights_are_another_key(local, folder, tmp_path):
    with ledger.Ledger(tmp_path / "ledger.sqlite") as book:
        local.choose(CHATS[:1], ["1", "2"])
        config = folder / "generation_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"top_k": 7}))
        local.choose(CHATS[:1], ["1", "2"])
        assert book.totals().calls == 2


def test_answers_are_found_where_auto_means_another_precision(local, tmp_path, monkeypatch):
    unload()
    with (
        using(Compute(device="cpu")),
        ledger.Ledger(tmp_path / "ledger.sqlite") as book,
    ):
        monkeypatch.setattr("hrlaif.transformer.load.precision_in_force", lambda *_, **__: "int8")
        there = local.choose(CHATS, ["1", "2"])
        monkeypatch.setattr(
            "hrlaif.transformer.load.precision_in_force", lambda *_, **__: "float32"
        )
        unload()
        assert local.choose(CHATS, ["1", "2"]) == there
        assert book.hits == 3
        with using(Compute(device="cpu", precision="float32")):
            local.choose(CHATS, ["1", "2"])
        assert book.totals().calls == 6


def test_a_call_says_what_computed_it(local, tmp_path):
    with ledger.Ledger(tmp_path / "ledger.sqlite"):
        local.choose(CHATS[:1], ["1", "2"])
    export(tmp_path / "ledger.sqlite", tmp_path / "calls.jsonl")
    assert json.loads((tmp_path / "calls.jsonl").read_text())["request"]["compute"] == "cpu float32"


def test_a_packaged_model_is_known_by_its_weights_wherever_they_lie(folder, tmp_path, monkeypatch):
    fetched = []

    def fetch(name):
        place = packaged.model_cache() / name
        shutil.copytree(folder, place)
        fetched.append(place)
        return place

    monkeypatch.setattr(packaged, "fetch", fetch)
    with ledger.Ledger(tmp_path / "ledger.sqlite") as book:
        for home in ("here", "there"):
            monkeypatch.setenv("HRLAIF_CACHE", str(tmp_path / home))
            Packaged(name="gemma-3-270m").choose(CHATS, ["1", "2"])
        assert (book.totals().calls, book.hits) == (3, 3)
        Packaged(name="qwen2.5-coder-1.5b-instruct").choose(CHATS, ["1", "2"])
        assert book.totals().calls == 6
    names = [str(place.relative_to(tmp_path)) for place in fetched]
    assert names == ["here/models/gemma-3-270m", "there/models/qwen2.5-coder-1.5b-instruct"]


def test_an_unknown_packaged_model_names_the_known_ones():
    with pytest.raises(ModelError, match=r"none of .*gemma-3-270m"):
        Packaged(name="gemma-9").choose(CHATS, ["1", "2"])


def test_int8_and_float32_agree_on_labels(local):
    exact = local.choose(CHATS, ["1", "2"])
    unload()
    with using(Compute(precision="int8", device="cpu")):
        assert local.loaded().precision == "int8"
        for a, b in zip(exact, local.choose(CHATS, ["1", "2"]), strict=True):
            assert a.probabilities[0] == pytest.approx(b.probabilities[0], abs=0.05)


def test_a_model_that_is_not_there_names_the_next_move():
    with pytest.raises(ModelError, match=r"no file .*\.gguf"):
        Local(path="/nowhere/model.gguf").loaded()


def test_each_form_of_the_command_line_opens_its_model():
    assert open_model("local:some/id:x") == Local(path="some/id:x")
    assert open_model("packaged:gemma-3-270m").name == "packaged:gemma-3-270m"
    assert Packaged(name="gemma-3-270m") == open_model("packaged:gemma-3-270m")
    assert open_model("scripted:accuracy=0.9,seed=3") == Scripted(accuracy=0.9, seed=3)
    assert open_model("remote:some-model").name == "remote:some-model"
    assert isinstance(open_model("scripted:"), LanguageModel)


@pytest.mark.parametrize("text", ["gpt-4", "local:", "magic:x", "scripted:fast"])
def test_what_is_no_model_is_refused_with_the_forms(text):
    with pytest.raises(UsageError, match=r"local:PATH|accuracy=0\.8"):
        open_model(text)


@pytest.mark.models
def test_the_packaged_judge_knows_which_answer_is_right():
    judge = Packaged(name="qwen2.5-coder-1.5b-instruct")
    ask = (
        "What is 2+2?\n\nResponse 1: {}\n\nResponse 2: {}\n\n"
        "Which response is better? Answer with 1 or 2 only."
    )
    chats = [Chat.user(ask.format("4", "5")), Chat.user(ask.format("5", "4"))]
    first, second = judge.choose(chats, ["1", "2"])
    assert first.probabilities[0] > second.probabilities[0]
    assert first.mass > 0.5
