"""What whole runs and commands need: a tiny model in a folder, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random Qwen2 of two layers: a byte tokenizer with a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from hrlaif.llm.chat import prepare

    folder = tmp_path_factory.mktemp("models") / "tiny"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    prepare(tokenizer).save_pretrained(folder)
    return str(folder)


class Shell:
    """`hrlaif ...` in a process of its own, as a user calls it."""

    environment: Mapping[str, str] = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "HRLAIF_"))},
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
    }

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """A process under way; its output is read as text."""
        given = [sys.executable, "-m", "hrlaif", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**self.environment, **options.pop("environment", {})}
        return subprocess.Popen(given, **(pipes | {"env": environment} | options))

    def __call__(
        self, *arguments: object, code: int = 0, stdin: str | bytes | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs to the end; the exit code must be `code`, and there is never a traceback."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        process = self.start(*arguments, stdin=subprocess.PIPE, text=False, **options)
        out, err = (raw.decode() for raw in process.communicate(given, timeout=240))
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="session")
def hrlaif() -> Shell:
    """Calls the command line and checks the exit code."""
    return Shell()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[Mapping[str, Any]]], Path]:
    """A function that writes rows into a file of the test's folder."""

    def rows(name: str, values: Iterable[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), "utf-8")
        return path

    return rows


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def pair(number: int, **fields: Any) -> dict[str, Any]:
    """A row of pairs; people prefer the first response of the even ones."""
    return {
        "id": f"q{number}",
        "prompt": f"What is {number} plus {number}?",
        "responses": [f"It is {2 * number}.", f"I would say that it is {2 * number + 1}."],
        "human_preference": 1.0 - number % 2,
        **fields,
    }
