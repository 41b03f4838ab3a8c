"""Does the quick conversion give, tensor for tensor, what transformers reads from the same file?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hrlaif.errors import ModelError

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
transformers = pytest.importorskip("transformers")

import numpy  # noqa: E402

from hrlaif.llm.gguf_folder import check_tokenizer, convert  # noqa: E402
from hrlaif.llm.packaged import PACKAGED, fetch  # noqa: E402

WIDTH, INNER, LAYERS, VOCABULARY = 64, 96, 2, 16
HEAD = 32
QWEN_TOKENS = [*"abcdefghijkl", "ab", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
GEMMA_TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "<end_of_turn>", "▁", *"abcdefghij"]


def tensors(kind: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCABULARY, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for n in range(LAYERS):
        layer: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (WIDTH,),
            "attn_q.weight": (2 * HEAD, WIDTH),
            "attn_k.weight": (HEAD, WIDTH),
            "attn_v.weight": (HEAD, WIDTH),
            "attn_output.weight": (WIDTH, 2 * HEAD),
            "ffn_norm.weight": (WIDTH,),
            "ffn_gate.weight": (INNER, WIDTH),
            "ffn_up.weight": (INNER, WIDTH),
            "ffn_down.weight": (WIDTH, INNER),
        }
        if kind == "qwen2":
            layer |= {"attn_q.bias": (2 * HEAD,), "attn_k.bias": (HEAD,), "attn_v.bias": (HEAD,)}
        else:
            layer |= {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
            layer |= {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}
        shapes |= {f"blk.{n}.{name}": shape for name, shape in layer.items()}
    return shapes | ({"output.weight": (VOCABULARY, WIDTH)} if kind == "qwen2" else {})


def write_tokenizer(writer: Any, kind: str) -> None:
    tokens = QWEN_TOKENS if kind == "qwen2" else GEMMA_TOKENS
    writer.add_tokenizer_model("gpt2" if kind == "qwen2" else "llama")
    writer.add_tokenizer_pre("qwen2" if kind == "qwen2" else "default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<") else 1 for token in tokens])
    if kind == "qwen2":
        writer.add_token_merges(["a b"])
        writer.add_chat_template("{{ messages[0].content }}")
    else:
        writer.add_token_scores([0.0] * len(tokens))
    ids = ("<|endoftext|>", "<|im_end|>", "<|endoftext|>")
    bos, eos, pad = ids if kind == "qwen2" else ("<bos>", "<eos>", "<pad>")
    writer.add_bos_token_id(tokens.index(bos))
    writer.add_eos_token_id(tokens.index(eos))
    writer.add_pad_token_id(tokens.index(pad))


def write_gguf(path: Path, kind: str, more: dict[str, float] | None = None) -> Path:
    """A tiny random model: matrices in Q8_0, Q5_0 and float32, vectors in float32."""
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    if kind == "gemma3":
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
        writer.add_sliding_window(8)
    for key, value in (more or {}).items():
        writer.add_float32(key, value)
    write_tokenizer(writer, kind)
    random = numpy.random.default_rng(0)
    types = gguf.GGMLQuantizationType
    for number, (name, shape) in enumerate(tensors(kind).items()):
        values = random.normal(size=shape).astype(numpy.float32)
        quantisation = (types.Q8_0, types.Q5_0, types.F32)[number % 3]
        if len(shape) == 1 or quantisation == types.F32:
            writer.add_tensor(name, values)
        else:
            packed = gguf.quantize(values, quantisation)
            writer.add_tensor(name, packed, raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def assert_the_same_model(folder: Path, file: Path) -> None:
    load = transformers.AutoModelForCausalLM.from_pretrained
    ours = load(folder, dtype=torch.float32)
    theirs = load(file.parent, gguf_file=file.name, dtype=torch.float32)
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name].bfloat16().float()), name
    mine, other = ours.config.to_dict(), theirs.config.to_dict()
    named = {"_name_or_path", "architectures", "dtype", "rms_norm_eps", "unk_token_id"}
    named |= {"quantization_config", "_model_name_or_path"}
    assert {k: v for k, v in mine.items() if k not in named} == {
        k: v for k, v in other.items() if k not in named
    }
    assert mine["rms_norm_eps"] == pytest.approx(other["rms_norm_eps"])


@pytest.mark.parametrize("kind", ["qwen2", "gemma3"])
def test_every_tensor_is_the_one_transformers_reads_rounded_to_bfloat16(
    tmp_path: Path, kind: str
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", kind)
    convert(file, tmp_path / "folder")
    assert_the_same_model(tmp_path / "folder", file)


@pytest.mark.parametrize(("kind", "ends", "pad"), [("qwen2", [15, 13], 13), ("gemma3", [1, 4], 0)])
def test_every_end_of_text_stops_and_padding_never_does_first(
    tmp_path: Path, kind: str, ends: list[int], pad: int
) -> None:
    convert(write_gguf(tmp_path / "tiny.gguf", kind), tmp_path / "folder")
    config = transformers.GenerationConfig.from_pretrained(tmp_path / "folder")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert (config.eos_token_id, config.pad_token_id) == (ends, pad)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (ends[0], pad)
    assert tokenizer.padding_side == "left"
    assert (tokenizer.chat_template is not None) == (kind == "qwen2")


def test_the_returned_hash_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    hashes = convert(write_gguf(tmp_path / "tiny.gguf", "qwen2"), tmp_path / "folder")
    data = (tmp_path / "folder" / "model.safetensors").read_bytes()
    assert hashes == {"model.safetensors": hashlib.sha256(data).hexdigest()}


def test_a_setting_that_is_not_understood_is_refused_not_dropped(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", "gemma3", {"gemma3.rope.scaling.factor": 8.0})
    with pytest.raises(ModelError, match=r"gemma3\.rope\.scaling\.factor"):
        convert(file, tmp_path / "folder")


def test_a_tokenizer_that_reads_letter_by_letter_is_refused() -> None:
    """transformers 5.17 makes one of Gemma's file, and labels by it look like labels."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], unk_id=0))
    check_tokenizer(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())), "m.gguf")
    with pytest.raises(ModelError, match=r"m\.gguf.*letter by letter.*transformers>=5\.18"):
        check_tokenizer(PreTrainedTokenizerFast(tokenizer_object=letters), "m.gguf")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_bytes(b"these are no weights")
    with pytest.raises(ModelError, match="not a GGUF file"):
        convert(tmp_path / "notes.gguf", tmp_path / "folder")


@pytest.mark.models
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PACKAGED)
def test_the_real_models_are_what_transformers_reads(tmp_path: Path, name: str) -> None:
    def convert_and_compare(file: Path, folder: Path) -> dict[str, str]:
        hashes = convert(file, folder)
        assert_the_same_model(folder, file)
        return hashes

    fetch(name, convert=convert_and_compare, cache=tmp_path)
