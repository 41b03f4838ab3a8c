"""Does every algorithm learn a checkable task, over three seeds? See docs/algorithms.md."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "learning.py"


@pytest.fixture(scope="module")
def learning() -> Iterator[Any]:
    """The benchmark, whose tables and curves the documentation shows."""
    spec = importlib.util.spec_from_file_location("learning", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["learning"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["learning"]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["reinforce", "ppo", "rloo", "grpo", "online_dpo", "dpo"])
def test_the_checked_reward_rises(
    kind: str, seed: int, learning: Any, start: Path, tmp_path: Path
) -> None:
    found = learning.curve(kind, seed, start, tmp_path, steps=12)
    (first, before), (last, after) = found[0], found[-1]
    assert (first, last) == (0, 12)
    assert after > before + 0.2
