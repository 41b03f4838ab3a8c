"""Pages on a phone, in a real Chromium: nothing but tables scrolls sideways, and they show it."""

import json
import shutil

import pytest

from hrlaif.report import write

pytestmark = pytest.mark.browser
LONG = "remote:organisation_with_a_long_name/" + "Some_Model" * 12
FIGURE = {"value": 0.62, "low": 0.55, "high": 0.69, "n": 123456}


@pytest.fixture(scope="module")
def phone():
    """A window of 390 pixels."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if path is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 390, "height": 900})
        browser.close()


@pytest.fixture
def page(tmp_path, phone):
    side = {"text": LONG, "model": LONG}
    row = {"id": LONG, "prompt": LONG, "category": LONG, "a": side, "b": side, "prob_a": 0.1}
    accuracy = {"before": FIGURE, "after": FIGURE, "by_category": {LONG: {"before": FIGURE}}}
    won = {"overall": FIGURE, "by_category": {LONG: FIGURE}, "abstentions": {LONG: 2}}
    metrics = {"judge": LONG, "win_rate": won, "accuracy": accuracy}
    receipt = {"stage": "label", "counts": {LONG: 3}, "command": LONG, "hardware": {"cpu": LONG}}
    files = {
        "preferences.jsonl": {**row, "labeler": LONG},
        "evaluation/comparisons.jsonl": row,
        "evaluation/metrics.json": metrics,
        "receipts/label.json": receipt | {"cost": {"calls": 10**12, "prompt_tokens": 10**15}},
    }
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value) + "\n", "utf-8")
    phone.goto(write(tmp_path).as_uri())
    return phone


def test_no_page_scrolls_sideways_however_long_a_name_is(page):
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_first_column_stays_while_a_table_scrolls_and_paper_has_all_of_it(page):
    wide = "[...document.querySelectorAll('.scroll')].filter((d) => d.scrollWidth > d.clientWidth)"
    left = f"{wide}[0].querySelector('td').getBoundingClientRect().left"
    before = page.evaluate(left)
    page.evaluate(f"{wide}.forEach((d) => {{ d.scrollLeft = 60; }})")
    assert page.evaluate(left) == before
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
        "visible"
    )
    page.emulate_media(media="screen")
