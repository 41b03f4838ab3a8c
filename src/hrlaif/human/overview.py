"""How is the study going, and what has it brought? Worked out beside the server, not inside it.

`python -m hrlaif.human.overview` reads {"url", "what", "form"} from standard input: going through a
hundred thousand votes would make raters wait, and an address may hold a password.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import sqlalchemy as sql

from hrlaif.errors import UsageError
from hrlaif.human import database as db
from hrlaif.human.figures import agreement
from hrlaif.human.quality import quality
from hrlaif.human.results import FILES, Vote, cast, rows_of
from hrlaif.human.study import reopen
from hrlaif.records import Row
from hrlaif.rows.exports import FORMS, exported
from hrlaif.rows.files import SourceRow, line_of

ROWS = "rows"
_RECENT = 300.0


def overview(database: db.Database) -> Row:
    """Progress, time, agreement and raters' quality, without intervals."""
    votes = cast(database)
    counted = [vote for vote in votes if vote.counts]
    rules = reopen(database).rules
    taken = Counter(vote.item.key for vote in counted if vote.answer.skipped is None)
    with database.reading() as connection:
        own = sql.select(sql.func.count()).select_from(db.items).where(db.items.c.shuffle >= 0)
        size = connection.execute(own).scalar_one()
        people = connection.execute(
            sql.select(db.raters.c.alias, db.raters.c.id, db.raters.c.answered)
        ).all()
    by_alias = {row["rater"]: row for row in quality(votes)}
    seconds = [vote.seconds for vote in counted if vote.seconds is not None]
    done = sum(n >= rules.overlap for n in taken.values())
    return {
        "items": size,
        "overlap": rules.overlap,
        "answers": sum(taken.values()),
        "wanted": size * rules.overlap,
        "whole": done,
        "begun": len(taken) - done,
        "skipped": sum(vote.answer.skipped is not None for vote in counted),
        "comments": sum(bool(vote.comment) for vote in votes),
        "last_minutes": sum(vote.at > time.time() - _RECENT for vote in votes),
        "seconds": median(seconds) if seconds else None,
        "agreement": agreement(counted, quick=True),
        "raters": [
            {"id": number, "answered": answered, **by_alias.get(alias, {"rater": alias})}
            for alias, number, answered in people
        ],
    }


def export(votes: Sequence[Vote], form: str) -> bytes:
    """A file in one of the forms of `hrlaif export`, or, for `rows`, a zip of our own rows."""
    found = rows_of(votes)
    if form == ROWS:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in FILES:
                archive.writestr(f"{name}.jsonl", "".join(map(line_of, found[name])))
        return packed.getvalue()
    if form not in FORMS:
        raise UsageError(f"form {form!r:.40} is none of {', '.join((ROWS, *FORMS))}")
    said = [*found["preferences"], *found["ratings"], *found["verdicts"]]
    rows = [SourceRow(f"vote {n}", row) for n, row in enumerate(said, start=1)]
    return exported(rows, form).text.encode("utf-8", "replace")


def _main(asked: dict[str, Any]) -> bytes:
    database = db.Database(asked["url"])
    if asked["what"] == "export":
        return export(cast(database), asked["form"])
    return json.dumps(overview(database)).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(_main(json.load(sys.stdin)))
