"""What is asked of the database for every vote? Built once: building them anew costs more.

Values are bound by name: `rater`, `item`, `place` (an assignment), and so on.
"""

from __future__ import annotations

import sqlalchemy as sql
from sqlalchemy import bindparam as value

from hrlaif.human.database import assignments, items, raters, votes

COUNTED = ("open", "voted")
"""States of an assignment in which its item counts on the rater."""
_GIVEN = (assignments.c.id, assignments.c.item, assignments.c.shown, assignments.c.number)

RATER = (
    sql.select(raters.c.id, raters.c.alias, raters.c.given, raters.c.answered)
    .where(raters.c.id == value("rater"), raters.c.seed == value("seed"))
    .with_for_update()
)
SET_RATER = (
    raters.update()
    .where(raters.c.id == value("rater"))
    .values(given=value("given_"), answered=value("answered_"))
)
PLACE = sql.select(assignments).where(
    assignments.c.id == value("place"), assignments.c.rater == value("rater")
)
SET_PLACE = (
    assignments.update()
    .where(assignments.c.id == value("place"))
    .values(state=value("state_"), vote=value("vote_"), answered=value("answered_"))
)
SET_STATE = (
    assignments.update()
    .where(assignments.c.id == value("place"))
    .values(state=value("state_"), opened=value("opened_"))
)
ADD_PLACE = assignments.insert()
ADD_VOTE = votes.insert()
VOTE = sql.select(votes).where(votes.c.key == value("key_"))
LAST = (
    sql.select(assignments.c.id)
    .where(assignments.c.rater == value("rater"), assignments.c.vote.is_not(None))
    .where(assignments.c.shown != "[]")
    .order_by(assignments.c.answered.desc(), assignments.c.number.desc())
    .limit(1)
)
"""The last answer given here: nobody knows how an item answered elsewhere was shown."""
GIVEN = sql.select(*_GIVEN).where(assignments.c.id == value("place"))
OPEN = (
    sql.select(*_GIVEN)
    .where(assignments.c.state == "open", assignments.c.rater == value("rater"))
    .order_by(assignments.c.number)
)
ITEM = sql.select(items.c.body).where(items.c.id == value("item"))
COUNT = (
    items.update()
    .where(items.c.id == value("item_"))
    .values(taken=items.c.taken + value("change", type_=sql.Integer))
)

_NOT_THEIRS = ~sql.exists().where(
    assignments.c.rater == value("rater"), assignments.c.item == items.c.id
)
FREE = (
    sql.select(items.c.id, items.c.taken)
    .where(items.c.block == value("block"), items.c.taken < value("overlap"))
    .where(items.c.shuffle >= 0, _NOT_THEIRS)
    .order_by(items.c.taken, items.c.shuffle)
    .limit(1)
    .with_for_update(skip_locked=True)
)
"""The item of a block that the fewest raters have, and this one has not."""
FREE_BEYOND = (
    sql.select(items.c.id)
    .where(items.c.block == value("block"), items.c.taken == value("level"))
    .where(items.c.shuffle >= value("start"), _NOT_THEIRS)
    .order_by(items.c.shuffle)
    .limit(1)
    .with_for_update(skip_locked=True)
)
LEFT_LYING = (
    sql.select(*_GIVEN)
    .join(items, items.c.id == assignments.c.item)
    .where(assignments.c.state == "released", assignments.c.rater == value("rater"))
    .where(items.c.taken < value("overlap"))
    .limit(1)
)
STALE = (
    sql.select(assignments.c.id, assignments.c.item)
    .join(items, items.c.id == assignments.c.item)
    .where(assignments.c.state == "open", assignments.c.opened < value("before"))
    .where(assignments.c.again == 0, items.c.shuffle >= 0)
    .with_for_update(skip_locked=True)
)
BLOCK = (
    sql.select(items.c.block)
    .join(assignments, assignments.c.item == items.c.id)
    .where(assignments.c.rater == value("rater"))
    .order_by(assignments.c.number.desc())
    .limit(1)
)
"""Of the rater's newest item: checks ask the same question."""
CHECKS = (
    sql.select(items.c.id)
    .where(items.c.block == value("block"), items.c.shuffle < 0, _NOT_THEIRS)
    .order_by(items.c.id)
)
_other = assignments.alias()
REPEAT = (
    sql.select(assignments.c.item)
    .join(items, items.c.id == assignments.c.item)
    .where(assignments.c.rater == value("rater"), assignments.c.state == "voted")
    .where(assignments.c.number <= value("until"), items.c.shuffle >= 0)
    .where(
        ~sql.exists().where(
            _other.c.rater == value("rater"),
            _other.c.item == assignments.c.item,
            _other.c.again == 1,
        )
    )
    .order_by(assignments.c.number)
    .limit(1)
)
"""The rater's oldest answered item that was not asked again yet."""
