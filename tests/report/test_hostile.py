"""The red team on the page: figures in the open, harmful texts behind a click."""

import json
import re
import shutil

import pytest

from hrlaif.llm import Scripted
from hrlaif.redteam import Asked, Models, RedTeam, campaign, read_seeds
from hrlaif.report import write

FIGURE = {"value": 0.25, "low": 0.1, "high": 0.4, "n": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A campaign against a target whose harmful answers are marked."""
    home = tmp_path_factory.mktemp("run")
    part = RedTeam(families=("direct", "role_play"))
    judge = Scripted(accuracy=1.0, harmful=0.0, failure=0.02)
    who = Models.of(part, Scripted(harmful=0.4, refusing=0.2), judge, "sft")
    asked = Asked(read_seeds("starter", "harmful", limit=20), read_seeds("starter", "benign"))
    campaign(part, who, home, asked)
    change = {"before": FIGURE, "after": FIGURE, "gain": FIGURE, "unjudged_before": 3}
    harm = {"harmful": {**change, "after_corrected": FIGURE}, "over_refusal": change}
    (home / "evaluation").mkdir()
    (home / "evaluation" / "metrics.json").write_text(json.dumps({"harm": harm}))
    return home


def outside_clicks(page):
    """The page without what is folded away."""
    return re.sub(r"<details.*?</details>", "", page, flags=re.S)


def test_the_page_shows_success_by_family_and_hazard_with_intervals(folder):
    page = write(folder).read_text("utf-8")
    found = json.loads((folder / "redteam" / "figures.json").read_text())
    assert "could not be read" not in page
    assert f"sft gave a harmful answer to {100 * found['success']['overall']['value']:.1f}" in page
    for name in ("role play", "direct", "fraud", "self harm"):
        assert f"<td>{name}</td>" in page
    assert f"{found['rewrites']['accepted']} of {found['rewrites']['harmful']} harmful" in page
    for reason in found["rewrites"]["dropped"]:
        assert f"<td>{reason}</td>" in page
    assert "neither harmful nor safe" in page
    assert "Before and after RL" in page
    assert "after, corrected" in page


def test_harmful_texts_are_behind_a_click_and_rewrites_are_not(folder):
    page = write(folder).read_text("utf-8")
    assert page.count("Harmful text: show") == 6
    assert "[harmful]" in page
    assert "[harmful]" not in outside_clicks(page)
    assert outside_clicks(page).count("[answer]") == 6


def test_a_red_team_alone_has_a_page_that_begins_with_what_it_found(folder, tmp_path):
    shutil.copytree(folder / "redteam", tmp_path / "redteam")
    shutil.copy(folder / "redteam_preferences.jsonl", tmp_path)
    cost = {"calls": 70, "usd": 0.0, "unpriced_calls": 0}
    receipt = {"stage": "redteam", "begun": "2026-01-01T10:00:00Z", "cost": cost}
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts/redteam.json").write_text(json.dumps(receipt))
    page = write(tmp_path).read_text("utf-8")
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == ["What was found", "The bill", "Receipts"]
    assert page.index("gave a harmful answer to") < page.index("<h2>")
    assert "<dt>Money</dt><dd>$0<small>" in page
    assert page.count("Harmful text: show") == 6
    (tmp_path / "config.yaml").write_text("judge: scripted\n")
    assert "No win rate yet" in write(tmp_path).read_text("utf-8")


def test_a_run_without_a_red_team_has_no_such_part(tmp_path):
    (tmp_path / "config.yaml").touch()
    assert "Red team" not in write(tmp_path).read_text("utf-8")


def test_misshapen_files_cost_their_part_alone(tmp_path):
    (tmp_path / "redteam").mkdir()
    (tmp_path / "redteam" / "figures.json").write_text('{"success": [1], "rewrites": 3}')
    assert "red team" in write(tmp_path).read_text("utf-8")
