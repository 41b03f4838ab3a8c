"""What do people say of these pairs? Comparisons with their raters, split into two halves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hrlaif.errors import DataError
from hrlaif.messages import spoken
from hrlaif.records import Comparison, digest
from hrlaif.rows import comparisons_and_rows
from hrlaif.rows.files import SourceRow
from hrlaif.rows.names import named
from hrlaif.statistics import clusters
from hrlaif.statistics.checking import done

_READ = ("votes", "models", "chance", "raters", "meta")
"""Columns beside those of every command; an empty cell says nothing."""


class Item(NamedTuple):
    """A comparison, and what is known of it besides."""

    comparison: Comparison
    votes: Mapping[str, float]
    """What each rater prefers, however much: 1 for a, 0 for b, 0.5 for a tie."""
    models: tuple[str, str]
    """Who wrote a and b; empty where that is not known."""
    chance: float | None = None
    """How probable it was that people were asked about this pair, up to a factor in all that have
    one; None: certain."""
    raters: int | None = None
    """How many people's word the preference is the mean of; None where that is not known."""

    @property
    def weight(self) -> float:
        """How many pairs this one stands for: two, where people saw half of its like."""
        return 1.0 if self.chance is None else 1.0 / self.chance

    @property
    def prompt(self) -> str:
        """The name by which intervals are clustered."""
        return self.comparison.prompt.id

    @property
    def truth(self) -> float | None:
        """Probability that a is better: people's, else a checked answer's, else unknown."""
        return self.comparison.human_or_gold

    @property
    def decided(self) -> bool:
        """True when the truth is known and no tie."""
        return self.truth not in (None, 0.5)

    @property
    def rater_share(self) -> float | None:
        """Share of its raters that prefer a, ties as half; None unless two or more are known of."""
        if len(self.votes) > 1:
            return sum(self.votes.values()) / len(self.votes)
        return self.comparison.human_preference if (self.raters or 0) > 1 else None

    @property
    def unanimous(self) -> bool:
        """True when two or more raters are known of, and all prefer the same response."""
        return self.rater_share in (0.0, 1.0)

    @property
    def length_gap(self) -> int:
        """Characters that a says more than b, without thoughts."""
        return len(spoken(self.comparison.a.text)) - len(spoken(self.comparison.b.text))

    @property
    def length_difference(self) -> float:
        """By what share of the longer response the other is shorter, from 0 to 1."""
        longest = max(len(spoken(side.text)) for side in (self.comparison.a, self.comparison.b))
        return abs(self.length_gap) / max(longest, 1)

    @property
    def longer(self) -> float:
        """1 when a says more, 0 when b does, 0.5 when both say as much."""
        gap = self.length_gap
        return 0.5 if gap == 0 else float(gap > 0)


def read_items(rows: Sequence[SourceRow]) -> list[Item]:
    """Rows as in every command, with four more columns where there are any, named as loosely.

    `votes`: each rater's preference for responses[0], as {rater: p} or [p, ...]; of grades between
    0 and 1 the mean is people's preference, and the side is what raters agree on. `models`: the two
    authors. `chance`: how probable it was that people were asked, as in the `checks.jsonl` of an
    earlier study. `raters`, or `meta.n_annotators`: of how many people's word the preference is the
    mean. Raises DataError naming the row. Prompts of the same turns get the first one's id: samples
    of one prompt, each under an id of its own, are no independent rows, nor parted by halves.
    """
    told = comparisons_and_rows(map(_plain, rows))
    names = clusters(comparison.prompt for comparison, _ in told)
    return [
        Item(
            _with_truth(_under(comparison, name), votes),
            {name: leaning(vote) for name, vote in votes.items()},
            _models(comparison, row),
            _chance(row),
            _raters(row),
        )
        for (comparison, row), name in zip(told, names, strict=True)
        for votes in [_votes(row)]
    ]


def as_far_as_done(items: Sequence[Item]) -> list[Item]:
    """The same, where people did only the first rows of a check with chances as for those rows.

    Together they stand for all pairs that they were drawn from: themselves, and those that still
    have nobody's word. Pairs that people had judged before stand for themselves.
    """
    drawn = [i.chance for i in items if i.chance is not None and i.truth is not None]
    factor = done(drawn, sum(i.truth is None for i in items))
    return [i if i.chance is None else i._replace(chance=i.chance * factor) for i in items]


def _under(comparison: Comparison, name: str) -> Comparison:
    """The same with this id of its prompt."""
    if comparison.prompt.id == name:
        return comparison
    prompt = comparison.prompt.model_copy(update={"id": name})
    return comparison.model_copy(update={"prompt": prompt})


def _plain(row: SourceRow) -> SourceRow:
    """By plain names, and what a cell of a table holds as JSON, read."""
    values = dict(named(row.values))
    for name in ("votes", "models", "meta"):
        text = values.get(name)
        if isinstance(text, str) and text.lstrip()[:1] in ("{", "["):
            with suppress(ValueError, RecursionError):
                values[name] = json.loads(text)
    return row._replace(values={k: v for k, v in values.items() if k not in _READ or v != ""})


def _votes(row: SourceRow) -> Mapping[str, float]:
    given = row.values.get("votes", {})
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = {f"rater {n}": vote for n, vote in enumerate(given, start=1)}
    # Of a table in which each rater has a field, most have nothing in most.
    said = dict(given) if isinstance(given, Mapping) else {}
    votes = {str(name): _number(vote) for name, vote in said.items() if vote is not None}
    told = {name: vote for name, vote in votes.items() if vote is not None and 0 <= vote <= 1}
    if not isinstance(given, Mapping) or len(told) < len(votes):
        raise DataError(
            f"{row.where}: votes {given!r:.60} are not each rater's preference for the first "
            "response, from 0 to 1: mend or drop them"
        )
    return told


def _chance(row: SourceRow) -> float | None:
    given = row.values.get("chance")
    chance = _number(given)
    if given is not None and (chance is None or not 0 < chance <= 1):
        raise DataError(
            f"{row.where}: chance {given!r:.40} is no probability above 0: mend or drop it"
        )
    return chance


def _raters(row: SourceRow) -> int | None:
    given, meta = row.values.get("raters"), row.values.get("meta")
    if given is None:
        return _count(meta.get("n_annotators")) if isinstance(meta, Mapping) else None
    if (count := _count(given)) is None:
        raise DataError(
            f"{row.where}: raters {given!r:.40} is no number of people: mend or drop it"
        )
    return count


def _count(value: Any) -> int | None:
    """A whole number above 0, as 3, 3.0 or "3"; None for what is none."""
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and number > 0 else None


def _number(value: Any) -> float | None:
    """A number, also as the text of a table's cell; None for what is none."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def leaning(vote: float) -> float:
    """Of a grade between 0 and 1 the side that it leans to."""
    return 0.5 if vote == 0.5 else float(vote > 0.5)


def _with_truth(comparison: Comparison, votes: Mapping[str, float]) -> Comparison:
    """Where single votes are all that is known, people's preference is their mean."""
    if comparison.human_preference is not None or not votes:
        return comparison
    share = sum(votes.values()) / len(votes)
    return comparison.model_copy(update={"human_preference": share})


def _models(comparison: Comparison, row: SourceRow) -> tuple[str, str]:
    meta = row.values.get("meta")
    told = row.values.get("models") or (meta.get("models") if isinstance(meta, Mapping) else None)
    if isinstance(told, Sequence) and not isinstance(told, str) and len(told) == 2:
        return str(told[0]), str(told[1])
    return comparison.a.model, comparison.b.model


def halves(items: Sequence[Item], *, seed: int) -> tuple[list[int], list[int]]:
    """Positions of the dev half, on which choices are made, and of the test half.

    Whole prompts, in the order of a seeded hash: adding pairs moves none from one half to another
    by more than the middle's shift.
    """
    prompts = sorted({item.prompt for item in items}, key=lambda name: digest([seed, name]))
    dev = set(prompts[: len(prompts) // 2])
    return (
        [n for n, item in enumerate(items) if item.prompt in dev],
        [n for n, item in enumerate(items) if item.prompt not in dev],
    )
