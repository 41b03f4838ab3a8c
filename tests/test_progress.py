"""Does the one who waits see lines on standard error, and nothing on standard output?"""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from hrlaif.progress import live, plain_lines, say, sparks, spending, track


def test_plain_lines_go_to_standard_error_with_the_last_figure(capsys):
    with track("label", 3, unit="pairs", done=1) as bar, spending(lambda: "$0.12"):
        bar.advance(1)
        bar.advance(1, "loss 0.61")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["  label: 3/3 pairs in 0 s loss 0.61 $0.12"]


def test_the_time_left_is_told_from_the_last_steps_and_not_from_what_was_known_already(capsys):
    now = 0.0
    show = plain_lines("label", 100, unit="pairs", done=0, clock=lambda: now)
    for done in range(10, 60, 10):  # found in the ledger
        show(done, "", {})
    for done in range(60, 100, 4):
        now += 20.0
        show(done, "", {})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  label: 60/100 pairs, 13 s left"
    assert lines[-1] == "  label: 96/100 pairs, 20 s left"


def test_what_is_said_is_said_as_it_is(capsys):
    say("[1/8] prompts -> prompts.jsonl [bold]")
    assert "[1/8] prompts -> prompts.jsonl [bold]" in capsys.readouterr().err


def test_what_a_server_says_cannot_command_the_terminal(capsys):
    say("two\nlines \x1b[31mred\x1b]0;title\x07 \x9b2J \r\x08\x7f Grüße")
    assert capsys.readouterr().err == "two\nlines [31mred]0;title 2J  Grüße\n"


def test_blocks_show_the_course_of_a_figure():
    assert sparks([0.0, 1.0, 0.5]) == "▁█▅"
    assert sparks([2.0, 2.0]) == "▄▄"


def test_the_live_view_shows_each_figure_with_its_last_value():
    stream = StringIO()
    terminal = Console(file=stream, force_terminal=True, width=100, color_system=None)
    names = ("reward_mean", "kl")
    with live("policy", 3, unit="steps", done=0, shown=names, on=terminal) as show:
        for step in range(3):
            show(step + 1, "reward", {"reward_mean": step / 2, "kl": None, "other": 9})
    text = stream.getvalue()
    assert "reward mean" in text
    assert "▁▅█" in text
    assert "3/3" in text
    assert "other" not in text
    assert "kl" not in text  # never known, never shown
