"""What a study says of calls and cost before it asks, and what it says at its end."""

import json

import pytest

from hrlaif.labeling import Pairwise
from hrlaif.llm.calls import cost_table
from hrlaif.studying import different

from .conftest import make


@pytest.fixture
def pairs(write):
    return write(
        "pairs.jsonl",
        [
            {"id": c.id, "prompt": c.prompt.messages[0].content, "responses": [c.a.text, c.b.text],
             "human_preference": c.human_preference}
            for c in (item.comparison for item in make(20))
        ],
    )  # fmt: skip


def test_one_order_alone_is_counted_among_both():
    both, one = Pairwise(), Pairwise(single_order=True)
    assert different([both, one]) == different([one, both]) == [both]
    assert different([one]) == [one]
    shown = Pairwise(shots=1)
    assert different([one, shown]) == [one, shown]


@pytest.mark.parametrize(
    "more", [(), ("--no-attacks",), ("--no-grades",), ("--probes", "0"), ("--max-chars", "1150")]
)
def test_a_study_asks_at_most_what_it_says(hrlaif, pairs, tmp_path, more):
    judges = ("--judge", "scripted:accuracy=0.9", "--judge", "scripted:seed=2")
    ways = ("--variants", "base,base-single,base-1shot", "--probes", "4", *more)
    command = ("study", pairs, "-o", tmp_path / "s", *judges, *ways)
    planned = json.loads(hrlaif.here(*command, "--dry-run", "--json").stdout)
    assert not (tmp_path / "s").exists()
    done = hrlaif.here(*command)
    assert f"at most {planned['calls']:,} calls to scripted" in done.stderr
    booked = sum(row["calls"] for row in cost_table(tmp_path / "s" / "ledger.sqlite"))
    # Exact but for equal labels, which are not attacked, and samples that equal a response.
    assert 0.85 * planned["calls"] <= booked <= planned["calls"]
    if more == ("--probes", "0"):
        assert booked == planned["calls"] == 2 * 2 * 2 * 20


def test_what_is_asked_beside_one_order_alone_is_counted_in_both(hrlaif, pairs, tmp_path):
    command = ("study", pairs, "-o", tmp_path / "s", "--judge", "scripted:accuracy=0.9")
    command += ("--variants", "base-single", "--probes", "4", "--no-attacks")
    planned = json.loads(hrlaif.here(*command, "--dry-run", "--json").stdout)
    hrlaif.here(*command)
    booked = sum(row["calls"] for row in cost_table(tmp_path / "s" / "ledger.sqlite"))
    # 20 pairs once; 16 probes, 8 questions and 4 samples twice, and the samples are written.
    assert booked <= planned["calls"] == 20 + 2 * (16 + 8 + 4) + 4


def test_every_way_of_asking_and_the_cost_are_told(hrlaif, pairs, tmp_path):
    judge = ("--judge", "scripted:accuracy=0.9", "--probes", "0", "--variants", "base,base-1shot")
    done = hrlaif.here("study", pairs, "-o", tmp_path / "s", *judge)
    found = json.loads((tmp_path / "s" / "study.json").read_text())
    (one,) = found["judges"].values()
    told = [line for line in done.stdout.splitlines() if line.startswith("  scripted")]
    for (way, row), line in zip(one["variants"].items(), told, strict=True):
        figure = row["agreement"]
        assert f", {way}{', chosen' if way == one['chosen'] else ''}: " in line
        assert f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}" in line
    assert f"cost: $0.0000, {found['cost']['calls']} calls" in done.stdout


def test_a_study_says_beforehand_that_its_maximum_cost_will_not_do(hrlaif, pairs, tmp_path):
    judge = ("--judge", "remote:gpt-4.1", "--base-url", "https://api.openai.com/v1")
    more = ("--dry-run", "--max-cost", "0.0001", "--batch")
    done = hrlaif.here("study", pairs, "-o", tmp_path / "s", *judge, *more)
    assert "will not suffice" in done.stderr
    assert "at the price of batches; where the server gives no log-probabilities" in done.stdout
