"""The picture of how far place decides, judge by judge."""

import json

import pytest

from hrlaif.pages.charts import Charts
from hrlaif.study.bias import FIRST, SAME
from hrlaif.study.page import write_page
from hrlaif.study.shown_faults import places


def judge(size, same):
    def line(name, value):
        figure = {"value": value, "low": None, "high": None, "n": 40}
        return {"kind": "position", "name": name, "figure": figure}

    lines = [] if same is None else [line(SAME, same), line(FIRST, 0.75)]
    return {"parameters": size, "bias": lines}


def shown(**judges):
    return places({"judges": judges}, Charts())


def test_judges_stand_by_size_where_all_sizes_are_known():
    found = shown(large=judge(7_000_000_000, 0.2), small=judge(300_000_000, 0.9))
    assert [row["name"] for row in found["rows"]] == ["small", "large"]
    assert [row["same"].value for row in found["rows"]] == [0.9, 0.2]
    assert [row["first"].value for row in found["rows"]] == [0.75, 0.75]
    found = shown(large=judge(7_000_000_000, 0.2), small=judge(None, 0.9))
    assert [row["name"] for row in found["rows"]] == ["large", "small"]


def test_there_is_no_picture_where_no_judge_was_asked_in_both_orders():
    assert shown(large=judge(7, None), small=judge(3, None)) == {}


@pytest.mark.parametrize("ways", ["base", "base-single"])
def test_the_picture_stands_before_its_table_on_the_page(hrlaif, rows, tmp_path, ways):
    judges = ("--judge", "scripted:position_bias=0.4,accuracy=0.6", "--judge", "scripted:seed=2")
    command = ("study", rows(30), "-o", tmp_path, *judges, "--variants", ways, "--probes", 0)
    hrlaif.here(*command)
    page = (tmp_path / "study.html").read_text()
    part = page.partition("Place, judge by judge")[2].partition("<h3>")[0]
    assert bool(part) == (ways == "base")
    if part:
        assert part.index("<figure>") < part.index("<table>")
        assert all(text in part for text in ("position_bias=0.4", "seed=2", "of these the first"))
    row = json.loads((tmp_path / "study.json").read_text())
    for n, one in enumerate(row["judges"].values()):
        one["parameters"] = 1_777_088_000 - n
    (tmp_path / "study.json").write_text(json.dumps(row))
    assert (", 1.8B" in write_page(tmp_path).read_text()) == (ways == "base")
