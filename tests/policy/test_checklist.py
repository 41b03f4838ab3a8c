"""Is every test that the training checklist names still there?"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "decisions" / "040-the-training-checklist.md"


def test_every_named_test_is_where_the_checklist_says() -> None:
    named = 0
    for line in PAGE.read_text("utf-8").splitlines():
        file = None
        for word in re.findall(r"`([^`]+)`", line) if line.startswith("|") else ():
            if word.endswith(".py"):
                file = (TESTS / word).read_text("utf-8")
            elif word.startswith("test_"):
                assert file is not None, line
                assert f"def {word}(" in file, word
                named += 1
    assert named > 35
