"""Which item does a rater get next? The one with the fewest raters, a check, or a repeat.

An item counts on a rater from the moment it is given (`taken`), so that coverage stays even while
many vote at once; what lies open too long is released when somebody else has nothing left to do.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from hrlaif.human.database import assignments, items
from hrlaif.human.items import Item
from hrlaif.human.study import Study

SECONDS_OPEN = 30 * 60.0
_BEFORE_REPEATING = 4
_FIELDS = (assignments.c.id, assignments.c.item, assignments.c.shown, assignments.c.number)


class Given(NamedTuple):
    """An item under an id that says nothing, with its responses in the order shown."""

    id: str
    item: Item
    shown: tuple[int, ...]
    number: int


class Person(NamedTuple):
    """A rater, locked for this transaction."""

    id: int
    alias: str
    given: int
    answered: int


def lying_open(study: Study, connection: Connection, rater_id: int) -> list[Given]:
    """What was given to a rater and not answered yet."""
    query = (
        sql.select(*_FIELDS)
        .where(assignments.c.state == "open", assignments.c.rater == rater_id)
        .order_by(assignments.c.number)
    )
    return [_given(study, connection, row) for row in connection.execute(query)]


def given_as(study: Study, connection: Connection, assignment: str) -> Given:
    """An assignment that is known to be there."""
    query = sql.select(*_FIELDS).where(assignments.c.id == assignment)
    return _given(study, connection, connection.execute(query).one())


def give(study: Study, connection: Connection, person: Person, number: int) -> Given | None:
    """The next assignment: a check or a repeat where the plan has one, else an item."""
    if _planned(study, "check", study.rules.checks, person, number):
        item = _check(study, connection, person, number)
        if item is not None:
            return _assign(study, connection, person, number, (item, 0))
    if _planned(study, "repeat", study.rules.repeats, person, number):
        item = _repeat(connection, person, number)
        if item is not None:
            return _assign(study, connection, person, number, (item, 1))
    item = _fewest(study, connection, person, number)
    if item is None:
        back = _taken_back(study, connection, person)
        if back is not None:
            return back
        if _release(connection):
            item = _fewest(study, connection, person, number)
    if item is None:
        return None
    connection.execute(items.update().where(items.c.id == item).values(taken=items.c.taken + 1))
    return _assign(study, connection, person, number, (item, 0))


def _planned(study: Study, what: str, every: int, person: Person, number: int) -> bool:
    """One place in each window of `every`, which a rater cannot foresee."""
    if not every:
        return False
    window, place = divmod(number, every)
    return place == study.chance(what, f"{person.alias}/{window}") % every


def _fewest(study: Study, connection: Connection, person: Person, number: int) -> int | None:
    """The item that the fewest raters have, from a place of its own for each rater and turn."""
    start = study.chance("start", f"{person.alias}/{number}")
    theirs = sql.exists().where(assignments.c.rater == person.id, assignments.c.item == items.c.id)
    for block in study.blocks:
        for level in range(study.rules.overlap):
            for part in (items.c.shuffle >= start, items.c.shuffle < start):
                query = (
                    sql.select(items.c.id)
                    .where(items.c.block == block, items.c.taken == level)
                    .where(items.c.shuffle >= 0, part, ~theirs)
                    .order_by(items.c.shuffle)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                found = connection.execute(query).scalar()
                if found is not None:
                    return int(found)
    return None


def _check(study: Study, connection: Connection, person: Person, number: int) -> int | None:
    theirs = sql.select(assignments.c.item).where(assignments.c.rater == person.id)
    current = sql.select(items.c.block).join(assignments, assignments.c.item == items.c.id)
    mine = current.where(assignments.c.rater == person.id).order_by(assignments.c.number.desc())
    block = connection.execute(mine.limit(1)).scalar() or 0
    query = sql.select(items.c.id).where(
        items.c.block == block, items.c.shuffle < 0, items.c.id.not_in(theirs)
    )
    found = list(connection.execute(query.order_by(items.c.id)).scalars())
    return found[study.chance("which", f"{person.alias}/{number}") % len(found)] if found else None


def _repeat(connection: Connection, person: Person, number: int) -> int | None:
    """The rater's oldest answered item that was not asked again yet."""
    other = assignments.alias()
    again = sql.exists().where(
        other.c.rater == person.id, other.c.item == assignments.c.item, other.c.again == 1
    )
    query = (
        sql.select(assignments.c.item)
        .join(items, items.c.id == assignments.c.item)
        .where(assignments.c.rater == person.id, assignments.c.state == "voted")
        .where(assignments.c.number <= number - _BEFORE_REPEATING, items.c.shuffle >= 0, ~again)
        .order_by(assignments.c.number)
    )
    return connection.execute(query.limit(1)).scalar()


def _taken_back(study: Study, connection: Connection, person: Person) -> Given | None:
    """An item that this rater left lying, and that still lacks an answer."""
    query = (
        sql.select(*_FIELDS)
        .join(items, items.c.id == assignments.c.item)
        .where(assignments.c.state == "released", assignments.c.rater == person.id)
        .where(items.c.taken < study.rules.overlap)
    )
    row = connection.execute(query.limit(1)).first()
    if row is None:
        return None
    values = {"state": "open", "opened": time.time()}
    connection.execute(assignments.update().where(assignments.c.id == row.id).values(values))
    connection.execute(items.update().where(items.c.id == row.item).values(taken=items.c.taken + 1))
    return _given(study, connection, row)


def _release(connection: Connection) -> int:
    """Gives up assignments that were left open too long; returns how many."""
    query = (
        sql.select(assignments.c.id, assignments.c.item)
        .join(items, items.c.id == assignments.c.item)
        .where(assignments.c.state == "open", assignments.c.opened < time.time() - SECONDS_OPEN)
        .where(assignments.c.again == 0, items.c.shuffle >= 0)
    )
    stale = connection.execute(query.with_for_update(skip_locked=True)).all()
    for row in stale:
        mine = assignments.update().where(assignments.c.id == row.id)
        connection.execute(mine.values(state="released"))
        less = items.update().where(items.c.id == row.item)
        connection.execute(less.values(taken=items.c.taken - 1))
    return len(stale)


def _assign(
    study: Study, connection: Connection, person: Person, number: int, what: tuple[int, int]
) -> Given:
    item_id, again = what
    item = study.item(item_id, connection)
    shown = order(study, person.alias, item, again)
    name = secrets.token_urlsafe(16)
    row = {
        "id": name, "rater": person.id, "item": item_id, "number": number, "again": again,
        "shown": json.dumps(shown), "state": "open", "opened": time.time(),
    }  # fmt: skip
    connection.execute(assignments.insert().values(row))
    return Given(name, item, tuple(shown), number)


def order(study: Study, alias: str, item: Item, again: int = 0) -> Sequence[int]:
    """The order of an item's responses for a rater; asked again, it begins elsewhere."""
    places = list(range(len(item.candidates)))
    random.Random(study.sign("order", f"{alias}/{item.key}")).shuffle(places)
    return places[again:] + places[:again]


def _given(study: Study, connection: Connection, row: Any) -> Given:
    item = study.item(row.item, connection)
    return Given(row.id, item, tuple(json.loads(row.shown)), row.number)
