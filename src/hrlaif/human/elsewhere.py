"""How do votes made in another tool come in? By the ids of the rows they are about, once each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Container, Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from hrlaif.errors import DataError
from hrlaif.human import statements as ask
from hrlaif.human.answers import Answer
from hrlaif.human.database import assignments, items, raters
from hrlaif.human.items import Item
from hrlaif.human.study import Rater, Study, every_rater, join, tidy
from hrlaif.messages import spoken
from hrlaif.records import digest
from hrlaif.rows.files import SourceRow
from hrlaif.rows.imports import Brought, brought
from hrlaif.rows.said import Said, side_of

_AT_ONCE = 500


class Added(NamedTuple):
    """How many votes are new, and how many stood there already."""

    new: int
    known: int
    silent: int = 0
    """Rows that hold no answer by people: unanswered, a judge's, or TRL's `completion`, `label`."""


def bring(study: Study, rows: Sequence[SourceRow]) -> Added:
    """Adds what people said elsewhere. Sent twice, a file adds nothing the second time.

    Raises DataError, before anything is added, for an answer about a row that is not asked here,
    or about other responses.
    """
    answers = brought(rows)
    if not answers:
        raise DataError(
            "no answer by people is in this file: export the annotations too (whoever has a slash "
            "in the name, and does not begin with human/, is a judge)"
        )
    places = _places(study)
    answers = [_asked(answer, places) for answer in answers]
    with study.database.reading() as connection:
        told = [
            _of_item(answer, study.item(places[_key(answer)], connection)) for answer in answers
        ]
    names = [_alias(answer) for answer in answers]
    people = {rater.alias: rater for rater in every_rater(study)}
    for name in names:
        if name not in people:
            people[name] = join(study, name)
    calls = [
        (places[_key(answer)], people[name], said)
        for answer, name, said in zip(answers, names, told, strict=True)
    ]
    groups = [calls[begin : begin + _AT_ONCE] for begin in range(0, len(calls), _AT_ONCE)]
    new = sum(study.database.write(partial(_add_all, group=group)) for group in groups)
    silent = len(rows) - len({answer.where for answer in answers})
    return Added(new, len(answers) - new, silent)


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


def _places(study: Study) -> dict[str, int]:
    with study.database.reading() as connection:
        rows = connection.execute(sql.select(items.c.key, items.c.id))
        return {row.key: row.id for row in rows}


def _asked(answer: Brought, places: Container[str]) -> Brought:
    """The answer under the id that is asked here, which our tables quote where it is a formula."""
    bare = answer._replace(item=answer.item.removeprefix("'"))
    for found in (answer, bare):
        if _key(found) in places:
            return found
    raise DataError(
        f"{answer.where}: id {answer.item!r:.60} is asked no question of "
        f"{answer.said.question} here: import it where that file is voted on"
    )


def _of_item(answer: Brought, item: Item) -> Said:
    """What was said, of the item's candidates in their order: a row may hold them the other way."""
    said = answer.said
    here = [_words(candidate.text) for candidate in item.candidates]
    there = [_words(text) for text in answer.texts] or here
    there += [""] * (len(here) - len(there))  # what is empty is not held
    if there == here:
        return said
    if there != here[::-1] or said.prob_a is None:
        raise DataError(
            f"{answer.where}: the responses are not those of id {answer.item!r:.60} here: import "
            "it where that file is voted on"
        )
    prob_a = 1 - said.prob_a
    return said._replace(value=side_of(prob_a), prob_a=prob_a)


def _words(text: str) -> str:
    """As people read it, whatever tables do to line breaks and to what begins like a formula."""
    return " ".join(spoken(text).removeprefix("'").split())


def _add(connection: Connection, item: int, rater: Rater, said: Said) -> int:
    """1 for a new vote, also where the item lies unanswered before the rater or was skipped; 0
    where the rater has answered it."""
    mine = sql.select(raters.c.given, raters.c.answered).where(raters.c.id == rater.id)
    given, answered = connection.execute(mine.with_for_update()).one()
    place = _place(connection, item, rater)
    if place is not None and place.state == "voted":
        return 0
    key, now = digest(["import", rater.seed, item], length=32), time.time()
    # Nobody knows in which order the responses were seen elsewhere.
    told = {"shown": "[]", "state": "voted", "vote": key, "answered": now}
    if place is None:
        name, replaced, given = secrets.token_urlsafe(16), None, given + 1
        own = {"id": name, "rater": rater.id, "item": item, "number": given, "again": 0}
        connection.execute(ask.ADD_PLACE, {**own, **told, "opened": now})
    else:
        name, replaced = place.id, place.vote
        connection.execute(assignments.update().where(assignments.c.id == name).values(told))
    answer = _answer(said).model_dump_json(exclude_none=True)
    vote = {"key": key, "assignment": name, "answer": answer, "comment": said.reason, "at": now}
    connection.execute(ask.ADD_VOTE, {**vote, "replaces": replaced})
    values = {"rater": rater.id, "given_": given, "answered_": answered + (replaced is None)}
    connection.execute(ask.SET_RATER, values)
    if place is None or place.state not in ask.COUNTED:
        connection.execute(ask.COUNT, {"item_": item, "change": 1})
    return 1


def _place(connection: Connection, item: int, rater: Rater) -> Any:
    """Where the rater has the item; None where the rater was never given it."""
    query = sql.select(assignments).where(
        assignments.c.rater == rater.id, assignments.c.item == item, assignments.c.again == 0
    )
    return connection.execute(query.with_for_update()).first()


def _answer(said: Said) -> Answer:
    if said.question == "preference":
        return Answer.model_validate({"prefers": said.value})
    return Answer.model_validate({said.question: said.value})
