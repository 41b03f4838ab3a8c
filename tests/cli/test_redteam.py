"""`hrlaif redteam` and `hrlaif detector`, as a user calls them, and kills them."""

import io
import json
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

TARGET, JUDGE = "scripted:harmful=0.3,refusing=0.2", "scripted:accuracy=1,harmful=0"


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def calls(folder):
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        return db.execute("SELECT COUNT(*) FROM calls").fetchone()[0]


def bytes_of(folder):
    names = [
        "redteam_preferences.jsonl",
        *(f"redteam/{p.name}" for p in (folder / "redteam").iterdir()),
    ]
    return {name: (folder / name).read_bytes() for name in sorted(names)}


@pytest.fixture(scope="module")
def whole(hrlaif, tmp_path_factory):
    folder = tmp_path_factory.mktemp("redteam") / "whole"
    done = hrlaif(
        "redteam", "--target", TARGET, "--judge", JUDGE, "-o", folder, "--limit", 12, "--json"
    )
    return folder, json.loads(done.stdout)


def test_the_summary_is_json_and_the_pairs_are_labels_like_any_other(whole, hrlaif, tmp_path):
    folder, found = whole
    assert found["success"]["attempts"] == 12 * 7
    assert found["rewrites"]["accepted"] > 0
    assert found["cost"]["calls"] == calls(folder)
    receipt = json.loads((folder / "receipts" / "redteam.json").read_text())
    assert receipt["seconds"] > 0
    rows = read(folder / "redteam_preferences.jsonl")
    assert len(rows) == found["pairs"]
    exported = tmp_path / "trl.jsonl"
    hrlaif.here("export", folder / "redteam_preferences.jsonl", "--to", "trl", "-o", exported)
    chosen = read(exported)
    assert len(chosen) == len(rows)
    assert "[harmful]" not in json.dumps([row["chosen"] for row in chosen])


def test_a_dry_run_counts_what_the_worst_campaign_asks_and_sends_nothing(hrlaif, tmp_path):
    out = tmp_path / "worst"
    command = ("redteam", "--target", "scripted:harmful=1", "--judge", JUDGE, "-o", out)
    command += ("--limit", 3, "--families", "direct,escalation,translation")
    told = json.loads(hrlaif.here(*command, "--dry-run", "--json").stdout)
    assert not out.exists()
    # 3 x 3 attacks and a rewording each; escalations take 3 turns, a rewording may be one.
    attacks, benign, turns = 9 + 9, 3, 2 * (3 + 9)
    written = 9 + (3 + 9)  # rewordings and translations
    rewrites = 2 * (attacks + benign)
    verdicts = 2 * (attacks + 2 * benign + 2 * rewrites)
    assert told["calls"] == attacks + benign + turns + written + rewrites + verdicts
    made = json.loads(hrlaif.here(*command, "--json").stdout)
    assert made["rewrites"]["harmful"] == attacks
    assert 0 < made["cost"]["calls"] <= told["calls"]


def test_the_same_command_again_says_the_same_and_asks_nothing(whole, hrlaif):
    folder, found = whole
    before, asked = bytes_of(folder), calls(folder)
    done = hrlaif.here("redteam", "--target", TARGET, "--judge", JUDGE, "-o", folder, "--limit", 12)
    assert (bytes_of(folder), calls(folder)) == (before, asked)
    assert f"rewritten: {found['rewrites']['accepted']} of" in done.stdout
    other = hrlaif.here("redteam", "--target", TARGET, "--judge", JUDGE, "-o", folder, code=1)
    assert "redteam was begun with redteam.limit = 12, now None" in other.stderr


def test_killed_anywhere_it_goes_on_to_the_same_bytes_and_no_call_is_made_twice(
    whole, hrlaif, tmp_path
):
    folder, _ = whole
    out = tmp_path / "killed"
    slow = f"{JUDGE},latency=0.02"
    command = ["redteam", "--target", TARGET, "--judge", slow, "-o", out, "--limit", 12]
    for kills, after in enumerate((5, 120, 260), start=1):
        process = hrlaif.start(*command)
        while process.poll() is None:
            time.sleep(0.02)
            if (out / "ledger.sqlite").exists() and _answered(out) >= after:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"kill {kills} came too late"
        assert not (out / "redteam_preferences.jsonl").exists()
    hrlaif.here(*command)
    assert bytes_of(out) == bytes_of(folder)
    assert calls(out) == calls(folder)


def _answered(folder):
    try:
        return calls(folder)
    except sqlite3.Error:
        return 0


def test_a_dead_judge_ends_with_a_message_and_no_pairs(hrlaif, tmp_path):
    out = tmp_path / "dead"
    command = ("redteam", "--target", TARGET, "--judge", "scripted:failure=1", "-o", out)
    done = hrlaif.here(*command, "--limit", 4, code=1)
    assert "nothing is rewritten or called safe" in done.stderr
    assert not (out / "redteam_preferences.jsonl").exists()


def test_a_mostly_silent_judge_ends_with_3(hrlaif, tmp_path):
    judge = "scripted:accuracy=1,harmful=0,failure=0.2"
    out = tmp_path / "faint"
    done = hrlaif.here(
        "redteam", "--target", TARGET, "--judge", judge, "-o", out, "--limit", 8, code=3
    )
    figures = out / "redteam" / "figures.json"
    assert "attempts have no verdict, more than the 20% allowed: see" in done.stderr
    assert str(figures) in done.stderr
    assert "neither harmful nor safe" in done.stdout


def test_families_seeds_and_imports_are_the_user_s(hrlaif, tmp_path, write):
    seeds = write(
        "seeds.jsonl", [{"id": f"r{n}", "prompt": f"Do {n}.", "hazard": "own"} for n in range(6)]
    )
    row = {"entry_type": "attempt", "status": 2, "probe_classname": "dan.X", "prompt": "Ask."}
    report = write("garak.report.jsonl", [{**row, "outputs": ["[harmful] one", "[answer] two"]}])
    done = hrlaif.here(
        "redteam", "--target", TARGET, "--judge", JUDGE, "-o", tmp_path / "own", "--seeds", seeds,
        "--families", "direct,role_play", "--import-from", report, "--variations", 0, "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["success"]["attempts"] == 12
    assert list(found["success"]["by_hazard"]) == ["own"]
    assert found["imported"]["by_family"]["garak/dan.X"]["value"] == 0.5
    wrong = ("redteam", "--target", TARGET, "--judge", JUDGE, "-o", tmp_path / "no")
    done = hrlaif.here(*wrong, "--families", "direct,rude", code=2)
    assert "families" in done.stderr


def test_other_prompts_of_standard_input_are_not_told_the_figures_of_the_first(
    hrlaif, tmp_path, monkeypatch
):
    def asked(option, what, count, code=0):
        rows = [{"id": f"r{n}", "prompt": f"{what} {n}.", "hazard": "own"} for n in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        command = ("redteam", "--target", TARGET, "--judge", JUDGE, "-o", tmp_path / option)
        command += ("--families", "direct", "--variations", 0, "--limit", 4, option, "-")
        return hrlaif.here(*command, code=code)

    for option in ("--seeds", "--benign"):
        first = asked(option, "Do", 4)
        assert asked(option, "Do", 4).stdout == first.stdout
        for other in (("Undo", 4), ("Do", 3)):
            told = asked(option, *other, code=1).stderr
            assert f"redteam was begun with another {option} -: delete" in told


def test_a_detector_is_measured_and_its_file_corrects_a_campaign(hrlaif, tmp_path, write):
    rows = [
        {"id": f"r{n}", "prompt": f"Do {n}.", "harmful_response": n % 2 == 0,
         "response": f"{'[harmful]' if n % 2 == 0 else '[answer]'} {n}"}
        for n in range(160)
    ]  # fmt: skip
    labels, out = write("labelled.jsonl", rows), tmp_path / "detector"
    judge = "scripted:accuracy=0.9,harmful=0"
    done = hrlaif.here("detector", labels, "-o", out, "--judge", judge)
    assert "sensitivity" in done.stdout
    found = json.loads((out / "detector.json").read_text())["harmless"]
    assert found["sensitivity"]["low"] <= 0.9 <= found["sensitivity"]["high"]
    done = hrlaif.here(
        "redteam", "--target", TARGET, "--judge", judge, "-o", tmp_path / "team", "--limit", 10,
        "--measured", out / "detector.json", "--json",
    )  # fmt: skip
    corrected = json.loads(done.stdout)["success"]["corrected"]
    assert corrected["low"] <= 0.3 <= corrected["high"]
    asked = ("detector", labels, "-o", tmp_path / "short", "--judge", judge, "--check")
    assert "none of harmless, responsive" in hrlaif.here(*asked, "number", code=2).stderr
    hrlaif.here(*asked, "{kind: harmless, max_chars: 1000}")
    found = json.loads((tmp_path / "short" / "detector.json").read_text())
    assert found["settings"]["check"]["max_chars"] == 1000


def test_of_seeds_none_of_which_says_that_it_asks_for_harm_a_word_is_said(hrlaif, tmp_path, write):
    def said(name, **more):
        seeds = write(f"{name}.jsonl", [{"prompt": f"Add {n}.", **more} for n in range(2)])
        given = ("--target", TARGET, "--judge", JUDGE, "--families", "direct", "--limit", 2)
        return hrlaif.here("redteam", *given, "-o", tmp_path / name, "--seeds", seeds).stderr

    word = "has a `hazard` or is `harmful`: does it ask for harm?"
    assert word in said("plain", category="math")
    assert word not in said("hazard", hazard="own")
    assert word not in said("harmful", harmful=True)


def test_a_target_that_was_trained_anew_at_its_path_is_refused_by_name(
    hrlaif, tmp_path, tiny_model, write
):
    model, out = tmp_path / "target", tmp_path / "team"
    shutil.copytree(tiny_model, model)
    seeds = write("seeds.jsonl", [{"prompt": "Do it.", "hazard": "own"}])
    command = ("redteam", "--target", f"local:{model}", "--judge", JUDGE, "-o", out)
    command += ("--families", "direct", "--variations", 0, "--limit", 1, "--seeds", seeds)
    hrlaif.here(*command)
    note = out / "receipts" / "redteam.json"
    receipt = json.loads(note.read_text())
    assert str(model) in receipt["inputs"]
    hrlaif.here(*command)
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    told = hrlaif.here(*command, code=1).stderr
    assert f"redteam was begun with another {model}: delete {out / 'redteam'} and {note}" in told


def test_what_the_refusal_says_keeps_the_answers_and_a_detector_json_corrects_what_is_there(
    hrlaif, tmp_path, write
):
    out = tmp_path / "team"
    command = ("redteam", "--target", TARGET, "--judge", JUDGE, "-o", out, "--limit", 4)
    rows = [
        {"prompt": f"Do {n}.", "harmful_response": n % 2 == 0,
         "response": f"{'[harmful]' if n % 2 == 0 else '[answer]'} {n}"}
        for n in range(40)
    ]  # fmt: skip
    judged = tmp_path / "detector"
    hrlaif.here("detector", write("l.jsonl", rows), "-o", judged, "--judge", JUDGE)
    plain = json.loads(hrlaif.here(*command, "--json").stdout)
    asked = calls(out)
    measured = ("--measured", judged / "detector.json")
    found = json.loads(hrlaif.here(*command, *measured, "--json").stdout)
    assert plain["success"]["corrected"] is None
    assert found["success"]["corrected"]["value"] is not None
    assert found["success"]["overall"] == plain["success"]["overall"]
    note = out / "receipts" / "redteam.json"
    assert str(measured[1]) in json.loads(note.read_text())["inputs"]
    told = hrlaif.here(*command, "--threshold", 0.6, code=1).stderr
    assert f"delete {out / 'redteam'} and {note} (answers stay in the ledger)" in told
    shutil.rmtree(out / "redteam")
    note.unlink()
    hrlaif.here(*command, *measured, "--threshold", 0.5)
    assert calls(out) == asked


def test_an_import_that_stands_in_two_files_is_judged_and_taught_once(hrlaif, tmp_path, write):
    row = {"entry_type": "attempt", "status": 2, "probe_classname": "dan.X", "prompt": "Ask."}
    both = [{**row, "outputs": ["[harmful] one", "[answer] two"]}]
    one, again = (write(f"{name}.report.jsonl", both) for name in ("one", "again"))
    seeds = write("seeds.jsonl", [{"prompt": "Do it.", "hazard": "own"}])
    found = []
    for name, files in (("once", (one,)), ("twice", (one, again))):
        command = ["redteam", "--target", TARGET, "--judge", JUDGE, "-o", tmp_path / name, "--json"]
        command += ["--families", "direct", "--variations", 0, "--limit", 1, "--seeds", seeds]
        for file in files:
            command += ["--import-from", file]
        figures = json.loads(hrlaif.here(*command).stdout)
        rows = read(tmp_path / name / "redteam_preferences.jsonl")
        found.append((figures["imported"], figures["rewrites"], figures["pairs"], rows))
    assert found[0] == found[1]
    assert found[0][0]["attempts"] == 2


def test_labelled_files_of_one_name_are_two_sources(hrlaif, tmp_path):
    files = []
    for name, prompt in (("en", "Do it"), ("zh", "请做这件事")):
        (tmp_path / name).mkdir()
        files.append(tmp_path / name / "labelled.jsonl")
        rows = [
            {"id": f"r{n}", "prompt": f"{prompt} {n}.", "response": "x", "harmful_response": n > 3}
            for n in range(8)
        ]
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    hrlaif.here("detector", *files, "-o", out, "--judge", JUDGE)
    found = json.loads((out / "detector.json").read_text())["harmless"]
    assert list(found["by_source"]) == [str(file) for file in files]
