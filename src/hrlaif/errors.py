"""What can go wrong, and what a user does next.

HrlaifError                  exit 1   anything below; the message names the next move
├── UsageError               exit 2   a setting or an argument is not possible
├── DataError                exit 1   a file or a row cannot be used: names file, row and reason
├── ModelError               exit 1   a model cannot be found, loaded or asked
├── StaleRunError            exit 1   a run folder was begun with other settings or inputs
├── TooManyAbstentions       exit 3   done, but too many comparisons went without a verdict
├── BudgetReached            exit 4   --max-cost would be exceeded; the same command resumes
└── Interrupted              exit 130 Ctrl-C; the same command resumes
"""

from __future__ import annotations

from typing import ClassVar


class HrlaifError(Exception):
    """An error whose message a user can act on; the command line prints it without a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(HrlaifError):
    """A setting, an argument or a configuration key is not possible."""

    exit_code = 2


class DataError(HrlaifError):
    """A file or a row cannot be used."""


class ModelError(HrlaifError):
    """A model cannot be found, loaded or asked."""


class StaleRunError(HrlaifError):
    """A run folder holds work begun with other settings or inputs."""


class TooManyAbstentions(HrlaifError):
    """The work is done and written, but the share without a verdict is above the set limit."""

    exit_code = 3


class BudgetReached(HrlaifError):
    """The next call could cost more than is left of the budget."""

    exit_code = 4


class Interrupted(HrlaifError):
    """The user pressed Ctrl-C; what was done is kept."""

    exit_code = 130
