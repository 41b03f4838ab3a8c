"""The command line: `hrlaif init`, `run`, `label`, and the rest."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from hrlaif.cli import checking, compare, feedback, people, redteam, runs, serve, study, tools
from hrlaif.failures import failure
from hrlaif.progress import say
from hrlaif.settings import compute, using

app = typer.Typer(
    name="hrlaif",
    help="Reinforcement learning from AI feedback, and what it is worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (runs, feedback, compare, checking, redteam, people, study, serve, tools):
    part.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"hrlaif {version('hrlaif')}")
        raise typer.Exit


@app.callback()
def _anywhere(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command; every expected failure is one message and an exit code, never a traceback.

    Without `arguments` those of the command line. Ends with SystemExit.
    """
    try:
        with using(compute()):  # a command puts its own in force, until it ends
            # typer returns the code of an Exit, 130 for Ctrl-C among them, and None at a plain end.
            code = app(args=arguments, standalone_mode=False) or 0
        if code == 130:
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.Abort:
        _fail("interrupted; what was done is kept, the same command goes on", 130)
    except BrokenPipeError:
        # Nobody reads the output any more: `hrlaif ... | head`; the flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        # Usage errors of the argument parser carry their own message.
        if shown := getattr(error, "format_message", None):
            _fail(shown(), 2)
        if (found := failure(error)) is None:
            raise
        _fail(*found)


def _fail(message: str, code: int) -> NoReturn:
    if message:
        say(f"hrlaif: {message}")
    sys.exit(code)
