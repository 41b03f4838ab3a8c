"""How do votes made in another tool come in? By the ids of the rows they are about, once each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from hrlaif.errors import DataError
from hrlaif.human.answers import Answer
from hrlaif.human.database import assignments, items, raters, votes
from hrlaif.human.study import Rater, Study, every_rater, join, tidy
from hrlaif.records import digest
from hrlaif.rows.files import SourceRow
from hrlaif.rows.imports import Brought, brought
from hrlaif.rows.said import Said

_AT_ONCE = 500


class Added(NamedTuple):
    """How many votes are new, and how many stood there already."""

    new: int
    known: int


def bring(study: Study, rows: Sequence[SourceRow]) -> Added:
    """Adds what people said elsewhere. Sent twice, a file adds nothing the second time.

    Raises DataError, before anything is added, for an answer about a row that is not asked here.
    """
    answers = brought(rows)
    if not answers:
        raise DataError(
            "no answer by people is in this file: export the annotations too (whoever has a slash "
            "in the name, and does not begin with human/, is a judge)"
        )
    places = _places(study, answers)
    names = [_alias(answer) for answer in answers]
    people = {rater.alias: rater for rater in every_rater(study)}
    for name in names:
        if name not in people:
            people[name] = join(study, name)
    calls = [
        (places[_key(answer)], people[name], answer.said)
        for answer, name in zip(answers, names, strict=True)
    ]
    groups = [calls[begin : begin + _AT_ONCE] for begin in range(0, len(calls), _AT_ONCE)]
    new = sum(study.database.write(partial(_add_all, group=group)) for group in groups)
    return Added(new, len(answers) - new)


def _alias(answer: Brought) -> str:
    by = answer.said.by.removeprefix("human/")
    try:
        return tidy(by)
    except DataError as error:
        raise DataError(f"{answer.where}: {by!r:.60}: {error}") from None


def _add_all(connection: Connection, group: Sequence[tuple[int, Rater, Said]]) -> int:
    return sum(_add(connection, *call) for call in group)


def _key(answer: Brought) -> str:
    return f"{answer.said.question}/{answer.item}"


def _places(study: Study, answers: Sequence[Brought]) -> dict[str, int]:
    with study.database.reading() as connection:
        found = {row.key: row.id for row in connection.execute(sql.select(items.c.key, items.c.id))}
    for answer in answers:
        if _key(answer) not in found:
            raise DataError(
                f"{answer.where}: id {answer.item!r:.60} is asked no question of "
                f"{answer.said.question} here: import it where that file is voted on"
            )
    return found


def _add(connection: Connection, item: int, rater: Rater, said: Said) -> int:
    """1 for a new vote; 0 where the rater has answered the item already."""
    mine = sql.select(assignments.c.id, assignments.c.vote).where(
        assignments.c.rater == rater.id, assignments.c.item == item, assignments.c.again == 0
    )
    if connection.execute(mine).first() is not None:
        return 0
    query = sql.select(raters.c.given).where(raters.c.id == rater.id).with_for_update()
    number = connection.execute(query).scalar_one() + 1
    name, now = secrets.token_urlsafe(16), time.time()
    key = digest(["import", rater.seed, item], length=32)
    row = {
        "id": name, "rater": rater.id, "item": item, "number": number, "again": 0, "shown": "[]",
        "state": "voted", "opened": now, "answered": now, "vote": key,
    }  # fmt: skip
    connection.execute(assignments.insert().values(row))
    answer = _answer(said).model_dump_json(exclude_none=True)
    vote = {"key": key, "assignment": name, "answer": answer, "comment": said.reason, "at": now}
    connection.execute(votes.insert().values(vote))
    connection.execute(
        raters.update()
        .where(raters.c.id == rater.id)
        .values(given=number, answered=raters.c.answered + 1)
    )
    taken = items.update().where(items.c.id == item)
    connection.execute(taken.values(taken=items.c.taken + 1))
    return 1


def _answer(said: Said) -> Answer:
    if said.question == "preference":
        return Answer.model_validate({"prefers": said.value})
    return Answer.model_validate({said.question: said.value})
