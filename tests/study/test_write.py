"""Does a study leave its own files alone behind, and each judge's apart?"""

import json

import pytest

from hrlaif import study
from hrlaif.study.write import file_names

QUICK = ("--variants", "base", "--probes", 0, "--no-attacks", "--no-grades", "--budget", 5)


def test_judges_of_one_file_name_have_two_and_others_keep_theirs():
    names = file_names(["remote:a/b", "remote:a_b", "remote:c/d"])
    assert names["remote:c/d"] == "remote_c_d"
    assert len(set(names.values())) == 3
    assert all(names[name].startswith("remote_a_b-") for name in ("remote:a/b", "remote:a_b"))
    again = file_names(["remote:a_b", "remote:a/b"])
    assert [again[name] == names[name] for name in again] == [True, True]
    assert len({file.casefold() for file in file_names(["remote:Q", "remote:q"]).values()}) == 2


def test_another_study_in_the_same_folder_is_said_and_the_first_one_s_files_go(
    hrlaif, rows, tmp_path
):
    out, path = tmp_path / "o", rows(12)
    pairs = [json.loads(row) for row in path.read_text().splitlines()]
    for pair in pairs[:6]:
        del pair["human_preference"]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    def studied(judge, **more):
        return hrlaif.here("study", path, "-o", out, "--judge", judge, *QUICK, **more).stderr

    said = [studied(f"scripted:accuracy={share}") for share in (0.9, 0.9, 0.7)]
    replaced = f"{out} held a study of other pairs, judges or settings, which is replaced"
    assert [replaced in words for words in said] == [False, False, True]
    left = {
        path.name for kind in ("labels", "checks", "calibration") for path in (out / kind).iterdir()
    }
    name = "scripted_accuracy=0.7"
    assert left == {name, f"{name}.jsonl", f"{name}.temperature.json", f"{name}.isotonic.json"}
    checks = out / "checks" / f"{name}.jsonl"
    filled = [
        {**json.loads(row), "human_preference": 1.0} for row in checks.read_text().splitlines()
    ]
    assert len(filled) == 5
    checks.write_text("".join(json.dumps(row) + "\n" for row in filled))
    assert "holds what people said in human_preference" in studied("scripted:accuracy=0.9", code=2)
    assert checks.read_text().count("human_preference") == 5


@pytest.mark.parametrize(
    ("column", "value"),
    [("winner", "a"), ("votes", {"ann": 1, "bob": 0}), ("Human Preference", 1), ("votes", [0, 1])],
)
def test_checks_that_people_filled_in_by_any_name_are_kept(hrlaif, rows, tmp_path, column, value):
    out = tmp_path / "o"
    given = ("study", rows(8), "-o", out, "--judge", "scripted:", *QUICK)
    hrlaif.here(*given)
    path = out / "checks" / "scripted.jsonl"
    filled = [{**json.loads(row), column: value} for row in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in filled))
    before = path.read_bytes()
    told = hrlaif.here(*given, code=2).stderr
    assert f"{path} holds what people said in {column.lower().replace(' ', '_')}: move it" in told
    assert path.read_bytes() == before


def test_checks_that_people_fill_in_while_a_study_runs_are_kept(
    hrlaif, rows, tmp_path, monkeypatch
):
    out = tmp_path / "o"
    given = ("study", rows(8), "-o", out, "--judge", "scripted:", *QUICK)
    hrlaif.here(*given)
    path = out / "checks" / "scripted.jsonl"
    asked = study.study

    def meanwhile(*what):
        filled = [{**json.loads(row), "winner": "a"} for row in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in filled))
        return asked(*what)

    monkeypatch.setattr(study, "study", meanwhile)
    assert f"{path} holds what people said in winner" in hrlaif.here(*given, code=2).stderr
    assert path.read_text().count('"winner": "a"') == 5


def test_a_seed_below_zero_is_refused_before_anything_is_asked(hrlaif, rows, tmp_path):
    given = ("study", rows(8), "-o", tmp_path / "o", "--judge", "scripted:", *QUICK)
    assert "--seed" in hrlaif.here(*given, "--seed", -1, code=2).stderr
    assert not (tmp_path / "o").exists()


def test_a_study_that_left_nothing_to_check_can_be_run_again(hrlaif, rows, tmp_path):
    out = tmp_path / "o"
    given = ("study", rows(8), "-o", out, "--judge", "scripted:", *QUICK, "--budget", 0)
    hrlaif.here(*given)
    assert (out / "checks" / "scripted.jsonl").read_bytes() == b""
    hrlaif.here(*given)
