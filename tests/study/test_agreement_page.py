"""What the page shows of agreement: raters where they are known, weights where there are any."""

import json

import pytest

ASKED = ("--judge", "scripted:accuracy=0.8,failure=0.1", "--probes", 0, "--budget", 5)


def studied(hrlaif, pairs, folder, *more):
    hrlaif.here("study", pairs, "-o", folder, *ASKED, *more)
    found = json.loads((folder / "study.json").read_text())
    (one,) = found["judges"].values()
    return found, one, (folder / "study.html").read_text()


def test_raters_are_on_the_page_where_they_are_known_and_weights_where_chances_are(
    hrlaif, rows, tmp_path
):
    known = rows(40, name="known.jsonl", raters=3, chance=0.5)
    found, one, page = studied(hrlaif, known, tmp_path / "a", "--variants", "base,detailed")
    assert found["pairs"]["weighed"] == 40
    base, other = one["variants"]["base"], one["variants"]["detailed"]
    assert base["effective"] == base["agreement"]["n"] < 20
    assert base["unanimous"]["n"] == base["agreement"]["n"]
    assert base["ceiling"]["value"] == 1.0
    # Each difference with the pairs that it stands on, fewer than either way answered.
    n = other["against_base"]["difference"]["n"]
    assert 0 < n <= min(base["agreement"]["n"], other["agreement"]["n"])
    assert "pairs of both" in page
    assert "all raters agree" in page
    assert "count for less" in page
    found, one, page = studied(hrlaif, rows(40), tmp_path / "b", "--variants", "base")
    assert found["pairs"]["weighed"] == 0
    assert one["variants"]["base"]["one_rater"]["n"] == 0
    assert "all raters agree" not in page
    assert "At best" not in page
    assert "count for less" not in page
    assert "By how different the lengths are" in page
    groups = one["breakdown"]["by_length"].values()
    assert sum(g["agreement"]["n"] for g in groups) == pytest.approx(
        one["variants"]["base"]["agreement"]["n"]
    )


@pytest.mark.parametrize(
    "ways", ["base,base-rationale,detailed-rationale", "base-rationale-single"]
)
def test_reasons_stand_beside_disagreements_and_the_page_says_which_way_gave_them(
    hrlaif, rows, tmp_path, ways
):
    judge = ("--judge", "scripted:accuracy=0.7", "--probes", 0, "--budget", 0)
    hrlaif.here("study", rows(30), "-o", tmp_path, *judge, "--variants", ways)
    (one,) = json.loads((tmp_path / "study.json").read_text())["judges"].values()
    page = (tmp_path / "study.html").read_text()
    chosen, worst = one["chosen"], one["disagreements"]
    way = "base-rationale" if chosen == "base" else chosen
    assert chosen == ways.split(",")[0]
    answers = (tmp_path / "labels" / "scripted_accuracy=0.7" / f"{way}.jsonl").read_text()
    said = {row["id"]: row for row in map(json.loads, answers.splitlines())}
    assert len(worst) > 3
    for row in worst:
        label = said[row["id"]]
        orders = 1 if way.endswith("-single") else 2
        assert row["rationales"] == label["evidence"]["rationales"]
        assert len(row["rationales"]) == orders
        assert row["rationales_of"] == {"way": way, "prob_a": label["prob_a"], "orders": orders}
        assert row["rationales"][0] in page
    part = page.partition("Where judge and people differ")[2]
    heading = f"the judge's reasons, first order, asked by {way}"
    told = f"{heading} ({worst[0]['rationales_of']['prob_a']:.2f})<" if way != chosen else heading
    assert told in part
    assert ("second order, asked by" in part) == (not way.endswith("-single"))
    assert ("Where base gave no reasons, those of base-rationale stand" in part) == (way != chosen)
