"""Pages on a phone and on paper, in a real Chromium: what scrolls, what is read, what is shut."""

import json
import shutil

import pytest

from hrlaif.report import write, write_comparison
from hrlaif.study.page import write_page

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


@pytest.mark.parametrize("width", [320, 390])
def test_a_comparison_of_several_models_does_not_scroll_sideways(hrlaif, phone, tmp_path, width):
    for name in "abcde":
        rows = [
            {"prompt": f"Why {n}?", "response": name * (n + 1), "model": f"{LONG}/{name}"}
            for n in range(12)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    files = [tmp_path / name for name in "abcde"]
    hrlaif.here("compare", *files, "-o", tmp_path / "out", "--judge", "scripted:accuracy=0.6")
    phone.set_viewport_size({"width": width, "height": 800})
    phone.goto(write_comparison(tmp_path / "out").as_uri())
    phone.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert phone.evaluate("document.documentElement.scrollWidth") <= width
    phone.set_viewport_size({"width": 390, "height": 900})


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


READ = """() => {
  const shine = (c) => {
    const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const paper = shine(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('p, td, th, summary, figcaption, a, h2, h3, dd, text')]
    .filter((e) => e.checkVisibility() && e.textContent.trim()).map((e) => {
      const look = getComputedStyle(e), svg = e.closest('svg');
      const own = shine(svg ? look.fill : look.color);
      const grown = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
      return [e.tagName, parseFloat(look.fontSize) * grown,
              Math.max(own, paper) / Math.min(own, paper)];
    });
}"""
"""Of each visible text its element, its size in pixels, and its contrast with the page."""


@pytest.fixture(scope="module")
def studied(hrlaif, tmp_path_factory):
    """A study of two judges with long names, with a harmful pair among those on which they err."""
    folder = tmp_path_factory.mktemp("study")
    rows = [
        {"id": f"{n}", "prompt": f"Prompt {n}", "responses": [f"a {n}" * 9, f"b {n}" * (n % 20)],
         "models": ["x", LONG], "category": LONG, "human_preference": n % 2, "harmful": n % 4 == 0}
        for n in range(40)
    ]  # fmt: skip
    pairs = folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    judges = ("--judge", "scripted:accuracy=0.7,position_bias=0.2", "--judge", "scripted:seed=2")
    hrlaif("study", pairs, "-o", folder, *judges, "--variants", "base,detailed", "--probes", "3")
    return folder


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_study_is_read_on_a_phone_and_only_its_tables_scroll(phone, studied, width, scheme):
    phone.set_viewport_size({"width": width, "height": 800})
    phone.emulate_media(color_scheme=scheme)
    phone.goto(write_page(studied).as_uri())
    phone.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert phone.evaluate("document.documentElement.scrollWidth") <= width
    scrolls = (
        "[...document.querySelectorAll('.scroll')].filter((d) => d.scrollWidth > d.clientWidth)"
    )
    assert phone.evaluate(f"{scrolls}.length") > 5
    dark = phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark == (scheme == "dark")
    texts = phone.evaluate(READ)
    assert len(texts) > 300
    assert min(size for tag, size, _ in texts if tag == "text") >= (9 if width == 320 else 10)
    assert min(size for tag, size, _ in texts if tag != "text") >= 12
    assert min(contrast for *_, contrast in texts) >= 4.5
    phone.emulate_media(color_scheme="light")
    phone.set_viewport_size({"width": 390, "height": 900})


def test_on_paper_details_are_open_but_not_those_of_harmful_prompts(phone, studied):
    found = json.loads((studied / "study.json").read_text())
    worst = [row for one in found["judges"].values() for row in one["disagreements"]]
    harmful = sum(row["harmful"] for row in worst)
    assert 0 < harmful < len(worst)
    phone.goto(write_page(studied).as_uri())
    seen = "[...document.querySelectorAll({})].filter((e) => e.checkVisibility()).length"
    texts, tables = (seen.format(f"'{s}'") for s in (".pair .sides", "details.data table"))
    assert (phone.evaluate(texts), phone.evaluate(tables)) == (0, 0)
    phone.emulate_media(media="print")
    every = phone.evaluate("document.querySelectorAll('details.data table').length")
    assert phone.evaluate(tables) == every > 20
    assert phone.evaluate(texts) == len(worst) - harmful
    phone.emulate_media(media="screen")
