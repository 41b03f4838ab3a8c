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
