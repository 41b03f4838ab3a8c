"""How texts stand on a page: whose direction a line has, and what of a response is shown."""

from pathlib import Path

import hrlaif

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
