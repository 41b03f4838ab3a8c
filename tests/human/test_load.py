"""Many raters at once, on both databases: `benchmarks/votes.py`, with the limits it must keep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "votes.py"


def measured(*options):
    command = [sys.executable, str(BENCHMARK), "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def quick_and_whole(found, votes):
    assert found["votes"] == votes
    assert (found["refused"], found["all_kept"]) == (0, True)
    assert found["p95_ms"] < 200


def test_a_hundred_raters_at_once_on_sqlite():
    quick_and_whole(measured("--votes", 6), 600)


def test_a_hundred_raters_at_once_on_postgresql(new_database):
    quick_and_whole(measured("--votes", 6, "--database", new_database), 600)


@pytest.mark.timeout(600)
def test_twenty_thousand_items_and_a_hundred_thousand_votes_are_as_quick():
    quick_and_whole(measured("--votes", 6, "--items", 20_000, "--before", 100_000), 600)
