"""The paper's table and self-consistency by name: every way is asked, and no call is made twice."""

import json
import sqlite3

from hrlaif.cli.ways import PAPER, ways_of

JUDGE = ("--judge", "scripted:", "--probes", 0, "--no-grades")
ASKING = {"task": "general"}


def calls(folder):
    """How many calls of each kind were made."""
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        return db.execute("SELECT kind, COUNT(*) FROM calls GROUP BY kind").fetchall()


def studied(hrlaif, pairs, out, variants):
    hrlaif.here("study", pairs, "-o", out, *JUDGE, "--variants", variants)
    (one,) = json.loads((out / "study.json").read_text())["judges"].values()
    return one


def test_paper_is_its_table_of_preambles_exemplars_and_rationales():
    ways = {way.name: way.labeler for way in ways_of("paper", ASKING)}
    table = {(w.preamble, w.shots, w.rationale) for w in ways.values()}
    assert {(p, n, False) for p in ("base", "detailed") for n in (0, 1, 2)} <= table
    assert {(p, 0, True) for p in ("base", "detailed")} <= table
    assert {("detailed", 8, False), ("detailed", 1, True), ("detailed", 2, True)} <= table
    assert len(table) == len(ways) == 11
    assert not any(way.single_order or way.samples > 1 for way in ways.values())


def test_every_way_of_the_paper_is_asked_of_every_pair_in_both_orders_and_once(
    hrlaif, rows, tmp_path
):
    pairs = rows(6)
    one = studied(hrlaif, pairs, tmp_path, "paper")
    assert list(one["variants"]) == PAPER.split(",")
    # Six pairs in two orders: a label of each way, and a rationale before it where it has one.
    for name, way in one["variants"].items():
        assert way["cost"]["calls"] == 12 * (1 + ("rationale" in name)), name
        assert way["abstentions"] == {}
        assert (
            len((tmp_path / "labels" / "scripted" / f"{name}.jsonl").read_text().split("\n")) == 7
        )
    reasons = sum("rationale" in name for name in one["variants"])
    kinds = dict(calls(tmp_path))
    assert kinds == {"choose": 12 * 11, "generate": 12 * reasons}
    studied(hrlaif, pairs, tmp_path, "paper")
    assert dict(calls(tmp_path)) == kinds


def test_a_way_of_several_samples_asks_so_many_rationales_and_labels(hrlaif, rows, tmp_path):
    one = studied(hrlaif, rows(6), tmp_path, "base,base-x4,detailed-rationale-x3-single")
    cost = {name: way["cost"]["calls"] for name, way in one["variants"].items()}
    assert cost == {"base": 12, "base-x4": 2 * 12 * 4, "detailed-rationale-x3-single": 2 * 6 * 3}
    labels = (tmp_path / "labels" / "scripted" / "base-x4.jsonl").read_text().splitlines()
    assert len(labels) == 6
    for row in map(json.loads, labels):
        assert len(row["evidence"]["rationales"]) == 8
