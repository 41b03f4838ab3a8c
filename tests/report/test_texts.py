"""How texts stand on a page: whose direction a line has, and what of a response is shown."""

import json
from pathlib import Path

import pytest

import hrlaif
from hrlaif.report import write, write_comparison

HOME = Path(hrlaif.__file__).parent


def rules_of(sheet):
    """The rules of a style sheet that are a line each, by their selector."""
    lines = (HOME / sheet).read_text("utf-8").splitlines()
    return dict(line.split(" {", 1) for line in lines if " {" in line and line.endswith("}"))


def test_a_text_runs_in_the_direction_of_its_own_script_line_by_line():
    assert "unicode-bidi: plaintext" in rules_of("pages/templates/style.css")[".text"]
    shown = [
        selector
        for selector, rule in rules_of("human/pages/static/style.css").items()
        if "unicode-bidi: plaintext" in rule
    ]
    assert [one.startswith(".plain, .prose :is(p, li,") for one in shown] == [True]


THOUGHTS = "<think>" + "What do they want? " * 60 + "</think>\n\n"


@pytest.fixture
def thinking(tmp_path):
    """A run of a policy that thinks before it answers, and a comparison with another."""

    def rows(name, *values):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")

    a, b = ({"text": f"{THOUGHTS}The answer of {name}.", "model": name} for name in "ab")
    pair = {"id": "1", "prompt_id": "1", "prompt": "Why?", "a": a, "b": b, "prob_a": 0.3}
    rows("evaluation/comparisons.jsonl", pair)
    rows("evaluation/compare.json", {"judge": "j"})
    rewritten = {**pair, "prob_a": 1, "reason": "a harmless rewrite over a harmful answer"}
    rows("redteam_preferences.jsonl", rewritten)
    rows("redteam/figures.json", {"success": {}})
    rows("policy/samples.jsonl", {"step": 1, "prompt": "Why?", "response": a["text"]})
    outlier = {"why": "its reward stands out", "response": b["text"], "prompt": "Why?"}
    rows("policy/outliers.jsonl", {"step": 1, "reward": 4, **outlier})
    return tmp_path


def test_of_a_response_the_pages_show_what_was_judged_and_not_its_thoughts(thinking):

    def shown(page):
        text = page.read_text("utf-8")
        assert "the rest" not in text
        assert "think&gt;" not in text
        return [text.count(f'<p class="text">The answer of {name}.</p>') for name in "ab"]

    assert shown(write_comparison(thinking / "evaluation")) == [1, 1]
    assert shown(write(thinking)) == [2, 3]  # a rewrite, too, and an outlier of b
    (thinking / "evaluation/comparisons.jsonl").unlink()  # then responses of training stand there
    assert shown(write(thinking)) == [2, 2]


def test_the_report_says_how_many_comparisons_were_of_cut_texts(thinking):
    figure = {"value": 0.6, "low": 0.5, "high": 0.7, "n": 40}
    won = {"overall": figure, "asked": 40, "identical": 0, "truncated": 3, "abstentions": {}}
    file = thinking / "evaluation/metrics.json"
    for cut in (3, 0):
        file.write_text(json.dumps({"win_rate": won | {"truncated": cut}}), "utf-8")
        page = write(thinking).read_text("utf-8")
        said = f"In {cut} of the comparisons a text was longer than the judge is shown, and was cut"
        assert (said in page) == bool(cut)
