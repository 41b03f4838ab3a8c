"""Checks on the starter prompts that ship with the package, read as plain JSON lines."""

import itertools
import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

STARTER = Path(__file__).resolve().parents[2] / "src" / "hrlaif" / "prompts" / "starter"
HALVES = ("train", "heldout")
CATEGORIES = (
    "math",
    "multiple_choice",
    "safety",
    "open_qa",
    "closed_qa",
    "summarization",
    "writing",
    "rewriting",
    "brainstorming",
    "extraction",
    "advice",
    "code",
)
PASSAGE_CATEGORIES = ("closed_qa", "summarization", "extraction")
COMMON_KEYS = {"id", "prompt", "category", "language"}
EXTRA_KEYS = {
    "math": {"reference_answer"},
    "multiple_choice": {"choices", "reference_answer"},
    "safety": {"harmful"},
}


def read_lines(half):
    return (STARTER / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()


def read_rows(half):
    return [json.loads(line) for line in read_lines(half)]


def rows_of(half, category):
    return [row for row in read_rows(half) if row["category"] == category]


def all_rows():
    return [row for half in HALVES for row in read_rows(half)]


def cjk_characters(text):
    return re.findall(r"[\u4e00-\u9fff]", text)


def normalised(text):
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def shingles(text):
    """Three-word pieces of an English prompt, four-character pieces of a Chinese one."""
    if cjk_characters(text):
        units, size = re.sub(r"\s", "", normalised(text)), 4
    else:
        units, size = normalised(text).split(), 3
    last = max(1, len(units) - size + 1)
    return {tuple(units[start : start + size]) for start in range(last)}


@pytest.mark.parametrize("half", HALVES)
def test_a_half_has_two_hundred_and_forty_rows(half):
    assert len(read_rows(half)) == 240


@pytest.mark.parametrize("half", HALVES)
def test_every_category_has_twenty_prompts_a_half(half):
    counts = Counter(row["category"] for row in read_rows(half))
    assert counts == dict.fromkeys(CATEGORIES, 20)


@pytest.mark.parametrize("half", HALVES)
def test_every_category_has_four_chinese_and_sixteen_english_prompts(half):
    counts = Counter((row["category"], row["language"]) for row in read_rows(half))
    expected = {}
    for category in CATEGORIES:
        expected[category, "zh"] = 4
        expected[category, "en"] = 16
    assert counts == expected


@pytest.mark.parametrize("half", HALVES)
def test_the_text_of_a_prompt_is_in_its_stated_language(half):
    for row in read_rows(half):
        found = len(cjk_characters(row["prompt"]))
        if row["language"] == "zh":
            # A math or code prompt may hold little Chinese, but never none.
            assert found >= 2, row["id"]
        else:
            assert found == 0, row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_ids_name_the_half_the_category_and_a_number_from_01_to_20(half):
    expected = [
        f"starter/{half}/{category}/{number:02d}"
        for category in CATEGORIES
        for number in range(1, 21)
    ]
    assert [row["id"] for row in read_rows(half)] == expected
    for row in read_rows(half):
        assert row["id"].split("/")[2] == row["category"]


@pytest.mark.parametrize("half", HALVES)
def test_rows_are_compact_json_with_chinese_left_readable(half):
    for line in read_lines(half):
        row = json.loads(line)
        assert line == json.dumps(row, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("half", HALVES)
def test_rows_hold_only_the_keys_of_their_category(half):
    for row in read_rows(half):
        assert set(row) == COMMON_KEYS | EXTRA_KEYS.get(row["category"], set()), row["id"]


def test_no_prompt_appears_twice_in_or_across_the_halves():
    counts = Counter(normalised(row["prompt"]) for row in all_rows())
    assert [prompt for prompt, count in counts.items() if count > 1] == []


def test_no_two_prompts_are_near_duplicates():
    pieces = [(row["id"], shingles(row["prompt"])) for row in all_rows()]
    too_close = [
        (first_id, second_id)
        for (first_id, first), (second_id, second) in itertools.combinations(pieces, 2)
        if len(first & second) > 0.3 * len(first | second)
    ]
    assert too_close == []


@pytest.mark.parametrize("half", HALVES)
def test_prompts_have_no_blank_edges(half):
    for row in read_rows(half):
        assert row["prompt"], row["id"]
        assert row["prompt"] == row["prompt"].strip(), row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_math_references_are_plain_numbers_or_lowest_fractions(half):
    for row in rows_of(half, "math"):
        reference = row["reference_answer"]
        match = re.fullmatch(r"-?(?:0|[1-9]\d*)(?:\.\d*[1-9]|/[1-9]\d*)?", reference)
        assert match, (row["id"], reference)
        if "/" in reference:
            assert str(Fraction(reference)) == reference, row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_chinese_prose_uses_full_width_punctuation(half):
    for row in read_rows(half):
        if row["language"] == "zh":
            found = re.search(r"[\u4e00-\u9fff][,:;?!]|[,:;?!][\u4e00-\u9fff]", row["prompt"])
            assert found is None, row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_math_has_integer_decimal_and_fraction_answers(half):
    references = [row["reference_answer"] for row in rows_of(half, "math")]
    assert any(reference.isdigit() for reference in references)
    assert any("." in reference for reference in references)
    assert sum("/" in reference for reference in references) >= 2


@pytest.mark.parametrize("half", HALVES)
def test_multiple_choice_prompts_show_their_four_different_choices(half):
    for row in rows_of(half, "multiple_choice"):
        choices = row["choices"]
        assert len(choices) == len(set(choices)) == 4, row["id"]
        shown = "".join(
            f"\n{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True)
        )
        assert row["prompt"].endswith(shown), row["id"]
        assert row["prompt"] != shown, row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_multiple_choice_answers_are_spread_evenly_over_the_letters(half):
    letters = Counter(row["reference_answer"] for row in rows_of(half, "multiple_choice"))
    assert letters == {"A": 5, "B": 5, "C": 5, "D": 5}


@pytest.mark.parametrize("half", HALVES)
def test_safety_has_fourteen_harmful_prompts_and_six_benign_look_alikes(half):
    marks = Counter(row["harmful"] for row in rows_of(half, "safety"))
    assert marks == {True: 14, False: 6}
    assert all(isinstance(row["harmful"], bool) for row in rows_of(half, "safety"))


@pytest.mark.parametrize("half", HALVES)
def test_passage_prompts_carry_a_passage_of_fifty_to_about_a_hundred_words(half):
    for row in read_rows(half):
        if row["category"] not in PASSAGE_CATEGORIES:
            continue
        passage = max(row["prompt"].split("\n"), key=len)
        if row["language"] == "zh":
            assert 80 <= len(passage) <= 240, row["id"]
        else:
            assert 50 <= len(passage.split()) <= 120, row["id"]


@pytest.mark.parametrize("half", HALVES)
def test_prompts_without_a_passage_stay_under_sixty_words(half):
    for row in read_rows(half):
        if row["category"] in PASSAGE_CATEGORIES:
            continue
        if row["language"] == "zh":
            assert len(row["prompt"]) < 100, row["id"]
        else:
            assert len(row["prompt"].split()) < 60, row["id"]
