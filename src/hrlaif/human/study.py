"""Which items, which rules, which raters? A study is one database; opening it again resumes it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, final

import sqlalchemy as sql
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from hrlaif.errors import DataError, HrlaifError, StaleRunError
from hrlaif.human import statements as ask
from hrlaif.human.database import Database, assignments, items, raters, study, votes
from hrlaif.human.items import MODES, Item, Mode, checks_of, with_responses
from hrlaif.progress import say
from hrlaif.records import digest
from hrlaif.settings import Settings

LONGEST_ALIAS = 40
_KEPT = 5000


@final
class Rules(Settings):
    """How items are given to raters. Fixed when a study begins."""

    overlap: int = 3
    """Raters asked about each item."""
    checks: int = 25
    """One attention check in so many items; 0: none."""
    repeats: int = 25
    """One item in so many is asked again, in another order; 0: none."""
    per_rater: int = 0
    """A rater is done after so many answers; 0: when nothing is left."""


class Rater(NamedTuple):
    """A person under a chosen alias."""

    id: int
    alias: str
    seed: str

    @property
    def session(self) -> str:
        """Names the rater in a cookie or a link; worth something only with its signature."""
        return f"{self.id}.{self.seed}"


@final
class Study:
    """What stands in one database, and the secrets that follow from its key."""

    def __init__(self, database: Database, rules: Rules, key: str):
        self.database = database
        self.rules = rules
        self._key = key.encode()
        with database.reading() as connection:
            blocks = sql.select(items.c.block).where(items.c.shuffle >= 0).distinct()
            self.blocks = sorted(connection.execute(blocks).scalars())
            own = sql.select(sql.func.count()).select_from(items).where(items.c.shuffle >= 0)
            self.size: int = connection.execute(own).scalar_one()
        self._items: dict[int, Item] = {}

    def modes(self) -> list[Mode]:
        """The questions asked, in the order in which raters meet them."""
        with self.database.reading() as connection:
            query = sql.select(items.c.key).where(items.c.shuffle >= 0)
            first = sql.select(sql.func.min(items.c.id)).group_by(items.c.block)
            keys = connection.execute(query.where(items.c.id.in_(first))).scalars()
            found = {str(key).partition("/")[0] for key in keys}
        return [mode for mode in MODES if mode in found]

    def sign(self, purpose: str, value: str = "") -> str:
        """What only this study can say of a value: tokens, and the seeds of orders."""
        return hmac.new(self._key, f"{purpose}/{value}".encode(), hashlib.sha256).hexdigest()[:32]

    def chance(self, purpose: str, value: str) -> int:
        """A number below 2**31 that a rater cannot foresee, the same each time."""
        return int(self.sign(purpose, value)[:8], 16) >> 1

    def session(self, rater: Rater) -> str:
        """What the rater's link and cookie hold."""
        return f"{rater.session}.{self.sign('rater', rater.session)}"

    def item(self, number: int, connection: Connection) -> Item:
        """An item; what raters see of it never changes, so the last ones asked for are kept."""
        found = self._items.get(number)
        if found is None:
            body = connection.execute(ask.ITEM, {"item": number}).scalar_one()
            found = Item.model_validate_json(body)
            if len(self._items) >= _KEPT:
                self._items.clear()
            self._items[number] = found
        return found


def begin(database: Database, asked: Sequence[Item], rules: Rules) -> Study:
    """Opens a study, or goes on with the one in the database, beside what a judge says by now.

    Nobody is asked about failed draws, and how many these are is said. Raises StaleRunError where
    the database was begun with other items or rules.
    """
    there = with_responses(asked)
    settings = {"items": _digest(there), **rules.model_dump()}

    def key_of(connection: Connection) -> str:
        found = connection.execute(sql.select(study.c.settings, study.c.key)).first()
        if found is not None:
            _refuse_other(json.loads(found.settings), settings)
            _judge(connection, there)
            return str(found.key)
        key = secrets.token_hex(32)
        values = {"id": 1, "settings": json.dumps(settings), "key": key, "created": time.time()}
        connection.execute(study.insert().values(values))
        _fill(connection, [*there, *checks_of(there, rules.checks)])
        return key

    key = database.write(key_of)
    sides = [side for item in asked for side in item.candidates]
    failed = sum(side.finish_reason == "error" for side in sides)
    if failed:
        say(f"{failed} left out: no response")
    return Study(database, rules, key)


def reopen(database: Database) -> Study:
    """The study that a database holds; DataError where there is none."""
    with database.reading() as connection:
        found = connection.execute(sql.select(study.c.settings, study.c.key)).first()
    if found is None:
        raise DataError("the database holds no study yet: `hrlaif vote FILE` begins one")
    values = {k: v for k, v in json.loads(found.settings).items() if k != "items"}
    return Study(database, Rules.parse(values), found.key)


def _fill(connection: Connection, asked: Sequence[Item]) -> None:
    modes = [mode for mode in MODES if any(item.mode == mode for item in asked)]
    rows = []
    for item in asked:
        shuffle = -1 if item.check else secrets.randbelow(2**31)
        body, block = item.model_dump_json(exclude_defaults=True), modes.index(item.mode)
        rows.append({"key": item.key, "block": block, "shuffle": shuffle, "body": body, "taken": 0})
    for start in range(0, len(rows), 1000):
        connection.execute(items.insert(), rows[start : start + 1000])


def _digest(asked: Iterable[Item]) -> str:
    """Of all that raters are asked; a judge may be put beside it, or another, at any time."""
    return digest([item.model_copy(update={"judged": None}).row() for item in asked], length=32)


def _kept(connection: Connection) -> dict[int, Item]:
    """The items of a study, without its checks, in the order in which it was begun with them."""
    own = sql.select(items.c.id, items.c.body).where(items.c.shuffle >= 0).order_by(items.c.id)
    return {row.id: Item.model_validate_json(row.body) for row in connection.execute(own)}


def _judge(connection: Connection, asked: Sequence[Item]) -> None:
    """Puts what a judge says in the place of what one said before, of all items alike.

    Without any judge now, what stands there stands.
    """
    if not any(item.judged for item in asked):
        return
    for (number, kept), item in zip(_kept(connection).items(), asked, strict=True):
        if kept.judged != item.judged:
            body = item.model_dump_json(exclude_defaults=True)
            connection.execute(items.update().where(items.c.id == number).values(body=body))


def _refuse_other(begun: dict[str, Any], now: dict[str, Any]) -> None:
    for name in now:
        if begun.get(name) != now[name]:
            what = "other items" if name == "items" else f"{name} = {begun.get(name)}"
            raise StaleRunError(
                f"this study was begun with {what}: give the same file and options, or name "
                "another folder with -o or another --database"
            )


def tidy(alias: str) -> str:
    """An alias as it is kept; DataError where it is empty, too long, or not printable."""
    name = " ".join(unicodedata.normalize("NFC", alias).split())
    if not name or len(name) > LONGEST_ALIAS or not name.isprintable():
        raise DataError(f"an alias has 1 to {LONGEST_ALIAS} printable characters: choose another")
    return name


def join(study_: Study, alias: str) -> Rater:
    """A new rater. Raises DataError when the alias is taken: its owner has a link."""
    name, seed = tidy(alias), secrets.token_urlsafe(12)
    row = {"alias": name, "seed": seed, "created": time.time()}
    add = raters.insert().values(row).returning(raters.c.id)
    try:
        number = study_.database.write(lambda connection: connection.execute(add).scalar_one())
        return Rater(number, name, seed)
    except IntegrityError:
        raise DataError(
            f"the alias {name!r} is taken: choose another, or go on by your own link"
        ) from None


def signed(study_: Study, session: str) -> bool:
    """True when a link or a cookie was made here."""
    name, _, signature = session.rpartition(".")
    return hmac.compare_digest(study_.sign("rater", name).encode(), signature.encode())


def known(study_: Study, session: str) -> Rater | None:
    """The rater whose link or cookie this is; None when it is forged or the rater was deleted."""
    if not signed(study_, session):
        return None
    number, seed, _ = session.split(".")
    with study_.database.reading() as connection:
        query = sql.select(raters).where(raters.c.id == int(number), raters.c.seed == seed)
        row = connection.execute(query).first()
    return Rater(row.id, row.alias, row.seed) if row else None


def every_rater(study_: Study) -> list[Rater]:
    """In the order in which they joined."""
    with study_.database.reading() as connection:
        rows = connection.execute(sql.select(raters).order_by(raters.c.id))
        return [Rater(row.id, row.alias, row.seed) for row in rows]


def forget(study_: Study, rater_id: int, *, keep_votes: bool = False) -> None:
    """Deletes a rater with all votes, or only who it was: the votes then stand under a number."""

    def gone(connection: Connection) -> int:
        if keep_votes:
            fresh = {"alias": f"someone {rater_id}", "seed": secrets.token_urlsafe(12)}
            whose = raters.update().where(raters.c.id == rater_id)
            return connection.execute(whose.values(fresh)).rowcount
        _release(connection, rater_id)
        own = sql.select(assignments.c.id).where(assignments.c.rater == rater_id)
        connection.execute(votes.delete().where(votes.c.assignment.in_(own)))
        connection.execute(assignments.delete().where(assignments.c.rater == rater_id))
        return connection.execute(raters.delete().where(raters.c.id == rater_id)).rowcount

    if not study_.database.write(gone):
        raise HrlaifError(f"there is no rater {rater_id}: reload the page")


def _release(connection: Connection, rater_id: int) -> None:
    """Items that counted on a rater count on others again."""
    counted = sql.select(assignments.c.item).where(
        assignments.c.rater == rater_id,
        assignments.c.again == 0,
        assignments.c.state.in_(ask.COUNTED),
    )
    connection.execute(
        items.update()
        .where(items.c.id.in_(counted), items.c.shuffle >= 0)
        .values(taken=items.c.taken - 1)
    )
