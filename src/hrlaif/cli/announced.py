"""What will be asked, and for how much? Said before the first call; a dry run ends there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrlaif.progress import say

if TYPE_CHECKING:
    from hrlaif.estimates import Asked


def announced(asked: Sequence[Asked], dry_run: bool, as_json: bool) -> bool:
    """Says how many calls are made at most, before the first of them; whether that is all.

    In a dry run that is the result, on standard output: the figures with --json, else the words.
    """
    from hrlaif.pricing import as_row, in_words, too_little

    told = in_words(asked) or ("no model is asked" if dry_run else "")
    if dry_run and not as_json:
        print(told)
    elif told:
        say(told)
    if few := too_little(asked):
        say(few)
    if dry_run:
        say("nothing was sent; figures are estimates")
        if as_json:
            print(json.dumps(as_row(asked), indent=2, ensure_ascii=False))
    return dry_run
