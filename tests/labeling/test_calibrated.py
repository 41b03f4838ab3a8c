"""Calibrated labels stand beside raw ones, and only a recorded setting trains on them."""

import pytest

from hrlaif.errors import DataError, UsageError
from hrlaif.labeling import Human, Hybrid, Pairwise, Panel, Verified
from hrlaif.labeling.calibrated import calibrated, calibrations, refuse_unfitting
from hrlaif.llm import Scripted
from hrlaif.records import Candidate, Comparison, Message, Preference, Prompt
from hrlaif.reward.labels import learnt_from
from hrlaif.statistics import Calibration

JUDGE = Scripted()


def a_map(way, method="temperature"):
    """A map of the scripted judge, asked this way."""
    slope = 0.5 if method == "temperature" else None
    return Calibration(method=method, slope=slope, labeler=f"pairwise/scripted/{way}")


@pytest.fixture
def label():
    prompt = Prompt(id="p", messages=(Message(role="user", content="q"),))
    comparison = Comparison(
        id="c", prompt=prompt, a=Candidate(text="x"), b=Candidate(text="y"), human_preference=1.0
    )
    return Pairwise().label([comparison], Scripted(accuracy=1.0))[0]


def test_the_raw_probability_stays_and_the_calibrated_one_is_beside_it(label, tmp_path):
    half = Calibration(method="temperature", slope=0.5, labeler=label.labeler)
    path = tmp_path / "c.json"
    path.write_text(half.model_dump_json())
    found = calibrated(label, calibrations([str(path)]))
    assert found.prob_a == label.prob_a
    # logit 2 halved: 1 / (1 + exp(-1)) = 0.7311.
    assert found.evidence.calibrated == {"temperature": pytest.approx(0.7311, abs=1e-4)}
    assert Preference.from_row(found.row()) == found
    assert "calibrated" not in label.row()["evidence"]
    assert learnt_from(found, "raw").prob_a == label.prob_a
    assert learnt_from(found, "temperature").prob_a == pytest.approx(0.7311, abs=1e-4)
    with pytest.raises(DataError, match="row c: no isotonic probability"):
        learnt_from(found, "isotonic")


def test_a_map_of_another_judge_is_refused(label):
    other = Calibration(method="temperature", slope=0.5, labeler="pairwise/other/general")
    with pytest.raises(DataError, match="fitted to pairwise/other/general, and labeling"):
        calibrated(label, [other])


@pytest.mark.parametrize(
    ("labeler", "maps", "wanted", "says"),
    [
        (
            Pairwise(),
            [a_map("general-base-2shot")],
            "raw",
            r"fitted to pairwise/scripted/general-base-2shot, and labeling\.labeler asks as "
            r"pairwise/scripted/general-base-0shot: set its task, preamble, shots,",
        ),
        (Pairwise(), [], "temperature", r"no map of that kind: add the file calibration/JUDGE\.t"),
        (Pairwise(), [a_map("general-base-0shot")], "isotonic", r"calibration/JUDGE\.isotonic"),
        (
            Hybrid(),
            [a_map("general-base-0shot")],
            "temperature",
            r"by_category\.math\.between_right_ones asks as .*/reasoning-base-0shot: set its task",
        ),
        (
            Verified(both_wrong="ask"),
            [a_map("reasoning-base-0shot")],
            "raw",
            r"labeling\.labeler\.otherwise asks as pairwise/scripted/general",
        ),
        (
            Verified(),
            [a_map("reasoning-base-0shot")],
            "temperature",
            r"labeling\.labeler\.otherwise \(where all prompts have a reference answer, set "
            r"labeling\.labeler\.without_reference to abstain\) asks as pairwise/scripted/general",
        ),
        (Panel(others=(Scripted(seed=1),)), [a_map("general-base-0shot")], "raw", "of a panel"),
    ],
)
def test_a_way_of_asking_without_its_map_is_refused_before_any_label(labeler, maps, wanted, says):
    with pytest.raises(UsageError, match=says):
        refuse_unfitting(labeler, JUDGE, maps, wanted)


@pytest.mark.parametrize(
    ("labeler", "maps", "wanted"),
    [
        (Pairwise(shots=2), [a_map("general-base-2shot")], "temperature"),
        (Pairwise(), [], "raw"),
        (Human(), [], "temperature"),
        (Hybrid(), [a_map("general-base-0shot"), a_map("reasoning-base-0shot")], "temperature"),
        (
            Hybrid(by_category={"math": Verified(between_right_ones=Pairwise())}),
            [a_map("general-base-0shot")],
            "temperature",
        ),
        (Pairwise(), [Calibration(method="temperature", slope=0.5)], "temperature"),
        (
            Verified(without_reference="abstain"),
            [a_map("reasoning-base-0shot")],
            "temperature",
        ),
    ],
)
def test_maps_of_all_ways_that_may_be_asked_are_enough(labeler, maps, wanted):
    refuse_unfitting(labeler, JUDGE, maps, wanted)


def test_the_name_of_a_judge_may_hold_a_plus(label):
    named = label.model_copy(update={"labeler": "pairwise/remote:base+lora/general-base-0shot"})
    its = Calibration(method="temperature", slope=0.5, labeler=named.labeler)
    checked = named.model_copy(update={"labeler": f"verified/number+{named.labeler}"})
    for one in (named, checked):
        assert calibrated(one, [its]).evidence.calibrated == {
            "temperature": pytest.approx(0.7311, abs=1e-4)
        }


@pytest.mark.parametrize("before", ["", "verified/number+"])
def test_of_a_panel_it_is_said_that_it_has_no_calibration(label, before):
    name = f"{before}panel/pairwise/a+b/general-base-0shot"
    other = Calibration(method="temperature", slope=0.5, labeler="pairwise/a/general-base-0shot")
    with pytest.raises(DataError, match=r"^c: no calibration is of the labels of a panel"):
        calibrated(label.model_copy(update={"labeler": name}), [other])


def test_people_are_not_calibrated(label):
    vote = Preference(comparison=label.comparison, prob_a=1.0, labeler="human/ann")
    evidence = label.evidence.model_copy(update={"source": "human"})
    assert learnt_from(vote.model_copy(update={"evidence": evidence}), "isotonic").prob_a == 1.0
    with pytest.raises(DataError, match="cannot be calibrated"):
        calibrated(vote, [Calibration(method="temperature", slope=1.0)])


def test_checked_answers_are_not_calibrated_and_each_label_takes_the_map_of_what_was_asked(label):
    half, third = (
        Calibration(method="temperature", slope=slope, labeler=name)
        for slope, name in ((0.5, label.labeler), (0.3, "pairwise/other/general"))
    )
    sure = label.evidence.model_copy(update={"source": "verified"})
    checked = label.model_copy(update={"labeler": "verified/number", "evidence": sure})
    assert calibrated(checked, [third]) == checked
    both = label.model_copy(update={"labeler": f"verified/number+{label.labeler}"})
    for one in (label, both):
        found = calibrated(one, [third, half]).evidence.calibrated
        assert found == {"temperature": pytest.approx(0.7311, abs=1e-4)}


def test_a_run_labels_with_both_probabilities_and_its_receipt_knows_the_map(write, tmp_path):
    from hrlaif import work
    from hrlaif.config import Config
    from hrlaif.pipeline import stages
    from hrlaif.rows import read_rows

    rows = [{"id": str(n), "prompt": f"q{n}", "responses": ["x", "y"]} for n in range(4)]
    path = tmp_path / "c.json"
    half = Calibration(
        method="temperature", slope=0.5, labeler="pairwise/scripted/general-base-0shot"
    )
    path.write_text(half.model_dump_json())
    labeling = {"pairs": str(write("pairs.jsonl", rows)), "calibrations": [str(path)]}
    config = Config.parse({"judge": "scripted:", "labeling": labeling})
    asked = [{"role": "user", "content": "q0"}]
    write("prompts.jsonl", [{"id": "q", "prompt": asked, "split": "train"}])
    work.label(config, tmp_path)
    for row in read_rows(tmp_path / "preferences.jsonl"):
        raw = row.values["prob_a"]
        assert row.values["evidence"]["calibrated"] == {
            "temperature": pytest.approx(half.apply(raw), abs=1e-6)
        }
        assert round(max(raw, 1 - raw), 4) == 0.8808
    stage = next(s for s in stages(config) if s.name == "label")
    before = stage.fingerprint(config)["files"][str(path)]
    path.write_text(half.model_copy(update={"slope": 0.6}).model_dump_json())
    assert stage.fingerprint(config)["files"][str(path)] != before
