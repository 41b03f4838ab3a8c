"""How hard is each prompt, and how did the baseline fare against its own longer and shorter selves?

The two files that lc_difficulty and lc_alpaca_v1 need. AlpacaEval's `df_gamed.csv` and
`instruction_difficulty.csv` are read as they are; their `index` is the prompt's id.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hrlaif.errors import DataError
from hrlaif.rows.files import SourceRow
from hrlaif.statistics import Contest, Gamed, LengthControlled, lc_alpaca_v1, lc_difficulty

_ID = ("id", "prompt_id", "index", "")
_HARD = ("instruction_difficulty", "difficulty")


class Difficulty(NamedTuple):
    """What is known of the prompts before any comparison."""

    gamma: Mapping[str, float]
    """Prompt id -> difficulty."""
    gamed: Gamed | None = None


def read_difficulty(
    rows: Iterable[SourceRow], gamed: Iterable[SourceRow] | None = None
) -> Difficulty:
    """Raises DataError naming the row that lacks an id or a number, or has one out of range."""
    gamma = {_name(row): _number(row, *_HARD) for row in rows}
    if gamed is None:
        return Difficulty(gamma)
    found = [
        (
            _preference(row),
            _number(row, "std_delta_len"),
            _number(row, *_HARD),
            _name(row),
        )
        for row in gamed
    ]
    wins, lengths, hard, names = zip(*found, strict=True)
    return Difficulty(gamma, Gamed(wins, lengths, hard, names))


def estimated(
    contest: Contest, known: Difficulty | None, *, seed: int
) -> dict[str, LengthControlled]:
    """The estimators that the given files allow. Raises DataError for a prompt without a gamma."""
    if known is None:
        return {}
    names: Sequence[object] = contest.clusters or ()
    refuse_unknown(names, known)
    hard = [known.gamma[str(name)] for name in names]
    found = {"length_difficulty": lc_difficulty(contest, hard, seed=seed)}
    if known.gamed is not None:
        found["length_alpaca_v1"] = lc_alpaca_v1(contest, hard, known.gamed, seed=seed)
    return found


def refuse_unknown(prompts: Sequence[object], known: Difficulty) -> None:
    """Raises DataError when some prompt has no difficulty; best before anything is asked."""
    missing = [name for name in prompts if name not in known.gamma]
    if missing:
        raise DataError(
            f"prompt {missing[0]!r} has no difficulty ({len(missing)} of {len(prompts)} lack one): "
            "give a file with a row for each prompt, or leave out --difficulty"
        )


def _name(row: SourceRow) -> str:
    for name in _ID:
        if row.values.get(name) is not None:
            return str(row.values[name])
    raise DataError(f"{row.where}: no id: name the prompt's id `id` or `index`")


def _preference(row: SourceRow) -> float:
    """For the gamed answer, from 0 to 1 as in `df_gamed.csv`."""
    preference = _number(row, "preference")
    if not 0 <= preference <= 1:
        raise DataError(
            f"{row.where}: preference {preference:g} is no probability from 0 to 1: AlpacaEval's "
            "annotations are 1 to 2, so subtract 1, or mend that row"
        )
    return preference


def _number(row: SourceRow, *names: str) -> float:
    for name in names:
        if name not in row.values:
            continue
        try:
            number = float(row.values[name])
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(
                f"{row.where}: {name} {row.values[name]!r:.40} is no number: mend or drop that row"
            )
        return number
    raise DataError(f"{row.where}: no {names[0]}: every row needs one")
