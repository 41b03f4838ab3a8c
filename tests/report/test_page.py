"""The report: whatever the run folder holds, one safe page that needs no network."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from hrlaif.errors import DataError
from hrlaif.report import write, write_comparison
from hrlaif.statistics import NOTHING

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\'</style><b style="x">{{ 7*7 }}$'
FIGURE = {"value": 0.62, "low": 0.55, "high": 0.69, "n": 40}


class Tags(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += attrs


def rows(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


def document(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


@pytest.fixture
def run(tmp_path):
    """A whole small run in which every text that a person or model could write is hostile."""
    folder = tmp_path / "run"
    side = {"text": HOSTILE, "model": HOSTILE}
    comparison = {
        "id": HOSTILE,
        "prompt_id": "p",
        "prompt": [{"role": HOSTILE, "content": HOSTILE}],
        "category": HOSTILE,
        "a": side,
        "b": side,
        "labeler": HOSTILE,
    }
    judged = {**comparison, "prob_a": 0.2, "evidence": {"flipped": True}}
    rows(folder / "evaluation/comparisons.jsonl", [judged, comparison])
    rows(folder / "preferences.jsonl", [judged] * 5)
    rows(folder / "abstentions.jsonl", [{**comparison, "reason": HOSTILE}])
    steps = [{"step": n + 1, "loss": 0.7, "reward_mean": n / 10, "kl": 0.1} for n in range(40)]
    rows(folder / "policy/metrics.jsonl", steps)
    rows(folder / "sft/metrics.jsonl", steps)
    rows(folder / "policy/samples.jsonl", [{"step": 1, "prompt": HOSTILE, "response": HOSTILE}])
    document(folder / "policy/choice.json", {"chosen": 20, "candidates": []})
    win_rate = {
        "overall": FIGURE,
        "hard": FIGURE,
        "statement": HOSTILE,
        "by_category": {HOSTILE: FIGURE, "a $x$ 数学": FIGURE},
        "length_controlled": {"win_rate": FIGURE, "phi": FIGURE, "flags": [HOSTILE]},
        "abstentions": {HOSTILE: 1},
    }
    metrics = {"judge": HOSTILE, "win_rate": win_rate, "agreement": {"overall": FIGURE}}
    document(folder / "evaluation/metrics.json", metrics)
    receipt = {
        "stage": HOSTILE,
        "begun": "2026-01-01T10:00:00Z",
        "finished": "2026-01-01T10:01:00Z",
        "seconds": 75,
        "counts": {HOSTILE: HOSTILE, "rows": 12345},
        "cost": {"calls": 3, "usd": 0.5, "unpriced_calls": 0},
        "versions": {HOSTILE: HOSTILE},
        "hardware": {HOSTILE: HOSTILE},
        "command": HOSTILE,
    }
    document(folder / "receipts/label.json", receipt)
    (folder / "config.yaml").write_text(HOSTILE)
    return folder


def test_hostile_texts_add_no_element_and_no_attribute(run):
    page = write(run).read_text("utf-8")
    tags = Tags(page)
    assert not tags.names & {"script", "img", "iframe", "link", "object", "form", "base"}
    allowed = {"href", "id", "class", "width", "height", "d", "x", "y", "r", "cx", "cy", "points"}
    allowed |= {"viewbox", "transform", "role", "aria-label", "aria-hidden", "clip-path", "lang"}
    allowed |= {"charset", "content", "http-equiv", "name", "preserveaspectratio", "colspan"}
    assert {name for name, _ in tags.attributes} <= allowed
    assert all(value.startswith("#") for name, value in tags.attributes if name == "href")
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


@pytest.mark.parametrize(("labels", "said"), [(40, "40 labels by a judge"), (0, "human one")])
def test_what_a_label_cost_is_said_where_a_judge_gave_labels(labels, said, run):
    path = run / "evaluation/metrics.json"
    each = {"cost_per_label": 0.0, "seconds_per_label": 2.0, "human_total": 26.8}
    price = {"paper_human_label": 0.67, "paper_ai_label": 0.06, "labels": labels}
    document(path, {**json.loads(path.read_text("utf-8")), "cost": {**each, **price}})
    assert (said in write(run).read_text("utf-8")) == bool(labels)


def test_the_page_allows_itself_one_style_sheet_and_nothing_else(run):
    page = write(run).read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    style = re.findall(r"<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert len(style) == 1
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "alert" not in style[0]


def test_the_same_run_makes_the_same_bytes(run):
    first = write(run).read_bytes()
    assert write(run).read_bytes() == first


def test_the_headline_shows_the_win_rate_with_its_interval(run):
    page = write(run).read_text("utf-8")
    assert 'aria-label="Win rate 62.0 % (55.0 to 69.0), against a line at 50 %"' in page
    assert "At equal length: 62.0 % (55.0 to 69.0)" in page
    assert "1 min 15 s" in page
    assert "12,345" in page


def test_what_to_know_of_each_estimator_is_beside_its_figure_once(run):
    file = run / "evaluation/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    alike = "every comparison had the same result"
    metrics["win_rate"]["length_controlled"]["flags"] = [alike]
    ratio = {"win_rate": FIGURE, "flags": [alike, "separated"]}
    metrics["win_rate"]["length_ratio"] = ratio
    document(file, metrics)
    page = write(run).read_text("utf-8")
    assert re.findall("Note: (.*?)</p>", page) == [
        f"length-controlled: {alike}.",
        "at equal length ratio: separated.",
    ]


def test_a_category_of_identical_texts_alone_is_in_no_picture_and_no_table(run):
    file = run / "evaluation/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["win_rate"]["by_category"] = {"math": FIGURE, "chat": NOTHING.row()}
    document(file, metrics)
    page = write(run).read_text("utf-8").split("<h3>By category</h3>")[1].split("<h3>")[0]
    assert "<td>math</td>" in page
    assert "chat" not in page


def test_a_stage_without_calls_costs_nothing_and_only_a_price_not_known_is_unknown(run):
    (run / "evaluation/metrics.json").unlink()
    nothing = {"stage": "reward", "cost": {"calls": 0, "usd": 0.0, "unpriced_calls": 0}}
    document(run / "receipts/reward.json", nothing)
    page = write(run).read_text("utf-8")
    assert "<dt>Money</dt><dd>$0.50<small>" in page
    assert '<td class="n">$0.50</td>' in page
    assert '<td class="n">$0</td>' in page
    unpriced = {"stage": "evaluate", "cost": {"calls": 9, "usd": 0.2, "unpriced_calls": 4}}
    document(run / "receipts/evaluate.json", unpriced)
    page = write(run).read_text("utf-8")
    assert "<dt>Money</dt><dd>unknown<small>" in page
    assert page.count('<td class="n">$0</td>') == 1


def test_counts_are_words_and_figures_and_never_python(run):
    counts = {"by_category": {"multiple_choice": 5}, "win_rate": FIGURE, "missing": {}, "no": None}
    document(run / "receipts/evaluate.json", {"stage": "evaluate", "counts": counts})
    document(run / "receipts/report.json", {"stage": "report", "begun": "2026-01-01T11:00:00Z"})
    page = write(run).read_text("utf-8")
    assert "<b>5</b> multiple choice" in page
    assert "<b>62.0 % (55.0 to 69.0)</b> win rate" in page
    assert "{}" not in page
    assert "None" not in page
    assert "last stage finished 2026-01-01 10:01 UTC" in page


def test_ids_are_unique_although_there_are_many_charts(run):
    found = [
        value for name, value in Tags(write(run).read_text("utf-8")).attributes if name == "id"
    ]
    assert len(found) == len(set(found)) > 50


def test_a_run_that_has_only_its_settings_says_what_is_missing(tmp_path):
    (tmp_path / "config.yaml").touch()
    page = write(tmp_path).read_text("utf-8")
    for text in ("No win rate yet", "No receipts", "No curves", "No preferences.jsonl"):
        assert text in page


def test_where_the_judge_was_silent_throughout_the_page_says_that_and_why(tmp_path):
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    won = {"overall": nothing, "asked": 5, "identical": 0, "abstentions": {"refused": 5}}
    document(tmp_path / "evaluation/metrics.json", {"judge": "j", "win_rate": won})
    document(tmp_path / "evaluation/compare.json", {"judge": "j", "win_rate": won})
    for page in (write(tmp_path), write_comparison(tmp_path / "evaluation")):
        text = page.read_text("utf-8")
        said = "No win rate: the judge gave no verdict; the reasons stand below."
        assert said in text.split("</header>")[0]
        assert '<td>refused</td><td class="n">5</td>' in text.split("</header>")[1]
        assert "No win rate yet" not in text
        assert "No win rate in compare.json" not in text


def test_offline_dpo_shows_its_loss_beside_the_held_out_one_and_ppo_what_was_clipped(tmp_path):
    steps = [{"step": n, "policy_loss": 0.7 - n / 100, "clip_share": n / 50} for n in range(1, 9)]
    rows(tmp_path / "policy/metrics.jsonl", steps)
    rows(tmp_path / "policy/validation.jsonl", [{"step": 4, "heldout_loss": 0.69}])
    page = write(tmp_path).read_text("utf-8")
    assert "Loss over training steps" in page
    assert "held out" in page
    assert "Clipped over training steps" in page
    assert "All samples tied" not in page
    (tmp_path / "policy/validation.jsonl").unlink()  # of other algorithms it says nothing
    assert "Loss over training steps" not in write(tmp_path).read_text("utf-8")


@pytest.mark.parametrize("held", [None, "", "compare.json", "study.json"])
def test_a_folder_that_is_not_there_or_of_something_else_is_refused(held, tmp_path):
    folder = tmp_path / "folder"
    if held is not None:
        folder.mkdir()
    if held:
        (folder / held).write_text("{}")
    with pytest.raises(DataError, match="not a run folder"):
        write(folder)
    assert not (folder / "report.html").exists()


def test_torn_and_misshapen_files_are_named_and_never_an_exception(tmp_path):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/metrics.jsonl").write_text('{"step": 1, "kl": 0.5}\n{"step": 2, "k')
    document(tmp_path / "evaluation/metrics.json", {"win_rate": [1, 2], "accuracy": "none"})
    rows(tmp_path / "evaluation/comparisons.jsonl", [{"prob_a": "x"}, {"prob_a": 0.1, "a": 3}])
    document(tmp_path / "receipts/label.json", {"stage": 3, "counts": [1], "versions": None})
    (tmp_path / "receipts/torn.json").write_text("{")
    rows(tmp_path / "preferences.jsonl", [{"prob_a": 0.5, "evidence": 7}, {"prob_a": None}])
    page = write(tmp_path).read_text("utf-8")
    assert "policy/metrics.jsonl: 1 unreadable lines are left out." in page
    assert "receipts/torn.json is not JSON" in page
    assert "The part on headline could not be read" in page
    assert "1 label" in page
    assert "1 labels" not in page


def test_harmful_texts_are_folded_away(run):
    row = json.loads((run / "evaluation/comparisons.jsonl").read_text().splitlines()[0])
    rows(run / "evaluation/comparisons.jsonl", [{**row, "harmful": True}])
    assert "Harmful category: show the texts" in write(run).read_text("utf-8")
    rows(run / "evaluation/comparisons.jsonl", [{**row, "category": "advice"}])
    assert "Harmful category" not in write(run).read_text("utf-8")


def test_before_evaluation_the_page_shows_responses_of_the_last_step(run):
    (run / "evaluation/comparisons.jsonl").unlink()
    page = write(run).read_text("utf-8")
    assert "responses of the last logged step of RL" in page
    assert "&lt;script&gt;" in page


def test_a_lone_surrogate_does_not_break_the_page(run):
    row = json.loads((run / "evaluation/comparisons.jsonl").read_text().splitlines()[0])
    rows(run / "evaluation/comparisons.jsonl", [{**row, "category": "\ud800", "id": "\udfff"}])
    assert "? · ?" in write(run).read_text("utf-8")


def test_without_matplotlib_the_page_says_so_and_keeps_its_tables(run):
    code = "import sys; sys.modules['matplotlib'] = None\n"
    code += "from pathlib import Path; from hrlaif.report import write; write(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(run)], check=True)
    page = (run / "report.html").read_text("utf-8")
    assert "matplotlib is not installed" in page
    assert "62.0 % (55.0 to 69.0)" in page
    assert 'class="chart"' not in page


def test_a_comparison_has_its_own_page(run):
    folder = run / "evaluation"
    (folder / "metrics.json").rename(folder / "compare.json")
    page = write_comparison(folder).read_text("utf-8")
    assert "hrlaif compare" in page
    assert "Biggest wins" in page
    with pytest.raises(DataError, match=r"no compare\.json"):
        write_comparison(run)
