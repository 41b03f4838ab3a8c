"""Is a panel the mean of its judges, and never the word of fewer than were wanted?"""

from __future__ import annotations

import json
import random

import pytest

from hrlaif.errors import HrlaifError, UsageError
from hrlaif.labeling import Hybrid, Pairwise, Panel, any_labeler
from hrlaif.llm.ledger import Ledger
from hrlaif.llm.remote import Remote
from hrlaif.llm.scripted import Scripted
from hrlaif.panels import together
from hrlaif.records import Abstention, Candidate, Comparison, Evidence, Message, Preference, Prompt
from hrlaif.settings import Compute, using

A, B, C = (Scripted(accuracy=0.7, position_bias=0.3, seed=seed) for seed in (1, 2, 3))
SILENT = Scripted(failure=1.0)


def comparison(n, texts=("yes", "no"), **more):
    prompt = Prompt(id=f"p{n}", messages=(Message(role="user", content=f"Question {n}?"),))
    a, b = (Candidate(text=f"{text} {n}") for text in texts)
    return Comparison(id=f"c{n}", prompt=prompt, a=a, b=b, **more)


def some(count, seed=0):
    rng = random.Random(seed)
    return [comparison(n, human_preference=float(rng.random() < 0.5)) for n in range(count)]


def right(answers):
    each = [(x.prob_a > 0.5) == (x.comparison.human_preference > 0.5) for x in answers]
    return sum(each) / len(each)


def test_the_label_is_the_mean_of_what_each_judge_said():
    asked = some(6)
    each = [Pairwise().label(asked, judge) for judge in (A, B, C)]
    for n, answer in enumerate(Panel(others=(B, C)).label(asked, A)):
        own = [told[n] for told in each]
        assert answer.prob_a == pytest.approx(sum(one.prob_a for one in own) / 3, abs=1e-6)
        assert answer.evidence.judges == {
            j.name: t.prob_a for j, t in zip((A, B, C), own, strict=True)
        }
        first = sum(one.evidence.prob_a_first for one in own) / 3
        assert answer.evidence.prob_a_first == pytest.approx(first, abs=1e-6)
        assert answer.labeler == f"panel/pairwise/{A.name}+{B.name}+{C.name}/general-base-0shot"


def test_swapping_the_responses_flips_the_label():
    asked = some(20, seed=1)
    panel = Panel(others=(B,))
    turned = panel.label([c.swapped() for c in asked], A)
    for one, other in zip(panel.label(asked, A), turned, strict=True):
        assert one.prob_a == pytest.approx(1 - other.prob_a, abs=1e-6)


def test_three_judges_whose_errors_differ_are_right_more_often_than_each():
    asked = some(400)
    alone = [right(Pairwise().label(asked, judge)) for judge in (A, B, C)]
    assert right(Panel(others=(B, C)).label(asked, A)) > max(alone) + 0.03


def test_a_judge_that_is_silent_counts_for_nothing_while_most_answer():
    [answer] = Panel(others=(B, SILENT)).label(some(1), A)
    assert isinstance(answer, Preference)
    assert set(answer.evidence.judges) == {A.name, B.name}


@pytest.mark.parametrize(
    ("panel", "told"),
    [(Panel(others=(SILENT,)), 1), (Panel(others=(B, SILENT), quorum=3), 2)],
)
def test_fewer_than_the_quorum_is_an_abstention_that_says_how_many_and_who_did_not(panel, told):
    [answer] = panel.label(some(1), A)
    assert isinstance(answer, Abstention)
    assert answer.reason == (
        f"{told} of {1 + len(panel.others)} judges answered; {SILENT.name} did not: "
        "scripted failure"
    )


def test_each_reason_stands_beside_the_judges_that_gave_it():
    pair = comparison(1)
    said = Preference(comparison=pair, prob_a=0.7, labeler="pairwise/x/general")
    filtered, other = (
        Abstention(comparison=pair, labeler="pairwise/x/general", reason=why)
        for why in ("filtered", "no label")
    )
    answer = together([said, filtered, other, filtered], list("xyzw"))
    assert answer.reason == "1 of 4 judges answered; y, w did not: filtered; z did not: no label"


def test_the_source_of_a_panel_is_the_coarsest_of_its_judges():
    def said(source):
        evidence = Evidence(source=source)
        return Preference(comparison=comparison(1), prob_a=0.7, labeler="l", evidence=evidence)

    each = [said(source) for source in ("logprobs", "votes", "scored")]
    assert together(each, list("xyz")).evidence.source == "votes"
    assert together(each[::2], list("xz")).evidence.source == "scored"


@pytest.mark.parametrize(
    ("evidence", "source"),
    [
        ((None, None), "hard"),
        ((Evidence(source="verified"), Evidence(source="verified")), "verified"),
        ((Evidence(source="verified"), Evidence(source="logprobs")), "logprobs"),
        ((None, Evidence(source="votes")), "votes"),
    ],
)
def test_labels_that_checks_gave_or_that_say_not_how_they_came_are_read_together(evidence, source):
    each = [
        Preference(comparison=comparison(1), prob_a=prob_a, labeler="l", evidence=one)
        for prob_a, one in zip((0.2, 0.6), evidence, strict=True)
    ]
    found = together(each, ["x", "y"])
    assert found.prob_a == pytest.approx(0.4)
    assert (found.evidence.source, found.evidence.judges) == (source, {"x": 0.2, "y": 0.6})


def test_what_no_judge_can_be_asked_has_its_own_reason():
    [answer] = Panel(others=(B,)).label([comparison(1, texts=("same", "same"))], A)
    assert answer.reason == "identical responses"


def test_judges_behind_an_address_are_asked_side_by_side_and_booked_in_one_ledger(server, tmp_path):
    fine = server.top({"1": 0.7, "2": 0.2})
    fine.delay = 0.05
    server.answer = lambda body, n: fine
    x, y = (Remote(model=name, base_url=server.url) for name in "xy")
    for _ in range(2):
        with (
            using(Compute(concurrency=1)),
            Ledger(tmp_path / "l.sqlite", stage="label") as ledger,
        ):
            answers = Panel(others=(y, B)).label(some(4), x)
    assert server.most_at_once == 2  # one of each
    assert len(server.calls) == 16
    assert ledger.hits == 16 + 8  # and those of B
    assert set(answers[0].evidence.judges) == {"remote:x", "remote:y", B.name}


def test_no_judge_has_two_votes():
    with pytest.raises(UsageError, match="asks each judge once"):
        Panel(others=(B, A)).label(some(1), A)


def test_a_quorum_that_cannot_be_met_is_refused():
    with pytest.raises(HrlaifError, match="3 of 2 judges cannot answer"):
        Panel.parse({"others": ["scripted:"], "quorum": 3}, where="labeler")


def test_the_other_half_of_a_hybrid_may_be_a_panel():
    others = ["scripted:accuracy=0.7,seed=2"]
    labeler = any_labeler({"kind": "hybrid", "otherwise": {"kind": "panel", "others": others}})
    assert isinstance(labeler, Hybrid)
    asked = [c.model_copy(update={"prompt": c.prompt.model_copy(update={"category": "practical"})})
             for c in some(2)]  # fmt: skip
    assert all(x.labeler.startswith("panel/") for x in labeler.label(asked, A))


def test_several_judges_on_the_command_line_are_a_panel(hrlaif, write, tmp_path):
    rows = [{"id": f"{n}", "prompt": "Q?", "responses": [f"a{n}", f"b{n}"]} for n in range(3)]
    pairs, out = write("pairs.jsonl", rows), tmp_path / "out.jsonl"
    judges = ("--judge", "scripted:seed=1", "--judge", "scripted:seed=2")
    hrlaif("label", pairs, "-o", out, *judges)
    labels = [json.loads(line) for line in out.read_text().splitlines()]
    assert [set(row["evidence"]["judges"]) for row in labels] == [
        {"scripted:seed=1", "scripted:seed=2"}
    ] * 3
    told = hrlaif.here("label", pairs, "-o", tmp_path / "o.jsonl", *judges, *judges[:2], code=2)
    assert "asks each judge once" in told.stderr
    told = hrlaif.here("label", pairs, "-o", tmp_path / "o.jsonl", *judges,
                       "--labeler", "verified", code=2)  # fmt: skip
    assert "--labeler verified asks one judge" in told.stderr
