"""Benchmarks stop unless all arms say the same."""

import importlib
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAN = math.nan


@pytest.fixture
def differences(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("side_by_side")._differences


@pytest.mark.parametrize(
    "peer", [[0.5, NAN], [NAN, 0.6], [math.inf, 0.6]], ids=["last", "first", "infinite"]
)
def test_a_number_that_is_none_is_no_equality(differences, peer):
    assert differences({"ours": [0.5, 0.6], "peer": peer}) == {"peer": math.inf}
    assert differences({"ours": peer, "peer": [0.5, 0.6]}) == {"peer": math.inf}


def test_the_largest_difference_of_each_peer_is_from_the_first(differences):
    numbers = {"ours": [0.5, 0.6], "one": [0.5, 0.5], "other": [0.75, 0.6]}
    assert differences(numbers) == {"one": pytest.approx(0.1), "other": 0.25}


def test_lists_of_other_lengths_name_the_arm(differences):
    with pytest.raises(SystemExit, match="peer gives 1 numbers and ours 2"):
        differences({"ours": [0.5, 0.6], "peer": [0.5]})
