"""metrics.json and compare.json: written whole, resumable, nulls where nothing is known."""

import json
import shutil

import pytest

from hrlaif.config import load
from hrlaif.evaluation import compare, evaluate
from hrlaif.records import Message, Preference, Prompt, Response
from hrlaif.running import run_stage


class Judge:
    name = "nobody"
    chunk = 8


class LongerIsBetter:
    """Counts what it was asked; breaks off after a number of calls."""

    def __init__(self, calls=99):
        self.asked, self.calls = 0, calls

    def label(self, comparisons, judge):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        self.asked += len(comparisons)
        return [
            Preference(
                comparison=c, prob_a=0.1 if len(c.b.text) > len(c.a.text) else 0.9, labeler="longer"
            )
            for c in comparisons
        ]


def responses(model, *texts):
    return [
        Response(
            prompt=Prompt(id=f"p{i}", messages=(Message(role="user", content=f"q{i}"),)),
            text=text,
            model=model,
        )
        for i, text in enumerate(texts)
    ]


OLD, NEW = responses("sft", "a", "b", "c", "ddd"), responses("rl", "aa", "bb", "cc", "d")


def test_every_figure_in_metrics_json_has_value_low_high_and_n(tmp_path):
    found = evaluate(OLD, NEW, LongerIsBetter(), Judge(), tmp_path)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == found
    assert set(written["win_rate"]["overall"]) == {"value", "low", "high", "n"}
    assert written["win_rate"]["overall"]["value"] == pytest.approx(0.7)
    assert [written[k] for k in ("reward", "accuracy", "agreement", "cost")] == [None] * 4
    assert written["models"] == {"baseline": ["sft"], "policy": ["rl"]}


def test_compare_writes_the_same_win_rate_and_its_rows(tmp_path):
    found = compare(OLD, NEW, LongerIsBetter(), Judge(), tmp_path / "out")
    rows = [
        json.loads(line) for line in (tmp_path / "out/comparisons.jsonl").read_text().splitlines()
    ]
    assert json.loads((tmp_path / "out/compare.json").read_text()) == found
    assert [row["prob_a"] for row in rows] == [0.1, 0.1, 0.1, 0.9]
    assert not (tmp_path / "out/comparisons.jsonl.partial").exists()
    assert found["win_rate"]["statement"].startswith("The policy's win rate is")


def test_a_run_s_evaluation_by_a_silent_judge_counts_it_and_states_no_win_rate(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    (folder / "receipts" / "evaluate.json").unlink()
    silent = ["evaluation.judge=scripted:failure=1"]
    config = load(finished.config, [*finished.set[1::2], *silent])
    counts = run_stage(folder, config, "evaluate").counts
    assert counts["abstained_share"] == 1.0
    assert counts["win_rate"] is None
    won = json.loads((folder / "evaluation" / "metrics.json").read_text())["win_rate"]
    assert won["identical"] + won["abstentions"]["scripted failure"] == won["asked"]
    assert won["statement"] == "Too few verdicts to say anything."


def test_an_interrupted_comparison_asks_only_for_the_rest(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        compare(OLD, NEW, LongerIsBetter(calls=1), Judge(), tmp_path)
    again = LongerIsBetter()
    found = compare(OLD, NEW, again, Judge(), tmp_path)
    assert again.asked == 2
    assert found == compare(OLD, NEW, LongerIsBetter(), Judge(), tmp_path / "undisturbed")
