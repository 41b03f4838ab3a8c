"""How does a quantised GGUF file become a folder that transformers loads?

`AutoModelForCausalLM.from_pretrained(gguf_file=...)` gives the same numbers (a test compares every
tensor) but needs 65 s and 4 GB for a 1.5B model on 2 cores, at every load: it reads the header
through slow per-element code, several times, and dequantises 16 rows at a time.
Here the header is read once, a million elements are dequantised at a time, and each tensor is
rounded to bfloat16 and streamed into the file.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hrlaif.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

# Numbers of the GGUF format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
_TEXT, _ARRAY = 8, 9
_ELEMENTS_AT_ONCE = 1 << 20

_CONFIG = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "rope.freq_base": "rope_theta",
}
_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}


class _Kind(NamedTuple):
    """What one architecture does in its own way."""

    model_type: str
    layer_names: dict[str, str]
    ends: tuple[str, ...]  # every token after which a text is over, the tokenizer's own first
    norms_are_one_higher: bool = False


_KINDS = {
    "qwen2": _Kind(
        "qwen2", {**_LAYER, "ffn_norm": "post_attention_layernorm"}, ("<|im_end|>", "<|endoftext|>")
    ),
    "gemma3": _Kind(
        "gemma3_text",
        {
            **_LAYER,
            "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm",
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        ("<eos>", "<end_of_turn>"),
        norms_are_one_higher=True,
    ),
}


class _Packed(NamedTuple):
    """One tensor as it lies in the file."""

    name: str
    shape: tuple[int, ...]
    quantisation: int
    start: int


class _Cursor:
    """Reads the header, front to back."""

    def __init__(self, data: mmap.mmap):
        self.data, self.at = data, 0

    def number(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind: int) -> Any:
        """A number or text; of an array, which only the tokenizer needs, the length."""
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            return self.number(_SCALARS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in _SCALARS:
            self.at += count * struct.calcsize("<" + _SCALARS[inner])
        else:
            for _ in range(count):
                self.value(inner)
        return count


def _header(data: mmap.mmap) -> tuple[dict[str, Any], list[_Packed]]:
    cursor = _Cursor(data)
    if data[:4] != b"GGUF" or struct.unpack_from("<I", data, 4)[0] not in (2, 3):
        raise ModelError("not a GGUF file of version 2 or 3: download it again")
    cursor.at = 8
    tensors, entries = cursor.number("Q"), cursor.number("Q")
    facts = {cursor.text(): cursor.value(cursor.number("I")) for _ in range(entries)}
    packed = []
    for _ in range(tensors):
        name = cursor.text()
        shape = tuple(reversed([cursor.number("Q") for _ in range(cursor.number("I"))]))
        packed.append(_Packed(name, shape, cursor.number("I"), cursor.number("Q")))
    step = facts.get("general.alignment", 32)
    begin = -(-cursor.at // step) * step
    return facts, [tensor._replace(start=begin + tensor.start) for tensor in packed]


def _full_name(name: str, layer_names: dict[str, str]) -> str:
    """`blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    module, _, suffix = name.rpartition(".")
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    if module in outer:
        return f"{outer[module]}.{suffix}"
    block, _, part = module.removeprefix("blk.").partition(".")
    if part not in layer_names:
        raise ModelError(f"this GGUF file has a tensor {name!r} that its architecture has not")
    return f"model.layers.{block}.{layer_names[part]}.{suffix}"


def _bfloat16(data: mmap.mmap, tensor: _Packed, minus: float) -> Tensor:
    """Dequantised in float32, then rounded: the rounding is far below what quantising lost."""
    import numpy
    import torch
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    quantisation = GGMLQuantizationType(tensor.quantisation)
    elements, size = GGML_QUANT_SIZES[quantisation]
    count, step = prod(tensor.shape), _ELEMENTS_AT_ONCE
    raw = numpy.frombuffer(data, numpy.uint8, count // elements * size, tensor.start)
    full = torch.empty(count, dtype=torch.bfloat16)
    for begin in range(0, count, step):
        end = min(begin + step, count)
        blocks = raw[begin // elements * size : end // elements * size]
        # One long row instead of the tensor's many: the same blocks, and 5 to 7 times as fast.
        values = dequantize(blocks.reshape(1, -1), quantisation).reshape(-1)
        full[begin:end] = torch.from_numpy(values - minus if minus else values.copy())
    return full


def _unpacked(data: mmap.mmap, packed: list[_Packed], norm_offset: float) -> Iterator[Tensor]:
    """In order, on every core, at most a few tensors ahead, so that memory stays small."""
    workers = max(2, min(8, os.cpu_count() or 1))
    ahead: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for tensor in packed:
            minus = norm_offset if tensor.name.endswith("norm.weight") else 0.0
            ahead.append(pool.submit(_bfloat16, data, tensor, minus))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _write_weights(data: mmap.mmap, packed: list[_Packed], kind: _Kind, path: Path) -> str:
    """One safetensors file (8 bytes of header length, JSON, data); returns its SHA-256."""
    import torch

    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in packed:
        begin, end = end, end + 2 * prod(tensor.shape)
        row = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": (begin, end)}
        table[_full_name(tensor.name, kind.layer_names)] = row
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (struct.pack("<Q", len(header)), header):
            digest.update(piece)
            file.write(piece)
        for full in _unpacked(data, packed, float(kind.norms_are_one_higher)):
            bits = full.view(torch.uint8).numpy()
            digest.update(bits.data)
            file.write(bits.data)
    return digest.hexdigest()


def _write_config(facts: dict[str, Any], packed: list[_Packed], kind: _Kind, folder: Path) -> None:
    from transformers import AutoConfig

    architecture = facts["general.architecture"]
    own = {key: facts[key] for key in facts if key.startswith(f"{architecture}.")}
    values = {}
    for key, value in own.items():
        if (short := key.removeprefix(f"{architecture}.")) not in _CONFIG:
            raise ModelError(f"this GGUF file sets {key!r}, which hrlaif does not convert")
        # The file holds float32: 1e-6 there reads as 9.999999974752427e-07.
        values[_CONFIG[short]] = float(f"{value:.6g}") if isinstance(value, float) else value
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": values.pop("rope_theta")}
    if kind.model_type == "gemma3_text":
        local = {"rope_type": "default", "rope_theta": 10_000.0}
        rope = {"full_attention": rope, "sliding_attention": local}
    shapes = {tensor.name: tensor.shape for tensor in packed}
    config = AutoConfig.for_model(
        kind.model_type,
        **values,
        rope_parameters=rope,
        vocab_size=shapes["token_embd.weight"][0],
        tie_word_embeddings="output.weight" not in shapes,
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
        dtype="bfloat16",
    )
    stem = type(config).__name__.removesuffix("Config").removesuffix("Text")
    config.architectures = [f"{stem}ForCausalLM"]
    config.save_pretrained(folder)


def check_tokenizer(tokenizer: Any, name: str) -> None:
    """Raises ModelError for the tokenizer that transformers 5.17 makes of Gemma's: all letters.

    With it a model answers, and what it says is worth nothing.
    """
    from transformers import __version__

    if type(tokenizer.backend_tokenizer.model).__name__ == "Unigram":
        raise ModelError(
            f"{name}: transformers {__version__} makes a tokenizer of it that reads letter by "
            "letter: pip install 'transformers>=5.18', and run this again"
        )


def _write_tokenizer(gguf: Path, facts: dict[str, Any], kind: _Kind, folder: Path) -> None:
    """Tokenizer, chat template where the file has one, and where a text ends; sampling neutral."""
    from tokenizers.normalizers import NFC
    from transformers import GemmaTokenizer, GenerationConfig, Qwen2Tokenizer

    # The class by name: AutoTokenizer would read the whole file first, for 12 to 18 s.
    which = GemmaTokenizer if kind.model_type == "gemma3_text" else Qwen2Tokenizer
    tokenizer = which.from_pretrained(gguf.parent, gguf_file=gguf.name, padding_side="left")
    check_tokenizer(tokenizer, gguf.name)
    if which is Qwen2Tokenizer:
        # Qwen's own tokenizer normalises first; a GGUF file cannot say so.
        tokenizer.backend_tokenizer.normalizer = NFC()
    tokenizer.save_pretrained(folder)
    vocabulary = tokenizer.get_vocab()
    GenerationConfig(
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=[vocabulary[token] for token in kind.ends if token in vocabulary],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
    ).save_pretrained(folder)


def convert(gguf: Path, folder: Path) -> dict[str, str]:
    """Writes the folder's files in bfloat16; returns the SHA-256 of those hashed on the way."""
    with gguf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        facts, packed = _header(data)
        architecture = facts["general.architecture"]
        if architecture not in _KINDS:
            raise ModelError(f"{gguf.name} is a {architecture!r}, not one of {sorted(_KINDS)}")
        kind = _KINDS[architecture]
        folder.mkdir(parents=True, exist_ok=True)
        _write_config(facts, packed, kind, folder)
        _write_tokenizer(gguf, facts, kind, folder)
        weights = "model.safetensors"
        return {weights: _write_weights(data, packed, kind, folder / weights)}
