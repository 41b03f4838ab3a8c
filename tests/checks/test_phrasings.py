"""Are answers read in the ways that people and models write them? 600 and more, by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from hrlaif.checks import any_check
from hrlaif.records import Message, Prompt, Response

ROWS = [
    json.loads(line)
    for line in Path(__file__).with_name("phrasings.jsonl").read_text("utf-8").splitlines()
]
CHOICES = {
    "en": ("Berlin", "Paris", "Rome", "Oslo"),
    "zh": ("柏林", "巴黎", "罗马", "奥斯陆"),
}


def passed(row):
    prompt = Prompt(
        id="q",
        messages=(Message(role="user", content="Q"),),
        reference_answer=row["reference"],
        choices=CHOICES[row["language"]] if row["check"] == "choice" else None,
    )
    (found,) = any_check(row["check"]).check([Response(prompt=prompt, text=row["text"])], None)
    return found.passed


@pytest.mark.parametrize("check", ["number", "choice"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_answers_are_read_as_written(check, language):
    rows = [row for row in ROWS if (row["check"], row["language"]) == (check, language)]
    assert len(rows) >= 40
    wrong = [(row["text"], passed(row)) for row in rows if passed(row) is not row["passed"]]
    assert wrong == []


def test_the_set_has_right_wrong_and_open_answers():
    assert len(ROWS) >= 600
    counts = Counter(row["passed"] for row in ROWS)
    assert min(counts.values()) >= 15
    assert len({(row["check"], row["reference"], row["text"]) for row in ROWS}) == len(ROWS)
