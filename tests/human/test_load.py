"""Many raters at once, on both databases: `benchmarks/votes.py`, with the limits it must keep."""

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hrlaif.human import database as db
from hrlaif.human.results import cast

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "votes.py"


def measured(*options):
    command = [sys.executable, str(BENCHMARK), "--json", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def quick_and_whole(votes, *options):
    """Every vote is kept each time; of three times the quickest counts.

    The claim is 200 ms on a quiet machine, which the benchmark shows. Here other tests share the
    cores, which may be two halves of one: five times as long still finds what grows with the rows.
    """
    times = []
    for _ in range(3):
        found = measured(*options)
        assert found["votes"] == votes
        assert (found["refused"], found["all_kept"]) == (0, True)
        times.append(found["p95_ms"])
        if times[-1] < 1000:
            return
    raise AssertionError(f"95 % of the answers within {times} ms")


def test_a_hundred_raters_at_once_on_sqlite():
    quick_and_whole(600, "--votes", 6)


def test_a_hundred_raters_at_once_on_postgresql(new_database):
    quick_and_whole(600, "--votes", 6, "--database", new_database)


@pytest.mark.timeout(900)
def test_twenty_thousand_items_and_a_hundred_thousand_votes_are_as_quick():
    quick_and_whole(600, "--votes", 6, "--items", 20_000, "--before", 100_000)


def test_two_servers_share_one_postgresql_and_no_item_is_asked_too_often(
    serve, pairs, new_database
):
    options = ("--database", new_database, "--overlap", 2, "--checks", 0, "--repeats", 0)
    sites = [serve(pairs, *options), serve(pairs, *options)]
    raters = [sites[n % 2].visitor().join(f"rater {n}") for n in range(6)]

    def answer_all(rater):
        hand = rater.hand()
        while hand["items"]:
            hand = rater.vote(hand["items"][0]["id"], {"prefers": "tie"}).json()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(answer_all, raters))
        list(pool.map(answer_all, raters))  # what others held a moment ago may be free now
    database = db.Database(new_database)
    asked = Counter(vote.item.id for vote in cast(database))
    database.close()
    assert set(asked.values()) == {2}
    assert len(asked) == 30
