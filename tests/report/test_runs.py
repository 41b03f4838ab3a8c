"""Several runs side by side: `hrlaif report RUN RUN`."""

import html
import json

import pytest

from hrlaif.errors import DataError
from hrlaif.evaluation import two_runs
from hrlaif.pages.charts import Charts
from hrlaif.report import side_by_side, told, write_runs
from hrlaif.report.hybrid import satisfied
from hrlaif.report.load import Run
from hrlaif.statistics import NOTHING
from hrlaif.statistics.separation import TOLD_BY_LENGTH

HOSTILE = "<script>alert(1)</script>"


def figure(value, wide=0.1):
    return {"value": value, "low": value - wide, "high": value + wide, "n": 20}


def sides(before, after):
    return {"before": figure(before), "after": figure(after), "gain": figure(after - before)}


@pytest.fixture
def run(tmp_path):
    def make(name, won, *, before=0.4, wins=(), judge="judge", equal=0, start="x"):
        folder = tmp_path / name
        (folder / "evaluation").mkdir(parents=True)
        (folder / "receipts").mkdir()
        metrics = {
            "judge": judge,
            "win_rate": {
                "overall": figure(won),
                "by_category": {"math": figure(won), HOSTILE: figure(won)},
            },
            "satisfaction": {
                "rate": sides(before, won),
                "by_category": {"math": sides(before, won)},
            },
        }
        (folder / "evaluation/metrics.json").write_text(json.dumps(metrics), "utf-8")
        side = {"text": start, "model": "m"}
        rows = [
            {
                "id": f"p{n}",
                "prompt_id": f"p{n}",
                "prompt": [{"role": "user", "content": "q"}],
                "a": side,
                "b": {**side, "text": "y"},
                "prob_a": 1 - win,
                "labeler": judge,
            }
            for n, win in enumerate(wins)
        ]
        for n in range(equal):  # answers that every policy gives, so that no judge is asked
            same = {"text": f"{n}", "model": "m"}
            shared = {"id": f"e{n}", "prompt_id": f"e{n}", "a": same, "b": same, "reason": "-"}
            rows.append({**shared, "prompt": [{"role": "user", "content": f"e{n}"}]})
            rows[-1]["labeler"] = judge
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "evaluation/comparisons.jsonl").write_text(lines, "utf-8")
        receipt = {"stage": "label", "begun": "2026-01-01T10:00:00Z", "seconds": 60}
        receipt["cost"] = {"calls": 7, "usd": 0.5, "unpriced_calls": 0}
        (folder / "receipts/label.json").write_text(json.dumps(receipt), "utf-8")
        return folder

    return make


def test_one_start_is_shown_once_and_every_figure_beside_it(run):
    found = side_by_side([run("basic", 0.5), run("hybrid", 0.7)], two_runs)
    assert found["columns"] == ["before RL", "basic", "hybrid"]
    assert told(found) == [
        ["preferred to the policy before RL", "", "50.0 % (40.0 to 60.0)", "70.0 % (60.0 to 80.0)"],
        [
            "satisfied",
            "40.0 % (30.0 to 50.0)",
            "50.0 % (40.0 to 60.0)",
            "70.0 % (60.0 to 80.0)",
        ],
    ]
    assert found["spent"][1] == {"seconds": 60, "calls": 7, "dollars": 0.5, "chosen_step": None}


def test_runs_that_began_elsewhere_have_a_beginning_each(run):
    found = side_by_side([run("a", 0.5), run("b", 0.7, before=0.3)], two_runs)
    assert found["columns"] == ["a, before RL", "a", "b, before RL", "b"]
    assert told(found)[1][3] == "30.0 % (20.0 to 40.0)"


def test_win_rates_are_subtracted_prompt_by_prompt_where_that_means_something(run):
    first, second = run("a", 0.5, wins=[0.4] * 9), run("b", 0.7, wins=[0.6] * 9)
    [row] = side_by_side([first, second], two_runs)["differences"]
    assert row["run"] == "b"
    assert row["difference"] == two_runs(
        second / "evaluation", first / "evaluation"
    ).difference.model_dump(mode="json")
    assert row["difference"]["value"] == pytest.approx(0.2)
    other = run("c", 0.7, wins=[0.6] * 9, judge="another")
    [row] = side_by_side([first, other], two_runs)["differences"]
    assert "only verdicts of one judge" in row["reason"]


def test_a_category_without_a_verdict_in_one_run_has_no_percentage_there(run, tmp_path):
    first, second = run("a", 0.5), run("b", 0.7)
    file = first / "evaluation/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["win_rate"]["by_category"]["math"] = NOTHING.row()
    del metrics["satisfaction"]["by_category"]
    file.write_text(json.dumps(metrics), "utf-8")
    found = side_by_side([first, second], two_runs)
    assert next(row["won"] for row in found["categories"] if row["name"] == "math") == [
        None,
        figure(0.7),
    ]
    page = write_runs(found, tmp_path / "table.html").read_text("utf-8")
    line = page.split("by category</h2>")[1].split("<td>math</td>")[1].split("</tr>")[0]
    assert [cell for cell in line.split("</td>") if "%" in cell] == [
        '<td class="n">70.0 % (60.0 to 80.0)'
    ] * 2  # the second run's, and its satisfaction
    won = {name: won for name, won, _ in satisfied(Run(first), Charts())["categories"]}
    assert won["math"] is None


def test_a_run_without_a_verdict_has_no_win_rate_and_is_not_subtracted(run, tmp_path):
    first, second = run("a", 0.5, equal=10), run("b", 0.7, wins=[0.6] * 9, equal=10)
    file = first / "evaluation/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["win_rate"] |= {"asked": 24, "identical": 10, "abstentions": {"refused": 14}}
    file.write_text(json.dumps(metrics), "utf-8")
    found = side_by_side([first, second], two_runs)
    assert told(found)[0] == ["preferred to the policy before RL", "", "", "70.0 % (60.0 to 80.0)"]
    assert [row["won"][0] for row in found["categories"]] == [None, None]
    assert [won for _, won, _ in satisfied(Run(first), Charts())["categories"]] == [None]
    [row] = found["differences"]
    assert row["reason"].startswith("Too few verdicts to compare with")
    page = write_runs(found, tmp_path / "table.html").read_text("utf-8")
    assert "50.0 %" not in page.split("Side by side")[1].split("satisfied")[0]


def test_a_difference_says_on_how_few_comparisons_it_stands(run, tmp_path):
    a, b = (run(name, 0.5, wins=[0.6] * 21, start=name) for name in "ab")
    for folder, win in ((a, 0.9), (b, 0.4)):
        file = folder / "evaluation/comparisons.jsonl"
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for row in rows[:3]:  # of two policies before RL, these answers alone are the same
            row["a"]["text"], row["prob_a"] = "4", 1 - win
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = side_by_side([a, b], two_runs)
    [row] = found["differences"]
    assert (row["difference"]["n"], row["unmatched"]) == (3, 36)
    page = write_runs(found, tmp_path / "table.html").read_text("utf-8")
    assert "on 3 comparisons" in page
    assert "Left out, with a verdict in one of the two alone: 36." in page


def test_the_page_shows_categories_and_adds_no_element_of_a_text(run, tmp_path):
    found = side_by_side([run("a", 0.5, wins=[0.4] * 9), run("b", 0.7, wins=[0.6] * 9)], two_runs)
    page = write_runs(found, tmp_path / "table.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "b minus a, win rates paired by prompt: +20.0 points" in page
    assert "Preference and satisfaction by category" in page


def test_runs_of_two_judges_bars_or_scales_say_so_in_json_terminal_and_page(run, hrlaif, tmp_path):
    def told(*changes):
        for folder, change in zip(folders, changes, strict=True):
            file = folder / "evaluation/metrics.json"
            metrics = json.loads(file.read_text("utf-8"))
            metrics["satisfaction"] |= change
            file.write_text(json.dumps(metrics), "utf-8")
        text = hrlaif.here("report", *folders, "-o", tmp_path / "t.html").stdout
        found = json.loads(hrlaif.here("report", *folders, "--json").stdout)
        return found, text, html.unescape((tmp_path / "t.html").read_text("utf-8"))

    folders = run("a", 0.5, judge="first"), run("b", 0.7, judge="second")
    line = {"slope": 1.0, "intercept": 0.5, "n": 9}
    theirs = {"bar": 3.5, "calibrated": None}, {"bar": 4.5, "calibrated": line}
    found, *shown = told(*theirs)
    assert found["measured"] == [
        {"run": "a", "judge": "first", **theirs[0]},
        {"run": "b", "judge": "second", **theirs[1]},
    ]
    bars = "from 3.5 in a, from 4.5 on people's scale in b: not the same measure"
    assert found["notes"] == [f"satisfied, and the level: {bars}"]
    for text in shown:
        assert "Judge: a: first; b: second" in text
        assert found["notes"][0] in text
    found, *_ = told({}, {"calibrated": None})
    assert found["notes"] == ["satisfied: from 3.5 in a, from 4.5 in b: not the same measure"]
    found, *shown = told({}, {"bar": 3.5})
    assert found["notes"] == []
    assert all("not the same measure" not in text for text in shown)


def test_a_run_in_which_length_tells_wins_apart_has_no_figure_at_equal_length_and_says_why(
    run, hrlaif, tmp_path
):
    folders = run("a", 0.5), run("b", 0.7)
    for folder, equal in zip(folders, (figure(0.4), figure(0.4) | {"value": None}), strict=True):
        file = folder / "evaluation/metrics.json"
        metrics = json.loads(file.read_text("utf-8"))
        flags = [] if equal["value"] else [TOLD_BY_LENGTH]
        metrics["win_rate"]["length_controlled"] = {"win_rate": equal, "flags": flags}
        file.write_text(json.dumps(metrics), "utf-8")
    found = side_by_side(folders, two_runs)
    assert told(found)[1] == ["the same, at equal length", "", "40.0 % (30.0 to 50.0)", ""]
    assert found["notes"] == [f"b: {TOLD_BY_LENGTH}"]
    assert found["notes"][0] in write_runs(found, tmp_path / "t.html").read_text("utf-8")
    text = hrlaif.here("report", *folders, "-o", tmp_path / "t.html").stdout
    assert found["notes"][0] in " ".join(text.split())


def test_runs_of_one_judge_name_it_once(run):
    found = side_by_side([run("a", 0.5), run("b", 0.7)], two_runs)
    assert found["judge"] == "judge"


def test_a_run_without_evaluation_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no evaluation yet"):
        side_by_side([run("a", 0.5), tmp_path / "empty"], two_runs)


def test_the_command_prints_the_table_and_writes_the_page(run, hrlaif, tmp_path):
    a, b = run("a", 0.5), run("b", 0.7)
    done = hrlaif("report", a, b, "-o", tmp_path / "t.html")
    assert "satisfied" in done.stdout
    assert (tmp_path / "t.html").is_file()
    found = json.loads(hrlaif.here("report", a, b, "--json").stdout)
    assert found["columns"] == ["before RL", "a", "b"]
