"""What is a rater given next, and what becomes of an answer? Each is one transaction.

An assignment is `open` or `released`, then `voted` or `skipped`. Votes are only ever added: a
correction names the vote that it replaces, so that two windows cannot overwrite each other, and
the key that the page makes for every vote lets it be sent any number of times and counted once.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from hrlaif.errors import HrlaifError
from hrlaif.human import statements as ask
from hrlaif.human.answers import Answer, as_given, understood
from hrlaif.human.giving import Given, Person, give, given_as, lying_open
from hrlaif.human.study import Rater, Study

AHEAD = 2  # items a rater holds: the one shown, and the next one, loaded early


class Gone(HrlaifError):
    """The rater, or what was to be answered, is no longer there."""


class Conflict(HrlaifError):
    """Another window answered this item first."""


class Hand(NamedTuple):
    """What a rater sees next, and how far the rater is."""

    given: list[Given]
    answered: int


class Sent(NamedTuple):
    """A vote as the page sends it."""

    id: str
    """Of the assignment."""
    key: str
    """Made by the page, once a vote."""
    answer: dict[str, Any]
    comment: str = ""
    seconds: float | None = None
    """How long the item was in sight, as the page says."""
    replaces: str | None = None
    """The key of the vote that this one corrects."""


class Last(NamedTuple):
    """The last answer of a rater, to be corrected."""

    given: Given
    key: str
    answer: dict[str, Any]
    comment: str


def hand(study: Study, rater: Rater) -> Hand:
    """The items that lie open before a rater; new ones are given as needed."""
    return study.database.write(lambda c: _hand(study, c, _locked(c, rater)))


def vote(study: Study, rater: Rater, sent: Sent) -> Hand:
    """Keeps an answer, on the disk, and gives what is next. The same key again changes nothing.

    Raises Conflict where the item has another answer, Gone where it is not the rater's.
    """
    return study.database.write(lambda connection: _vote(study, connection, rater, sent))


def last(study: Study, rater: Rater) -> Last | None:
    """The rater's last answer."""
    with study.database.reading() as connection:
        name = _last_id(connection, rater.id)
        if name is None:
            return None
        given = given_as(study, connection, name)
        key = _place(connection, rater, name).vote
        row = connection.execute(ask.VOTE, {"key_": key}).one()
    answer = Answer.model_validate_json(row.answer)
    return Last(given, row.key, as_given(answer, given.shown), row.comment)


def shown_to(study: Study, rater: Rater, name: str) -> Given:
    """An assignment of this rater; raises Gone where there is none."""
    with study.database.reading() as connection:
        _place(connection, rater, name)
        return given_as(study, connection, name)


def _vote(study: Study, connection: Connection, rater: Rater, sent: Sent) -> Hand:
    person = _locked(connection, rater)
    place = _place(connection, rater, sent.id)
    before = connection.execute(ask.VOTE, {"key_": sent.key}).first()
    if before is not None and before.assignment != sent.id:
        raise Conflict("this vote's key belongs to another item: reload the page")
    if before is None:
        _keep(study, connection, place, sent)
    new = before is None and place.vote is None
    return _hand(study, connection, person, newly=int(new))


def _locked(connection: Connection, rater: Rater) -> Person:
    """One request of a rater at a time, so that two windows share what lies open."""
    row = connection.execute(ask.RATER, {"rater": rater.id, "seed": rater.seed}).first()
    if row is None:
        raise Gone("this rater was deleted: join again")
    return Person(*row)


def _place(connection: Connection, rater: Rater, name: str) -> Any:
    row = connection.execute(ask.PLACE, {"place": name, "rater": rater.id}).first()
    if row is None:
        raise Gone("this item is not yours: reload the page")
    return row


def _keep(study: Study, connection: Connection, place: Any, sent: Sent) -> None:
    """Writes the vote down, and counts the item on this rater or no longer."""
    if sent.replaces is None and place.vote is not None:
        raise Conflict("this item was answered in another window")
    if sent.replaces is not None and (
        sent.replaces != place.vote or place.id != _last_id(connection, place.rater)
    ):
        raise Conflict("only the last answer can be corrected, and it was changed elsewhere")
    item = study.item(place.item, connection)
    answer = understood(sent.answer, item, json.loads(place.shown))
    now = time.time()
    row = {
        "key": sent.key, "assignment": place.id, "comment": sent.comment, "at": now,
        "answer": answer.model_dump_json(exclude_none=True), "seconds": sent.seconds,
        "replaces": sent.replaces,
    }  # fmt: skip
    connection.execute(ask.ADD_VOTE, row)
    state = "skipped" if answer.skipped is not None else "voted"
    values = {"place": place.id, "state_": state, "vote_": sent.key}
    # A correction leaves `answered`: it does not make an older item the last one.
    connection.execute(ask.SET_PLACE, {**values, "answered_": place.answered or now})
    change = (state in ask.COUNTED) - (place.state in ask.COUNTED)
    if change and not place.again and not item.check:
        connection.execute(ask.COUNT, {"item_": place.item, "change": change})


def _last_id(connection: Connection, rater_id: int) -> str | None:
    return connection.execute(ask.LAST, {"rater": rater_id}).scalar()


def _hand(study: Study, connection: Connection, person: Person, newly: int = 0) -> Hand:
    found = lying_open(study, connection, person.id)
    given, answered, limit = person.given, person.answered + newly, study.rules.per_rater
    while len(found) < AHEAD and not (limit and answered + len(found) >= limit):
        new = give(study, connection, person, given + 1)
        if new is None:
            break
        given = max(given, new.number)
        found.append(new)
    if (given, answered) != (person.given, person.answered):
        values = {"rater": person.id, "given_": given, "answered_": answered}
        connection.execute(ask.SET_RATER, values)
    return Hand(found, answered)
