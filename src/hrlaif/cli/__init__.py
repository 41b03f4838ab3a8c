"""The command line: `hrlaif init`, `run`, `label`, and the rest."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

import typer

from hrlaif.cli import feedback, runs, tools
from hrlaif.errors import HrlaifError
from hrlaif.progress import say

app = typer.Typer(
    name="hrlaif",
    help="Reinforcement learning from AI feedback, and what it is worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (runs, feedback, tools):
    part.add_to(app)


def main() -> NoReturn:
    """Runs a command; every expected failure is one message and an exit code, never a traceback."""
    try:
        app(standalone_mode=False)
        sys.exit(0)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except HrlaifError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; what was done is kept, the same command goes on", 130)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail(f"the disk is full ({error.filename}): free some space, the same command goes on", 1)
    except Exception as error:
        # Usage errors of the argument parser carry their own exit code and message.
        if not (shown := getattr(error, "format_message", None)):
            raise
        _fail(shown(), 2)


def _fail(message: str, code: int) -> NoReturn:
    if message:
        say(f"hrlaif: {message}")
    sys.exit(code)
