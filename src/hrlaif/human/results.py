"""What have people said so far? Votes as Preference, Rating, Verdict and Abstention rows."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sql

from hrlaif.human.answers import Answer
from hrlaif.human.database import Database, assignments, items, raters, votes
from hrlaif.human.items import Item
from hrlaif.records import (
    Abstention,
    Comparison,
    Evidence,
    Preference,
    Rating,
    Response,
    Row,
    Score,
    Verdict,
)

Kept = Preference | Rating | Verdict | Abstention | Score
FILES = ("preferences", "ratings", "verdicts", "abstentions", "pairs")


class Vote(NamedTuple):
    """A rater's answer in force, and how it came about."""

    item: Item
    rater: str
    answer: Answer
    shown: tuple[int, ...]
    """The candidates in the order in which the rater saw them; empty where that is not known."""
    again: bool
    """The item was asked a second time, to see whether the rater says the same."""
    comment: str
    seconds: float | None
    at: float

    @property
    def counts(self) -> bool:
        """False for attention checks and for items asked again, which measure the rater."""
        return not self.again and not self.item.check

    @property
    def by(self) -> str:
        """As it stands in the rows."""
        return f"human/{self.rater}"

    @property
    def remark(self) -> str:
        """The comment, after what a probability alone does not say."""
        kind = self.answer.prefers if self.answer.prefers in ("tie", "both bad") else ""
        return ": ".join(filter(None, (kind, self.comment)))


def cast(database: Database) -> list[Vote]:
    """Every answer in force: of items, of items asked again and of attention checks."""
    query = (
        sql.select(
            assignments.c.item, raters.c.alias, votes.c.answer, assignments.c.shown,
            assignments.c.again, votes.c.comment, votes.c.seconds, votes.c.at,
        )
        .join(votes, votes.c.key == assignments.c.vote)
        .join(raters, raters.c.id == assignments.c.rater)
        .order_by(votes.c.at, votes.c.key)
    )  # fmt: skip
    # Few answers differ, and an answer is frozen: each is read once.
    read = lru_cache(maxsize=4096)(Answer.model_validate_json)
    with database.reading() as connection:
        bodies = connection.execute(sql.select(items.c.id, items.c.body))
        known = {row.id: Item.model_validate_json(row.body) for row in bodies}
        return [
            Vote(
                known[item], alias, read(answer), tuple(json.loads(shown)),
                bool(again), comment, seconds, at,
            )
            for item, alias, answer, shown, again, comment, seconds, at in connection.execute(query)
        ]  # fmt: skip


def rows_of(cast_: Iterable[Vote]) -> dict[str, list[Row]]:
    """The rows of each of FILES. Rankings become the preferences that they imply."""
    found: dict[str, list[Row]] = {name: [] for name in FILES}
    counted = [vote for vote in cast_ if vote.counts]
    for vote in counted:
        for record in _records(vote):
            found[_file(record)].append(_row(vote, record))
    found["pairs"] = pairs_of(counted)
    return found


def pairs_of(cast_: Iterable[Vote]) -> list[Row]:
    """Comparisons with the mean of the votes as `human_preference`: what the rlhf recipe reads.

    Beside it what a study of judges reads: of how many `raters` it is the mean, and the `chance`
    and the `models` that the pair was given with.
    """
    said: dict[str, list[Preference]] = defaultdict(list)
    also: dict[str, Row] = {}
    for vote in cast_:
        if vote.counts:
            for preference in preferences_of(vote):
                said[preference.comparison.id].append(preference)
                also[preference.comparison.id] = dict(vote.item.also or {})
    return [
        {
            **group[0]
            .comparison.model_copy(
                update={"human_preference": sum(p.prob_a for p in group) / len(group)}
            )
            .row(),
            **also[name],
            "raters": len({p.labeler for p in group}),
        }
        for name, group in said.items()
    ]


def preferences_of(vote: Vote) -> Iterator[Preference]:
    """One for a pair, one for each pair of a ranking; none for an abstention."""
    if vote.answer.prob_a is not None:
        yield _preference(vote, 0, 1, vote.answer.prob_a)
    if vote.answer.ranking is not None:
        place = {candidate: n for n, candidate in enumerate(vote.answer.ranking)}
        for a, b in itertools.combinations(range(len(vote.item.candidates)), 2):
            yield _preference(vote, a, b, float(place[a] < place[b]))


def comparison_of(item: Item, a: int, b: int) -> Comparison:
    """Two candidates of an item."""
    whole = len(item.candidates) == 2
    sides = [item.candidates[n] for n in (a, b)]
    name = item.id if whole else f"{item.sources[a]} vs {item.sources[b]}"
    return Comparison(
        id=name, prompt=item.prompt, a=sides[0], b=sides[1],
        gold_preference=item.gold if whole else None,
    )  # fmt: skip


def response_of(item: Item) -> Response:
    """The only response of an item."""
    fields = item.candidates[0].model_dump()
    return Response(prompt=item.prompt, id=item.id, **fields)


def _records(vote: Vote) -> Iterator[Kept]:
    yield from preferences_of(vote)
    item, answer = vote.item, vote.answer
    if answer.satisfaction is not None:
        yield Rating(
            id=item.id, satisfaction=answer.satisfaction, rater=vote.by,
            response=response_of(item), reason=vote.comment,
        )  # fmt: skip
    elif item.mode == "harmless":
        passed = {"yes": True, "no": False}.get(answer.harmless or "")
        yield Verdict(
            id=item.id, check="harmless", passed=passed, answer=answer.harmless,
            reason=answer.silent or vote.comment, evidence={"rater": vote.by},
        )  # fmt: skip
    elif answer.silent and item.mode == "satisfaction":
        yield Score(id=item.id, value=None, scorer=vote.by, reason=answer.silent)
    elif answer.silent:
        many = range(len(item.candidates))
        for a, b in itertools.combinations(many, 2):
            pair = comparison_of(item, a, b)
            yield Abstention(comparison=pair, labeler=vote.by, reason=answer.silent)


def _preference(vote: Vote, a: int, b: int, prob_a: float) -> Preference:
    """With a shown before b, or after it, on record as for a judge."""
    first = vote.shown.index(a) < vote.shown.index(b) if vote.shown else None
    evidence = Evidence(
        source="human",
        prob_a_first=prob_a if first is True else None,
        prob_a_second=prob_a if first is False else None,
    )
    return Preference(
        comparison=comparison_of(vote.item, a, b), prob_a=prob_a, labeler=vote.by,
        reason=vote.remark, evidence=evidence,
    )  # fmt: skip


def _file(record: Kept) -> str:
    kinds = {Preference: "preferences", Rating: "ratings", Verdict: "verdicts"}
    return kinds.get(type(record), "abstentions")


def _row(vote: Vote, record: Kept) -> Row:
    """A verdict's row stands beside the response, so that the file can be read alone."""
    if isinstance(record, Verdict):
        return {**response_of(vote.item).row(), **record.row()}
    return record.row()
