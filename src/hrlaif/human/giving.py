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

from sqlalchemy.engine import Connection

from hrlaif.human import statements as ask
from hrlaif.human.items import Item
from hrlaif.human.study import Study
from hrlaif.messages import spoken

SECONDS_OPEN = 30 * 60.0
_BEFORE_REPEATING = 4


class Given(NamedTuple):
    """An item under an id that says nothing, with its responses in the order shown."""

    id: str
    item: Item
    shown: tuple[int, ...]
    number: int

    @property
    def texts(self) -> list[str]:
        """What is shown of the responses: without thoughts, which no judge is shown either."""
        return [spoken(self.item.candidates[place].text) for place in self.shown]


class Person(NamedTuple):
    """A rater, locked for this transaction."""

    id: int
    alias: str
    given: int
    answered: int


def lying_open(study: Study, connection: Connection, rater_id: int) -> list[Given]:
    """What was given to a rater and not answered yet."""
    rows = connection.execute(ask.OPEN, {"rater": rater_id}).all()
    return [_given(study, connection, row) for row in rows]


def given_as(study: Study, connection: Connection, assignment: str) -> Given:
    """An assignment that is known to be there."""
    return _given(study, connection, connection.execute(ask.GIVEN, {"place": assignment}).one())


def give(study: Study, connection: Connection, person: Person, number: int) -> Given | None:
    """The next assignment: a check or a repeat where the plan has one, else an item."""
    if _planned(study, "check", study.rules.checks, person, number):
        item = _check(study, connection, person, number)
        if item is not None:
            return _assign(study, connection, person, number, (item, 0))
    if _planned(study, "repeat", study.rules.repeats, person, number):
        values = {"rater": person.id, "until": number - _BEFORE_REPEATING}
        item = connection.execute(ask.REPEAT, values).scalar()
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
    connection.execute(ask.COUNT, {"item_": item, "change": 1})
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
    for block in study.blocks:
        values = {"block": block, "overlap": study.rules.overlap, "rater": person.id}
        first = connection.execute(ask.FREE, values).first()
        if first is None:
            continue
        values = {"block": block, "level": first.taken, "start": start, "rater": person.id}
        beyond = connection.execute(ask.FREE_BEYOND, values).first()
        return int(beyond.id if beyond else first.id)
    return None


def _check(study: Study, connection: Connection, person: Person, number: int) -> int | None:
    block = connection.execute(ask.BLOCK, {"rater": person.id}).scalar()
    values = {"block": block or study.blocks[0], "rater": person.id}
    found = list(connection.execute(ask.CHECKS, values).scalars())
    return found[study.chance("which", f"{person.alias}/{number}") % len(found)] if found else None


def _taken_back(study: Study, connection: Connection, person: Person) -> Given | None:
    """An item that this rater left lying, and that still lacks an answer."""
    values = {"rater": person.id, "overlap": study.rules.overlap}
    row = connection.execute(ask.LEFT_LYING, values).first()
    if row is None:
        return None
    opened = {"place": row.id, "state_": "open", "opened_": time.time()}
    connection.execute(ask.SET_STATE, opened)
    connection.execute(ask.COUNT, {"item_": row.item, "change": 1})
    return _given(study, connection, row)


def _release(connection: Connection) -> int:
    """Gives up assignments that were left open too long; returns how many."""
    stale = connection.execute(ask.STALE, {"before": time.time() - SECONDS_OPEN}).all()
    for row in stale:
        released = {"place": row.id, "state_": "released", "opened_": time.time()}
        connection.execute(ask.SET_STATE, released)
        connection.execute(ask.COUNT, {"item_": row.item, "change": -1})
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
    connection.execute(ask.ADD_PLACE, row)
    return Given(name, item, tuple(shown), number)


def order(study: Study, alias: str, item: Item, again: int = 0) -> Sequence[int]:
    """The order of an item's responses for a rater; asked again, it begins elsewhere."""
    places = list(range(len(item.candidates)))
    random.Random(study.sign("order", f"{alias}/{item.key}")).shuffle(places)
    return places[again:] + places[:again]


def _given(study: Study, connection: Connection, row: Any) -> Given:
    item = study.item(row.item, connection)
    return Given(row.id, item, tuple(json.loads(row.shown)), row.number)
