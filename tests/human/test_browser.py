"""Raters in a real Chromium: `make test-browser`. Skips, and says so, where there is no browser."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium, driven by Playwright, which brings no browser of its own here."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if path is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """A function that opens a window of a new person; a page's own error fails the test."""
    contexts, errors = [], []

    def opened(site, alias=None, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(site.url)
        if alias:
            page.fill("#alias", alias)
            page.keyboard.press("Enter")
            ready(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def ready(page):
    page.wait_for_selector("#buttons button")
    page.wait_for_timeout(300)  # a new item takes no answer for a quarter of a second


def prompt(page):
    return page.inner_text("#prompt")


def saved(page):
    page.wait_for_function(
        "() => !Object.keys(localStorage).some((k) => k.startsWith('hrlaif-vote'))"
    )


def votes(pairs):
    """(rater, item, answer, replaces) of every vote in the database, oldest first."""
    path = pairs.with_name("pairs.votes") / "votes.sqlite"
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT r.alias, a.item, v.answer, v.replaces FROM votes v"
        " JOIN assignments a ON a.id = v.assignment JOIN raters r ON r.id = a.rater ORDER BY v.at"
    ).fetchall()
    connection.close()
    return rows


def nothing_doubled(pairs):
    first = Counter((rater, item) for rater, item, _, replaces in votes(pairs) if replaces is None)
    assert set(first.values()) <= {1}
    return first


def test_a_rater_answers_twenty_items_by_keyboard_alone_in_under_sixty_seconds(serve, pairs, visit):
    site = serve(pairs, "--checks", 0, "--repeats", 0, "--per-rater", 20)
    page = visit(site)
    page.keyboard.type("ada")  # the field has the focus from the start
    page.keyboard.press("Enter")
    begun = time.monotonic()
    keys = ["1", "2", "0", "b", "ArrowLeft", "ArrowRight", "d", "s", "c", "z"]
    for turn in range(200):
        if "Nothing is left" in page.inner_text("#question"):
            break
        page.wait_for_selector("#buttons button")
        page.wait_for_timeout(260)
        key = keys[turn % len(keys)]
        page.keyboard.press(key)
        if key == "s":
            page.keyboard.press("1")
        elif key == "c":
            page.keyboard.type("A remark, with keys such as 1 and z in it")
            page.keyboard.press("Escape")
            page.keyboard.press("1")
        elif key == "z":
            page.wait_for_selector("#notice:not([hidden])")
            page.wait_for_timeout(260)
            page.keyboard.press("2")
        saved(page)
    assert "Nothing is left" in page.inner_text("#question")
    assert time.monotonic() - begun < 60
    found = votes(pairs)
    assert len(nothing_doubled(pairs)) == 20
    assert sum(replaces is not None for *_, replaces in found) >= 1
    assert {answer for _, _, answer, _ in found} >= {'{"prefers":"tie"}', '{"prefers":"both bad"}'}
    assert any("skipped" in answer for _, _, answer, _ in found)


def test_two_raters_at_once_are_given_their_own_order_and_lose_nothing(serve, pairs, visit):
    site = serve(pairs, "--checks", 0, "--repeats", 0)
    pages = [visit(site, alias) for alias in ("ada", "bob")]
    for _ in range(8):
        for page in pages:
            ready(page)
            page.keyboard.press("1")
    for page in pages:
        saved(page)
    found = nothing_doubled(pairs)
    assert Counter(rater for rater, _ in found) == {"ada": 8, "bob": 8}


def test_a_double_click_and_a_held_key_are_one_vote(serve, pairs, visit):
    site = serve(pairs)
    page = visit(site, "ada")
    page.dblclick("#buttons button >> nth=0")
    saved(page)
    assert len(votes(pairs)) == 1
    ready(page)
    page.keyboard.down("2")
    for _ in range(20):
        page.keyboard.down("2")  # what a held key sends: repeats
    page.keyboard.up("2")
    saved(page)
    assert len(votes(pairs)) == 2


def test_a_reload_shows_the_same_item_and_the_back_button_loses_nothing(serve, pairs, visit):
    site = serve(pairs)
    page = visit(site, "ada")
    before = prompt(page)
    page.reload()
    ready(page)
    assert prompt(page) == before
    page.keyboard.press("1")
    saved(page)
    ready(page)
    second = prompt(page)
    page.goto(site.url)
    assert "Go on as ada" in page.inner_text("body")
    page.go_back()
    ready(page)
    assert prompt(page) == second
    page.keyboard.press("1")
    saved(page)
    assert len(nothing_doubled(pairs)) == 2


def test_two_tabs_of_one_rater_answer_an_item_once(serve, pairs, visit):
    site = serve(pairs)
    page = visit(site, "ada")
    other = page.context.new_page()
    other.goto(f"{site.url}/vote")
    ready(other)
    assert prompt(other) == prompt(page)
    page.keyboard.press("1")
    saved(page)
    other.keyboard.press("2")
    other.wait_for_selector("#notice:not([hidden])")
    assert "answered in another window" in other.inner_text("#notice")
    saved(other)
    assert len(votes(pairs)) == 1
    ready(other)
    assert prompt(other) == prompt(page)


def test_a_server_killed_amid_votes_and_started_again_loses_and_doubles_none(serve, pairs, visit):
    site = serve(pairs, "--checks", 0, "--repeats", 0)
    page = visit(site, "ada")
    for _ in range(3):
        ready(page)
        page.keyboard.press("1")
    site.kill()
    ready(page)  # the next item was loaded already
    page.keyboard.press("2")
    page.wait_for_function(
        "() => document.querySelector('#saving').textContent.includes('not yet')"
    )
    again = serve(pairs, "--checks", 0, "--repeats", 0, port=site.port)
    saved(page)
    assert len(nothing_doubled(pairs)) == 4
    ready(page)
    page.keyboard.press("1")
    saved(page)
    again.kill()
    page.wait_for_timeout(300)
    page.keyboard.press("1")  # sent while the server is away; then the browser goes as well
    page.wait_for_timeout(300)
    context = page.context
    page.close()
    serve(pairs, "--checks", 0, "--repeats", 0, port=site.port)
    later = context.new_page()
    later.goto(f"{site.url}/vote")
    saved(later)
    assert len(nothing_doubled(pairs)) == 6


def test_a_ranking_a_rating_and_a_harmless_answer_by_keyboard(serve, write, visit):
    rows = [
        {"id": f"{model}{n}", "prompt": f"Question {n}", "response": f"{model} {n}", "model": model}
        for n in range(2)
        for model in ("one", "two", "three")
    ]
    path = write("pairs.jsonl", rows)
    modes = [part for mode in ("ranking", "satisfaction", "harmless") for part in ("--mode", mode)]
    site = serve(path, *modes, "--checks", 0, "--repeats", 0)
    page = visit(site, "ada")
    for _ in range(2):
        ready(page)
        page.keyboard.press("3")
        page.keyboard.press("1")  # the last place follows
        page.keyboard.press("Enter")
    for keys in ("12345", "1"):
        for key in keys:
            ready(page)
            page.keyboard.press(key)
    for key in "ynuyny":
        ready(page)
        page.keyboard.press(key)
    saved(page)
    page.wait_for_function(
        "() => document.querySelector('#question').textContent.startsWith('Nothing')"
    )
    said = Counter(answer for _, _, answer, _ in votes(path))
    assert sum(n for answer, n in said.items() if "ranking" in answer) == 2
    assert said['{"satisfaction":1}'] == 2
    assert (said['{"harmless":"yes"}'], said['{"harmless":"unsure"}']) == (3, 1)


def test_hostile_texts_run_nothing_and_fetch_nothing(serve, write, visit):
    bad = Path(__file__).with_name("hostile.txt").read_text("utf-8")
    rows = [
        {"id": bad, "prompt": bad, "category": bad, "a": {"text": bad, "model": bad},
         "b": {"text": bad + " x", "model": bad}, "prob_a": 1.0, "labeler": bad}
    ]  # fmt: skip
    path = write("pairs.jsonl", rows)
    site = serve(path)
    asked = []
    page = visit(site)
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append("a dialog"))
    page.fill("#alias", "<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    ready(page)
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    page.fill("#comment", "<script>alert(1)</script>")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    saved(page)
    page.goto(site.links["organiser"])
    page.wait_for_selector("#raters td")
    page.wait_for_timeout(300)
    assert all(url.startswith(site.url) for url in asked), asked


def test_a_phone_needs_no_sideways_scrolling_and_its_buttons_are_in_reach(serve, pairs, visit):
    site = serve(pairs)
    page = visit(site, "ada", viewport={"width": 390, "height": 844}, has_touch=True)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= 390
    for button in page.query_selector_all("#buttons button"):
        box = button.bounding_box()
        assert box["y"] + box["height"] <= 844
        assert box["height"] >= 36
    page.tap("#buttons button >> nth=1")
    saved(page)
    assert [answer for _, _, answer, _ in votes(pairs)] == ['{"prefers":"tie"}']


def test_a_screen_reader_finds_names_for_everything(serve, pairs, visit):
    page = visit(serve(pairs), "ada")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button,textarea,input,section,dialog,progress')]
            .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')
              || e.labels?.length || (e.tagName === 'BUTTON' && e.textContent.trim())))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert page.evaluate("() => document.activeElement.id") == "question"
    assert "to read" in page.inner_text("#spoken[aria-live=polite]")
    assert page.evaluate("() => document.documentElement.lang") == "en"
