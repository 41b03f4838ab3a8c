"""What does a person read when a command fails, and with which exit code does it end?"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from hrlaif.errors import HrlaifError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("database or disk is full", "No space left on device", "File too large")
_KEPT = "what was done is kept, the same command goes on"


class Failure(NamedTuple):
    """One message that names the next move, and an exit code."""

    message: str
    exit_code: int


def failure(error: BaseException) -> Failure | None:
    """What to say of an expected error; None for one that is a fault of the program."""
    if isinstance(error, HrlaifError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure(f"interrupted; {_KEPT}", 130)
    number = error.errno if isinstance(error, OSError) else None
    file = getattr(error, "filename", None)
    # SQLite and safetensors say it in words of their own.
    if number in _FULL or any(words in str(error) for words in _FULL_WORDS):
        where = f" ({file})" if file else ""
        return Failure(f"the disk is full{where}: free some space; {_KEPT}", 1)
    if number is not None and file is not None:
        return Failure(f"{file}: {os.strerror(number)}: mend that, or name another place", 1)
    return None


def raised(found: Failure) -> HrlaifError:
    """The same failure as an error, for the process that asked."""
    error = HrlaifError(found.message)
    error.exit_code = found.exit_code  # type: ignore[misc]
    return error
