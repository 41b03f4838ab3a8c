"""What a page says of a judge in words, from figures that are written here by hand."""

import json

import pytest

from hrlaif.records import Preference
from hrlaif.study.labels import NO_CALLS, Labels
from hrlaif.study.page import write_page
from hrlaif.study.sentences import allowed, few
from hrlaif.study.sweep import Halves, against_longer

from .conftest import make


def figure(value, low=None, high=None, n=100):
    return {"value": value, "low": low, "high": high, "n": n}


def found(agreement, difference=None, same=None, **more):
    way = {"agreement": agreement, "same_position": same or figure(None, n=0)}
    judge = {
        "chosen": "base",
        "variants": {"base": way},
        "against_longer": {"difference": difference, "p": 0.01} if difference else {},
        "calibration": {"slope": more.get("slope", 1.2)},
        "truncated": more.get("truncated", 0),
    }
    about = {"variants": {"base": {"max_chars": 8000}}}
    return {"judges": {"j": judge}, "about": about, "pairs": {"rows": 200}}


def said(*arguments, **more):
    return " ".join(allowed("j", found(*arguments, **more)))


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.55, 0.75, "which is shown to be better than a coin"),
        (0.5, 0.75, "which is not shown to be better than a coin"),
        (0.4, 0.49, "which is shown to be worse than a coin"),
        (None, None, "too few to say whether a coin would be as good"),
    ],
)
def test_a_judge_is_told_beside_a_coin(low, high, told):
    assert told in said(figure(0.65, low, high))


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.01, 0.2, "shown to be better"), (0.0, 0.2, "not shown to be better"),
     (-0.3, -0.1, "shown to be worse"), (None, None, "not shown to be better")],
)  # fmt: skip
def test_a_judge_is_told_beside_the_longer_response_with_both_numbers(low, high, told):
    text = said(figure(0.65, 0.55, 0.75), figure(0.1, low, high))
    assert f"It is {told} than always naming the longer response: 65.0 % against 55.0 %" in text


def test_the_same_position_an_empty_map_and_cut_texts_are_told():
    text = said(figure(0.65, 0.5, 0.7), same=figure(0.3, 0.2, 0.4), slope=0.0, truncated=7)
    assert "In 30.0 % (20.0 to 40.0) of pairs it names the same position in both orders" in text
    assert "As calibrated its labels carry no information" in text
    assert text.endswith("7 of 200 pairs were cut to 8,000 characters.")
    plain = said(figure(0.65, 0.5, 0.7))
    assert "asked in one order only" in plain
    assert "no information" not in plain
    assert "cut" not in plain
    assert said(figure(None, n=0)).startswith("Nothing can be said of base")


def test_few_pairs_are_warned_of():
    def of(n):
        return few({"baselines": {"always_longer": figure(0.5, n=n)}})

    assert of(29) == (
        "The figures say little: the test half has fewer than 30 pairs with a preference (29)."
    )
    assert of(30) == ""


def test_the_difference_from_the_longer_is_on_the_pairs_that_were_answered():
    items = [item for item in make(40) if item.decided]
    # Right in every pair: the difference is the share in which the longer one is not the better.
    answers = [
        Preference(comparison=item.comparison, prob_a=item.truth, labeler="l") for item in items
    ]
    rows = range(len(items))
    row = against_longer(Halves(items, [], rows), Labels(answers, NO_CALLS), seed=0)
    longer = [
        0.5 if i.length_gap == 0 else float((i.length_gap > 0) == (i.truth > 0.5)) for i in items
    ]
    assert row["difference"]["value"] == pytest.approx(1 - sum(longer) / len(longer))
    assert row["difference"]["n"] == len(items)
    assert against_longer(Halves(items, rows, []), Labels(answers, NO_CALLS), seed=0) == {}


def test_a_page_warns_of_few_pairs_and_says_what_is_allowed(hrlaif, write, tmp_path):
    rows = [
        {"id": c.id, "prompt": c.prompt.messages[0].content, "responses": [c.a.text, c.b.text],
         "human_preference": c.human_preference}
        for c in (item.comparison for item in make(20))
    ]  # fmt: skip
    more = ("--variants", "base", "--probes", "2", "--judge", "scripted:accuracy=0.9")
    done = hrlaif.here("study", write("p.jsonl", rows), "-o", tmp_path, *more)
    assert done.stdout.startswith("The figures say little: the test half has fewer than 30 pairs")
    page = (tmp_path / "study.html").read_text()
    assert "The figures say little" in page
    row = json.loads((tmp_path / "study.json").read_text())
    (judge,) = row["judges"].values()
    assert "not shown to be better than always naming the longer response" in page
    counts = [judge["injection"][way]["pairs"] for way in ("labels", "undefended", "scores")]
    told = "labels {}, without the defence {}, single grades {}".format(*counts)
    assert f"one of the two responses more: {told}." in page
    assert "carry no information" not in page
    known = "None of these labels is wrong: the map rests on no error"
    assert (known in page) == judge["calibration"]["all_right"]
    judge["calibration"]["slope"] = 0.0
    (tmp_path / "study.json").write_text(json.dumps(row))
    page = write_page(tmp_path).read_text()
    assert "the labels carry no information as calibrated" in page
    assert "one half" not in page
    judge["calibration"]["all_right"] = not judge["calibration"]["all_right"]
    (tmp_path / "study.json").write_text(json.dumps(row))
    assert (known in write_page(tmp_path).read_text()) == judge["calibration"]["all_right"]


def test_the_headline_is_of_a_judge_and_never_of_a_rule(hrlaif, rows, tmp_path):
    more = ("--variants", "base", "--probes", "0", "--judge", "scripted:accuracy=0.9")
    hrlaif.here("study", rows(40), "-o", tmp_path, *more)
    row = json.loads((tmp_path / "study.json").read_text())
    (judge,) = row["judges"].values()

    def headline():
        (tmp_path / "study.json").write_text(json.dumps(row))
        page = write_page(tmp_path).read_text()
        return page.partition('<p class="lead">')[2].partition("</p>")[0]

    name = "scripted:accuracy=0.9, base"
    assert headline().startswith(f"{name} names the response that people prefer in ")
    judge["variants"]["base"]["agreement"] = figure(None, n=0)
    assert headline() == f"{name} gave no verdict on the test half."
    row["baselines"] = dict.fromkeys(row["baselines"], figure(None, n=0))
    assert headline() == "People prefer no response in the test half."
