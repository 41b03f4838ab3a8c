"""The page of `hrlaif compare`: of two models, and of several."""

import json
import random

import pytest

from hrlaif.cli.compared import several_lines, two_lines
from hrlaif.errors import DataError
from hrlaif.report import write_comparison
from hrlaif.statistics import lc_minimal
from hrlaif.statistics.separation import TOLD_BY_LENGTH


@pytest.fixture
def compared(hrlaif, tmp_path):
    """A comparison of models that write about so many words, by a judge who likes long texts."""

    def run(*words, more=(), name="out"):
        files = []
        for count in words:
            rng, file = random.Random(count), tmp_path / f"m{count}.jsonl"
            texts = (f"{count} says so" + " so" * int(count * rng.random()) for _ in range(24))
            rows = ({"prompt": f"Why {n}?", "response": text} for n, text in enumerate(texts))
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
            files.append(file)
        judge = ("--judge", "scripted:accuracy=0.5,length_bias=0.45,failure=0.03")
        out = tmp_path / name
        done = hrlaif.here("compare", *files, "-o", out, *judge, *more)
        assert done.stdout.splitlines()[-1] == str(out / "compare.html")
        return out, json.loads((out / "compare.json").read_text())

    return run


def percent(figure):
    value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def test_of_two_models_the_page_calls_them_a_and_b_by_their_files(compared):
    out, found = compared(4, 40)
    page = (out / "compare.html").read_text("utf-8")
    assert "<h1>m40.jsonl against m4.jsonl</h1>" in page
    assert "A is m4.jsonl, B m40.jsonl." in page
    assert found["win_rate"]["statement"].replace("'", "&#39;") in page
    assert percent(found["win_rate"]["length_controlled"]["win_rate"]) in page
    assert "probability that B is better:" in page
    body = page.split("</style>")[1]
    assert "before" not in body
    assert "after" not in body
    command = found["about"]["command"].replace("'", "&#39;")
    assert command in page.split("<dt>Command</dt>")[1].split("</dd>")[0]


def test_two_files_of_one_name_are_told_apart_by_their_folders(hrlaif, tmp_path):
    files = [tmp_path / folder / "responses.jsonl" for folder in ("old", "new")]
    for file in files:
        file.parent.mkdir()
        row = {"prompt": "Why?", "response": f"So, says the {file.parent.name}.", "model": "m"}
        file.write_text(json.dumps(row))
    out = tmp_path / "out"
    hrlaif.here("compare", *files, "-o", out, "--judge", "scripted:")
    old, new = files
    page = (out / "compare.html").read_text("utf-8")
    assert f"<h1>{new} against {old}</h1>" in page
    assert f"A is {old}, B {new}." in page


def test_what_a_win_rate_differs_by_from_another_comparison_s_is_on_its_page(compared):
    other, _ = compared(4, 12, name="other")
    out, found = compared(4, 40, more=("--against", other))
    page = (out / "compare.html").read_text("utf-8")
    assert found["against"]["statement"].replace("'", "&#39;") in page


def test_of_several_models_the_page_ranks_them_and_says_who_is_told_apart(compared, untold):
    out, found = compared(4, 40, 90)
    page = (out / "compare.html").read_text("utf-8")
    judged = found["ranking"]["as_judged"]["win_rate"]
    best, second, worst = sorted(judged, key=lambda name: -judged[name]["value"])
    assert f"{best} is preferred to the other models in {percent(judged[best])}" in page
    one = next(p for p in found["pairs"] if {p["a"], p["b"]} == {best, second})
    apart = not one["win_rate"]["overall"]["low"] <= 0.5 <= one["win_rate"]["overall"]["high"]
    assert ("are told apart" in page) == apart
    table = page.split("mean share of wins</th>")[1].split("</table>")[0]
    assert [table.index(f"<td>{name}</td>") for name in (best, second, worst)] == sorted(
        table.index(f"<td>{name}</td>") for name in judged
    )
    silent = sum(found["abstentions"].values())
    assert silent
    assert f'<td>scripted failure</td><td class="n">{silent}</td>' in page
    assert untold(page) == []


def test_a_model_beats_another_by_what_the_other_loses(compared):
    out, found = compared(4, 40, 90)
    page = (out / "compare.html").read_text("utf-8")
    matrix = page.split("Each over each")[1].split("</table>")[0]
    won = found["pairs"][0]["win_rate"]["overall"]
    for figure in (
        won,
        {"value": 1 - won["value"], "low": 1 - won["high"], "high": 1 - won["low"]},
    ):
        assert f"{100 * figure['value']:.1f} %" in matrix
        assert f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}" in matrix
    assert won["low"] > 0.5
    assert f'<span class="won">{100 * won["value"]:.1f} %' in matrix
    assert f'<span class="lost">{100 * (1 - won["value"]):.1f} %' in matrix


def test_what_to_know_of_a_win_rate_at_equal_difficulty_is_said_beside_it(compared):
    out, found = compared(4, 12, 40, 90)
    found["with_difficulty"]["models"]["m40"]["flags"] = ["separated"]
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    page = write_comparison(out).read_text("utf-8")
    assert "Note: m40: separated." in page.split("At equal length and difficulty")[1]
    assert "  m40: separated" in several_lines(found, 8000)


def test_where_length_tells_wins_apart_no_percentage_at_equal_length_is_shown_but_why(compared):
    told = lc_minimal([1.0] * 5 + [0.0] * 5, [200] * 5 + [50] * 5, [100] * 10, resamples=50).row()
    told_by_ratio = told | {"estimator": "lc_ratio"}
    out, found = compared(4, 40)
    found["win_rate"] |= {"length_controlled": told, "length_ratio": told_by_ratio}
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    page = write_comparison(out).read_text("utf-8").split("</style>")[1]
    assert "At equal length" not in page
    assert "<td>length-controlled</td>" not in page
    assert f"Note: length-controlled: {TOLD_BY_LENGTH}." in page
    text = two_lines(found, "B", 8000)
    assert "At equal length (lc_minimal) it is not known." in text
    assert f"  {TOLD_BY_LENGTH}" in text

    out, found = compared(4, 12, 40, 90)
    for one in found["pairs"]:
        one["win_rate"]["length_controlled"] = told
    models = found["with_difficulty"]["models"]
    models |= dict.fromkeys(models, told)
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    page = write_comparison(out).read_text("utf-8")
    assert page.count(f"Note: m12 over m4: {TOLD_BY_LENGTH}.") == 1
    assert f"Note: m12: {TOLD_BY_LENGTH}." in page.split("At equal length and difficulty")[1]
    assert f"  m12 over m4: {TOLD_BY_LENGTH}" in several_lines(found, 8000)


def test_with_one_baseline_alone_the_two_best_did_not_meet_and_the_page_says_so(compared):
    out, found = compared(4, 40, 90, more=("--first-only",))
    judged = found["ranking"]["as_judged"]["win_rate"]
    assert min(judged, key=lambda name: judged[name]["value"]) == "m4"
    page = (out / "compare.html").read_text("utf-8")
    assert "each met the first model alone" in page
    assert "None: the two did not meet" in page


def test_without_any_verdict_there_is_no_ranking_and_still_a_page(compared, hrlaif):
    out, found = compared(4, 40, 90)
    found["ranking"] |= {"as_judged": None, "at_equal_style": None, "reason": "no verdicts"}
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    assert "No ranking: no verdicts." in write_comparison(out).read_text("utf-8")


def test_where_nobody_judged_no_figure_is_shown(compared):
    out, found = compared(4, 40)
    found["win_rate"] |= {"asked": 5, "identical": 3, "abstentions": {"refused": 2}}
    found["win_rate"]["statement"] = "Too few verdicts to say anything."
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    page = write_comparison(out).read_text("utf-8").split("</style>")[1]
    assert "Too few verdicts to say anything." in page
    assert "nobody said which of two different texts is better" in page
    assert '<td>refused</td><td class="n">2</td>' in page
    assert "At equal length" not in page
    assert 'class="chart"' not in page


def test_two_that_met_without_a_verdict_are_not_said_to_have_never_met(compared):
    out, found = compared(4, 40, 90)
    for one in found["pairs"]:
        one["win_rate"] |= {"asked": 2, "identical": 2, "abstentions": {}}
    (out / "compare.json").write_text(json.dumps(found), "utf-8")
    page = write_comparison(out).read_text("utf-8")
    assert "the next, there is no verdict" in page
    assert "met the first model alone" not in page


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no compare\.json"):
        write_comparison(tmp_path)
