"""What the page shows of agreement: raters where they are known, weights where there are any."""

import json

import pytest

from hrlaif.pages import words
from hrlaif.records import Evidence, Preference
from hrlaif.statistics import Figure
from hrlaif.study.shown_labels import worst
from hrlaif.study.worst import disagreements

from .conftest import make

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
    chosen, shown = one["chosen"], one["disagreements"]
    way = "base-rationale" if chosen == "base" else chosen
    assert chosen == ways.split(",")[0]
    answers = (tmp_path / "labels" / "scripted_accuracy=0.7" / f"{way}.jsonl").read_text()
    said = {row["id"]: row for row in map(json.loads, answers.splitlines())}
    assert len(shown) > 3
    for row in shown:
        label = said[row["id"]]
        orders = 1 if way.endswith("-single") else 2
        assert row["rationales"] == label["evidence"]["rationales"]
        assert len(row["rationales"]) == orders
        by = {"way": way, "prob_a": label["prob_a"], "orders": orders, "of_first": 1}
        assert row["rationales_of"] == by
        assert row["rationales"][0] in page
    part = page.partition("Where judge and people differ")[2]
    heading = f"the judge's reasons, first order, asked by {way}"
    told = f"{heading} ({shown[0]['rationales_of']['prob_a']:.2f})<" if way != chosen else heading
    assert told in part
    assert ("second order, asked by" in part) == (not way.endswith("-single"))
    assert ("Where base gave no reasons, those of base-rationale stand" in part) == (way != chosen)


@pytest.mark.parametrize(
    ("way", "written", "told"),
    [
        ("base-rationale-x4", 8, ["first order"] * 4 + ["second order"] * 4),
        ("base-rationale-x4", 7, ["one of both orders"] * 7),
        ("base-rationale-x2-single", 2, ["first order"] * 2),
        ("base-rationale", 1, ["one of both orders"]),
    ],
)
def test_reasons_are_of_an_order_only_where_all_were_written(way, written, told):
    (asked,) = make(1)
    second = None if way.endswith("-single") else 0.2
    evidence = Evidence(
        source="votes", mass=1.0, prob_a_first=0.2, prob_a_second=second,
        rationales=tuple(f"reason {n}" for n in range(written)),
    )  # fmt: skip
    errs = 1.0 - (asked.truth or 0.0)
    label = Preference(comparison=asked.comparison, prob_a=errs, labeler="l", evidence=evidence)
    (row,) = disagreements([asked], [label], most=1, ways={way: [label]})
    assert [reason["order"] for reason in worst(row)["rationales"]] == told


def test_both_rules_stand_beside_each_part_of_a_way_s_pairs_and_beside_each_rater(
    hrlaif, rows, tmp_path
):
    # Ann always says what people do, Bob always the first; their split is no unanimity.
    known = rows(60)
    pairs = [json.loads(row) for row in known.read_text().splitlines()]
    for pair in pairs:
        pair["votes"] = {"ann": pair["human_preference"], "bob": 1}
    known.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    _, one, page = studied(hrlaif, known, tmp_path / "o", "--variants", "base")
    base = one["variants"]["base"]
    for part in ("agreement", "unanimous", "one_rater", "confident_half", "faint_half"):
        rules = base["baselines"][part]
        assert {rule["n"] for rule in rules.values()} == {base[part]["n"]}
    assert base["baselines"]["unanimous"]["always_first"]["value"] == 1.0
    assert base["unanimous"]["n"] < base["agreement"]["n"]
    ann, bob = (one["raters"]["raters"][name] for name in ("ann", "bob"))
    assert bob["always_first"]["value"] == 1.0
    assert ann["always_first"]["value"] < 1.0
    assert ann["always_longer"]["n"] == ann["judge"]["n"]
    more = page.partition("More of every way of asking")[2].partition("</details>")[0]
    titles = ("Where all raters agree", "With one rater")
    for title, part in zip(titles, ("unanimous", "one_rater"), strict=True):
        cells = more.partition(f"<h4>{title}</h4>")[2].partition("</table>")[0]
        told = [base[part], *base["baselines"][part].values()]
        assert [cells.count(words.percent(Figure(**figure))) > 0 for figure in told] == [True] * 3
    cells = page.partition("Beside single raters")[2].partition("</table>")[0]
    assert words.percent(Figure(**ann["always_longer"])) in cells


def test_where_a_way_abstains_the_rules_beside_it_are_on_the_pairs_that_it_answered(
    hrlaif, rows, tmp_path
):
    found, one, page = studied(hrlaif, rows(60), tmp_path / "a", "--variants", "base")
    base = one["variants"]["base"]
    rules, every = base["baselines"]["agreement"], found["baselines"]
    assert rules["always_longer"]["n"] == base["agreement"]["n"] < every["always_longer"]["n"]
    told = [words.percent(Figure(**rules[rule])) for rule in ("always_longer", "always_first")]
    sentence = "always the longer agrees in {}, always the first in {}.".format(*told)
    assert f"base answered, {sentence}" in page
    assert 'they stand under "more of every way of asking"' in page
    answered = ("--judge", "scripted:accuracy=0.8", "--variants", "base", "--probes", 0)
    hrlaif.here("study", rows(60), "-o", tmp_path / "b", *answered)
    found = json.loads((tmp_path / "b" / "study.json").read_text())
    (one,) = found["judges"].values()
    assert one["variants"]["base"]["baselines"]["agreement"] == found["baselines"]
    page = (tmp_path / "b" / "study.html").read_text()
    assert "base answered, always" not in page
    assert "more of every" not in page
