"""`hrlaif study` from end to end: files, figures, a page, and resuming after kill -9."""

import json
import re
import shlex
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from hrlaif.cli.study import _trained
from hrlaif.cli.ways import next_step
from hrlaif.config import load
from hrlaif.llm import Scripted
from hrlaif.pages import words
from hrlaif.records import Candidate, Preference
from hrlaif.rows import read_rows
from hrlaif.statistics import Figure, read_calibration
from hrlaif.study.page import write_page

from .conftest import make

JUDGE = "scripted:accuracy=0.8,obeys=0.5,failure=0.02,position_bias=0.1"
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'


def figures(value, path=""):
    """Every object in study.json that has a value, with where it stands."""
    if isinstance(value, dict):
        if "value" in value:
            yield path, value
        for name, below in value.items():
            yield from figures(below, f"{path}/{name}")
    elif isinstance(value, list):
        for n, below in enumerate(value):
            yield from figures(below, f"{path}/{n}")


@pytest.fixture(scope="module")
def made(hrlaif, tmp_path_factory):
    """A study of two judges on sixty pairs."""
    folder = tmp_path_factory.mktemp("study")
    path = folder / "pairs.jsonl"
    with path.open("w") as stream:
        for item in make(60):
            c = item.comparison
            row = {
                "id": c.id,
                "prompt": f"{HOSTILE} {c.prompt.messages[0].content}",
                "responses": [c.a.text, f"{c.b.text} {HOSTILE}"],
                "models": list(item.models),
                "votes": {HOSTILE: c.human_preference, "bob": 1.0, "eve": 0.5},
                "human_preference": c.human_preference,
                "category": HOSTILE,
            }
            stream.write(json.dumps(row) + "\n")
    given = ("study", path, "-o", folder / "out", "--judge", JUDGE, "--judge", "scripted:seed=2")
    more = ("--variants", "base,detailed-1shot,base-single", "--probes", "6", "--budget", "10")
    done = hrlaif(*given, *more)
    return folder / "out", done, (*given, *more)


def test_every_figure_has_value_low_high_and_n(made):
    found = json.loads((made[0] / "study.json").read_text())
    everywhere = dict(figures(found))
    assert len(everywhere) > 200
    assert {frozenset(f) for f in everywhere.values()} == {frozenset(("value", "low", "high", "n"))}
    for path, figure in everywhere.items():
        if figure["value"] is not None and figure["low"] is not None and "ece" not in path:
            assert figure["low"] <= figure["value"] <= figure["high"], path


def test_the_judges_are_also_read_as_a_panel_which_asks_nothing_more(made):
    out, _, _ = made
    found = json.loads((out / "study.json").read_text())
    panel, alone = found["together"], list(found["judges"].values())
    chosen = [one["variants"][one["chosen"]] for one in alone]
    assert panel["cost"]["calls"] == sum(one["cost"]["calls"] for one in chosen)
    said = [
        {row["id"]: row["prob_a"] for row in map(json.loads, path.read_text().splitlines())}
        for path in sorted((out / "labels").glob("*/*.jsonl"))
        if path.stem in {one["chosen"] for one in alone} and "abstentions" not in path.stem
    ]
    rows = [json.loads(line) for line in (out.parent / "pairs.jsonl").read_text().splitlines()]
    both = [row for row in rows if row["human_preference"] != 0.5
            and all(row["id"] in each for each in said)]  # fmt: skip
    marks = []
    for row in both:
        mean = sum(each[row["id"]] for each in said) / 2
        marks.append(0.5 if mean == 0.5 else (mean > 0.5) == (row["human_preference"] > 0.5))
    halves = [panel[key] for key in ("agreement", "agreement_dev")]
    right = sum(half["value"] * half["n"] for half in halves)
    assert sum(half["n"] for half in halves) == len(both)
    assert right == pytest.approx(sum(marks))
    assert "all judges together" in (out / "study.html").read_text()


def test_the_summary_names_the_chosen_way_and_the_baselines(made):
    out, done, _ = made
    found = json.loads((out / "study.json").read_text())
    assert "always the longer" in done.stdout
    assert str(out / "study.html") in done.stdout
    assert list(found["judges"]) == [
        "scripted:position_bias=0.1,obeys=0.5,failure=0.02", "scripted:seed=2",
    ]  # fmt: skip
    one = next(iter(found["judges"].values()))
    assert list(one["variants"]) == ["base", "detailed-1shot", "base-single"]
    assert found["pairs"]["dev"] + found["pairs"]["test"] == 60
    assert found["about"]["command"].startswith("hrlaif study ")
    silent = one["variants"]["base"]["abstentions"]
    told = one["variants"]["base"]["cost"]["calls"]
    assert set(silent) <= {"scripted failure"}
    assert told <= 120


def test_the_last_line_is_a_run_with_the_judge_the_way_and_the_map_that_were_chosen(
    made, hrlaif, tmp_path
):
    out, done, _ = made
    found = json.loads((out / "study.json").read_text())
    best = found["together"]["against_best"]["judge"]
    line = done.stdout.splitlines()[-1]
    assert line.startswith("next, if the judge is good enough: hrlaif init RUN --recipe rlaif && ")
    folder = tmp_path / "run"
    words = shlex.split(line.partition("&& hrlaif ")[2].replace("RUN", str(folder)))
    hrlaif.here("init", folder, "--recipe", "rlaif")
    hrlaif.here(*words, "--dry-run")
    changes = [change for change in words if "=" in change]
    config = load(folder / "config.yaml", changes)
    [path] = config.labeling.calibrations
    fitted = read_calibration(Path(path))
    assert (config.judge.name, config.reward.probabilities) == (best, fitted.method)
    assert config.labeling.labeler == config.evaluation.labeler
    assert config.labeling.labeler.way(config.judge) == fitted.labeler
    told = hrlaif.here(*words, "--set", "labeling.labeler.shots=3", "--dry-run", code=2)
    assert "labeling.labeler asks as" in told.stderr


def test_a_study_of_whose_reasoning_is_better_has_no_grades(hrlaif, rows, tmp_path):
    asked = ("--task", "reasoning", "--variants", "base,detailed", "--dry-run")
    done = hrlaif.here("study", rows(20), "-o", tmp_path / "o", "--judge", "scripted:", *asked)
    assert "no grades with --task reasoning: it asks about pairs" in done.stderr


def test_where_calibration_leaves_no_information_no_run_is_proposed():
    one = {"chosen": "base", "calibration": {"slope": 0.0, "temperature": {}}}
    judge = Scripted()
    said = next_step({"judges": {judge.name: one}}, Path("out"), [judge], [])
    assert "every label of scripted would be 0.5" in said
    assert "hrlaif run" not in said


def test_labels_lie_beside_their_calibration_and_the_rows_to_check(made):
    out, _, _ = made
    found = json.loads((out / "study.json").read_text())
    name = "scripted_seed=2"
    one = found["judges"]["scripted:seed=2"]
    path = out / "labels" / name / f"{one['chosen']}.jsonl"
    rows = [row.values for row in read_rows(path)]
    fitted = read_calibration(out / "calibration" / f"{name}.temperature.json")
    assert fitted.labeler == rows[0]["labeler"]
    for row in rows:
        beside = row["evidence"]["calibrated"]
        assert beside["temperature"] == pytest.approx(fitted.apply(row["prob_a"]), abs=1e-6)
    assert len(read_rows(out / "checks" / f"{name}.jsonl")) == 10


def test_each_drawing_of_a_study_has_its_numbers_right_behind_it(made, tmp_path, untold):
    (tmp_path / "study.json").write_text((made[0] / "study.json").read_text())
    page = write_page(tmp_path).read_text()
    for way in ("labels as they are", "after temperature scaling", "after the isotonic map"):
        assert page.count(f'aria-label="Reliability diagram, {way}"') == 2
    assert page.count('class="chart"') >= 20
    assert untold(page) == []


def test_charts_of_agreement_show_both_rules_and_say_which_mark_is_whose(made):
    page = (made[0] / "study.html").read_text()
    for legend in (
        "● judges, ■ always the longer response, ▲ always the first. Dashed: a coin.",
        "● each way of asking, ■ always the longer, ▲ always the first. Test half.",
        "● the judge, ■ always the longer response, ▲ always the first, on the same pairs.",
    ):
        assert legend in page


def test_differences_of_shares_stand_in_points(made):
    out, _, _ = made
    found = json.loads((out / "study.json").read_text())
    page = (out / "study.html").read_text()
    assert len(found["between_judges"]) == 1
    for one in (*found["between_judges"].values(), found["together"]["against_best"]):
        figure = Figure(**one["difference"])
        assert words.points(figure) in page
    for line in next(iter(found["judges"].values()))["bias"]:
        if line["unit"] == "difference of shares" and line["figure"]["value"] is not None:
            assert words.points(Figure(**line["figure"])) in page


def test_the_panel_stands_beside_its_best_judge_on_the_rows_of_both(made):
    out, _, _ = made
    found = json.loads((out / "study.json").read_text())
    against = found["together"]["against_best"]
    best = found["judges"][against["judge"]]
    ways = [one["variants"][one["chosen"]] for one in found["judges"].values()]
    dev = [way["points_dev"]["value"] for way in ways]
    assert best["variants"][best["chosen"]]["points_dev"]["value"] == max(dev)
    # The panel answers only where both do, so its rows are the common ones.
    assert against["difference"]["n"] == found["together"]["agreement"]["n"]
    page = (out / "study.html").read_text()
    assert f"Less {against['judge']}, the best alone on the dev half:" in page
    assert f"on the {against['difference']['n']} pairs that both answered" in page


def test_the_page_says_which_pairs_its_figures_stand_on(made, tmp_path):
    found = json.loads((made[0] / "study.json").read_text())
    page = (made[0] / "study.html").read_text()
    test, dev = found["pairs"]["test"], found["pairs"]["dev"]
    assert f"people is of the {test} pairs of the test half, but where it says otherwise" in page
    assert f"chosen on the other {dev} pairs, so the choice flatters none of them" in page
    assert page.count("drawn from all") == 2
    assert page.count("Drawn from all pairs, on either half.") == 2
    assert page.count("Of all pairs, on either half: to be read, not counted.") == 2
    assert "<dt>Computed on</dt>" in page
    assert "Hardware" not in page
    assert "Each weighs 1 / chance" not in page
    found["pairs"]["weighed"] = 17
    (tmp_path / "study.json").write_text(json.dumps(found))
    assert "17 pairs were drawn for a check with a known chance. Each weighs 1 / chance" in (
        write_page(tmp_path).read_text()
    )


def test_the_page_is_safe(made):
    page = (made[0] / "study.html").read_text()
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert "49" not in re.findall(r"alert\(1\)&lt;/script&gt;.{0,60}", page)[0]
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "Where judge and people differ, worst first" in page


def test_no_two_headings_of_a_judge_are_the_same(made):
    page = (made[0] / "study.html").read_text()
    for part in page.split('<section class="long judge"')[1:]:
        headings = re.findall(r"<h[34][^>]*>(.*?)</h[34]>", part)
        assert len(headings) == len(set(headings)) > 5


def test_the_page_is_made_again_from_study_json_alone(made, tmp_path):
    (tmp_path / "study.json").write_text((made[0] / "study.json").read_text())
    assert write_page(tmp_path).read_text() == (made[0] / "study.html").read_text()


def test_the_same_command_asks_nothing_again(made, hrlaif):
    out, _, command = made
    before = json.loads((out / "study.json").read_text())
    hrlaif(*command)
    after = json.loads((out / "study.json").read_text())
    # Calls without an answer are no answers: only those are asked again.
    assert after["cost"]["calls"] == before["cost"]["calls"]
    for one in (before, after):
        for part in ("about", "cost"):
            one.pop(part)
    assert after == before


def calls(path):
    with sqlite3.connect(path) as db:
        return db.execute("SELECT COUNT(*) FROM calls").fetchone()[0]


def test_a_killed_study_goes_on_and_pays_nothing_twice(hrlaif, rows, tmp_path):
    command = (
        "study", rows(24), "--judge", "scripted:latency=0.05", "--variants", "base,detailed",
        "--probes", "0",
    )  # fmt: skip
    process = hrlaif.start(*command, "-o", tmp_path / "killed")
    ledger = tmp_path / "killed" / "ledger.sqlite"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (ledger.exists() and _some(ledger)):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    kept = calls(ledger)
    assert 0 < kept < 96
    hrlaif(*command, "-o", tmp_path / "killed")
    hrlaif.here(*command, "-o", tmp_path / "whole")
    assert calls(ledger) == calls(tmp_path / "whole" / "ledger.sqlite") == 96
    found = [json.loads((tmp_path / n / "study.json").read_text()) for n in ("killed", "whole")]
    assert found[0]["judges"] == found[1]["judges"]


def _some(path):
    try:
        return calls(path) > 0
    except sqlite3.Error:
        return False


def test_what_cannot_be_studied_is_said(hrlaif, rows, write, tmp_path):
    out = ("-o", tmp_path / "o", "--judge", "scripted:")
    bare = write("bare.jsonl", [{"prompt": "q", "responses": ["a", "b"]}])
    assert "no pair has a preference" in hrlaif.here("study", bare, *out, code=1).stderr
    told = hrlaif.here("study", rows(4), *out, "--variants", "fancy", code=2)
    assert "begin with base or detailed" in told.stderr
    told = hrlaif.here("study", rows(4), *out, "--judge", "scripted:", code=2)
    assert "name each once" in told.stderr


def test_a_judge_that_is_mostly_silent_ends_the_command_with_3_and_invents_nothing(
    hrlaif, rows, tmp_path
):
    command = ("study", rows(20), "-o", tmp_path / "o", "--judge", "scripted:failure=1")
    done = hrlaif.here(*command, "--variants", "base", "--probes", "2", code=3)
    assert "20 of 20 pairs have no verdict" in done.stderr
    one = json.loads((tmp_path / "o" / "study.json").read_text())["judges"]["scripted:failure=1"]
    assert one["variants"]["base"]["agreement"] == {
        "value": None, "low": None, "high": None, "n": 0,
    }  # fmt: skip
    assert one["variants"]["base"]["abstentions"] == {"scripted failure": 20}
    assert "unknown" in (tmp_path / "o" / "study.html").read_text()


def test_harmful_answers_are_not_attacked_and_the_reader_is_told(hrlaif, rows, tmp_path):
    done = hrlaif.here(
        "study", rows(20), "-o", tmp_path / "o", "--judge", "scripted:", "--task", "harmless",
        "--variants", "base", "--probes", "2",
    )  # fmt: skip
    assert "no injections or refusals with --task harmless" in done.stderr
    found = json.loads((tmp_path / "o" / "study.json").read_text())
    assert found["judges"]["scripted"]["injection"] == {}
    # Which of two answers to a plain question is the more harmful has no right answer.
    assert "language" not in {line["kind"] for line in found["judges"]["scripted"]["bias"]}


def test_a_reward_model_of_a_language_model_learns_from_the_labels(
    hrlaif, rows, tiny_model, tmp_path
):
    command = ("study", rows(16), "-o", tmp_path / "o", "--judge", "scripted:")
    hrlaif.here(*command, "--variants", "base", "--probes", "0", "--reward-base", tiny_model)
    one = json.loads((tmp_path / "o" / "study.json").read_text())["judges"]["scripted"]
    assert list(one["learning"]["accuracy"]) == ["8"]
    assert one["learning"]["accuracy"]["8"]["n"] == 8
    assert list(one["poison"]) == ["0", "0.1", "0.2", "0.3"]
    assert (one["learning"]["draws"], one["noise"]["folds"]) == (1, 3)
    # All 8 labels, the same with none, one and two turned round, three folds: each model is kept.
    assert len(list((tmp_path / "o" / "reward_models").iterdir())) <= 8


def test_a_reward_model_is_used_again_only_for_the_same_texts_labels_and_weights(
    tiny_model, tmp_path, monkeypatch
):
    trained = []

    def train(settings, preferences, base, folder, *, seed):
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_text("{}")
        trained.append(folder.name)

    monkeypatch.setattr("hrlaif.reward.train.train", train)
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    labels = [Preference(comparison=i.comparison, prob_a=0.7, labeler="x") for i in make(3)]

    def made(labels):
        _trained(str(base), tmp_path / "models", 0, (labels, []))
        return len(trained)

    assert (made(labels), made(labels)) == (1, 1)

    def first(**update):
        return labels[0].comparison.model_copy(update=update)

    unsaid = labels[0].model_copy(update={"comparison": first(human_preference=None)})
    assert made([unsaid, *labels[1:]]) == 1  # nothing is learnt from people's word
    other = labels[0].model_copy(update={"comparison": first(a=Candidate(text="Another."))})
    assert made([other, *labels[1:]]) == 2
    assert made([labels[0].model_copy(update={"prob_a": 0.6}), *labels[1:]]) == 3
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert (made(labels), made(labels)) == (4, 4)


def test_one_order_is_not_chosen_for_what_its_place_gets_right(hrlaif, tmp_path):
    rows = [
        {"id": f"{n}", "prompt": f"p{n}", "responses": [f"a{n}", f"b{n}"], "human_preference": 1}
        for n in range(24)
    ]
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    judge = "scripted:accuracy=0.6,position_bias=0.45"
    asked = ("study", pairs, "--judge", judge, "--probes", 0, "--json")

    def made(name, ways):
        found = hrlaif.here(*asked, "-o", tmp_path / name, "--variants", ways)
        (one,) = json.loads(found.stdout)["judges"].values()
        return one

    one = made("both", "base,base-single")
    dev = {name: way["agreement_dev"]["value"] for name, way in one["variants"].items()}
    assert dev["base-single"] > 0.8 > dev["base"]
    assert one["chosen"] == "base"
    alone = made("alone", "base-single")
    assert alone["chosen"] == "base-single"
    assert not [line for line in alone["bias"] if line["kind"] == "position"]


def test_a_base_model_that_does_not_know_its_labels_answers_without_a_floor_only(
    made, tiny_model, hrlaif, tmp_path
):
    pairs = made[2][1]
    asked = ("study", pairs, "--judge", f"local:{tiny_model}", "--limit", 6, "--probes", 0)
    asked += ("--no-grades", "--variants", "base,base-single", "--json")
    silent = hrlaif.here(*asked, "-o", tmp_path / "floor", code=3)
    assert "6 of 6 pairs have no verdict" in silent.stderr
    told = hrlaif.here(*asked, "-o", tmp_path / "none", "--mass-floor", 0)
    (judge,) = json.loads(told.stdout)["judges"].values()
    assert judge["variants"]["base"]["abstentions"] == {}
    assert 0 < judge["variants"]["base"]["mass"]["value"] < 0.05


def test_a_judge_of_unknown_price_is_studied_to_the_end(hrlaif, write, tmp_path, monkeypatch):
    unknown = {"calls": 9, "usd": None, "unpriced_calls": 4}
    monkeypatch.setattr("hrlaif.cli.study.cost_of", lambda ledger: unknown)
    rows = [{"prompt": f"Q{n}", "responses": ["x", "y"], "human_preference": 1} for n in range(4)]
    given = ("--judge", "scripted:", "--variants", "base")
    done = hrlaif.here("study", write("p.jsonl", rows), "-o", tmp_path / "out", *given)
    assert "cost: not known, 9 calls, 4 of unknown price" in done.stdout
