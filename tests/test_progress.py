"""Does the one who waits see lines on standard error, and nothing on standard output?"""

from __future__ import annotations

from hrlaif.progress import say, spending, track


def test_plain_lines_go_to_standard_error_with_the_last_figure(capsys):
    with track("label", 3, unit="pairs", done=1) as bar, spending(lambda: "$0.12"):
        bar.advance(1)
        bar.advance(1, "loss 0.61")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == ["  label: 3/3 pairs in 0 s loss 0.61 $0.12"]


def test_what_is_said_is_said_as_it_is(capsys):
    say("[1/8] prompts -> prompts.jsonl [bold]")
    assert "[1/8] prompts -> prompts.jsonl [bold]" in capsys.readouterr().err
