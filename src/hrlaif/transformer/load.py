"""Where does a local model come from? A folder, an adapter folder, a hub id or a .gguf file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from hrlaif.errors import ModelError, UsageError
from hrlaif.progress import say
from hrlaif.settings import compute
from hrlaif.transformer import beside, compiled
from hrlaif.transformer.answered import Answered
from hrlaif.transformer.blocks import to_blocks
from hrlaif.transformer.body import body_of, text_config
from hrlaif.transformer.int8 import is_mostly_linear, to_int8
from hrlaif.transformer.logits import check_logits
from hrlaif.transformer.memory import give_back, keep_on
from hrlaif.transformer.norms import quicken
from hrlaif.transformer.prefix import KeptPrefix

_NARROW = 1024  # hidden size below which 8 bits are no quicker than float32 (measured at 640)
_CODE = "trust_remote_code"
NO_CODE = {_CODE: False}
"""Else transformers asks on the terminal whether to run the Python of a model's folder."""
_FLOATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@final
@dataclass(frozen=True)
class Loaded:
    """A model ready to use, and what goes with it."""

    model: Any
    tokenizer: Any
    device: torch.device
    precision: str
    end_ids: frozenset[int] = field(default_factory=frozenset)
    """Every token that ends a text or a turn."""
    kept: KeptPrefix = field(default_factory=KeptPrefix)
    """What the last questions began with; for frozen models only."""
    answered: Answered = field(default_factory=Answered)
    """The questions that were answered at length last; as above."""

    @property
    def context(self) -> int | None:
        """Tokens that the model's context holds; None where its configuration does not say."""
        config = text_config(self.model)
        for name in ("max_position_embeddings", "n_positions"):
            if getattr(config, name, None):
                return int(getattr(config, name))
        return None

    def within(self, limit: int) -> int:
        """So many tokens, or the model's context where that is less."""
        return min(limit, self.context or limit)


def device_in_force() -> torch.device:
    """`compute().device`; for `auto` the GPU, or the CPU where there is none.

    Never a Mac's `mps`, which has no float64: the draws and sums that need it would fail there.
    """
    name = compute().device
    if name.startswith("cuda") and not torch.cuda.is_available():
        build = "has no CUDA in it" if torch.version.cuda is None else "finds no GPU"
        raise UsageError(
            f"compute.device is {name}, and torch {torch.__version__} {build}: install a CUDA "
            "build (docs/gpu.md), or leave compute.device out"
        )
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision_in_force(device: torch.device, *, train: bool) -> str:
    """`compute().precision`; for `auto` what the device is quick at, by its kind and CPU flags.

    A GPU and a CPU with bfloat16 instructions: bfloat16. Another CPU: float32 to train, and to
    answer int8 where it has 8-bit dot products (`load_causal` keeps narrow models in float32, which
    is as quick for them). int8 is for frozen models on a CPU.
    """
    wanted = compute().precision
    if wanted == "int8" and (train or device.type != "cpu"):
        wanted = "auto"
    if wanted != "auto":
        if wanted not in {"float32", "bfloat16", "int8"}:
            raise UsageError(f"precision {wanted!r} is none of auto, float32, bfloat16, int8")
        return wanted
    if device.type == "cuda":
        return "bfloat16"
    if device.type != "cpu":
        return "float32"
    # mkldnn calls bfloat16 supported on any AVX512 machine, where it is slower than float32.
    if _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported"):
        return "bfloat16"
    return "int8" if not train and _cpu_has("_is_vnni_supported") else "float32"


def _cpu_has(flag: str) -> bool:
    known = getattr(torch.cpu, flag, None)
    return bool(known and known())


def load_causal(path: str | Path, *, train: bool = False) -> Loaded:
    """A causal language model and its tokenizer, dropout off, on the device in force.

    `path`: a folder that transformers loads, a PEFT adapter folder (its base is loaded and the
    adapter put beside it), a hub id, or a .gguf file. What training added to the weights is not
    rounded away (`beside.py`). Raises ModelError naming the next move.
    """
    from hrlaif.llm.chat import end_ids, prepare

    device = device_in_force()
    precision = precision_in_force(device, train=train)
    if compute().threads:
        torch.set_num_threads(compute().threads or 1)
    keep_on(device)
    give_back()
    model, tokenizer = _read(str(path), _FLOATS.get(precision, "auto"))
    if precision == "int8" and not is_mostly_linear(model):
        precision = "bfloat16"
        say(f"  {path}: most of its weights are in no linear layers: bfloat16 instead of int8")
        if model.dtype != torch.bfloat16:
            model, tokenizer = _read(str(path), torch.bfloat16)
    no_dropout(model)
    small = text_config(model).hidden_size < _NARROW
    if precision == "int8" and small and compute().precision == "auto":
        precision = "float32"
        model.float()
    if precision == "int8":
        to_int8(model)
    elif device.type == "cpu" and not train:
        to_blocks(body_of(model))
    model.to(device)
    quicken(model)
    if train:
        compiled.quicken(model)
    model.train(train)
    check_logits(model)
    prepare(tokenizer)
    return Loaded(model, tokenizer, device, precision, frozenset(end_ids(model, tokenizer)))


def quiet() -> None:
    """Silences transformers' own bars and advice; a download from the hub still shows its bar."""
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    enable_progress_bars()


def no_dropout(model: nn.Module) -> None:
    """Sets every dropout to 0: old, new and reference log-probabilities must agree."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def base_of_adapter(path: str | Path) -> str | None:
    """The base model that a PEFT adapter folder names; None for anything else."""
    file = Path(path) / "adapter_config.json"
    if not file.is_file():
        return None
    try:
        base = json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    if not base:
        raise ModelError(f"{file} names no base model: set base_model_name_or_path in it")
    return str(base)


def _read(path: str, dtype: torch.dtype | str) -> tuple[Any, Any]:
    where, extra = _located(path)
    base = base_of_adapter(where)
    if base is not None:
        model, tokenizer = _read(base, dtype)
        return _adapted(model, where), _tokenizer_of(where, tokenizer)
    if extra and dtype == "auto":
        dtype = torch.bfloat16  # a .gguf file is unpacked whole; 16 bits halve the peak
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hrlaif.llm.gguf_folder import check_tokenizer

    quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **NO_CODE, **extra)
        if extra:
            check_tokenizer(tokenizer, extra["gguf_file"])
        model = beside.read(AutoModelForCausalLM, where, dtype, **NO_CODE, **extra)
    except ModelError:
        raise
    except Exception as error:  # of a broken file the libraries raise whatever comes first
        raise ModelError(_why(path, error)) from error
    return model, tokenizer


def _located(path: str) -> tuple[str, dict[str, Any]]:
    if not path.endswith(".gguf"):
        return path, {}
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"there is no file {path}: give the path of a .gguf file")
    return str(file.parent), {"gguf_file": file.name}


def _adapted(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    try:
        whole = PeftModel.from_pretrained(model, adapter)
        beside.take_over(whole)
        merged = whole.merge_and_unload()  # what is more than a thin product
    except Exception as error:  # as above
        raise ModelError(
            f"the adapter {adapter} does not fit its base model, or is not whole: {cause(error)}"
        ) from error
    return merged.requires_grad_(True)  # as any loaded model: peft had frozen the base


def _tokenizer_of(adapter: str, of_base: Any) -> Any:
    from transformers import AutoTokenizer

    if not (Path(adapter) / "tokenizer_config.json").is_file():
        return of_base
    try:
        return AutoTokenizer.from_pretrained(adapter, **NO_CODE)
    except Exception as error:  # as above
        raise ModelError(_why(adapter, error)) from error


def _why(path: str, error: Exception) -> str:
    if Path(path).exists() or _CODE in str(error):
        return f"{path} cannot be loaded as a causal language model: {cause(error)}"
    return (
        f"model {path!r} is no folder here, and the hub did not give it ({_first(error)}): check "
        "the name and the connection, give a folder or a .gguf file, or pick one of `hrlaif models`"
    )


def cause(error: Exception) -> str:
    """What a library says of files that it cannot load, and the next move."""
    if _CODE in str(error):
        return "it needs Python code of its own, which is never run here: give another model"
    if "weights_only" in str(error):
        return "its weights are a pickle with more than weights in it: give .safetensors files"
    return f"{_first(error)}: are its files whole? Copy or download them again, or give others"


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".:")
